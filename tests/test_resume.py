"""A crash loses nothing and applies nothing twice: what was cut off goes on where it was."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest

from orchestrator import (
    Agent,
    Block,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    Run,
    RunError,
    StoreError,
    Team,
    ToolCall,
)
from orchestrator.events import StepTaken, TurnEnded, TurnStarted
from orchestrator.stores import MemoryStore
from orchestrator.testing import simulated_time
from patterns import supervise, task_queue
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


class Recorder:
    """A model that works through a queue by rules, and counts how often it was asked for each step."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, int]] = Counter()

    async def respond(self, request: ModelRequest) -> ModelResponse:
        self.asked[request.turn, request.step] += 1
        await anyio.sleep(0.1 + 0.01 * len(request.agent) + 0.003 * sum(map(ord, request.agent)) % 7)
        queue = Queue.parse(request.blocks["task_queue"])
        if request.agent == "lead":
            if not queue.tasks:
                return ModelResponse("", [ToolCall("add_tasks", {"tasks": list(TITLES)})])
            return ModelResponse("all done" if all(task.settled for task in queue.tasks) else "begun")
        held = queue.held_by(request.agent)
        if not held:
            return ModelResponse("settled")
        title = held[0].title
        if title not in request.blocks["notes"]:
            return ModelResponse(
                "",
                [
                    ToolCall("memory_insert", {"label": "notes", "new_string": f"{title} by {request.agent}"}),
                    ToolCall("settle_task", {"result": f"result of {title}"}),
                ],
            )
        return ModelResponse("", [ToolCall("settle_task", {"result": f"result of {title}"})])


def crew() -> Team:
    notes = Block("notes")
    workers = [Agent(f"worker-{n}", blocks=[notes]) for n in range(3)]
    return supervise(Agent("lead", blocks=[notes.reader()]), workers, tasks=task_queue())


async def until_it_dies(store: MortalStore, model: Any) -> None:
    try:
        async with Orchestrator(crew(), store, model=model) as live:
            await live.run("go")
    except (StoreError, RunError):
        pass
    await store.revive()


async def test_a_run_that_is_cut_off_after_any_transaction_is_completed_by_resume():
    for lives in range(1, 200):
        store, model = MortalStore(lives), Recorder()
        await until_it_dies(store, model)
        steps = {(event.turn, event.step) for event in await store.events() if isinstance(event, StepTaken)}
        in_flight = set(model.asked) - steps
        async with Orchestrator(crew(), store, model=model) as live:
            cut_off = live.cut_off
            for record in cut_off:
                run = await live.resume(record.id)
                assert_completed(run)
            assert live.cut_off == ()
        repeated = {key for key, times in model.asked.items() if times > 1}
        assert repeated <= in_flight, "a model is asked again for what was under way, and for nothing else"
        assert max(model.asked.values(), default=0) <= 2
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
