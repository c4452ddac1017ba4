"""A block that is full gives its oldest lines to its archive, in the transaction of the insertion."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import pytest
from handing import pass_on, played
from hypothesis import example, given
from hypothesis import strategies as st
from stored_teams import said
from test_resume import MortalStore

from orchestrator import (
    Agent,
    Author,
    Block,
    BlockChanged,
    BlockEdit,
    BlockState,
    Change,
    ChangeRefused,
    DeclarationError,
    Grant,
    Guarded,
    Insert,
    LineMoved,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    OverLimit,
    ReadOnly,
    Replace,
    Rethink,
    Run,
    RunError,
    StoreError,
    Team,
    ToolCall,
    ToolContext,
    UnknownName,
    Wake,
    tool,
)
from orchestrator.edits import Shown, apply, archived
from orchestrator.overflowing import Fitted, Insertion, fitted
from orchestrator.stores import MemoryStore, SQLiteStore
from orchestrator.testing import FunctionModel, Say, ScriptedModel, call, edit

ANN, ENGINE = Author("ann", "turn-1"), Author("engine", "turn-1")

LINE = st.text(st.sampled_from("ab é𝄞"), max_size=4)
LINES = st.lists(LINE, max_size=6)


# --- what leaves a block, as a pure function


@given(above=LINES, text=LINES.map("\n".join), below=LINES, at_top=st.booleans(), room=st.integers(0, 25))
@example(above=[], text="cccc", below=["aaaa", "b"], at_top=True, room=4)
def test_nothing_is_lost_and_as_few_lines_leave_as_are_needed(above, text, below, at_top, room):
    old = below if at_top else [*above, *below]
    found = fitted(Insertion([] if at_top else above, text, below, at_top), len(text) + room)
    assert found is not None
    lines, new, count = found.text.split("\n"), text.split("\n"), len(found.moved)
    assert len(found.text) <= len(text) + room
    if at_top:
        assert [*lines, *found.moved] == [*new, *old]
    else:
        assert list(found.moved) == old[:count]
        assert lines == [*above[count:], *new, *old[max(count, len(above)) :]]
    if count:  # with one line less that leaves, it would be too long
        back = found.moved[0] if at_top else found.moved[-1]
        assert len(found.text) + 1 + len(back) > len(text) + room


@given(above=LINES, text=st.text("ab\n", min_size=1), below=LINES, at_top=st.booleans())
def test_a_text_that_alone_is_too_long_does_not_fit(above, text, below, at_top):
    assert fitted(Insertion([] if at_top else above, text, below, at_top), len(text) - 1) is None


def block(value: str = "", **attributes: Any) -> BlockState:
    known = {"key": "t:notes", "label": "notes", "limit": 8, "version": 7, "by": "bob", "overflow": "t:archive"}
    return BlockState(**known | attributes, value=value)


def inserted(state: BlockState, text: str, line: int = -1, shown: str | None = None, **options: Any) -> Fitted:
    shown_then = None if shown is None else Shown(6, shown)
    return apply(
        state, Insert(text, line), ANN, grant=Grant.INSERT, shown=shown_then, history=lambda after: (), **options
    )


@pytest.mark.parametrize(
    ("before", "text", "line", "after", "moved"),
    [
        ("aa\nbb\ncc", "dd", -1, "bb\ncc\ndd", ["aa"]),
        ("aa\nbb\ncc", "ddddd", -1, "cc\nddddd", ["aa", "bb"]),
        ("aa\nbb\ncc", "dddddddd", -1, "dddddddd", ["aa", "bb", "cc"]),
        ("aa\nbb\ncc", "d\ne\nf", -1, "cc\nd\ne\nf", ["aa", "bb"]),
        ("aa\nbb\nc\n", "dd", -1, "bb\nc\ndd", ["aa"]),
        ("aa\nbb\ncc", "dd", 0, "dd\naa\nbb", ["cc"]),
        ("aa\nbb\ncc", "ddddd", 0, "ddddd\naa", ["bb", "cc"]),
        ("aa\nbb\ncc", "dd", 2, "bb\ndd\ncc", ["aa"]),
        ("aa\nbb\ncc", "dddddd", 1, "dddddd", ["aa", "bb", "cc"]),
        ("aa\nbb", "cc", -1, "aa\nbb\ncc", []),
        ("", "dddddddd", -1, "dddddddd", []),
    ],
)
def test_the_oldest_lines_leave_and_the_inserted_ones_stay(before, text, line, after, moved):
    assert inserted(block(before), text, line) == (after, tuple(moved))


def test_a_line_is_found_as_it_was_shown_although_older_ones_have_left():
    assert inserted(block("bb\ncc\ndd"), "x", 3, shown="aa\nbb\ncc\ndd") == ("cc\nx\ndd", ("bb",))
    with pytest.raises(LineMoved):
        inserted(block("bb\ncc\ne"), "x", 1, shown="aa\nbb\ncc\ndd")


def test_a_text_that_alone_is_too_long_is_refused_and_so_is_what_is_no_insertion():
    with pytest.raises(OverLimit, match="would have 9 characters and its limit is 8"):
        inserted(block("aa"), "123456789")
    for change in (Rethink("123456789"), Replace("aa", "123456789")):
        with pytest.raises(OverLimit):
            apply(block("aa"), change, ANN, grant=Grant.RETHINK, shown=None, history=lambda after: ())
    with pytest.raises(OverLimit, match="would have 11 characters"):
        inserted(block("aa\nbb\ncc", overflow=None), "dd")


def test_the_guard_is_asked_about_the_block_as_it_will_be():
    asked: list[Change] = []
    inserted(block("aa\nbb\ncc"), "dd", guard=lambda change: asked.append(change))
    assert asked == [Change("notes", "aa\nbb\ncc", "bb\ncc\ndd", ANN)]


def archive(value: str = "", **attributes: Any) -> BlockState:
    return block(value, **{"key": "t:archive", "label": "archive", "overflow": None} | attributes)


@pytest.mark.parametrize(
    ("before", "lines", "attributes", "after", "moved"),
    [
        ("", ["a", "b"], {}, "a\nb", ()),
        ("x", ["a", "b"], {}, "x\na\nb", ()),
        ("x\n", ["a"], {}, "x\na", ()),
        ("12345\n67", ["a", "b"], {"overflow": "t:older"}, "67\na\nb", ("12345",)),
        ("12345", ["1234", "5678", "90"], {"overflow": "t:older"}, "5678\n90", ("12345", "1234")),
    ],
)
def test_lines_come_to_the_end_of_an_archive_which_overflows_in_its_turn(before, lines, attributes, after, moved):
    assert archived(archive(before, **attributes), lines, ENGINE) == (after, moved)


def test_an_archive_refuses_what_it_cannot_hold_and_what_its_guard_does_not_want():
    with pytest.raises(OverLimit, match="'archive' would have 9 characters"):
        archived(archive("12345"), ["678"], ENGINE)
    with pytest.raises(OverLimit, match="'archive' would have 9 characters"):
        archived(archive("1", overflow="t:older"), ["a", "123456789"], ENGINE)
    with pytest.raises(ReadOnly):
        archived(archive(read_only=True), ["a"], ENGINE)
    with pytest.raises(Guarded, match="not a"):
        archived(archive("1"), ["a"], ENGINE, guard=lambda change: f"not {change.new[2:]} by {change.author.name}")


# --- a team


def log_team(
    limit: int = 8, into: Block | None = None, names: tuple[str, ...] = ("ann", "bob"), **options: Any
) -> Team:
    """Agents that may only add to notes, whose oldest lines move to an archive that nobody sees."""
    notes = Block("notes", limit=limit, overflow=into or Block("archive", limit=20), **options)
    return Team("log", [Agent(name, blocks=[notes.contributor()]) for name in names])


def inserting(*texts: str, line: int = -1) -> ScriptedModel:
    calls = [edit("memory_insert", "notes", new_string=text, insert_line=line) for text in texts]
    return ScriptedModel({"ann": [*calls, Say("done")]})


async def went(team: Team, store: Any, *texts: str, line: int = -1) -> Run:
    with anyio.fail_after(30), inserting(*texts, line=line) as model:
        async with Orchestrator(team, store, model=model) as live:
            return await live.run("go")


async def values(store: Any) -> dict[str, str]:
    return {block.key: block.value for block in await store.read(lambda rows: list(rows.blocks()))}


async def answers(store: Any, agent: str = "ann") -> list[str]:
    said = await store.read(lambda rows: rows.messages(agent))
    return [message.text for message in said if message.role == "tool"]


async def changes(store: Any) -> list[BlockChanged]:
    return [event for event in await store.events() if isinstance(event, BlockChanged)]


async def refusals(store: Any) -> list[tuple[str | None, str, str, str]]:
    events = [event for event in await store.events() if isinstance(event, ChangeRefused)]
    return [(event.key, event.operation, event.by, event.code) for event in events]


async def test_the_oldest_lines_move_to_the_archive_and_the_agent_is_told(new_store):
    store = new_store()
    run = await went(log_team(), store, "aa", "bb", "cc", "dd", "eeeee")

    assert run.status == "complete"
    assert {name: block.value for name, block in run.blocks.items()} == {"notes": "dd\neeeee", "archive": "aa\nbb\ncc"}
    assert (await answers(store))[-2:] == [
        "Done: notes is at version 5, 8 of 8 characters; its oldest line moved to archive.",
        "Done: notes is at version 6, 8 of 8 characters; its 2 oldest lines moved to archive.",
    ]
    archived, inserted = (await changes(store))[-2:]
    (turn,) = run.turns
    assert (archived.key, archived.operation, archived.by) == ("log:archive", "archive", "engine")
    assert (inserted.key, inserted.operation, inserted.by) == ("log:notes", "insert", "ann")
    assert (archived.turn, archived.runs) == (inserted.turn, inserted.runs) == (turn.id, (run.id,))
    assert (archived.version, inserted.version, inserted.seq) == (3, 6, archived.seq + 1)


async def test_who_wrote_what_is_known_in_both_and_undo_brings_back_what_left(new_store):
    store = new_store()
    await went(log_team(), store, "aa", "bb", "cc", "dd")
    async with Orchestrator(log_team(), store, model=FunctionModel(lambda request: "ok")) as live:
        blame = [(line.text, line.by, line.version) for line in await live.blocks.blame("archive")]
        assert blame == [("aa", "engine", 2)]
        blame = [(line.text, line.by, line.version) for line in await live.blocks.blame("notes")]
        assert blame == [("bb", "ann", 3), ("cc", "ann", 4), ("dd", "ann", 5)]
        history = await live.blocks.history("archive")
        assert [(revision.operation, revision.by) for revision in history] == [
            ("create", "owner"),
            ("archive", "engine"),
        ]

        await live.blocks.undo("notes")

        assert await values(store) == {"log:notes": "aa\nbb\ncc", "log:archive": "aa"}


async def test_at_the_top_the_newest_stay_and_the_lines_below_leave():
    store = MemoryStore()
    await went(log_team(), store, "aa", "bb", "cc", "dd", line=0)
    assert await values(store) == {"log:notes": "dd\ncc\nbb", "log:archive": "aa"}


async def test_a_tool_of_ones_own_overflows_as_well_and_says_what_it_says():
    @tool
    async def note(text: str, context: ToolContext) -> BlockEdit:
        """Note something."""
        return BlockEdit("notes", Insert(text), answer=f"noted {text}")

    team = Team("log", [Agent("ann", blocks=[Block("notes", "aa", limit=3, overflow=Block("archive"))], tools=[note])])
    store = MemoryStore()
    call = ModelResponse("", [ToolCall("note", {"text": "bb"})])
    async with Orchestrator(team, store, model=ScriptedModel({"ann": [call, Say()]})) as live:
        await live.run("go")
    assert await values(store) == {"log:ann/notes": "bb", "log:archive": "aa"}
    assert await answers(store) == ["noted bb"]


async def test_a_full_archive_overflows_into_its_own(new_store):
    store = new_store()
    oldest = Block("oldest")
    run = await went(log_team(5, Block("older", limit=5, overflow=oldest)), store, *"abcdefgh")

    assert await values(store) == {"log:notes": "f\ng\nh", "log:older": "c\nd\ne", "log:oldest": "a\nb"}
    assert [event.key for event in (await changes(store))[-3:]] == ["log:oldest", "log:older", "log:notes"]
    assert (await answers(store))[-1].endswith("; its oldest line moved to older.")
    assert (run.blocks["oldest"].version, run.blocks["older"].version, run.blocks["notes"].version) == (3, 6, 9)


async def test_a_full_archive_refuses_and_says_whose_limit_is_to_be_raised(new_store):
    store = new_store()
    full = Block("archive", "1234", limit=5)
    run = await went(log_team(8, full), store, "aa\nbb\ncc", "dd")

    assert await values(store) == {"log:notes": "aa\nbb\ncc", "log:archive": "1234"}
    assert (await answers(store))[-1] == (
        "Refused, nothing was changed: block 'notes' is full, and its oldest lines cannot move to its archive"
        " 'archive': that would have 7 characters and its limit is 5; its owner can raise the limit."
    )
    assert await refusals(store) == [
        ("log:archive", "archive", "engine", "over_limit"),
        ("log:notes", "insert", "ann", "not_archived"),
    ]
    assert run.blocks["archive"].version == 1


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (
            lambda live: live.blocks.delete("archive"),
            "'archive': its owner has deleted it, and may give the block another.",
        ),
        (
            lambda live: live.blocks.modify("archive", read_only=True),
            "'archive': that is read-only and cannot be changed by agents.",
        ),
    ],
)
async def test_an_archive_that_the_owner_took_away_is_named_in_the_refusal(spoil, why):
    store, model = MemoryStore(), inserting("dd")
    async with Orchestrator(log_team(), store, model=model) as live:
        await live.blocks.modify("notes", value="aa\nbb\ncc")
        await spoil(live)
        await live.run("go")
        assert (await live.blocks.retrieve("notes")).value == "aa\nbb\ncc"
    (answer,) = await answers(store)
    assert answer.endswith(f"its oldest lines cannot move to its archive {why}")


async def test_the_guard_of_the_archive_is_asked_and_knows_the_engine():
    asked: list[Change] = []

    def guard(change: Change) -> str | None:
        asked.append(change)
        return "no b" if "b" in change.new else None

    store = MemoryStore()
    await went(log_team(2, Block("archive", guard=guard)), store, "aa", "bb", "cc")
    assert await values(store) == {"log:notes": "bb", "log:archive": "aa"}
    assert [(change.new, change.author.name) for change in asked] == [("aa", "engine"), ("aa\nbb", "engine")]
    assert (await answers(store))[-1].endswith("'archive': that refuses this change: no b.")
    assert (await refusals(store))[0] == ("log:archive", "archive", "engine", "guarded")


async def test_lines_that_leave_with_its_own_insertion_do_not_wake_an_agent():
    archive = Block("archive")
    note = Block("note", "older", limit=14, overflow=archive)
    team = Team(
        "log",
        [
            Agent("ann", blocks=[note, archive.reader()], wakes_on=[archive], tools=[pass_on]),
            Agent("bob", blocks=[note], wakes_on=[Wake(note, handoffs=2)]),
        ],
    )
    script = {"ann": [call("pass_on", to="bob")], "bob": [Say("the answer")]}
    with anyio.fail_after(10):
        run, _ = await played(team, MemoryStore(), script)
    # The turn ends with the insertion, so ann was never shown the archive after it.
    assert run.blocks["archive"].value == "older"
    assert [turn.agent for turn in run.turns] == ["ann", "bob"]
    assert run.output == "the answer"


async def test_lines_that_are_archived_wake_whoever_asks_for_changes_of_the_archive():
    archive = Block("archive")
    notes = Block("notes", limit=2, overflow=archive)
    librarian = Agent("lib", blocks=[archive], wakes_on=[archive])
    team = Team("log", [Agent("ann", blocks=[notes]), librarian, Agent("kim", blocks=[archive])])
    store = MemoryStore()
    script = {
        "ann": [
            edit("memory_insert", "notes", new_string="aa"),
            edit("memory_insert", "notes", new_string="bb"),
            Say(),
        ],
        "lib": [Say("seen")],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(team, store, model=model) as live:
            run = await live.run("go")
    assert [turn.agent for turn in run.turns] == ["ann", "lib"]
    (cause,) = run.turns[1].causes
    assert (cause.kind, cause.key, cause.version, cause.by) == ("change", "log:archive", 2, "engine")


@pytest.mark.parametrize("chained", [False, True])
async def test_whoever_inserts_at_the_same_time_each_line_is_there_once_and_in_order(new_store, chained):
    names = tuple(f"agent{number}" for number in range(8))
    last = Block("last", limit=100_000)
    into = Block("middle", limit=60, overflow=last) if chained else last
    store = new_store()

    def answer(request: ModelRequest) -> ModelResponse | str:
        if request.step == 25:
            return "done"
        return ModelResponse(
            "", [ToolCall("memory_insert", {"label": "notes", "new_string": f"{request.agent}.{request.step}"})]
        )

    async with Orchestrator(log_team(50, into, names), store, model=FunctionModel(answer)) as live:
        with anyio.fail_after(120):
            async with anyio.create_task_group() as group:
                for name in names:
                    group.start_soon(partial(live.run, "go", agent=name))

    rows = await store.read(
        lambda rows: {block.label: list(rows.revisions(block.key))[::-1] for block in rows.blocks()}
    )
    lines = [
        line
        for label in (["last", "middle", "notes"] if chained else ["last", "notes"])
        for line in rows[label][-1].value.split("\n")
    ]
    inserted = [event for event in await changes_of(store, "log:notes")]
    assert lines == [event.value.split("\n")[-1] for event in inserted], "in the order of their insertion"
    assert sorted(lines) == sorted(f"{name}.{step}" for name in names for step in range(25))
    for label, limit in (("notes", 50), ("middle", 60)):
        assert all(len(revision.value) <= limit for revision in rows.get(label, []))
    for revisions in rows.values():
        assert [revision.version for revision in revisions] == list(range(1, len(revisions) + 1))
    assert len(rows["notes"]) == 201


async def changes_of(store: Any, key: str) -> list[BlockChanged]:
    events = await store.events(limit=100_000)
    return [event for event in events if isinstance(event, BlockChanged) and event.key == key]


# --- what nobody sees is there all the same


async def test_an_archive_that_nobody_sees_is_a_block_of_the_team():
    async with Orchestrator(log_team(), model=FunctionModel(lambda request: "ok")) as live:
        assert [block.id for block in await live.blocks.list()] == ["log:notes", "log:archive"]
        assert await live.blocks.agents("archive") == []
        assert (await live.blocks.retrieve("notes")).overflow == "log:archive"
        assert (await live.blocks.retrieve("archive")).overflow is None
        assert sorted((await live.run("go")).blocks) == ["archive", "notes"]
        async with live.watch(block="archive", after=0) as seen:
            await live.blocks.modify("archive", value="old")
            with anyio.fail_after(5):
                assert (await anext(seen)).value == "old"


def test_the_command_line_says_where_old_lines_go(tmp_path):
    store = f"{tmp_path}/s.db"
    anyio.run(went, log_team(), SQLiteStore(store), "aa", "bb", "cc", "dd")
    assert "when it is full, its oldest lines move to: log:archive\n" in said(
        "blocks", "show", "notes", "--store", store
    )
    assert "when it is full" not in said("blocks", "show", "archive", "--store", store)
    shown = json.loads(said("blocks", "list", "--store", store, "--json"))["blocks"]
    assert (shown["notes"]["overflow"], shown["archive"]["overflow"], shown["archive"]["agents"]) == (
        "log:archive",
        None,
        {},
    )
    versions = json.loads(said("blocks", "history", "archive", "--store", store, "--json"))["versions"]
    assert [(version["operation"], version["by"]) for version in versions] == [
        ("create", "owner"),
        ("archive", "engine"),
    ]


# --- the owner


async def full(live: Orchestrator, **wanted: Any) -> None:
    await live.blocks.modify("notes", value="aa\nbb\ncc", **wanted)


async def test_a_limit_that_is_raised_in_the_middle_of_a_run_makes_room_at_once():
    store = MemoryStore()
    notes = Block("notes", "12345678", limit=8)
    live: Orchestrator

    async def think(request: ModelRequest) -> ModelResponse | str:
        if request.step == 1:
            await live.blocks.modify("notes", limit=20)
        if request.step == 2:
            return "done"
        return ModelResponse("", [ToolCall("memory_insert", {"label": "notes", "new_string": f"step {request.step}"})])

    async with Orchestrator(Team("log", [Agent("ann", blocks=[notes])]), store, model=FunctionModel(think)) as live:
        with anyio.fail_after(10):
            run = await live.run("go")
    assert run.blocks["notes"].value == "12345678\nstep 1"
    refused, done = await answers(store)
    assert refused.startswith("Refused")
    assert done == "Done: notes is at version 2, 15 of 20 characters."


async def test_the_owner_gives_a_block_another_archive_or_none():
    store, model = MemoryStore(), inserting("dd", "ee", "ff", "gg")
    async with Orchestrator(log_team(), store, model=model) as live:
        await full(live)
        other = await live.blocks.create("other", limit=4)
        assert (await live.blocks.modify("notes", overflow="other")).overflow == other.id
        await live.run("go")
        assert (await live.blocks.retrieve(other)).value == "aa"
        assert (await live.blocks.modify("notes", overflow=None)).overflow is None
        assert (await live.blocks.modify("notes", limit=9)).overflow is None
    refused = [answer.split(":")[0] for answer in await answers(store)]
    assert refused == [
        "Done",
        "Refused, nothing was changed",
        "Refused, nothing was changed",
        "Refused, nothing was changed",
    ]


async def test_what_cannot_be_an_archive_is_refused():
    async with Orchestrator(log_team(), model=FunctionModel(lambda request: "ok")) as live:
        rules = await live.blocks.create("rules", read_only=True)
        with pytest.raises(DeclarationError, match="'notes': overflows into 'rules', which is read-only"):
            await live.blocks.modify("notes", overflow=rules)
        with pytest.raises(DeclarationError, match="'new': overflows into 'rules', which is read-only"):
            await live.blocks.create("new", overflow="rules")
        with pytest.raises(DeclarationError, match="'archive': would overflow into itself, by 'notes'"):
            await live.blocks.modify("archive", overflow="notes")
        with pytest.raises(DeclarationError, match="'notes': would overflow into itself, by 'notes'"):
            await live.blocks.modify("notes", overflow="notes", limit=9)
        with pytest.raises(UnknownName, match="has no block 'nothing'"):
            await live.blocks.modify("notes", overflow="nothing")
        with pytest.raises(UnknownName, match="does not know this Block 'nowhere'; create it"):
            await live.blocks.create(Block("new", overflow=Block("nowhere")))
        with pytest.raises(DeclarationError, match="'new': is declared already; overflow can be given with a label"):
            await live.blocks.create(Block("new"), overflow="archive")
        assert {block.label: block.overflow for block in await live.blocks.list()} == {
            "notes": "log:archive",
            "archive": None,
            "rules": None,
        }
        assert (await live.blocks.retrieve("notes")).limit == 8


async def test_blocks_that_are_made_live_overflow_as_those_of_code_do():
    store = MemoryStore()
    team = log_team()
    async with Orchestrator(team, store, model=inserting("bb")) as live:
        stored = team.blocks["log:archive"]
        one = Block("first", key="first", overflow=stored)
        two = Block("second", overflow=one)
        first, second = await live.blocks.create(one), await live.blocks.create(two)
        assert (first.overflow, second.overflow) == ("log:archive", "log:first")
        with pytest.raises(DeclarationError, match="'archive': would overflow into itself, by 'second'"):
            await live.blocks.modify("archive", overflow="second")
        await live.blocks.delete("first")
        with pytest.raises(DeclarationError, match="'first': would overflow into itself, by 'second'"):
            await live.blocks.create(Block("first", key="first", overflow=two))
        assert (await live.blocks.create(one)).overflow == "log:archive"

        mine = Block("mine", overflow=Block("older"))
        assert mine.overflow is not None
        with pytest.raises(DeclarationError, match="agent 'kim': its block 'mine' overflows into 'older', which the"):
            await live.agents.create(Agent("kim", blocks=[mine]))
        await live.agents.create(Agent("kim", blocks=[mine, mine.overflow]))
        await live.agents.create(Agent("lou", blocks=[Block("mine", overflow=stored)]))
        assert (await live.blocks.retrieve("kim/mine")).overflow == "log:kim/older"
        assert (await live.blocks.retrieve("lou/mine")).overflow == "log:archive"
        await live.blocks.modify("archive", read_only=True)
        with pytest.raises(DeclarationError, match="'mine': overflows into 'archive', which is read-only"):
            await live.agents.create(Agent("max", blocks=[Block("mine", overflow=stored)]))


# --- opened again


async def test_the_declared_archive_counts_when_the_team_is_opened_again(new_store):
    store = new_store()
    async with Orchestrator(log_team(), store, model=FunctionModel(lambda request: "ok")) as live:
        await live.blocks.create("other")
        await live.blocks.modify("notes", overflow="other", value="aa\nbb\ncc")
    with inserting("dd") as model:
        async with Orchestrator(log_team(), store, model=model) as live:
            assert (await live.blocks.retrieve("notes")).overflow == "log:archive"
            await live.run("go")
    assert (await values(store))["log:archive"] == "aa"

    without = Team("log", [Agent("ann", blocks=[Block("notes", limit=8)])])
    await store.close()
    async with Orchestrator(without, store, model=FunctionModel(lambda request: "ok")) as live:
        assert (await live.blocks.retrieve("log:ann/notes")).overflow is None
        assert (await live.blocks.retrieve("archive")).value == "aa", "what was archived stays"


async def test_an_archive_keeps_its_text_when_somebody_begins_to_see_it_or_sees_it_no_longer():
    def team(*blocks: Any) -> Team:
        return Team("log", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes, *blocks])])

    store, archive = MemoryStore(), Block("archive")
    notes = Block("notes", "aa", limit=3, overflow=archive)
    await went(team(), store, "bb")
    async with Orchestrator(team(archive.reader()), store, model=inserting("cc")) as live:
        assert (await live.agents.blocks.retrieve("bob", "archive")).value == "aa"
        await live.run("go")
        assert [revision.value for revision in await live.blocks.history("archive")] == ["", "aa", "aa\nbb"]

    store = MemoryStore()
    await went(team(archive), store, "bb")
    async with Orchestrator(team(), store, model=FunctionModel(lambda request: "ok")) as live:
        assert (await live.blocks.retrieve("log:archive")).value == "aa"


async def test_archives_stay_when_the_only_one_who_sees_them_is_deleted(new_store):
    older = Block("older")
    archive = Block("archive", "oldest", limit=6, overflow=older)
    notes, own = Block("notes", "old", limit=3, overflow=archive), Block("own", overflow=archive)
    bob = Agent("bob", blocks=[archive, older, own])
    team = Team("log", [Agent("ann", blocks=[notes]), bob])
    store = new_store()
    with anyio.fail_after(10):
        async with Orchestrator(team, store, model=inserting("new", "1")) as live:
            await live.agents.delete("bob")
            run = await live.run("go")
            assert {name: block.value for name, block in run.blocks.items()} == {
                "notes": "1",
                "archive": "new",
                "older": "oldest\nold",
            }
            assert {block.agent for block in await live.blocks.list()} == {"ann", None}
        async with Orchestrator(team, store, model=inserting()) as live:
            assert [block.value for block in await live.agents.blocks.list("bob")] == ["new", "oldest\nold", ""]
            assert {block.agent for block in await live.blocks.list()} == {"ann", "bob"}


async def test_an_archive_that_was_deleted_with_the_one_who_saw_it_comes_back_with_its_own_history(new_store):
    archive = Block("archive")
    notes = Block("notes", "old", limit=3, overflow=archive)
    ann, bob, cat = (
        Agent(name, blocks=[block]) for name, block in (("ann", notes), ("bob", archive), ("cat", archive))
    )
    store = new_store()
    with anyio.fail_after(10):
        run, _ = await played(
            Team("log", [ann, bob, cat]), store, {"ann": [edit("memory_insert", "notes", new_string="new"), Say()]}
        )
        assert run.blocks["archive"].value == "old"
        for _ in range(2):
            async with Orchestrator(Team("log", [ann, bob]), store, model=ScriptedModel({})) as live:
                state = await live.blocks.retrieve(archive)
                await live.blocks.modify(notes, overflow=None)  # else it would stay
                await live.agents.delete("bob")
    assert (state.key, state.value, state.version) == ("log:bob/archive", "", 3)


async def test_an_archive_is_not_taken_for_somebodys_own_block_of_the_same_label():
    def team(overflow: Block | None) -> Team:
        notes = Block("notes", "aa", limit=3, overflow=overflow)
        return Team("log", [Agent("ann", blocks=[notes, Block("archive", "mine")]), Agent("bob", blocks=[notes])])

    store = MemoryStore()
    for overflow in (None, Block("archive")):
        async with Orchestrator(team(overflow), store, model=FunctionModel(lambda request: "ok")):
            pass
    assert await values(store) == {"log:notes": "aa", "log:ann/archive": "mine", "log:archive": ""}


# --- a crash


async def test_wherever_it_is_cut_off_each_line_is_there_once_when_it_was_resumed():
    texts = ["aa", "bb", "cc", "dd", "eeeee"]

    def think(request: ModelRequest) -> ModelResponse | str:
        if request.step == len(texts):
            return "done"
        return ModelResponse("", [ToolCall("memory_insert", {"label": "notes", "new_string": texts[request.step]})])

    async def lines() -> list[str]:
        found = await values(store)
        return [line for key in ("log:archive", "log:notes") for line in found.get(key, "").split("\n") if line]

    for lives in range(1, 40):
        store = MortalStore(lives)
        with suppress(StoreError, RunError):
            async with Orchestrator(log_team(), store, model=FunctionModel(think)) as live:
                await live.run("go")
        await store.revive()
        before = await lines()
        assert before == texts[: len(before)]
        async with Orchestrator(log_team(), store, model=FunctionModel(think)) as live:
            cut_off = live.cut_off
            for record in cut_off:
                assert (await live.resume(record)).status == "complete"
                assert await lines() == texts
        if lives > 5 and not cut_off:
            break
    else:
        raise AssertionError("the run never came to its end")
    assert await values(store) == {"log:notes": "dd\neeeee", "log:archive": "aa\nbb\ncc"}


# --- declared


def test_wakes_on_an_archive_are_edges_as_any():
    archive = Block("archive")
    team = Team(
        "log",
        [
            Agent("ann", blocks=[Block("notes", overflow=archive)]),
            Agent("bob", blocks=[archive], wakes_on=[Wake(archive)]),
        ],
    )
    assert team.initial_state("log:ann/notes").overflow == "log:bob/archive"
    assert list(team.blocks) == ["log:ann/notes", "log:bob/archive"]
