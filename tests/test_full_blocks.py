"""A block that is nearly full calls those who make room in it."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import anyio
import pytest
from scheduler_table import Table, why
from test_scheduler_histories import Recorded, assert_rebuilt_alike

from orchestrator import (
    Agent,
    Block,
    BlockModified,
    Budget,
    ChangeRefused,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    Team,
    ToolCall,
    Wake,
)
from orchestrator.cli.lines import Lines
from orchestrator.events import Cause, TurnStarted
from orchestrator.prompting import wake_text
from orchestrator.scheduler import Scheduler
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel, Say, ScriptedModel, edit, simulated_time


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


# --- as a table: notes hold 1000 characters, and more than ten of them are nearly too many

SHORT, LONG, LONGER = "x" * 10, "x" * 11, "x" * 12


def table(members: int = 1, text: str = "", full: float = 0.01) -> Table:
    """ann writes notes; c1, c2, … make room in them."""
    notes = Block("notes", text, limit=1000)
    makes_room = [Wake(notes, full=full)]
    curators = [Agent(f"c{n}", blocks=[notes], wakes_on=makes_room) for n in range(1, members + 1)]
    return Table(Agent("ann", blocks=[notes]), *curators)


def begun(*args: Any, **options: Any) -> Table:
    """A team whose ann has begun to work for a message."""
    made = table(*args, **options)
    made.run("r")
    made.begin()
    return made


def resize(table: Table, limit: int) -> None:
    known = {"key": "team:notes", "label": "notes", "read_only": False, "description": ""}
    table.observe(BlockModified, limit=limit, **known)


def refuse(table: Table, by: str = "ann", code: str = "over_limit", operation: str = "insert") -> None:
    known = {"key": "team:notes", "label": "notes", "turn": None, "run": "r", "reason": ""}
    table.observe(ChangeRefused, by=by, code=code, operation=operation, **known)


def test_more_than_the_share_calls_and_as_much_does_not():
    team = begun()
    team.write("notes", SHORT, "ann")
    assert team.begin() == {}
    team.write("notes", LONG, "ann")
    starts = team.begin()
    assert why(starts["c1"]) == ["notes 3 is nearly full, by ann"]
    assert starts["c1"].runs == ("r",)
    assert starts["c1"].claim is None


def test_a_share_is_taken_as_it_is_written():
    team = begun(full=0.57)
    team.write("notes", "x" * 570, "ann")
    assert team.begin() == {}, "0.57 times 100 is less than 57 for a computer"
    resize(team, 100)
    assert list(team.begin()) == ["c1"]


def test_a_block_that_begins_nearly_full_calls_with_the_first_message():
    team = table(text=LONG)
    team.run("r")
    assert list(team.begin()) == ["ann", "c1"]


def test_who_made_room_is_not_called_again_though_the_text_is_still_long():
    team = begun()
    team.write("notes", LONGER, "ann")
    team.begin()
    team.write("notes", LONG, "c1")
    team.end("c1")
    assert team.begin() == {}
    team.write("notes", LONGER, "c1")
    assert team.begin() == {}
    team.end("ann")
    assert team.verdicts() == {"r": "complete"}


def test_a_text_that_one_of_those_who_make_room_wrote_does_not_call():
    team = begun(members=2)
    team.write("notes", LONG, "c2")
    assert team.begin() == {}
    team.end("ann")
    assert team.verdicts() == {"r": "complete"}


def test_whoever_writes_more_calls_again():
    team = begun()
    team.write("notes", LONG, "ann")
    team.begin()
    team.end("c1", shown={"notes": 2})
    team.write("notes", LONGER, "ann")
    assert why(team.begin()["c1"]) == ["notes 3 is nearly full, by ann"]
    team.write("notes", LONG, "ann")
    team.end("c1", shown={"notes": 3})
    assert list(team.begin()) == ["c1"], "it has not seen the last version"
    team.write("notes", LONGER, "ann")
    team.end("c1")
    assert team.begin() == {}, "it has seen it"


def test_what_somebody_else_has_shortened_calls_no_more():
    team = begun()
    team.scheduler.hold("c1")
    team.write("notes", LONG, "ann")
    team.write("notes", SHORT, "ann")
    team.scheduler.release("c1")
    assert team.begin() == {}


def test_one_of_a_pool_is_called_and_two_wakes_call_two():
    team = begun(members=3)
    team.write("notes", LONG, "ann")
    assert list(team.begin()) == ["c1"]
    team.end("c1")
    team.write("notes", LONGER, "ann")
    assert list(team.begin()) == ["c2"]

    notes = Block("notes", limit=1000)
    two = [Agent(f"c{n}", blocks=[notes], wakes_on=[Wake(notes, full=0.01)]) for n in (1, 2)]
    team = Table(Agent("ann", blocks=[notes]), *two)
    team.run("r")
    team.begin()
    team.write("notes", LONG, "ann")
    assert list(team.begin()) == ["c1", "c2"]


def test_a_turn_that_failed_was_called_all_the_same():
    team = begun()
    team.write("notes", LONG, "ann")
    team.begin()
    team.end("c1", shown={}, status="failed")
    assert team.begin() == {}


# --- limits


def test_a_raised_limit_calls_off_and_a_lowered_one_calls():
    team = begun()
    team.scheduler.hold("c1")
    team.write("notes", LONG, "ann")
    resize(team, 2000)
    team.scheduler.release("c1")
    assert team.begin() == {}
    resize(team, 1000)
    starts = team.begin()
    assert why(starts["c1"]) == ["notes 2 is nearly full, by owner"]
    assert starts["c1"].runs == ("r",), "the run that goes on pays"
    team.end("c1")
    resize(team, 900)
    assert team.begin() == {}, "it was nearly full before"
    resize(team, 900)
    assert team.begin() == {}
    resize(team, 2000)
    resize(team, 1000)
    assert list(team.begin()) == ["c1"]


def test_limits_are_nothing_to_those_who_are_woken_otherwise():
    notes = Block("notes", "?", limit=1000)
    team = Table(Agent("ann", blocks=[notes], wakes_on=[Wake(notes, when=lambda text: "?" in text)]))
    team.run("r", agent="ann")
    team.begin()
    team.end("ann")
    resize(team, 1)
    refuse(team, by="owner")
    assert team.begin() == {}


# --- refused


@pytest.mark.parametrize("code", ["over_limit", "not_archived"])
def test_an_insertion_that_found_no_room_calls_once_for_each_version(code):
    team = begun()
    team.write("notes", SHORT, "ann")
    refuse(team, code=code)
    refuse(team, code=code)
    starts = team.begin()
    assert why(starts["c1"]) == ["notes 2 is nearly full, by ann"]
    assert starts["c1"].runs == ("r",)
    refuse(team)
    team.end("c1")
    refuse(team)
    assert team.begin() == {}, "it was called for this version"
    team.write("notes", "x", "ann")
    assert team.begin() == {}
    refuse(team)
    assert list(team.begin()) == ["c1"]


def test_what_those_who_make_room_have_written_may_be_too_long_for_others():
    team = begun()
    team.write("notes", LONG, "ann")
    team.begin()
    team.write("notes", SHORT, "c1")
    team.end("c1")
    refuse(team)
    assert why(team.begin()["c1"]) == ["notes 3 is nearly full, by ann"]
    team.end("c1")
    refuse(team)
    assert team.begin() == {}


def test_room_that_was_made_before_anybody_was_called_is_enough():
    team = begun()
    team.scheduler.hold("c1")
    team.write("notes", SHORT, "ann")
    refuse(team)
    team.write("notes", "", "c1")
    team.scheduler.release("c1")
    assert team.begin() == {}
    team.scheduler.hold("c1")
    refuse(team)
    resize(team, 1000)  # another description only
    team.scheduler.release("c1")
    (start,) = team.hand_out().values()
    team.scheduler.withdraw(start, 0, "")
    team.scheduler.hold("c1")
    resize(team, 2000)
    team.scheduler.release("c1")
    assert team.begin() == {}


@pytest.mark.parametrize(
    ("by", "code", "operation"),
    [("ann", "guarded", "insert"), ("ann", "over_limit", "rethink"), ("c1", "over_limit", "insert")],
)
def test_what_is_refused_for_another_reason_calls_nobody(by, code, operation):
    team = begun()
    refuse(team, by, code, operation)
    assert team.begin() == {}


# --- a team


def keepers(**options: Any) -> Team:
    """ann adds notes, kim makes room."""
    notes = Block("notes", limit=20, **options)
    kim = Agent("kim", blocks=[notes.curator()], wakes_on=[Wake(notes, full=0.8)])
    return Team("log", [Agent("ann", blocks=[notes]), kim])


def add(text: str, after: float = 0) -> Say:
    return edit("memory_insert", "notes", new_string=text, after=after)


async def test_whoever_makes_room_is_told_how_full_the_block_is_and_the_writers_run_pays():
    script = {
        "ann": [add("1234567890"), add("1234567"), Say("written", after=5)],
        "kim": [edit("memory_rethink", "notes", new_memory="short"), Say("tidy")],
    }
    store = MemoryStore()
    with ScriptedModel(script) as model:
        async with Orchestrator(keepers(), store, model=model) as live:
            run = await live.run("go")
    assert (run.status, run.blocks["notes"].value) == ("complete", "short")
    assert [turn.agent for turn in run.turns] == ["ann", "kim"]
    first = next(request for request in model.requests if request.agent == "kim").messages[0]
    assert first.text == (
        "[wake] The block notes is nearly full: 18 of 20 characters, at version 3."
        " Make room: condense it without losing what is still true."
    )
    (started,) = [event for event in await store.events() if isinstance(event, TurnStarted) and event.agent == "kim"]
    assert [(cause.kind, cause.key, cause.version, cause.by) for cause in started.causes] == [
        ("full", "log:notes", 3, "ann")
    ]
    assert Lines(keepers().names).line(started) == "kim woken by notes, which is nearly full"


async def test_a_refused_insertion_finds_room_when_it_is_tried_again():
    script = {
        "ann": [add("1234567890"), add("12345678901"), add("12345678901", after=5), Say("written")],
        "kim": [edit("memory_rethink", "notes", new_memory="s"), Say("tidy")],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(keepers(), model=model) as live:
            run = await live.run("go")
    assert run.blocks["notes"].value == "s\n12345678901"


async def test_an_archive_that_is_full_calls_those_who_make_room_there():
    archive = Block("archive", "1234", limit=5)
    notes = Block("notes", "aa", limit=3, overflow=archive)
    lib = Agent("lib", blocks=[archive.curator()], wakes_on=[Wake(archive, full=0.9)])
    script = {
        "ann": [add("bb"), add("bb", after=5), Say("written")],
        "lib": [edit("memory_rethink", "archive", new_memory="1"), Say("tidy")],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(Team("log", [Agent("ann", blocks=[notes]), lib]), model=model) as live:
            run = await live.run("go")
    assert (run.status, [turn.agent for turn in run.turns]) == ("complete", ["ann", "lib"])
    assert {name: block.value for name, block in run.blocks.items()} == {"notes": "bb", "archive": "1\naa"}


async def woken(store: MemoryStore) -> list[str]:
    return [event.agent for event in await store.events() if isinstance(event, TurnStarted)]


@pytest.mark.parametrize(
    ("wanted", "who"),
    [
        ({"value": "x" * 17}, ["kim"]),
        ({"value": "x" * 16}, []),
        ({"value": "x" * 17, "limit": 30}, []),
        ({"value": "x" * 9, "limit": 10}, ["kim"]),
        ({"limit": 6}, ["kim"]),
        ({"limit": 7}, []),
        ({"limit": 6, "value": "12345"}, ["kim"]),
        ({"limit": 30}, []),
        ({"description": "other"}, []),
    ],
)
async def test_an_owner_who_fills_a_block_or_takes_its_room_opens_a_run(wanted, who):
    store = MemoryStore()
    async with Orchestrator(keepers(value="12345"), store, model=FunctionModel(lambda request: "ok")) as live:
        await live.blocks.modify("notes", **wanted)
        with anyio.fail_after(10):
            await live.wait_idle()
        runs = await store.read(lambda rows: [(run.agent, run.status) for run in rows.runs()])
    assert (await woken(store), runs) == (who, [("", "complete")] * len(who))


async def test_a_block_that_is_full_already_is_not_made_fuller_by_a_smaller_limit():
    store = MemoryStore()
    async with Orchestrator(keepers(value="x" * 17), store, model=FunctionModel(lambda request: "ok")) as live:
        await live.run("go")
        await live.blocks.modify("notes", limit=17)
        await live.wait_idle()
        assert len(await store.read(lambda rows: list(rows.runs()))) == 1
    assert await woken(store) == ["ann", "kim"]


async def test_nobody_being_left_to_make_room_keeps_no_run_from_its_end():
    script = {"ann": [add("12345678901234567"), Say("written")]}
    store = MemoryStore()
    async with Orchestrator(keepers(), store, model=ScriptedModel(script)) as live:
        await live.agents.blocks.detach("kim", "notes")
        with anyio.fail_after(10):
            run = await live.run("go")
        assert (run.status, run.output) == ("complete", "written")
        await live.blocks.modify("notes", value="", limit=20)
        await live.blocks.modify("notes", value="12345")
        await live.blocks.modify("notes", limit=5)
        await live.wait_idle()
    assert len(await store.read(lambda rows: list(rows.runs()))) == 1, "nobody is called, so nobody pays"


def test_a_block_that_is_gone_when_the_turn_starts_is_named_without_its_size():
    cause = Cause(kind="full", key="log:notes", label="notes", version=3, by="ann", wake=0)
    assert wake_text([cause]) == (
        "[wake] The block notes is nearly full. Make room: condense it without losing what is still true."
    )


async def test_a_limit_that_code_declares_anew_counts_for_what_was_written_before():
    def team(limit: int) -> Team:
        notes = Block("notes", "12345", limit=limit)
        return Team(
            "log", [Agent("ann", blocks=[notes]), Agent("kim", blocks=[notes], wakes_on=[Wake(notes, full=0.8)])]
        )

    store = MemoryStore()
    ok = FunctionModel(lambda request: "ok")
    for limit, who in ((20, ["ann"]), (6, ["ann", "kim"]), (6, ["ann"]), (20, ["ann"])):
        before = len(await woken(store))
        async with Orchestrator(team(limit), store, model=ok) as live:
            await live.run("go")
        assert (await woken(store))[before:] == who, limit


# --- rebuilt from the log


@pytest.mark.parametrize("slots", [None, 1, 2])
@pytest.mark.parametrize("seed", range(8))
async def test_a_scheduler_that_reads_the_log_calls_for_room_as_the_live_one(monkeypatch, seed, slots):
    random = Random(seed)
    made: list[Recorded] = []

    def scheduler(team: Team, slots: int | None) -> Scheduler:
        made.append(Recorded(team, slots))
        return made[-1]

    monkeypatch.setattr("orchestrator.activity.Scheduler", scheduler)
    archive = Block("archive", limit=60)
    notes, plan = Block("notes", limit=30, overflow=archive), Block("plan", limit=30)
    both = Wake(plan, full=0.5)
    team = Team(
        "log",
        [
            *(Agent(f"a{n}", blocks=[notes, plan]) for n in range(3)),
            Agent("kim", blocks=[notes.curator(), plan.curator()], wakes_on=[Wake(notes, full=0.7), both]),
            Agent("lib", blocks=[archive.curator(), plan.curator()], wakes_on=[Wake(archive, full=0.6), both]),
        ],
    )

    async def think(request: ModelRequest) -> ModelResponse | str:
        await anyio.sleep(random.randint(1, 9))
        if request.step == 3 or random.random() < 0.2:
            return "done"
        label = random.choice(sorted(request.blocks))
        if request.agent in ("kim", "lib") and random.random() < 0.6:
            return ModelResponse("", [ToolCall("memory_rethink", {"label": label, "new_memory": "short"})])
        text = "x" * random.randint(1, 25)
        return ModelResponse("", [ToolCall("memory_insert", {"label": label, "new_string": text})])

    live = Orchestrator(team, model=FunctionModel(think), max_concurrency=slots)
    async with live, anyio.create_task_group() as group:
        for name in ("a0", "a1", "a2"):
            group.start_soon(partial(live.run, "go", agent=name, budget=Budget(turns=12)))
            group.start_soon(partial(live.run, "go on", agent=name, budget=Budget(turns=12)))

    (recorded,) = made
    causes = {cause.kind for event in recorded.log if isinstance(event, TurnStarted) for cause in event.causes}
    assert causes == {"message", "full"}
    assert_rebuilt_alike(team, recorded, slots)


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ("?", ["notes 2 calls"]),
        (LONG, ["notes 2 is nearly full, by ann"]),
        (LONG + "?", ["notes 2 calls", "notes 2 is nearly full, by ann"]),
    ],
)
def test_wakes_that_are_declared_in_another_order_are_not_taken_for_one_another(text, called):
    notes = Block("notes", limit=1000)
    asks, full = Wake(notes, when=lambda text: "?" in text), Wake(notes, full=0.01)
    ann = Agent("ann", blocks=[notes])
    before = Table(ann, Agent("c1", blocks=[notes], wakes_on=[asks, full]))
    before.run("r")
    before.begin()
    before.write("notes", text, "ann")
    for words in called:
        assert why(before.begin()["c1"]) == [words]
        before.end("c1")
    assert before.begin() == {}

    rebuilt = Scheduler(Team("team", [ann, Agent("c1", blocks=[notes], wakes_on=[full, asks])]))
    for event in before.log:
        rebuilt.observe(event)
    assert rebuilt.next() is None


# --- who only makes room changes nothing of what a run comes to


def noting(limit: int = 20) -> Team:
    notes = Block("notes", limit=limit)
    curator = Agent("curator", blocks=[notes.curator()], wakes_on=[Wake(notes, full=0.5)])
    return Team("team", [Agent("ann", blocks=[notes]), curator])


async def test_a_run_is_complete_although_who_makes_room_fails():
    script: dict[str, Any] = {
        "ann": [edit("memory_insert", "notes", new_string="x" * 15), Say("noted")],
        "curator": [RuntimeError("no idea")],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(noting(), model=model) as live:
            run = await live.run("go")
    assert (run.status, run.output, run.error) == ("complete", "noted", None)
    assert {turn.agent: turn.status for turn in run.turns} == {"ann": "done", "curator": "failed"}


async def test_a_run_is_complete_although_it_cannot_pay_for_who_makes_room_and_the_next_one_does():
    script: dict[str, Any] = {
        "ann": [edit("memory_insert", "notes", new_string="x" * 15, after=1), Say("noted"), Say("again")],
        "curator": [edit("memory_rethink", "notes", new_memory="x"), Say("condensed")],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(noting(), model=model) as live:
            run = await live.run("go", budget=Budget(turns=1))
            assert (run.status, run.output, [turn.agent for turn in run.turns]) == ("complete", "noted", ["ann"])
            run = await live.run("go on")
    assert (run.status, run.output, run.blocks["notes"].value) == ("complete", "again", "x")
    assert sorted(turn.agent for turn in run.turns) == ["ann", "curator"]
