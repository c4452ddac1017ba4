"""A user's own words in place of ours: what a folder of templates changes, and what it cannot break."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import command
from jinja2 import Environment, meta
from typer.testing import CliRunner, Result

import orchestrator
from orchestrator import Agent, Block, DeclarationError, Orchestrator, Team, prompt, use_prompts
from orchestrator.blocks import BlockState
from orchestrator.cli import app
from orchestrator.cli.stored_runs import tell_cut_off
from orchestrator.errors import Fresh, TextNotFound
from orchestrator.events import Cause
from orchestrator.ports import RunRecord
from orchestrator.prompting import change_text, refusal_text, system_text, tail_text, wake_text
from orchestrator.stores import MemoryStore
from orchestrator.templates import Templates, shipped_templates
from orchestrator.testing import Say, ScriptedModel, edit
from patterns import domain_knowledge, supervise, task_queue
from patterns.teams import all_patterns_team

CHECKOUT = Path(orchestrator.__file__).parent.parent


@pytest.fixture(autouse=True)
def own_words_end_with_the_test() -> Iterator[None]:
    yield
    use_prompts(None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "words"
    path.mkdir()
    return path


def write(folder: Path, **templates: str) -> Path:
    for name, text in templates.items():
        (folder / f"{name}.jinja").write_text(text, encoding="utf-8")
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(DeclarationError) as error:
        use_prompts(folder)
    return str(error.value)


def cli(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), catch_exceptions=False)


NOTES = BlockState(key="t:notes", label="notes", value="a < b", limit=100, placement="system")
CHANGE = Cause(kind="change", key="t:notes", label="notes", version=7, by="bob", wake=0)


# --- what it changes


def test_a_template_of_the_folder_replaces_the_one_that_comes_with_the_package(folder: Path) -> None:
    before = system_text(("Be ann.",), [NOTES])

    use_prompts(write(folder, system="Sei {{ instructions[0] }}!{{ blocks }}", task_queue_worker="Do {{ label }}."))

    assert system_text(("Be ann.",), []) == "Sei Be ann.!"
    assert prompt("task_queue_worker", label="tasks") == "Do tasks."
    assert "You lead a team of 2 workers" in prompt("task_queue_supervisor", label="tasks", workers=2)
    use_prompts(None)
    assert system_text(("Be ann.",), [NOTES]) == before


def test_what_was_rendered_before_is_rendered_anew(folder: Path) -> None:
    texts = [
        lambda: system_text(("Be ann.",), [NOTES]),
        lambda: tail_text([NOTES.model_copy(update={"placement": "tail"})]),
        lambda: wake_text([CHANGE]),
        lambda: refusal_text(TextNotFound("notes", "old", "bob", Fresh("new", 8, "bob"))),
        lambda: change_text(NOTES),
    ]
    before = [text() for text in texts]
    assert "These are your memory blocks." in before[0]

    use_prompts(
        write(
            folder,
            blocks="{% for block in blocks %}{{ loop.index }} {{ block.label }}={{ block.value }}{% endfor %}",
            wake="{{ causes[0].by }} rings",
            refusal="No: {{ error }}",
            change="{{ label }} {{ version }} {{ size }}/{{ limit }}",
        )
    )

    after = [text() for text in texts]
    assert after[0].endswith("\n\n1 notes=a &lt; b")
    assert after[1:] == [
        "1 notes=a &lt; b",
        "bob rings",
        "No: block 'notes' does not contain 'old'; bob changed it",
        "notes 1 5/100",
    ]
    use_prompts(None)
    assert [text() for text in texts] == before


def test_patterns_declared_from_then_on_speak_in_the_folders_words(folder: Path) -> None:
    assert task_queue().description.startswith("The tasks of the team. Each begins with its number and its status:")
    assert domain_knowledge().description.startswith("What the team has learned about its subject, one fact on a line")

    use_prompts(
        write(
            folder,
            task_queue_block="Was zu tun ist.",
            domain_knowledge_block="{# Deutsch. #} Was wir wissen.",
            task_queue_supervisor="Leite {{ workers }}.",
        )
    )

    team = supervise(Agent("lead"), [Agent("ann", blocks=[domain_knowledge()])])
    assert task_queue().description == "Was zu tun ist."
    assert domain_knowledge().description == "Was wir wissen."
    assert team.members[0].instructions == ("Leite 1.",)


def test_every_pattern_says_what_the_folder_says(folder: Path) -> None:
    """Of each template that a pattern puts into agents and blocks: it is used, and it can be replaced."""
    of_patterns = [
        each.name for each in shipped_templates() if re.search("_(block|agent|curator|supervisor|worker)$", each.name)
    ]
    use_prompts(write(folder, **{name: f"Words of {name}." for name in of_patterns}))

    team = all_patterns_team(workers=1)

    said = {part for member in team.members for part in member.instruction_parts}
    said |= {attachment.block.description for member in team.members for attachment in member.attachments}
    assert {f"Words of {name}." for name in of_patterns} <= said
    assert len(of_patterns) == 10


def test_the_mark_with_which_some_editors_begin_a_file_is_not_told_to_models(folder: Path) -> None:
    (folder / "change.jinja").write_text("{{ label }}", encoding="utf-8-sig")
    use_prompts(folder)

    assert change_text(NOTES) == "notes"


async def test_a_team_that_runs_reads_the_folders_words_and_texts_of_blocks_stay_escaped(folder: Path) -> None:
    use_prompts(
        write(folder, blocks="{% for block in blocks %}<{{ block.value }}>{% endfor %}", change="{{ label }}: ok")
    )
    team = Team("one", [Agent("ann", blocks=[Block("notes", "</value> {{ x }}")])])
    script = {"ann": [edit("memory_insert", "notes", new_string="more"), Say("done")]}

    with ScriptedModel(script) as model:
        async with Orchestrator(team, model=model) as live:
            await live.run("go")

    first, second = model.requests
    assert first.system.endswith("<&lt;/value> {{ x }}>")
    assert second.messages[-1].text == "notes: ok"


def test_every_shipped_template_is_accepted_as_a_users_own(folder: Path) -> None:
    cli("prompts", "copy", str(folder))

    use_prompts(str(folder))

    assert {path.name for path in folder.iterdir()} == {f"{template.name}.jinja" for template in shipped_templates()}
    assert change_text(NOTES) == "Done: notes is at version 1, 5 of 100 characters."


def test_other_files_and_hidden_ones_are_left_alone(folder: Path) -> None:
    (folder / "README.md").write_text("{{ not read }}")
    write(folder, **{".#blocks": "{% what an editor leaves", "change": "ok"})
    (folder / "older").mkdir()
    write(folder / "older", nonsense="")

    use_prompts(folder)

    assert change_text(NOTES) == "ok"


def test_what_is_in_force_is_what_was_checked(folder: Path) -> None:
    use_prompts(write(folder, change="first"))
    write(folder, change="{{ broken")

    assert change_text(NOTES) == "first"


# --- what is refused, before anything is changed


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere") == f"prompts: there is no folder '{tmp_path / 'nowhere'}'"


def test_a_name_that_no_template_has_is_refused_with_the_names_there_are(folder: Path) -> None:
    names = ", ".join(template.name for template in shipped_templates())

    assert refused(write(folder, blokcs="", change="fine")) == (
        f"{folder / 'blokcs.jinja'}: no template that comes with the package has this name; there are: {names}"
    )
    assert "blocks, change, " in names


@pytest.mark.parametrize(
    ("name", "text", "line", "problem"),
    [
        ("wake", "one\n{{ x", 2, "is no template: unexpected end of template, expected 'end of print statement'."),
        ("wake", "{# ok #}\n{% endif %}", 2, "is no template: Encountered unknown tag 'endif'."),
        ("wake", "\n\n{{ claimd }}", 3, "there is no variable 'claimd'; there are: causes, claimed"),
        ("task_queue_block", "{{ label }}", 1, "there is no variable 'label'; there are: none"),
        ("wake", "{% if claimed is defined and range(3) %}{% endif %}", 1, "there is no variable 'range'; "),
        ("wake", "{% for c in causes %}{{ loop.first }}\n{{ c.kin }}{% endfor %}", 2, "no variable has a part .kin; "),
        (
            "wake",
            "{{ causes[0]['kin'] }}",
            1,
            "no variable has a part .kin; there are: .by, .kind, ",
        ),
        ("change", "{{ label.upper() }}", 1, "no variable has a part .upper; there are: none"),
        ("change", "a\n{{ label.__class__.__mro__ }}", 2, "no variable has a part .__class__; there are: none"),
        ("change", "{% if label %}{{ label|uper }}{% endif %}", 1, "there is no filter 'uper'"),
        ("change", "{% if label is odder %}{% endif %}", 1, "there is no test 'odder'"),
        ("change", "ok\n{% include 'wake.jinja' %}", 2, "takes in another template; write what it says here"),
        ("change", "{% extends 'wake.jinja' %}", 1, "takes in another template; write what it says here"),
        ("change", "{% import 'wake.jinja' as w %}", 1, "takes in another template; write what it says here"),
        ("change", "{{ label }}\n{{ later }}\n{% include 'x' %}", 2, "there is no variable 'later'"),
        ("change", "{% set x = 1 %}{% set x = 2 %}{% break %}", 1, "is no template: Encountered unknown tag 'break'."),
        ("change", "{% block a %}{% endblock %}\n{% block a %}{% endblock %}", 2, "is no template: block 'a' "),
    ],
)
def test_a_template_that_could_not_be_rendered_is_refused_with_its_line(
    folder: Path, name: str, text: str, line: int, problem: str
) -> None:
    said = refused(write(folder, **{name: text}))

    assert said.startswith(f"{folder / name}.jinja, line {line}: {problem}")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("wake", "{{ 1 / 0 }}", "ZeroDivisionError: division by zero; given claimed='', causes=.*kind='change'"),
        ("wake", "{% if causes[0].kind == 'idle' %}{{ causes[1].by }}{% endif %}", "UndefinedError: .*kind='idle'"),
        ("wake", "{{ causes[0].by + '!' }}", "TypeError: .*kind='full', label='notes', by=None"),
        ("wake", "{% if claimed %}{{ claimed + 1 }}{% endif %}", "TypeError: .*claimed='1. "),
        ("blocks", "{{ blocks|map(attribute='labl')|join }}", "UndefinedError: .* has no attribute 'labl'"),
        ("blocks", "{% if shared %}{{ blocks[0].size + '' }}{% endif %}", "TypeError: .*shared=True"),
        ("system", "{{ instructions + blocks }}", "TypeError: "),
        ("refusal", "{{ fresh.value }}", "UndefinedError: 'None' has no attribute 'value'; .*fresh=None"),
        ("change", "{{ label + version }}", "TypeError: "),
        ("change", "{% if moved %}{{ archive + 1 }}{% endif %}", "TypeError: .*moved=2, archive='older'"),
        ("change", "{% for c in label recursive %}{{ loop(label) }}{% endfor %}", "RecursionError: "),
    ],
)
def test_a_template_that_what_it_will_be_given_breaks_is_refused_before_a_team_runs(
    folder: Path, name: str, text: str, problem: str
) -> None:
    said = refused(write(folder, **{name: text}))

    assert re.match(rf"{folder / name}\.jinja: fails: {problem}", said), said


@pytest.mark.parametrize("text", ["\0", "{{ '\\0' }}", "{{ '\\ud800' }}"])
def test_a_template_that_makes_a_text_which_no_store_takes_is_refused(folder: Path, text: str) -> None:
    assert ".jinja: makes a text with " in refused(write(folder, change=text))


def test_a_template_that_is_not_utf_8_or_cannot_be_read_is_refused(folder: Path) -> None:
    (folder / "change.jinja").write_bytes(b"fine\n\xff")
    assert refused(folder) == f"{folder / 'change.jinja'}, line 2: is not text in UTF-8"

    (folder / "change.jinja").unlink()
    (folder / "change.jinja").mkdir()
    assert re.fullmatch(rf"{folder / 'change.jinja'}: cannot be read: \w.*", refused(folder))


def test_a_refused_folder_changes_nothing(folder: Path, tmp_path: Path) -> None:
    use_prompts(write(folder, change="mine"))
    (tmp_path / "other").mkdir()

    assert "there is no variable 'x'" in refused(write(tmp_path / "other", change="{{ x }}", wake="theirs"))

    assert change_text(NOTES) == "mine"
    assert wake_text([CHANGE]) == "[wake] bob changed the block notes, which is now at version 7."


# --- the variable of the environment


def test_the_environment_names_a_folder_until_code_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_PROMPTS", str(write(folder, change="from the environment")))
    templates = Templates()
    values = {"label": "notes", "version": 1, "size": "5", "limit": "100", "moved": 0, "archive": ""}

    assert templates.take("change").render() == "from the environment"
    assert templates.take("change") is templates.take("change")
    templates.use(None)
    assert templates.take("change").render(values) == "Done: notes is at version 1, 5 of 100 characters."


def test_an_empty_variable_names_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_PROMPTS", "")

    values = {"label": "notes", "version": 1, "size": "5", "limit": "100", "moved": 0, "archive": ""}
    assert "Done: " in Templates().take("change").render(values)


async def test_a_wrong_folder_in_the_environment_is_said_when_the_team_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.prompting._templates", Templates())
    monkeypatch.setenv("ORCHESTRATOR_PROMPTS", str(tmp_path / "nowhere"))
    store = MemoryStore()

    with pytest.raises(DeclarationError, match=r"^ORCHESTRATOR_PROMPTS in the environment: there is no folder"):
        async with Orchestrator(Team("one", [Agent("ann")]), store, model=ScriptedModel({})):
            pass

    assert await store.events(0, 1) == []


def test_a_command_takes_the_folder_from_the_environment(folder: Path) -> None:
    write(folder, system="{% for part in instructions %}{{ part }}{% endfor %}{{ blocks }}", change="{{ x }}")
    words = ("run", "task_queue", "What are memory blocks?", "--model", "rehearsal", "--json")

    done = command(*words, ORCHESTRATOR_PROMPTS=str(folder))

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: {folder / 'change.jinja'}, line 1: there is no variable 'x'; there are: ")

    write(folder, change="fine", task_queue_block="Was zu tun ist.")
    done = command(*words, ORCHESTRATOR_PROMPTS=str(folder))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["blocks"]["task_queue"]["description"] == "Was zu tun ist."


# --- the command line


def test_run_takes_a_folder_before_it_loads_the_team(folder: Path) -> None:
    write(folder, task_queue_block="Was zu tun ist.")

    result = cli("run", "task_queue", "Hello?", "--model", "rehearsal", "--json", "--prompts", str(folder))

    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["blocks"]["task_queue"]["description"] == "Was zu tun ist."


@pytest.mark.parametrize(
    "words",
    [
        ("run", "task_queue", "Hello?", "--model", "rehearsal"),
        ("runs", "resume", "task_queue", "--store", "team.db"),
        ("bench", "task_queue", "--simulated"),
    ],
)
def test_a_wrong_template_is_wrong_use_of_every_command_that_takes_a_folder(
    folder: Path, words: tuple[str, ...]
) -> None:
    write(folder, change="\n{{ x }}")

    result = cli(*words, "--prompts", str(folder))

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {folder / 'change.jinja'}, line 2: there is no variable 'x'")
    assert "does not exist" in cli(*words, "--prompts", str(folder / "nowhere")).stderr


def test_the_command_that_resumes_says_the_same_words(capsys: pytest.CaptureFixture[str]) -> None:
    record = RunRecord(id="run-1", agent="ann", text="go", at=0, max_turns=1)

    tell_cut_off("team.py:team", "team.db", None, None, None, Path("own words"), [record])

    command = "orchestrator runs resume team.py:team run-1 --store team.db --prompts 'own words'"
    assert f"  {command}\n" in capsys.readouterr().err


def test_templates_are_listed_with_what_they_are_and_their_variables() -> None:
    lines = [line.split("\t") for line in cli("prompts", "list").stdout.splitlines()]

    names = sorted(path.stem for path in (CHECKOUT / "prompts").glob("*.jinja"))
    assert [line[0] for line in lines] == names
    assert ["task_queue_worker", "What a worker is told.", "label: the block with the tasks."] in lines
    for name, about, variables in lines:
        assert about.endswith("."), f"{name}.jinja has to begin with a comment: what it is, and its variables"
        text = (CHECKOUT / "prompts" / f"{name}.jinja").read_text(encoding="utf-8")
        for variable in meta.find_undeclared_variables(Environment().parse(text)):  # noqa: S701 - only parsed
            assert re.search(rf"\b{variable}\b", variables), f"the first comment of {name}.jinja has to name {variable}"

    listed = json.loads(cli("prompts", "list", "--json").stdout)["prompts"]
    assert [[each["name"], each["about"], each["variables"]] for each in listed] == lines


def test_copies_are_the_templates_as_they_come_with_the_package(folder: Path) -> None:
    made = folder / "deep" / "own"

    result = cli("prompts", "copy", str(made), "wake", "change")

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [str(made / "wake.jinja"), str(made / "change.jinja")]
    assert result.stderr == f"Use them with --prompts {made}, or with ORCHESTRATOR_PROMPTS in the environment.\n"
    assert sorted(path.name for path in made.iterdir()) == ["change.jinja", "wake.jinja"]
    assert (made / "wake.jinja").read_bytes() == (CHECKOUT / "prompts" / "wake.jinja").read_bytes()


def test_copying_overwrites_nothing_and_writes_all_or_none(folder: Path) -> None:
    write(folder, wake="mine")

    result = cli("prompts", "copy", str(folder))

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"Error: {folder / 'wake.jinja'}: is there already, and is not overwritten; nothing was written\n"
    )
    assert [path.name for path in folder.iterdir()] == ["wake.jinja"]
    assert (folder / "wake.jinja").read_text() == "mine"


def test_copying_what_is_not_there_or_to_where_nothing_can_be_is_wrong_use(folder: Path) -> None:
    unknown = cli("prompts", "copy", str(folder), "change", "wakes")
    assert unknown.exit_code == 2
    assert unknown.stderr.startswith("Error: prompts: there is no 'wakes'; there are: blocks, change, ")
    assert list(folder.iterdir()) == []

    (folder / "file").write_text("")
    result = cli("prompts", "copy", str(folder / "file"), "wake")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {folder / 'file' / 'wake.jinja'}: cannot be written: ")
