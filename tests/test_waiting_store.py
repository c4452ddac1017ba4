"""Teams on a store that makes everybody wait, as one with a disk or a wire does: every promise holds."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from orchestrator import (
    Agent,
    Block,
    Budget,
    ModelError,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    Run,
    RunEnded,
    RunError,
    RunStarted,
    StoreError,
    Team,
    ToolCall,
    TurnEnded,
    TurnStarted,
    Wake,
)
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel, Say, ScriptedModel, edit, simulated_time
from patterns import domain_knowledge, supervise, task_queue


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


class WaitingStore(MemoryStore):
    """Waits before and after each piece of work, as long as it likes; a commit that has begun is not cancelled."""

    def __init__(self, seed: int, longest: float = 0.003) -> None:
        super().__init__()
        self.random = Random(seed)
        self.longest = longest

    async def wait(self) -> None:
        for _ in range(self.random.randrange(4)):
            await anyio.lowlevel.checkpoint()
        if self.random.random() < 0.3:
            await anyio.sleep(self.random.random() * self.longest)

    async def transact(self, work: Any) -> Any:
        await self.wait()
        with anyio.CancelScope(shield=True):
            committed = await super().transact(work)
            await self.wait()
        return committed

    async def read(self, work: Any) -> Any:
        await self.wait()
        result = await super().read(work)
        await self.wait()
        return result

    async def events(self, after: int = 0, limit: int = 1000) -> Any:
        await self.wait()
        events = await super().events(after, limit)
        await self.wait()
        return events


def busy_team() -> Team:
    """A supervised crew that shares what it finds, and somebody who is woken by every finding."""
    known = domain_knowledge()
    workers = [Agent(f"worker-{n}", blocks=[known.contributor()], timeout=0.05) for n in range(3)]
    crew = supervise(Agent("lead", blocks=[known], timeout=0.05), workers)
    return crew | Team("readers", [Agent("reader", blocks=[known.reader()], wakes_on=[known], timeout=0.05)])


def troubled_model(random: Random) -> FunctionModel:
    async def think(request: ModelRequest) -> ModelResponse:
        await anyio.sleep(random.choice([0, 0, 0.001, 0.004]))
        if request.agent == "lead":
            asked = request.messages[-1].text
            if request.step == 0 and "question" in asked and not asked.startswith("[wake]"):
                titles = [f"{asked} part {n}" for n in range(3)]
                return ModelResponse("", [ToolCall("add_tasks", {"tasks": titles})])
            return ModelResponse(request.blocks["task_queue"])
        trouble = random.random()
        if trouble < 0.1:
            raise ModelError("away")
        if trouble < 0.15:
            await anyio.sleep(10)
        note = ToolCall("memory_insert", {"label": "domain_knowledge", "new_string": f"by {request.turn}"})
        calls = [note, ToolCall("settle_task", {"result": "found"})] if request.agent != "reader" else []
        return ModelResponse("done", calls if request.step == 0 else [])

    return FunctionModel(think)


@pytest.mark.parametrize("seed", range(60))
async def test_several_runs_at_once_with_failures_budgets_and_cancellations_keep_every_promise(seed: int):
    random, store = Random(seed), WaitingStore(seed)
    runs: dict[int, Run] = {}

    async def ask(number: int) -> None:
        await anyio.sleep(random.random() * 0.02)
        budget = random.choice([Budget(), Budget(), Budget(turns=5), Budget(seconds=0.03)])
        with anyio.move_on_after(random.choice([0.03, 1000, 1000, 1000])):
            runs[number] = await live.run(f"question {number}", budget=budget)

    slots = random.choice([None, 1, 2, 4])
    async with Orchestrator(busy_team(), store, model=troubled_model(random), max_concurrency=slots) as live:
        with anyio.fail_after(100):
            async with anyio.create_task_group() as group:
                for number in range(4):
                    group.start_soon(ask, number)

    events = await MemoryStore.events(store, limit=10_000)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    started = Counter(event.turn for event in events if isinstance(event, TurnStarted))
    assert Counter(event.turn for event in events if isinstance(event, TurnEnded)) == started
    assert max(started.values()) == 1
    opened = Counter(event.run for event in events if isinstance(event, RunStarted))
    assert Counter(event.run for event in events if isinstance(event, RunEnded)) == opened
    over: set[str] = set()
    for event in events:
        if isinstance(event, RunEnded):
            over.add(event.run)
        elif isinstance(event, TurnStarted | TurnEnded):
            assert not over.issuperset(event.runs), "nobody works for nobody"
    queue = store._rows.heads["supervised:task_queue"].value
    assert "claimed" not in queue
    for number, run in runs.items():
        if run.status == "complete":
            assert f"question {number} part 0" in run.output
        assert run.status != "failed" or "away" in str(run.error) or "took more than" in str(run.error)


async def test_a_turn_that_two_runs_share_is_stopped_with_the_second_of_them():
    notes, ended = Block("notes"), []

    async def think(request: ModelRequest) -> ModelResponse:
        if request.agent != "reader":
            calls = [ToolCall("memory_insert", {"label": "notes", "new_string": request.agent})]
            await anyio.sleep(0.1 * request.step)
            return ModelResponse("ok", calls if request.step == 0 else [])
        await anyio.sleep(2)
        raise AssertionError("it was not stopped")

    team = Team(
        "trio",
        [Agent("a", blocks=[notes]), Agent("b", blocks=[notes]), Agent("reader", blocks=[notes], wakes_on=[notes])],
    )
    store = MemoryStore()
    async with Orchestrator(team, store, model=FunctionModel(think), max_concurrency=2) as live:

        async def ask(agent: str, seconds: float) -> None:
            run = await live.run("go", agent=agent, budget=Budget(seconds=seconds))
            ended.append((agent, run.status, anyio.current_time()))

        async with anyio.create_task_group() as group:
            group.start_soon(ask, "a", 0.3)
            group.start_soon(ask, "b", 0.6)

    assert ended == [("a", "budget", 0.3), ("b", "budget", 0.6)]
    events = await store.events()
    (shared,) = (event for event in events if isinstance(event, TurnEnded) and event.agent == "reader")
    assert (len(shared.runs), shared.status) == (2, "cancelled")
    assert [event.type for event in events[-2:]] == ["turn_ended", "run_ended"]


async def test_a_turn_that_is_cut_short_has_not_looked_at_what_others_wrote():
    """The reader works for one run and is shown a write of the other; it must still be woken for that."""
    notes = Block("notes")
    team = Team("trio", [Agent("reader", blocks=[notes], wakes_on=[notes]), Agent("writer", blocks=[notes])])
    script: dict[str, list[Any]] = {
        "reader": [
            Say("thinking", after=1, calls=(ToolCall("memory_insert", {"label": "notes", "new_string": "mine"}),)),
            Say("never said", after=100),
            Say("looked"),
        ],
        "writer": [edit("memory_insert", "notes", new_string="news", after=0.5), Say("written", after=5)],
    }
    runs: dict[str, Run] = {}
    with ScriptedModel(script) as model:
        async with Orchestrator(team, model=model) as live:

            async def ask(agent: str, budget: Budget) -> None:
                runs[agent] = await live.run("go", agent=agent, budget=budget)

            async with anyio.create_task_group() as group:
                group.start_soon(ask, "reader", Budget(seconds=3))
                group.start_soon(ask, "writer", Budget())

    assert runs["reader"].status == "budget"
    assert [(turn.agent, turn.text) for turn in runs["writer"].turns] == [("writer", "written"), ("reader", "looked")]


async def test_closing_while_a_message_is_being_recorded_ends_its_run():
    class SlowStore(MemoryStore):
        slow = False

        async def transact(self, work: Any) -> Any:
            if self.slow:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.1)
            return await super().transact(work)

    store, outcome = SlowStore(), []

    async def ask(live: Orchestrator) -> None:
        outcome.append((await live.run("go")).status)

    opened = Orchestrator(Team("solo", [Agent("ann")]), store, model=FunctionModel(lambda request: "x"))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group, opened as live:
            store.slow = True
            group.start_soon(ask, live)
            await anyio.sleep(0.01)

    assert outcome == ["cancelled"]
    events = await store.events()
    assert [event.type for event in events][-2:] == ["run_started", "run_ended"]


async def test_a_store_belongs_to_one_orchestrator_at_a_time():
    store, team, model = MemoryStore(), Team("solo", [Agent("ann")]), FunctionModel(lambda request: "x")
    async with Orchestrator(team, store, model=model) as live:
        with pytest.raises(StoreError, match="is in use by another orchestrator"):
            await Orchestrator(team, store, model=model).__aenter__()
        assert (await live.run("go")).status == "complete"
    async with Orchestrator(team, store, model=model) as again:
        assert (await again.run("go")).status == "complete"


async def test_a_watcher_misses_nothing_while_its_store_makes_it_wait():
    team = Team("solo", [Agent("ann", blocks=[Block("notes")])])
    lines = [edit("memory_insert", "notes", new_string=str(n)) for n in range(30)]
    seen: list[int] = []
    with ScriptedModel({"ann": [*lines, Say("done")]}) as model:
        async with anyio.create_task_group() as group, Orchestrator(team, WaitingStore(1), model=model) as live:

            async def watch() -> None:
                async with live.watch(block="notes") as changes:
                    async for change in changes:
                        seen.append(change.version)  # noqa: PERF401 -- as it comes, not at the end

            group.start_soon(watch)
            await anyio.sleep(0.01)
            await live.run("go")

    assert seen == list(range(2, 32))


async def test_a_question_over_a_queue_that_is_done_is_answered_once():
    team = supervise(Agent("lead"), [Agent("ann")], tasks=task_queue("1. [done by ann] old"))
    with ScriptedModel({"lead": [Say("the answer")]}) as model:
        async with Orchestrator(team, model=model) as live:
            run = await live.run("a new question")

    assert (run.output, len(run.turns)) == ("the answer", 1)


async def test_a_store_opens_with_other_wakes_than_it_was_used_with():
    store, first, second = MemoryStore(), Block("first"), Block("second")
    calls = {"ann": [edit("memory_insert", "first", new_string="x"), Say("ok")], "bob": [Say("seen")]}
    before = Team("t", [Agent("ann", blocks=[first]), Agent("bob", blocks=[first], wakes_on=[Wake(first, when=bool)])])
    with ScriptedModel(calls) as model:
        async with Orchestrator(before, store, model=model) as live:
            await live.run("go")

    after = Team(
        "t", [Agent("ann", blocks=[second]), Agent("bob", blocks=[second], wakes_on=[Wake(second, when=bool)])]
    )
    with ScriptedModel({"ann": [Say("ok")]}) as model:
        async with Orchestrator(after, store, model=model) as live:
            assert (await live.run("go")).status == "complete"


async def test_a_claim_that_is_not_given_back_fails_the_run_with_the_turn_that_held_it():
    work = Block("work", "todo")
    wake = Wake(work, when=lambda text: text == "todo", claim=lambda text, agent: "taken")
    team = Team("bad", [Agent("ann"), Agent("bob", blocks=[work], wakes_on=[wake])])
    with ScriptedModel({"ann": [Say("hm")], "bob": [ModelError("away")]}) as model:
        async with Orchestrator(team, model=model) as live:
            run = await live.run("go")

    assert (run.status, str(run.error)) == ("failed", "the last turn of 'bob' failed: away")


@pytest.mark.parametrize("after", ["x", 1.5, -1])
async def test_watching_from_what_is_no_number_of_an_event_is_refused(after: Any):
    async with Orchestrator(Team("solo", [Agent("ann")]), model=FunctionModel(lambda request: "x")) as live:
        with pytest.raises(RunError, match="give the number of an event"):
            live.watch(after=after)
        with pytest.raises(RunError, match="give a Budget"):
            await live.run("go", budget=5)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="is not open"):
        live.watch()
