"""What is in the documents is found, with the exact file and line; what is not in them is not."""

from __future__ import annotations

import gc
import random
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import DeclarationError, Environment, shipped
from patterns.documents import Documents, Hit, search_documents


def written(folder: Path, **files: str) -> Documents:
    """A folder of Markdown files, by name without ending."""
    for name, text in files.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8", newline="")
    return Documents(folder)


def stands(folder: Path, hit: Hit) -> bool:
    """Whether the sentence is in the file, from that line on, and not from the next."""
    lines = (folder / hit.file).read_text(encoding="utf-8").split("\n")
    here, later = (" ".join(" ".join(lines[first:]).split()) for first in (hit.line - 1, hit.line))
    return hit.sentence in here and not (hit.sentence in later and hit.sentence not in lines[hit.line - 1])


# --- what is found


def test_a_fact_is_found_and_its_neighbour_is_not(tmp_path: Path) -> None:
    documents = written(tmp_path, facts="The capital of Zorblia is Quux.\nThe population of Zorblia is 300.\n")

    assert documents.search("What is the capital of Zorblia?") == [
        Hit("facts.md", 1, "The capital of Zorblia is Quux.")
    ]


def test_a_question_about_what_occurs_nowhere_finds_nothing_and_says_so(tmp_path: Path) -> None:
    documents = written(tmp_path, facts="The capital of Zorblia is Quux.\nThe population of Zorblia is 300.\n")

    assert documents.search("What is the population of Blarg?") == []
    assert documents.answer("What is the population of Blarg?") == "Nothing found. No document mentions 'Blarg'."
    assert documents.answer("population of zorblian blarg").endswith("No document mentions 'zorblian', 'blarg'.")


def test_a_known_name_without_the_fact_asked_for_finds_nothing(tmp_path: Path) -> None:
    others = "".join(f"The capital of Land{n} is Town{n}.\n" for n in range(50))
    documents = written(tmp_path, facts=others + "The population of Zorblia is 300.\n")

    assert documents.search("What is the capital of Zorblia?") == []
    assert documents.answer("What is the capital of Zorblia?").startswith("Nothing found. All the words occur")


def test_rare_words_about_another_name_do_not_stand_in_for_the_name(tmp_path: Path) -> None:
    documents = written(
        tmp_path, facts="The chief export of Zorblia is copper.\n\nQuuxland is flat.\n" + "It rains here.\n" * 40
    )

    for name in ("Quuxland", "quuxland", "Blarg", "blarg"):
        assert documents.search(f"What is the chief export of {name}?") == []
    assert len(documents.search("What is the chief export of Zorblia?")) == 1


def test_the_words_of_headings_and_of_the_file_name_count_for_the_sentences_below(tmp_path: Path) -> None:
    documents = written(
        tmp_path,
        lands="# Lands\n\n## Zorblia\n\nThe capital is Quux.\nSheep: 300.\n\n## Norblia\n\nThe capital is Foo.\n",
        Arblia="The capital is Bar.\n",
    )

    assert documents.search("What is the capital of Zorblia?") == [Hit("lands.md", 5, "The capital is Quux.")]
    assert documents.search("What is the capital of Norblia?") == [Hit("lands.md", 10, "The capital is Foo.")]
    assert documents.search("What is the capital of Arblia?") == [Hit("Arblia.md", 1, "The capital is Bar.")]


def test_headings_make_no_answers_of_sentences_that_do_not_have_the_fact(tmp_path: Path) -> None:
    documents = written(
        tmp_path,
        Zorblia="# Zorblia\n\nThe capital is Quux. Winters are cold.\n",
        Norblia="# Norblia\n\nThe population is 300.\n",
    )

    assert documents.search("What is the population of Zorblia?") == []
    assert documents.search("What is the capital of Norblia?") == []
    assert documents.search("Zorblia") == [Hit("Zorblia.md", 1, "Zorblia")]  # not all that is below


def test_a_row_of_a_table_is_found_by_the_names_of_its_columns(tmp_path: Path) -> None:
    documents = written(
        tmp_path,
        facts="| land | capital |\n|---|---|\n| Zorblia | Quux |\n| Norblia | Foo |\n\nBut Arblia has none.\n",
    )

    assert documents.search("What is the capital of Zorblia?") == [Hit("facts.md", 3, "| Zorblia | Quux |")]
    assert documents.search("What is the capital of Arblia?") == []


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("QUUX", 1),
        ("Zorblia's capital", 1),
        ("What's Zorblia’s capital?", 1),  # noqa: RUF001 - as a phone types it
        ("lighthouse", 2),  # the text has the plural
        ("How many lighthouses?", 2),
        ("read-only", 3),
        ("memory_insert", 3),
        ("O'Brien", 4),
        ("3.5", 4),
        ("München", 5),
        ("Munchen", 5),
        ("кто такой Квукс", None),
        ("Квукс", 6),
        ("首都", 7),
        ("हिन्दी", 8),
        ("35", None),
        ("only read", 3),
        ("insert-memory", None),
    ],
)
def test_words_are_found_as_people_write_them(tmp_path: Path, query: str, line: int | None) -> None:
    lines = (
        "The capital of Zorblia is Quux.",
        "Lighthouses are tall.",
        "Only read-only blocks refuse memory_insert.",
        "O'Brien weighs 3.5 tons.",
        "München liegt an der Isar.",
        "Столица называется Квукс.",
        "佐尔的首都是库克斯。",
        "हिन्दी भाषा है।",
    )
    documents = written(tmp_path, facts="\n\n".join(lines))

    hits = documents.search(query)

    assert hits == ([] if line is None else [Hit("facts.md", 2 * line - 1, lines[line - 1])])


def test_at_most_three_are_given_and_as_many_as_one_asks_for(tmp_path: Path) -> None:
    documents = written(tmp_path, b="Zorblia is a land.\n\n" * 3, a="Zorblia is a land.\n\n" * 3)

    assert [(hit.file, hit.line) for hit in documents.search("Zorblia")] == [("a.md", 1), ("a.md", 3), ("a.md", 5)]
    assert len(documents.search("Zorblia", most=5)) == 5
    assert documents.search("Zorblia", most=0) == []


# --- how files are read


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "a.md",
            "Fact one is\nwrapped. And fact\n  two, too.",
            [(1, "Fact one is wrapped."), (2, "And fact two, too.")],
        ),
        ("a.md", "A fact of\n300. A fact.", [(1, "A fact of 300."), (2, "A fact.")]),
        ("a.md", "1. fact one\n2. fact two", [(1, "fact one"), (2, "fact two")]),
        ("a.md", "* fact one\n  goes on\n* fact two", [(1, "fact one goes on"), (3, "fact two")]),
        ("a.md", "> A fact.\n> > A fact!", [(1, "A fact."), (2, "A fact!")]),
        ("a.md", "Dr. Foo knows a fact, e.g. Mt. Bar.", [(1, "Dr. Foo knows a fact, e.g. Mt. Bar.")]),
        ("a.md", 'He said "A fact." A fact?', [(1, 'He said "A fact."'), (1, "A fact?")]),
        ("a.md", "## A fact ##\n\n***\n\n___", [(1, "A fact")]),
        ("a.md", "A fact\n======\n\nother\n", [(1, "A fact")]),
        (
            "a.md",
            "```python\n# fact one\nfact  = 2\n```\nfact three",
            [(2, "# fact one"), (3, "fact = 2"), (5, "fact three")],
        ),
        ("a.md", "~~~\n# fact one\n```\nfact 2\n~~~\nfact 3", [(2, "# fact one"), (4, "fact 2"), (6, "fact 3")]),
        ("a.md", "before\n```\nfact, never closed", [(3, "fact, never closed")]),
        ("a.rst", "A fact\n~~~~~~\nAnother", [(1, "A fact")]),
        ("a.txt", "A fact.\r\nA fact\rgoes on", [(1, "A fact."), (2, "A fact goes on")]),
        ("a.txt", "\ufeffA fact.", [(1, "A fact.")]),
        ("a.TXT", "A\x0c\u2028fact.", [(1, "A fact.")]),
        ("a.txt", "A \0 fact.", [(1, "A \ufffd fact.")]),
        ("a.html", "A fact.", []),
        ("a.md", "", []),
    ],
)
def test_a_file_is_split_into_sentences_with_their_lines(
    tmp_path: Path, name: str, text: str, expected: list[tuple[int, str]]
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")

    found = [(line, sentence) for _, line, sentence in Documents(tmp_path).search("fact", most=99)]

    assert sorted(found) == sorted(expected)


def test_hidden_large_and_foreign_files_are_left_out(tmp_path: Path) -> None:
    fact = "The capital of Zorblia is Quux.\n"
    for name in ("deep/er/b.txt", "a.rst", ".hidden.md", ".git/c.md", "d.py", "folder.md/e.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(fact)
    (tmp_path / "large.md").write_text(fact + "x" * 2_000_000)
    (tmp_path / "broken.md").write_bytes(b"Zorblia \xff\xfe is a capital.\n")
    (tmp_path / "dangling.md").symlink_to(tmp_path / "nowhere.md")

    hits = Documents(tmp_path).search("capital of Zorblia", most=9)

    assert {hit.file for hit in hits} == {"a.rst", "broken.md", "deep/er/b.txt", "folder.md/e.md"}
    assert Hit("broken.md", 1, "Zorblia \ufffd\ufffd is a capital.") in hits


def test_a_file_that_is_not_in_utf_8_is_named_to_the_person_and_to_the_model(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "plain.md").write_text("The capital of Zorblia is Quux.")
    for number in range(4):
        (tmp_path / f"old{number}.txt").write_bytes("The river of Zorblia\nis the Grüne.\n".encode("latin-1"))
    documents, folder = Documents(tmp_path), repr(tmp_path.name)

    part = " Not all could be read of 'old0.txt', 'old1.txt', 'old2.txt' and 1 more."
    assert documents.answer("Grüne") == f"Nothing found. No document mentions 'Grüne'.{part}"
    assert documents.answer("capital of the river").endswith(f"no sentence has enough of them.{part}")
    assert documents.answer("capital of Zorblia") == "plain.md:1: The capital of Zorblia is Quux."
    assert [record.getMessage() for record in caplog.records] == [
        f"'old{number}.txt' in {folder} is not in UTF-8 (line 2), so words there with letters such as é are not found"
        for number in range(4)
    ]


def test_lines_end_as_they_do_on_any_system(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"\xef\xbb\xbfZorblia is old.\r\n\r\nQuux is older.\r\rXyzzy is the oldest.\n")

    assert [Documents(tmp_path).search(name)[0].line for name in ("Zorblia", "Quux", "Xyzzy")] == [1, 3, 5]


def test_a_folder_that_is_none_is_refused_when_the_tool_is_made(tmp_path: Path) -> None:
    (tmp_path / "file.md").write_text("Text.")

    for wrong in (tmp_path / "nowhere", tmp_path / "file.md", str(tmp_path / "nowhere")):
        with pytest.raises(DeclarationError, match=r"is not a folder$"):
            search_documents(wrong)
    with pytest.raises(DeclarationError) as refused:
        search_documents("nowhere")
    assert str(refused.value) == f"documents: 'nowhere' is not a folder; looked for in {str(Path.cwd())!r}"


def test_an_empty_folder_is_said_to_be_empty(tmp_path: Path) -> None:
    assert Documents(tmp_path).answer("Zorblia?") == f"Nothing found: there are no documents in {tmp_path.name!r}."


def test_nothing_is_read_before_the_first_search(tmp_path: Path) -> None:
    made = search_documents(tmp_path)
    (tmp_path / "late.md").write_text("The capital of Zorblia is Quux.")

    assert made.function(query="capital of Zorblia") == "late.md:1: The capital of Zorblia is Quux."


def test_a_search_that_could_not_read_the_folder_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = written(tmp_path, facts="The capital of Zorblia is Quux.")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda *_, **__: (_ for _ in ()).throw(PermissionError("no")))
        with pytest.raises(PermissionError):
            documents.search("Zorblia")

    assert len(documents.search("Zorblia")) == 1


# --- hostile queries and long texts


@pytest.mark.parametrize(
    "query",
    ["", " ", "?", "What is it?", "who are you", '"', "''", "*", "^", "-", "___", "🦑", "\0", "\ud800", "()"],
)
def test_a_query_without_content_finds_nothing(tmp_path: Path, query: str) -> None:
    documents = written(tmp_path, facts="What is it? It is what you are.")

    assert documents.answer(query) == "Nothing found: the query has only common words. Say what it is about."


@pytest.mark.parametrize(
    "query",
    [
        'Quux"',
        '"Quux',
        "Quux*",
        "^Quux",
        "within : Quux",
        "Quux OR x",
        "NEAR(Quux, 1)",
        "{Quux}",
        "Quux AND",
        "NOT Quux",
        "+Quux",
        "Quux\0",
    ],
)
def test_query_syntax_is_only_text(tmp_path: Path, query: str) -> None:
    documents = written(tmp_path, facts="The capital of Zorblia is Quux.")

    hits = documents.search(query)

    assert hits == (documents.search("Quux") if len(re.findall(r"(?i)\b(?!and|or|not)[a-z0-9]+", query)) == 1 else [])


@given(st.text(max_size=80))
def test_no_query_breaks_the_search(query: str) -> None:
    answer = EXAMPLES.answer(query)

    answer.encode()  # what cannot be sent is not in it
    assert answer.startswith("Nothing found") or all(re.match(r"[\w-]+\.md:\d+: ", line) for line in answer.split("\n"))


EXAMPLES = Documents(shipped("documents"))


@pytest.mark.parametrize("query", ["Zorblia " * 100_000, " ".join(map(chr, range(0x4E00, 0x5E00))), "a-" * 50_000])
def test_a_query_that_is_a_book_is_cut(tmp_path: Path, query: str) -> None:
    documents = written(tmp_path, facts="Zorblia is a land.")

    assert len(documents.search(query)) == query.startswith("Zorblia")


def test_a_sentence_without_end_is_shortened_for_models_only(tmp_path: Path) -> None:
    documents = written(tmp_path, facts="Zorblia " + "and so on " * 1000)

    assert len(documents.search("Zorblia")[0].sentence) > 9_000
    assert len(documents.answer("Zorblia")) < 700
    assert documents.answer("Zorblia").endswith("…")


# --- generated folders

RELATIONS = [
    "capital",
    "population",
    "highest mountain",
    "national bird",
    "first king",
    "chief export",
    "old harbour town",
]


def name(dice: random.Random) -> str:
    """A made-up name; it ends in a letter that the stemmer leaves alone."""
    return "".join(dice.choice("bcdfgklmnprtvz") + dice.choice("aeiou") for _ in range(4)).title() + "k"


def generated(folder: Path, dice: random.Random) -> dict[tuple[str, str], str]:
    """Files with facts in several layouts; the value of each fact by name and relation."""
    facts = {}
    for number in range(dice.randint(1, 12)):
        lines: list[str] = []
        for land in {name(dice) for _ in range(dice.randint(1, 6))}:
            layout = dice.choice(["prose", "wrapped", "list", "heading", "table"])
            known = dice.sample(RELATIONS, dice.randint(1, 4))
            facts.update({(land, relation): name(dice) for relation in known})
            told = [f"The {relation} of {land} is {facts[land, relation]}." for relation in known]
            if layout == "prose":
                lines += told
            elif layout == "wrapped":
                words = " ".join(told).split()
                while words:
                    width = dice.randint(2, 9)
                    lines.append(" ".join(words[:width]))
                    words = words[width:]
            elif layout == "list":
                lines += [f"- {line}" for line in told]
            elif layout == "heading":
                lines += [f"## {land}", *(f"Its {relation} is {facts[land, relation]}." for relation in known)]
                lines += ["", "## Other lands"]
            else:
                lines += ["| land | relation | value |", "|---|---|---|"]
                lines += [f"| {land} | {relation} | {facts[land, relation]} |" for relation in known]
            lines.append("")
        (folder / f"file{number}.md").write_text("\n".join(lines), encoding="utf-8")
    return facts


@pytest.mark.parametrize("seed", range(30))
def test_generated_facts_are_found_where_they_stand_and_others_not(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    facts = generated(tmp_path, dice)
    documents = Documents(tmp_path)

    for (land, relation), value in facts.items():
        for query in (f"What is the {relation} of {land}?", f"{land}'s {relation}", f"{land} {relation}".lower()):
            hits = documents.search(query)
            assert hits, query
            assert value in hits[0].sentence, (query, hits)
            assert stands(tmp_path, hits[0])
    for land in {land for land, _ in facts}:
        for relation in RELATIONS:
            if (land, relation) not in facts:
                assert documents.search(f"What is the {relation} of {land}?") == []
                assert documents.search(f"{land} {relation}".lower()) == []
    for relation in RELATIONS:
        for stranger in ("Xyqqw", name(random.Random(f"stranger {seed}"))):
            assert documents.search(f"What is the {relation} of {stranger}?") == []
            assert documents.search(f"{relation} {stranger}".lower()) == []


# --- threads, resources and the tool


def test_many_threads_get_what_one_gets() -> None:
    documents = Documents(shipped("documents"))
    queries = ["What are memory blocks?", "Where does Letta come from?", "Blarg", "What is a curator?"] * 25

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(documents.answer, queries))

    assert together == [EXAMPLES.answer(query) for query in queries]


async def test_agents_search_at_once_from_worker_threads() -> None:
    search, environment, answers = search_documents(), Environment(), []

    async def ask() -> None:
        answers.append(
            await environment.run_blocking(lambda: search.function(query="When was the Letta server archived?"))
        )

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(ask)

    assert set(answers) == {EXAMPLES.answer("When was the Letta server archived?")}
    assert "August 2026" in answers[0]


def test_what_is_dropped_closes_its_database(tmp_path: Path) -> None:
    documents = written(tmp_path, facts="The capital of Zorblia is Quux.")
    documents.search("Zorblia")
    assert documents._index is not None
    database = documents._index._database

    del documents
    gc.collect()

    with pytest.raises(Exception, match="closed database"):
        database.execute("SELECT 1")


def test_the_tool_tells_models_what_it_takes_and_gives() -> None:
    spec = search_documents().spec

    assert spec.name == "search_documents"
    assert "`file:line: sentence`" in spec.description
    assert list(spec.parameters["properties"]) == ["query"]


# --- the examples that come with us


@pytest.mark.parametrize(
    ("query", "file", "words"),
    [
        ("What are memory blocks?", "memory-blocks.md", "labelled pieces of text"),
        ("Where do memory blocks come from?", "origin.md", "come from MemGPT"),
        ("Find information about the origin of Letta.", "origin.md", "is MemGPT"),
        ("Find information about the connection between memory blocks and Letta.", "origin.md", "core abstraction"),
        ("What is a shared memory block?", "sharing-blocks.md", "attached to several agents"),
        ("What is a read-only block?", "read-only-and-limits.md", "read"),
        ("What is a lost update?", "concurrent-edits.md", "each write the whole text back"),
        ("What is a handoff?", "handoffs-and-curators.md", "passes the work"),
    ],
)
def test_the_examples_answer_what_one_asks_first(query: str, file: str, words: str) -> None:
    best = EXAMPLES.search(query)[0]

    assert best.file == file
    assert words in best.sentence
    assert stands(shipped("documents"), best)


@pytest.mark.parametrize("query", ["What is the capital of France?", "How fast is PostgreSQL?", "Who won in 1998?"])
def test_the_examples_do_not_answer_anything_else(query: str) -> None:
    assert EXAMPLES.search(query) == []
