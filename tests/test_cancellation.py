"""A run that is cancelled, at whatever point, leaves nothing half done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio

from orchestrator import Agent, Budget, ModelRequest, ModelResponse, Orchestrator, Team, ToolCall, tool
from orchestrator.events import RunEnded, RunStarted, TurnEnded, TurnStarted
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel, simulated_time
from patterns import domain_knowledge, supervise
from patterns.tasks import Queue


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


class Points:
    """The places where a run waits; something happens at one of them."""

    def __init__(self, chosen: int, act: Callable[[], None]) -> None:
        self.passed = 0
        self._chosen = chosen
        self._act = act

    async def wait(self) -> None:
        self.passed += 1
        if self.passed == self._chosen:
            self._act()
        await anyio.lowlevel.checkpoint()


class WaitingStore(MemoryStore):
    """A store that waits before each piece of work, as one with a disk or a wire would."""

    def __init__(self, points: Points) -> None:
        super().__init__()
        self._points = points

    async def transact(self, work: Any) -> Any:
        await self._points.wait()
        return await super().transact(work)

    async def read(self, work: Any) -> Any:
        await self._points.wait()
        return await super().read(work)


def team_and_model(points: Points) -> tuple[Team, Any]:
    @tool
    async def look_up(word: str) -> str:
        """Look up a word."""
        await points.wait()
        return word

    notes = domain_knowledge()
    team = supervise(
        Agent("lead", blocks=[notes]), [Agent(f"worker-{n}", blocks=[notes], tools=[look_up]) for n in (1, 2)]
    )

    class Model:
        async def respond(self, request: ModelRequest) -> ModelResponse:
            await points.wait()
            if request.agent == "lead":
                full = bool(request.blocks["task_queue"])
                return ModelResponse("done", [] if full else [ToolCall("add_tasks", {"tasks": ["a", "b", "c"]})])
            calls = [
                ToolCall("look_up", {"word": "x"}),
                ToolCall("memory_insert", {"label": "domain_knowledge", "new_string": f"{request.turn} was here"}),
                ToolCall("settle_task", {"result": "ok"}),
            ]
            return ModelResponse("done", calls if request.step == 0 else [])

    return team, Model()


async def cancelled_at(chosen: int) -> bool:
    """Cancel a run at its n-th point; whether it got that far."""
    scope = anyio.CancelScope()
    points = Points(chosen, scope.cancel)
    store = WaitingStore(points)
    team, model = team_and_model(points)
    with anyio.fail_after(60):
        async with Orchestrator(team, store, model=model) as live:
            with scope:
                run = await live.run("go")
                assert run.status == "complete"
            if not scope.cancelled_caught:
                return False
            check(await MemoryStore.events(store, limit=10_000), store)
            # What was given back is done by the next run, and by nobody else.
            after = await live.run("again")
    assert after.status == "complete"
    tasks = Queue.parse(after.blocks["task_queue"].value).tasks
    assert {task.status for task in tasks} == {"done"}
    assert len(tasks) == 3
    return True


def check(events: list[Any], store: MemoryStore) -> None:
    started = [event.turn for event in events if isinstance(event, TurnStarted)]
    ended = [event.turn for event in events if isinstance(event, TurnEnded)]
    assert sorted(started) == sorted(ended), "every turn that started has ended, once"
    runs = [event.run for event in events if isinstance(event, RunStarted)]
    assert [event.run for event in events if isinstance(event, RunEnded)] == runs
    queue = store._rows.heads["supervised:task_queue"].value
    assert not any(task.status == "claimed" for task in Queue.parse(queue).tasks)


async def test_a_run_can_be_cancelled_at_every_point_where_it_waits():
    chosen = 2  # the first is where the team is declared
    while await cancelled_at(chosen):
        chosen += 1
    assert chosen > 40, "the run has fewer points than this test is about"


async def test_a_cancelled_run_costs_nothing_afterwards():
    points = Points(12, lambda: None)
    store = WaitingStore(points)
    team, model = team_and_model(points)
    async with Orchestrator(team, store, model=model) as live:
        with anyio.CancelScope() as scope:
            points._act = scope.cancel
            await live.run("go")
        passed = points.passed
        await anyio.sleep(1000)

    assert scope.cancelled_caught
    assert points.passed == passed, "nobody goes on waiting and looking"


async def test_a_model_that_waits_in_a_nursery_of_trios_own_is_cancelled_as_any_other():
    async def think(request: ModelRequest) -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(trio.sleep_forever)
        raise AssertionError

    store, team = MemoryStore(), Team("one", [Agent("ann", timeout=50)])
    async with Orchestrator(team, store, model=FunctionModel(think)) as live:
        cut_short = await live.run("go", budget=Budget(seconds=10))
        too_slow = await live.run("go on")

    assert [turn.status for turn in cut_short.turns] == ["cancelled"]
    assert [turn.status for turn in too_slow.turns] == ["timed_out"]


async def test_messages_to_one_agent_that_come_at_once_are_answered_in_order():
    asked: list[str] = []

    async def think(request: ModelRequest) -> str:
        asked.append(request.run)
        await anyio.sleep(1)
        return f"answer {len(asked)}"

    outputs: dict[str, str] = {}

    async def ask(live: Orchestrator, number: int) -> None:
        run = await live.run(f"message {number}")
        outputs[run.id] = run.output

    store = MemoryStore()
    async with (
        Orchestrator(Team("one", [Agent("ann")]), store, model=FunctionModel(think)) as live,
        anyio.create_task_group() as group,
    ):
        for number in range(300):
            group.start_soon(ask, live, number)

    opened = [event.run for event in await store.events(limit=10_000) if isinstance(event, RunStarted)]
    assert asked == opened
    assert [outputs[run] for run in opened] == [f"answer {number}" for number in range(1, 301)]
