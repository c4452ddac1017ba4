"""Each agent takes its turns at a seat: one that breaks, is left or is blocked keeps nobody else waiting."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import pytest
from own_thread import outcome

from orchestrator import Agent, Block, ModelRequest, ModelResponse, Orchestrator, Team, ToolCall, tool
from orchestrator.stores import SQLiteStore
from orchestrator.testing import FunctionModel


class Fatal(BaseException):
    """What nobody handles."""


def said(request: ModelRequest) -> str:
    return "said"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_nobody_handles_ends_the_team_though_another_message_waits_for_the_agent(backend: str) -> None:
    asked: list[str] = []

    async def break_down(request: ModelRequest) -> str:
        asked.append(request.turn)
        await anyio.lowlevel.checkpoint()
        raise Fatal

    async def work() -> None:
        live = Orchestrator(Team("one", [Agent("ann")]), model=FunctionModel(break_down))
        async with live, anyio.create_task_group() as group:
            group.start_soon(live.run, "one")
            group.start_soon(live.run, "two")

    raised = outcome(work, backend)
    while isinstance(raised, BaseExceptionGroup):
        raised = raised.exceptions[0]
    assert isinstance(raised, Fatal)
    assert asked


def test_an_agent_whose_model_awaits_what_somebody_else_cancelled_takes_its_next_turn() -> None:
    runs: list[Any] = []
    turns: list[str] = []

    async def share(request: ModelRequest) -> str:
        turns.append(request.turn)
        if len(turns) == 1:
            shared: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            shared.cancel()
            return await shared
        return "said"

    async def work() -> None:
        async with Orchestrator(Team("one", [Agent("ann")]), model=FunctionModel(share)) as live:
            runs.extend([await live.run("one"), await live.run("two")])

    assert outcome(work, "asyncio") is None
    assert [run.status for run in runs] == ["failed", "complete"]
    assert "FunctionModel.respond() was cancelled from within" in str(runs[0].error)
    assert runs[1].output == "said"


async def test_the_seats_of_agents_that_were_deleted_are_gone():
    with anyio.fail_after(60):
        async with Orchestrator(Team("one", [Agent("ann")]), model=FunctionModel(said)) as live:
            await live.run("hi")
            seats = live._activity._seats
            before = (len(seats._seats), len(seats._scopes))
            for name in ("bob", "cid", "dot"):
                await live.agents.create(Agent(name))
                await live.agents.message(name, "hi")
                await live.agents.delete(name)
            await anyio.wait_all_tasks_blocked()
            assert (len(seats._seats), len(seats._scopes)) == before


async def test_an_agent_that_is_made_again_under_its_name_answers():
    with anyio.fail_after(60):
        async with Orchestrator(Team("one", [Agent("ann")]), model=FunctionModel(said)) as live:
            for _ in range(2):
                await live.agents.create(Agent("bob"))
                assert (await live.agents.message("bob", "hi")).output == "said"
                await live.agents.delete("bob")


async def test_tools_that_block_leave_threads_to_the_commits_of_others(tmp_path: Path):
    let_go, lock = threading.Event(), threading.Lock()
    under_way, released = [0], []
    all_called, enough = anyio.Event(), anyio.Event()
    called: list[str] = []

    @tool
    def block() -> str:
        """Wait until the quick one has answered."""
        with lock:
            under_way[0] += 1
            is_last = under_way[0] == 32
        if is_last:
            anyio.from_thread.run_sync(enough.set)
        released.append(let_go.wait(10))
        return "done"

    def answer(request: ModelRequest) -> ModelResponse | str:
        if request.agent == "quick" or request.step:
            return "said"
        called.append(request.agent)
        if len(called) == 40:
            all_called.set()
        return ModelResponse("", [ToolCall("block")])

    names = [f"slow{number}" for number in range(40)]
    notes = Block("notes")
    team = Team(
        "busy", [Agent("quick", blocks=[notes]), *(Agent(name, blocks=[notes], tools=[block]) for name in names)]
    )
    store = SQLiteStore(tmp_path / "team.db", durability="process")
    with anyio.fail_after(60):
        async with Orchestrator(team, store, model=FunctionModel(answer)) as live, anyio.create_task_group() as group:
            for name in names:
                group.start_soon(lambda name=name: live.run("go", agent=name))
            await all_called.wait()
            await enough.wait()
            run = await live.run("hi")
            at_once = under_way[0]
            let_go.set()

    assert (run.output, at_once) == ("said", 32)
    assert released == [True] * 40
