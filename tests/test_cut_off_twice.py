"""A store that sees one crash after the other, with other messages in between."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import anyio
import pytest

from orchestrator import Agent, ModelRequest, Orchestrator, RunError, StoreError, Team
from orchestrator.events import TurnStarted
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel, simulated_time

TEAM = Team("one", [Agent("ann")])


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


class Killable(MemoryStore):
    """Keeps what was written before its process was killed."""

    killed = False

    async def transact(self, work: Any) -> Any:
        if self.killed:
            raise StoreError("killed")
        return await super().transact(work)


async def killed_with(store: Killable, message: str) -> None:
    """Give the team a message, and kill the process while the model thinks."""

    async def think(request: ModelRequest) -> str:
        await anyio.sleep_forever()
        raise AssertionError

    with suppress(StoreError, RunError, ExceptionGroup):
        async with anyio.create_task_group() as group, Orchestrator(TEAM, store, model=FunctionModel(think)) as live:
            group.start_soon(live.run, message)
            await anyio.sleep(1)
            store.killed = True
            group.cancel_scope.cancel()
    assert store.killed
    store.killed = False
    await store.close()


async def test_each_message_is_answered_once_however_often_the_process_is_killed():
    store = Killable()
    for message in ("first", "second", "third"):
        await killed_with(store, message)

    asked: list[str] = []
    model = FunctionModel(lambda request: asked.append(request.messages[-1].text) or f"answer {len(asked)}")
    async with Orchestrator(TEAM, store, model=model) as live:
        assert [run.text for run in live.cut_off] == ["first", "second", "third"]
        last, first, second = [await live.resume(live.cut_off[place].id) for place in (2, 0, 0)]

    assert [run.output for run in (last, first, second)] == ["answer 1", "answer 2", "answer 3"]
    assert asked == ["third", "first", "second"]
    assert [len(run.turns) for run in (last, first, second)] == [1, 2, 2], "the turns that were let go of, and one more"
    started = [event for event in await store.events() if isinstance(event, TurnStarted)]
    assert len(started) == 5


async def test_a_caller_that_is_cancelled_from_outside_leaves_nothing_running():
    store = MemoryStore()

    async def think(request: ModelRequest) -> str:
        await anyio.sleep_forever()
        raise AssertionError

    async def fail() -> None:
        await anyio.sleep(1)
        raise ValueError("somebody else")

    async def cancelled() -> None:
        async with anyio.create_task_group() as group, Orchestrator(TEAM, store, model=FunctionModel(think)) as live:
            group.start_soon(fail)
            await live.run("go")

    with anyio.fail_after(60), pytest.raises(ExceptionGroup):
        await cancelled()

    (run,) = await store.read(lambda rows: list(rows.runs()))
    assert run.status == "cancelled"
    assert [turn.status for turn in await store.read(lambda rows: rows.turns(run.id))] == ["cancelled"]


async def test_a_team_that_is_left_at_once_leaves_nothing_running():
    with anyio.fail_after(60), pytest.raises(RunError, match="text"):
        async with Orchestrator(TEAM, model=FunctionModel(lambda request: "x")) as live:
            await live.run("\0")
