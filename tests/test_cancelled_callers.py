"""Whoever is cancelled, and however: the run comes to its end, and the team goes on."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import pytest
from dying_store import DyingStore
from own_thread import outcome

from orchestrator import Agent, ModelRequest, ModelResponse, Orchestrator, RunError, Team, ToolCall, tool
from orchestrator.stores import MemoryStore, SQLiteStore
from orchestrator.testing import FunctionModel, simulated_time

TEAM = Team("one", [Agent("ann")])


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


def said(request: ModelRequest) -> str:
    return "said"


class Caller:
    """A task with a message, which asyncio can cancel."""

    def __init__(self, live: Orchestrator) -> None:
        self.live = live
        self.task: asyncio.Task[Any] | None = None
        self.status = ""
        self.left = anyio.Event()

    async def ask(self) -> None:
        self.task = asyncio.current_task()
        try:
            self.status = (await self.live.run("go")).status
        except asyncio.CancelledError:
            self.status = "left"
        self.left.set()

    def cancel(self) -> None:
        assert self.task is not None
        self.task.cancel()


@pytest.mark.parametrize("who", [0, 1])
@pytest.mark.parametrize("after", range(1, 9))
def test_a_caller_that_asyncio_cancels_in_a_commit_keeps_nobody_waiting(tmp_path: Path, who: int, after: int) -> None:
    statuses: list[str] = []
    stored: list[str] = []

    async def work() -> None:
        store = SQLiteStore(tmp_path / "team.db", durability="process")
        async with Orchestrator(TEAM, store, model=FunctionModel(said)) as live:
            callers = [Caller(live), Caller(live)]
            async with anyio.create_task_group() as group:
                for caller in callers:
                    group.start_soon(caller.ask)
                for _ in range(after):
                    await anyio.lowlevel.checkpoint()
                callers[who].cancel()
            statuses.extend([callers[who].status, callers[1 - who].status, (await live.run("later")).status])
            await live.wait_idle()
            stored.extend(await store.read(lambda rows: [run.status for run in rows.runs()]))

    assert outcome(work, "asyncio") is None
    assert statuses == ["left", "complete", "complete"]
    assert "running" not in stored


def test_a_caller_that_asyncio_cancels_twice_leaves_a_run_that_ends() -> None:
    begun, let_go = anyio.Event(), threading.Event()
    stored: list[str] = []

    @tool
    def hold() -> str:
        """Wait until the caller has left."""
        anyio.from_thread.run_sync(begun.set)
        return str(let_go.wait(10))

    team = Team("one", [Agent("ann", tools=[hold])])

    async def work() -> None:
        store = MemoryStore()
        model = FunctionModel(lambda request: ModelResponse("", [ToolCall("hold")]))
        async with Orchestrator(team, store, model=model) as live, anyio.create_task_group() as group:
            caller = Caller(live)
            group.start_soon(caller.ask)
            await begun.wait()
            for _ in range(2):
                caller.cancel()
                await anyio.wait_all_tasks_blocked()
            assert caller.left.is_set(), "who is cancelled twice waits for nothing"
            let_go.set()
            await live.wait_idle()
            stored.extend(await store.read(lambda rows: [run.status for run in rows.runs()]))

    assert outcome(work, "asyncio") is None
    assert stored == ["cancelled"]


def test_a_run_that_is_being_cancelled_ends_though_who_asked_for_it_is_cancelled() -> None:
    ended: list[str] = []

    @tool
    async def hold() -> str:
        """Let nobody interrupt it."""
        with anyio.CancelScope(shield=True):
            await anyio.sleep(10)
        return "done"

    team = Team("one", [Agent("ann", tools=[hold])])

    async def work() -> None:
        store = MemoryStore()
        model = FunctionModel(lambda request: ModelResponse("", [ToolCall("hold")]))
        async with Orchestrator(team, store, model=model) as live, anyio.create_task_group() as group:

            async def ask() -> None:
                ended.append((await live.run("go")).status)

            group.start_soon(ask)
            await anyio.sleep(1)
            (record,) = await store.read(lambda rows: list(rows.runs()))
            with anyio.move_on_after(1) as impatience:
                await live.cancel(record.id)
            assert impatience.cancelled_caught
            assert ended == []

    assert outcome(work, *simulated_time()) is None
    assert ended == ["cancelled"]


async def cut_off(store: DyingStore) -> None:
    def die(request: ModelRequest) -> str:
        raise store.kill()

    live = Orchestrator(TEAM, store, model=FunctionModel(die))
    await store.killed_in(live, lambda: live.run("go"))


async def told(call: Any) -> str:
    try:
        return str((await call).status)
    except RunError as error:
        return str(error)


async def at_once(store: DyingStore, first: str, second: str, commit: float = 1.0) -> dict[str, str]:
    """Ask for two things in half a second, where everything takes a second, but perhaps the second one's commit."""
    answers: dict[str, str] = {}
    with anyio.fail_after(60):
        async with Orchestrator(TEAM, store, model=FunctionModel(said)) as live, anyio.create_task_group() as group:
            (record,) = live.cut_off
            store.wait = 1.0

            async def ask(name: str) -> None:
                answers[name] = await told(getattr(live, name)(record.id))

            group.start_soon(ask, first)
            await anyio.sleep(0.5)
            group.start_soon(ask, second)
            await anyio.sleep(0.7)
            store.wait = commit
    assert live.cut_off == ()
    return answers


async def test_a_run_that_is_being_given_up_is_not_resumed():
    store = DyingStore()
    await cut_off(store)
    answers = await at_once(store, "cancel", "resume")
    assert answers["cancel"] == "cancelled"
    assert answers["resume"].startswith("run 'run-")


async def test_nobody_waits_for_ever_for_a_run_that_was_being_given_up():
    store = DyingStore()
    await cut_off(store)
    answers = await at_once(store, "cancel", "resume", commit=0.1)
    assert answers["cancel"] == "cancelled"
    assert answers["resume"].startswith("run 'run-")


async def test_a_run_that_is_being_resumed_is_cancelled_for_both():
    store = DyingStore()
    await cut_off(store)
    assert await at_once(store, "resume", "cancel") == {"resume": "cancelled", "cancel": "cancelled"}


async def test_of_two_that_resume_a_run_at_once_one_is_told_that_it_goes_on():
    store = DyingStore()
    await cut_off(store)
    answers: list[str] = []
    with anyio.fail_after(60):
        async with Orchestrator(TEAM, store, model=FunctionModel(said)) as live:
            store.wait = 1.0
            (record,) = live.cut_off

            async def resume() -> None:
                answers.append(await told(live.resume(record.id)))

            async with anyio.create_task_group() as group:
                for _ in range(2):
                    group.start_soon(resume)

    assert sorted(answers) == ["complete", f"run '{record.id}' goes on already"]


async def test_a_run_is_not_resumed_in_a_team_that_is_closed_meanwhile():
    store = DyingStore()
    await cut_off(store)
    answers: list[str] = []
    with anyio.fail_after(60):
        live = Orchestrator(TEAM, store, model=FunctionModel(said))
        async with anyio.create_task_group() as group, live:
            store.wait = 2.0
            (record,) = live.cut_off

            async def resume() -> None:
                answers.append(await told(live.resume(record.id)))

            group.start_soon(resume)
            await anyio.sleep(1)

    (answer,) = answers
    assert "not open" in answer
