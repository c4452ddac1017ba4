"""The owner of a live team, and pools: a queue is filled and mended, members come and go."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import pytest

from orchestrator import (
    Agent,
    Block,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    Team,
    ToolCall,
    Wake,
)
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel, simulated_time
from patterns import supervise
from patterns.tasks import Queue


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


async def runs(store: MemoryStore) -> list[tuple[str, str, str]]:
    return [(run.agent, run.status, run.text) for run in await store.read(lambda rows: list(rows.runs()))]


async def turns(store: MemoryStore) -> list[str]:
    return [event.agent for event in await store.events() if event.type == "turn_started"]


def crew(workers: int = 2) -> Team:
    return supervise(Agent("lead"), [Agent(f"worker-{n}") for n in range(workers)])


async def work(request: ModelRequest) -> ModelResponse | str:
    await anyio.sleep(10)
    if request.agent == "lead":
        return "seen"
    if request.step == 0 and Queue.parse(request.blocks.get("task_queue", "")).held_by(request.agent):
        return ModelResponse("", [ToolCall("settle_task", {"result": "ok"})])
    return "done"


async def test_a_queue_that_the_owner_fills_and_mends_is_worked_off():
    store = MemoryStore()
    async with Orchestrator(crew(), store, model=FunctionModel(work)) as live:
        with anyio.fail_after(600):
            await live.blocks.modify("task_queue", value="1. [open] look\n2. [open] listen\n3. [open] taste")
            await anyio.sleep(1)
            claimed = await live.blocks.retrieve("task_queue")
            assert "1. [claimed by worker-0] look\n2. [claimed by worker-1] listen\n3. [open]" in claimed.value

            mended = claimed.value.replace("[claimed by worker-1]", "[done]")
            await live.blocks.modify("task_queue", value=mended, if_version=claimed.version)
            await live.wait_idle()

        tasks = Queue.parse((await live.blocks.retrieve("task_queue")).value).tasks
        assert [task.status for task in tasks] == ["done"] * 3
        assert {status for _, status, _ in await runs(store)} == {"complete"}
        assert (await turns(store))[-1] == "lead"


async def test_members_that_are_detached_or_deleted_take_no_tasks():
    store, team = MemoryStore(), crew(3)
    async with Orchestrator(team, store, model=FunctionModel(work)) as live:
        await live.agents.blocks.detach("worker-0", "task_queue")
        await live.agents.delete("worker-1")
        with anyio.fail_after(600):
            await live.blocks.modify("task_queue", value="1. [open] look\n2. [open] listen")
            await live.wait_idle()
        assert await turns(store) == ["worker-2", "worker-2", "lead"]
    async with Orchestrator(team, store, model=FunctionModel(work)) as live:
        with anyio.fail_after(600):
            await live.blocks.modify("task_queue", value="1. [open] look\n2. [open] listen\n3. [open] taste")
            await anyio.sleep(1)
            assert sorted((await turns(store))[3:]) == ["worker-1", "worker-2"], "the deleted one is declared"
            await live.agents.blocks.attach("worker-0", "task_queue")
            await anyio.sleep(1)
            assert (await turns(store))[-1] == "worker-0"
            await live.wait_idle()


async def test_a_queue_that_nobody_sees_any_more_wakes_nobody_and_is_told():
    store = MemoryStore()
    team = supervise(Agent("lead"), [Agent("worker")])
    async with Orchestrator(team, store, model=FunctionModel(work)) as live:
        with anyio.fail_after(600):
            await live.agents.delete("worker")
            await live.blocks.modify("task_queue", value="1. [open] look")
            await live.wait_idle()
            assert await runs(store) == []

            run = await live.run("go")

        assert run.status == "failed"
        assert "block 'task_queue' calls for worker: they do not see it any more, or are gone" in str(run.error)


async def test_a_queue_that_is_deleted_calls_nobody_any_more():
    store = MemoryStore()
    async with Orchestrator(crew(1), store, model=FunctionModel(work)) as live:
        with anyio.fail_after(600):
            await live.blocks.modify("task_queue", value="1. [open] look\n2. [open] listen")
            await anyio.sleep(1)
            await live.blocks.delete("task_queue")
            await live.wait_idle()
        assert [status for _, status, _ in await runs(store)] == ["complete"]
        assert await turns(store) == ["worker-0"]
    async with Orchestrator(crew(1), store, model=FunctionModel(work)) as live:
        with anyio.fail_after(600):
            run = await live.run("go")
        assert (run.status, list(run.blocks)) == ("complete", [])


async def test_a_member_that_is_detached_before_its_claim_is_made_takes_nothing():
    class Slow(MemoryStore):
        async def transact(self, work):
            await anyio.sleep(1)
            return await super().transact(work)

    store = Slow()
    async with Orchestrator(crew(2), store, model=FunctionModel(work)) as live:
        with anyio.fail_after(600):
            async with anyio.create_task_group() as group:
                # both commits are under way at once: the worker has been handed out when it is detached
                group.start_soon(partial(live.blocks.modify, "task_queue", value="1. [open] look"))
                await anyio.sleep(0.5)
                group.start_soon(live.agents.blocks.detach, "worker-0", "task_queue")
            await live.wait_idle()
        assert await turns(store) == ["worker-1", "lead"]


async def test_a_block_that_calls_calls_again_when_it_was_deleted_and_is_created_anew():
    store, question = MemoryStore(), Block("question", "why?")
    team = Team(
        "pair", [Agent("ann"), Agent("bob", blocks=[question], wakes_on=[Wake(question, when=lambda t: "?" in t)])]
    )
    async with Orchestrator(team, store, model=FunctionModel(lambda request: "ok")) as live:
        with anyio.fail_after(60):
            await live.run("go")
            assert await turns(store) == ["ann", "bob"]
            await live.blocks.delete(question)
            await live.run("go")
            assert await turns(store) == ["ann", "bob", "ann"]
            await live.blocks.create(question)
            await live.agents.blocks.attach("bob", question)
            await live.run("go")
        assert await turns(store) == ["ann", "bob", "ann", "ann", "bob"]
