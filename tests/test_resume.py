"""A crash loses nothing and applies nothing twice: what was cut off goes on where it was."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest
from crew import Rules, crew

from orchestrator import (
    Agent,
    Block,
    Budget,
    ModelError,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    Run,
    RunError,
    StoreError,
    Team,
    ToolCall,
    ToolContext,
    ToolMessage,
    UserMessage,
    tool,
)
from orchestrator.events import (
    ChangeRefused,
    Event,
    RunResumed,
    StepTaken,
    ToolAnswered,
    TurnEnded,
    TurnResumed,
    TurnStarted,
)
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel, Say, ScriptedModel, call, edit, simulated_time, together
from patterns.tasks import Queue


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


TITLES = ("north", "south", "west", "zenith")


class MortalStore(MemoryStore):
    """Dies after so many transactions: what was committed stays, and nothing more is. `revive` is another process."""

    def __init__(self, lives: int) -> None:
        super().__init__()
        self.lives = lives

    async def transact(self, work: Any) -> Any:
        if self.lives == 0:
            raise StoreError("the process was killed")
        self.lives -= 1
        return await super().transact(work)

    async def revive(self, lives: int = -1) -> None:
        await self.close()
        self.lives = lives


def think(request: ModelRequest) -> float:
    """Each agent thinks for another time."""
    return 0.1 + 0.01 * (sum(map(ord, request.agent)) % 7)


async def until_it_dies(store: MortalStore, model: Any) -> None:
    try:
        async with Orchestrator(crew(), store, model=model) as live:
            await live.run("go")
    except (StoreError, RunError):
        pass
    await store.revive()


async def test_a_run_that_is_cut_off_after_any_transaction_is_completed_by_resume():
    for lives in range(1, 200):
        store = MortalStore(lives)
        asked: Counter[tuple[str, int]] = Counter()
        model = Rules(TITLES, think, lambda request, asked=asked: asked.update([(request.turn, request.step)]))
        await until_it_dies(store, model)
        steps = {(event.turn, event.step) for event in await store.events() if isinstance(event, StepTaken)}
        in_flight = set(asked) - steps
        async with Orchestrator(crew(), store, model=model) as live:
            cut_off = live.cut_off
            for record in cut_off:
                run = await live.resume(record.id)
                assert_completed(run)
            assert live.cut_off == ()
        repeated = {key for key, times in asked.items() if times > 1}
        assert repeated <= in_flight, "a model is asked again for what was under way, and for nothing else"
        assert max(asked.values(), default=0) <= 2
        await assert_consistent(store)
        if not cut_off and lives > 5:
            break
    else:
        raise AssertionError("the run never came to its end")


def assert_completed(run: Run) -> None:
    assert (run.status, run.output) == ("complete", "all done")
    tasks = Queue.parse(run.blocks["task_queue"].value).tasks
    assert [(task.title, task.status, task.attempt) for task in tasks] == [(title, "done", 1) for title in TITLES]
    assert sorted(line.split()[0] for line in run.blocks["notes"].value.split("\n")) == list(TITLES), (
        "each insert is there once"
    )


async def assert_consistent(store: MemoryStore) -> None:
    for block in await store.read(lambda rows: list(rows.blocks())):
        history = await store.read(lambda rows, key=block.key: list(rows.revisions(key)))
        assert [revision.version for revision in history] == list(range(block.version, 0, -1))
        assert history[0].value == block.value
    events = await store.events(limit=100_000)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    started = [event.turn for event in events if isinstance(event, TurnStarted)]
    ended = [event.turn for event in events if isinstance(event, TurnEnded)]
    assert sorted(started) == sorted(ended), "each turn that has started has ended once"


# --- one by one


BELL = Block("bell")


@tool
async def charge(context: ToolContext) -> str:
    """Charge a card, once for each key."""
    CHARGED.append(context.key)
    return f"charged under {context.key}"


CHARGED: list[str] = []


class Cut(Exception):
    """The process ends here."""


class CutStore(MemoryStore):
    """Ends the process before the transaction that would write an event of this kind for the n-th time."""

    def __init__(self, kind: str, times: int = 1) -> None:
        super().__init__()
        self.kind: str | None = kind
        self.times = times
        self.dead = False

    async def transact(self, work: Any) -> Any:
        if self.dead:
            raise Cut

        def cut(tx: Any) -> Any:
            before = tx.next_seq()
            result = work(tx)
            if any(event.type == self.kind for event in tx.log[before - 1 :]):
                self.times -= 1
                if self.times == 0:
                    self.dead = True
                    raise Cut
            return result

        return await super().transact(cut)

    async def revive(self) -> None:
        await self.close()
        self.dead, self.kind = False, None


async def cut(store: CutStore, team: Team, model: Any, *messages: str) -> None:
    """Run the team until it is cut off, and let another process have the store."""
    try:
        async with Orchestrator(team, store, model=model) as live, anyio.create_task_group() as group:
            for message in messages or ("go",):
                group.start_soon(live.run, message)
    except (Cut, ExceptionGroup):
        pass
    assert store.dead
    await store.revive()


async def events(store: MemoryStore, kind: type[Event]) -> list[Any]:
    return [event for event in await store.events(limit=100_000) if isinstance(event, kind)]


async def test_a_tool_that_was_under_way_is_called_again_under_the_same_key():
    CHARGED.clear()
    team = Team("shop", [Agent("ann", tools=[charge])])
    script: dict[str, list[Any]] = {"ann": [call("charge"), Say("paid")]}
    store = CutStore("tool_answered")
    with ScriptedModel(script) as model:
        await cut(store, team, model)
        async with Orchestrator(team, store, model=model) as live:
            run = await live.resume(live.cut_off[0].id)

    assert run.output == "paid"
    assert len(CHARGED) == 2, "what an outside tool does may happen twice"
    assert CHARGED[0] == CHARGED[1]
    (turn,) = run.turns
    assert CHARGED[0] == f"{run.id}/{turn.id}/0/0"
    assert (turn.attempt, turn.usage.calls, turn.steps) == (2, 2, 2)
    assert [event.attempt for event in await events(store, TurnResumed)] == [2]
    assert [event.text for event in await events(store, ToolAnswered)] == [f"charged under {CHARGED[0]}"]


async def test_of_several_calls_only_those_that_were_not_answered_are_made_again():
    CHARGED.clear()
    team = Team("shop", [Agent("ann", blocks=[Block("notes")], tools=[charge])])
    note = edit("memory_insert", "notes", new_string="noted")
    script: dict[str, list[Any]] = {"ann": [together(note, call("charge"), note, call("charge")), Say("paid")]}
    store = CutStore("tool_answered", 3)
    with ScriptedModel(script) as model:
        await cut(store, team, model)
        async with Orchestrator(team, store, model=model) as live:
            run = await live.resume(live.cut_off[0].id)

    assert run.blocks["notes"].value == "noted\nnoted"
    assert [key.rpartition("/")[2] for key in CHARGED] == ["1", "3"]
    answers = [message for message in model.requests[-1].messages if isinstance(message, ToolMessage)]
    assert [answer.name for answer in answers] == ["memory_insert", "charge", "memory_insert", "charge"]
    assert len({answer.call for answer in answers}) == 4


async def test_a_refusal_is_not_tried_again():
    team = Team("one", [Agent("ann", blocks=[Block("rules", "be kind", read_only=True), Block("notes")])])
    script: dict[str, list[Any]] = {
        "ann": [
            together(
                edit("memory_insert", "rules", new_string="x"),
                edit("memory_insert", "notes", new_string="y"),
            ),
            Say("done"),
        ]
    }
    store = CutStore("tool_answered", 2)
    with ScriptedModel(script) as model:
        await cut(store, team, model)
        async with Orchestrator(team, store, model=model) as live:
            run = await live.resume(live.cut_off[0].id)

    assert run.status == "complete"
    assert [event.code for event in await events(store, ChangeRefused)] == ["read_only"]
    assert run.blocks["notes"].value == "y"


async def test_a_replayed_call_is_judged_by_what_its_model_was_shown():
    notes = Block("notes", "one\ntwo")
    team = Team("pair", [Agent("ann", blocks=[notes.curator()]), Agent("bob", blocks=[notes])])
    seen: list[dict[str, str]] = []

    @tool
    async def look(context: ToolContext) -> str:
        """See what the model was shown."""
        seen.append(dict(context.blocks))
        return "looked"

    team = Team("pair", [Agent("ann", blocks=[notes.curator()], tools=[look]), Agent("bob", blocks=[notes])])
    script: dict[str, list[Any]] = {
        "ann": [together(call("look"), edit("memory_rethink", "notes", new_memory="tidy")), Say("done")]
    }
    store = CutStore("tool_answered")
    with ScriptedModel(script) as model:
        await cut(store, team, model)
        async with Orchestrator(team, store, model=model) as live:
            await live.blocks.modify("notes", value="one\ntwo\nthree")
            run = await live.resume(live.cut_off[0].id)

    assert seen == [{"notes": "one\ntwo"}] * 2
    assert run.blocks["notes"].value == "one\ntwo\nthree", "the rewrite was of an older version"
    assert [event.code for event in await events(store, ChangeRefused)] == ["changed"]


async def test_a_message_lets_go_of_what_was_cut_off_and_resuming_starts_it_anew():
    store, model = CutStore("tool_answered", 3), Rules(TITLES, think)
    await cut(store, crew(), model)
    async with Orchestrator(crew(), store, model=model) as live:
        (old,) = live.cut_off
        new = await live.run("go on")
        assert [record.id for record in live.cut_off] == [old.id]
        resumed = await live.resume(old.id)
        assert live.cut_off == ()

    assert new.status == resumed.status == "complete"
    tasks = Queue.parse(resumed.blocks["task_queue"].value).tasks
    assert [(task.title, task.status) for task in tasks] == [(title, "done") for title in TITLES]
    let_go = [event for event in await events(store, TurnEnded) if event.cut_off]
    assert {event.status for event in let_go} == {"cancelled"}
    assert {event.error for event in let_go} == {"its process ended before it did"}
    assert {task.attempt for task in tasks} == {1, 2}, "a task that was let go of is in its second attempt"
    await assert_consistent(store)


async def test_a_message_that_was_let_go_of_is_answered_when_its_run_is_resumed():
    team = Team("one", [Agent("ann")])
    store = CutStore("turn_ended")
    await cut(store, team, ScriptedModel({"ann": [Say("lost")]}), "first")
    with ScriptedModel({"ann": [Say("to the second"), Say("to the first")]}) as model:
        async with Orchestrator(team, store, model=model) as live:
            (old,) = live.cut_off
            assert (await live.run("second")).output == "to the second"
            assert (await live.resume(old.id)).output == "to the first"

    assert [message.text for message in model.requests[1].messages if isinstance(message, UserMessage)] == [
        "first",
        "second",
        "first",
    ]


async def test_a_run_that_is_resumed_again_after_another_crash_is_in_its_third_attempt():
    team = Team("one", [Agent("ann", blocks=[Block("notes")])])
    note = edit("memory_insert", "notes", new_string="noted")
    with ScriptedModel({"ann": [note, note, note, Say("done")]}) as model:
        store = CutStore("step_taken", 2)
        with pytest.raises((Cut, ExceptionGroup)):
            async with Orchestrator(team, store, model=model) as live:
                await live.run("go")
        await store.revive()
        store.kind, store.times = "step_taken", 1
        script_left = model.unspoken
        with pytest.raises((Cut, ExceptionGroup)):
            async with Orchestrator(team, store, model=model) as live:
                await live.resume(live.cut_off[0].id)
        await store.revive()
        assert (script_left, model.unspoken) == ({"ann": 2}, {"ann": 1})
        async with Orchestrator(team, store, model=model) as live:
            run = await live.resume(live.cut_off[0].id)

    assert [event.attempt for event in await events(store, TurnResumed)] == [2, 3]
    assert run.turns[0].attempt == 3
    assert run.blocks["notes"].value == "noted"


async def test_an_ended_run_is_resumed_to_what_it_came_to_and_an_unknown_one_is_not():
    team = Team("one", [Agent("ann", blocks=[Block("notes")])])
    store = MemoryStore()
    with ScriptedModel({"ann": [Say("hello"), ModelError("no answer")]}) as model:
        async with Orchestrator(team, store, model=model) as live:
            first, second = await live.run("hi"), await live.run("hi again")
            assert live.cut_off == ()
            again = await live.resume(first.id)
            failed = await live.resume(second.id)
            with pytest.raises(RunError, match="no run 'run-0'"):
                await live.resume("run-0")

    assert (again.status, again.output, [turn.id for turn in again.turns]) == (
        "complete",
        "hello",
        [turn.id for turn in first.turns],
    )
    assert (failed.status, str(failed.error)) == ("failed", str(second.error))
    with pytest.raises(RunError, match="not open"):
        await live.resume(first.id)
    assert await events(store, RunResumed) == []


async def test_a_run_that_goes_on_is_not_resumed():
    team = Team("one", [Agent("ann")])
    store, model = MemoryStore(), ScriptedModel({"ann": [Say("hello", after=10)]})
    async with Orchestrator(team, store, model=model) as live, anyio.create_task_group() as group:
        group.start_soon(live.run, "hi")
        await anyio.sleep(1)
        (record,) = await store.read(lambda rows: list(rows.runs()))
        assert live.cut_off == ()
        with pytest.raises(RunError, match="goes on already"):
            await live.resume(record.id)


async def test_a_run_that_was_cut_off_can_be_given_up():
    store = CutStore("turn_ended", 2)
    model = Rules(TITLES, think)
    await cut(store, crew(), model)
    async with Orchestrator(crew(), store, model=model) as live:
        (old,) = live.cut_off
        run = await live.cancel(old.id)
        assert (run.status, live.cut_off) == ("cancelled", ())
        assert (await live.resume(old.id)).status == "cancelled"
        queue = Queue.parse(run.blocks["task_queue"].value)
        assert not [task for task in queue.tasks if task.status == "claimed"], "the tasks are open again"
    await assert_consistent(store)


async def test_what_a_run_has_spent_stays_spent_when_it_is_resumed():
    loop = Team("loop", [Agent(name, blocks=[BELL], wakes_on=[BELL]) for name in ("ann", "bob")])

    def ring(request: ModelRequest) -> ModelResponse:
        note = ToolCall("memory_insert", {"label": "bell", "new_string": f"{request.agent} was here"})
        return ModelResponse("", [note] if request.step == 0 else [])

    store = CutStore("turn_started", 4)
    with pytest.raises((Cut, ExceptionGroup)):
        async with Orchestrator(loop, store, model=FunctionModel(ring)) as live:
            await live.run("go", budget=Budget(turns=5))
    await store.revive()
    async with Orchestrator(loop, store, model=FunctionModel(ring)) as live:
        run = await live.resume(live.cut_off[0].id)

    assert (run.status, len(run.turns)) == ("budget", 5)


async def test_a_turn_of_an_agent_that_is_no_longer_declared_is_let_go():
    team = Team("pair", [Agent("ann", blocks=[BELL]), Agent("bob", blocks=[BELL], wakes_on=[BELL])])
    script: dict[str, list[Any]] = {
        "ann": [edit("memory_insert", "bell", new_string="ding"), Say("rung")],
        "bob": [Say("heard", after=5)],
    }
    store = CutStore("turn_ended", 2)
    with ScriptedModel(script) as model:
        await cut(store, team, model)
    alone = Team("pair", [Agent("ann", blocks=[BELL, Block("other")]), Agent("eve", blocks=[BELL])])
    async with Orchestrator(alone, store, model=ScriptedModel({})) as live:
        run = await live.resume(live.cut_off[0].id)

    assert (run.status, run.output) == ("complete", "rung")
    assert [(event.agent, event.status, event.cut_off) for event in await events(store, TurnEnded)] == [
        ("ann", "done", False),
        ("bob", "cancelled", True),
    ]


async def test_two_runs_that_share_a_turn_are_both_completed():
    team = Team("pair", [Agent("ann", blocks=[BELL]), Agent("bob", blocks=[BELL], wakes_on=[BELL])])
    script: dict[str, list[Any]] = {
        "ann": [
            edit("memory_insert", "bell", new_string="ding"),
            Say("rung"),
            edit("memory_insert", "bell", new_string="dong"),
            Say("rung again"),
        ],
        "bob": [Say("lost", after=5), Say("heard both")],
    }
    store = CutStore("turn_ended", 3)
    with ScriptedModel(script) as model:
        await cut(store, team, model, "first", "second")
        async with Orchestrator(team, store, model=model) as live:
            assert {record.text for record in live.cut_off} == {"first", "second"}
            first, second = live.cut_off
            runs = []

            async def resume(id: str) -> None:
                runs.append(await live.resume(id))

            async with anyio.create_task_group() as group:
                group.start_soon(resume, first.id)
                group.start_soon(resume, second.id)

    assert [(run.status, str(run.error)) for run in runs] == [("complete", "None")] * 2
    await assert_consistent(store)


async def test_resuming_while_the_store_fails_can_be_tried_again():
    team = Team("one", [Agent("ann")])
    store = CutStore("turn_ended")
    await cut(store, team, ScriptedModel({"ann": [Say("lost")]}))
    with ScriptedModel({"ann": [Say("found")]}) as model:
        async with Orchestrator(team, store, model=model) as live:
            (old,) = live.cut_off
            for kind in ("run_resumed", "run_started"):
                store.kind, store.times = kind, 1
                with pytest.raises(Cut):
                    await (live.resume(old.id) if kind == "run_resumed" else live.run("other"))
                store.dead, store.kind = False, None
                assert [record.id for record in live.cut_off] == [old.id]
            store.kind, store.times = "run_ended", 1
            with pytest.raises(Cut):
                await live.cancel(old.id)
            store.dead, store.kind = False, None
            assert (await live.resume(old.id)).output == "found"
