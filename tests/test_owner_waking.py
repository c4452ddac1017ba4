"""An owner's write may wake somebody: then it opens a run of its own."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import pytest

from orchestrator import (
    Agent,
    Block,
    BlockChanged,
    Budget,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    OutdatedRewrite,
    OverLimit,
    RunEnded,
    RunError,
    RunStarted,
    Team,
    ToolCall,
    UnknownName,
    Wake,
)
from orchestrator.cli.lines import Lines
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel, Say, ScriptedModel, edit, simulated_time


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


notes = Block("notes", "start")


def pair(**wake: Any) -> Team:
    return Team("pair", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes], wakes_on=[Wake(notes, **wake)])])


def slow(request: ModelRequest) -> Any:
    async def answer() -> str:
        await anyio.sleep(10)
        return f"{request.agent} saw {request.blocks.get('notes')!r}"

    return answer()


async def runs(store: MemoryStore) -> list[tuple[str, str, str]]:
    return [(run.agent, run.status, run.text) for run in await store.read(lambda rows: list(rows.runs()))]


async def turns(store: MemoryStore) -> list[str]:
    return [event.agent for event in await store.events() if event.type == "turn_started"]


# --- a run of its own


async def test_a_write_that_wakes_somebody_opens_a_run_and_wait_idle_waits_for_it():
    store = MemoryStore()
    async with Orchestrator(pair(), store, model=FunctionModel(slow)) as live:
        changed = await live.blocks.modify("notes", value="new")
        assert anyio.current_time() == 0, "nobody waits for the run"
        assert await runs(store) == [("", "running", "")]

        with anyio.fail_after(60):
            await live.wait_idle()

        assert anyio.current_time() == 10
        (run,) = await store.read(lambda rows: list(rows.runs()))
        assert (run.status, run.max_turns, run.max_usd, run.max_seconds) == ("complete", Budget().turns, None, None)
        (turn,) = await store.read(lambda rows: rows.turns(run.id))
        assert (turn.agent, turn.status, turn.text) == ("bob", "done", "bob saw 'new'")
        assert [(cause.kind, cause.key, cause.version, cause.by) for cause in turn.causes] == [
            ("change", "pair:notes", 2, "owner")
        ]
        started, written = [e for e in await store.events() if isinstance(e, RunStarted | BlockChanged)]
        assert (started.agent, started.text, started.run) == ("", "", run.id)
        assert (written.runs, written.version) == ((run.id,), changed.version)
        assert Lines(pair().names).line(started) == f"{run.id}: opened by a change of the owner's"
        assert [e.status for e in await store.events() if isinstance(e, RunEnded)] == ["complete"]
        await live.wait_idle()  # returns at once


@pytest.mark.parametrize(
    ("team", "wanted"),
    [
        (pair(by=["ann"]), {"value": "new"}),
        (pair(), {"value": "start"}),
        (pair(), {"description": "other"}),
        (pair(when=lambda text: "?" in text), {"value": "new"}),
        (pair(when=lambda text: "?" in text, claim=lambda text, agent: None), {"value": "new."}),
    ],
)
async def test_a_write_that_wakes_nobody_opens_no_run(team, wanted):
    store = MemoryStore()
    async with Orchestrator(team, store, model=FunctionModel(slow)) as live:
        await live.blocks.modify("notes", **wanted)
        with anyio.fail_after(60):
            await live.wait_idle()
        assert await runs(store) == []
        assert await turns(store) == []


@pytest.mark.parametrize("wake", [{}, {"by": ["owner"]}, {"when": lambda text: text == "new"}])
async def test_whoever_asks_for_it_is_woken(wake):
    store = MemoryStore()
    async with Orchestrator(pair(**wake), store, model=FunctionModel(slow)) as live:
        await live.blocks.modify("notes", value="new")
        with anyio.fail_after(60):
            await live.wait_idle()
        assert (await turns(store), await runs(store)) == (["bob"], [("", "complete", "")])


async def test_a_wake_that_fails_opens_a_run_that_tells_of_it():
    store = MemoryStore()
    async with Orchestrator(pair(when=lambda text: 1 // len(text)), store, model=FunctionModel(slow)) as live:
        await live.blocks.modify("notes", value="")
        with anyio.fail_after(60):
            await live.wait_idle()
        (run,) = await store.read(lambda rows: list(rows.runs()))
        assert run.status == "failed"
        assert "when= raised ZeroDivisionError" in str(run.error)


async def test_a_write_that_is_refused_opens_no_run():
    store = MemoryStore()
    async with Orchestrator(pair(), store, model=FunctionModel(slow)) as live:
        log = await store.events()
        for wanted, error in (({"value": "x" * 30_000}, OverLimit), ({"value": "x", "if_version": 5}, OutdatedRewrite)):
            with pytest.raises(error):
                await live.blocks.modify("notes", **wanted)
        assert await store.events() == log
        with anyio.fail_after(60):
            await live.wait_idle()


async def test_an_undo_wakes_as_well():
    store = MemoryStore()
    async with Orchestrator(pair(), store, model=FunctionModel(slow)) as live:
        with anyio.fail_after(60):
            await live.blocks.modify("notes", value="new")
            await live.wait_idle()
            await live.blocks.undo("notes")
            await live.wait_idle()
        assert await turns(store) == ["bob", "bob"]
        assert len(await runs(store)) == 2


async def test_a_write_while_a_run_goes_on_is_seen_by_the_turn_that_is_under_way():
    store = MemoryStore()
    looks: list[str] = []

    async def think(request: ModelRequest) -> ModelResponse | str:
        looks.append(request.blocks["notes"])
        await anyio.sleep(10)
        if request.agent == "bob" and request.step == 0:
            return ModelResponse("", [ToolCall("memory_insert", {"label": "notes", "new_string": "by bob"})])
        return "done"

    live = Orchestrator(pair(), store, model=FunctionModel(think))
    async with live, anyio.create_task_group() as group:
        with anyio.fail_after(60):
            group.start_soon(live.agents.message, "bob", "go")
            await anyio.sleep(5)
            await live.blocks.modify("notes", value="by the owner")
            assert [status for _, status, _ in await runs(store)] == ["running", "running"]
            await live.wait_idle()
        assert looks == ["start", "by the owner\nby bob"]
        assert await turns(store) == ["bob"], "the change was shown, and needs no other turn"
        assert [status for _, status, _ in await runs(store)] == ["complete", "complete"]


async def test_a_run_of_the_owners_is_cancelled_by_its_id():
    store = MemoryStore()
    async with Orchestrator(pair(), store, model=FunctionModel(slow)) as live:
        await live.blocks.modify("notes", value="new")
        await anyio.sleep(1)
        ((record),) = await store.read(lambda rows: list(rows.runs()))
        with anyio.fail_after(60):
            run = await live.cancel(record.id)
            assert (run.status, run.output, [turn.status for turn in run.turns]) == ("cancelled", "", ["cancelled"])
            assert (await live.cancel(record.id)).status == "cancelled"
            await live.wait_idle()
        assert anyio.current_time() == 1


async def test_a_run_whose_agent_is_deleted_and_whose_block_is_gone_comes_to_its_end():
    store = MemoryStore()
    async with Orchestrator(pair(), store, model=FunctionModel(slow), max_concurrency=1) as live:
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(live.run, "go")
                await anyio.sleep(1)
                await live.blocks.modify("notes", value="new")  # bob waits for ann's turn to end
                await live.agents.delete("bob")
            await live.wait_idle()
        assert [status for _, status, _ in await runs(store)] == ["complete", "complete"]
        assert await turns(store) == ["ann"]

    store = MemoryStore()
    async with Orchestrator(pair(), store, model=FunctionModel(slow), max_concurrency=1) as live:
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(live.run, "go")
                await anyio.sleep(1)
                await live.blocks.modify("notes", value="new")
                await live.blocks.delete("notes")
            await live.wait_idle()
        assert await turns(store) == ["ann"]


class Gated(MemoryStore):
    """Holds back what comes after the gate is set, until it is opened."""

    gate: anyio.Event | None = None

    async def transact(self, work):
        gate, self.gate = self.gate, None
        if gate is not None:
            await gate.wait()
        return await super().transact(work)


async def test_what_wakes_an_agent_that_is_just_being_deleted_keeps_no_run_waiting():
    store, gate = Gated(), anyio.Event()
    script: dict[str, list[Any]] = {"ann": [edit("memory_insert", "notes", new_string="x"), Say("done")]}
    live = Orchestrator(pair(), store, model=ScriptedModel(script))
    async with live, anyio.create_task_group() as group:
        with anyio.fail_after(60):
            store.gate = gate
            group.start_soon(live.agents.delete, "bob")
            await anyio.sleep(1)
            group.start_soon(live.run, "go")
            await anyio.sleep(5)
            assert [status for _, status, _ in await runs(store)] == ["running"], "bob may have to answer"
            gate.set()
            await live.wait_idle()
        assert [status for _, status, _ in await runs(store)] == ["complete"]
        assert [agent.name for agent in await live.agents.list()] == ["ann"]


async def test_a_run_that_is_stuck_is_told_when_an_agent_has_been_deleted():
    """Until then it is not known, since somebody might have to answer."""
    store, gate = Gated(), anyio.Event()
    calls = Wake(notes, when=lambda text: "?" in text, claim=lambda text, agent: None)
    team = Team("trio", [*pair(by=["owner"]).members, Agent("eve", blocks=[notes], wakes_on=[calls])])
    script: dict[str, list[Any]] = {"ann": [edit("memory_insert", "notes", new_string="?"), Say("done")]}
    live = Orchestrator(team, store, model=ScriptedModel(script))
    async with live, anyio.create_task_group() as group:
        with anyio.fail_after(60):
            store.gate = gate
            group.start_soon(live.agents.delete, "bob")
            await anyio.sleep(1)
            group.start_soon(live.run, "go")
            await anyio.sleep(5)
            assert [status for _, status, _ in await runs(store)] == ["running"]
            gate.set()
            await live.wait_idle()
        assert [status for _, status, _ in await runs(store)] == ["failed"]


async def test_a_message_and_the_deletion_of_its_agent_cannot_miss_each_other():
    class Slow(MemoryStore):
        async def transact(self, work):
            await anyio.sleep(1)
            return await super().transact(work)

    for first in ("message", "delete"):
        failures: list[str] = []

        async def attempt(work: Any, name: str, failures: list[str] = failures) -> None:
            try:
                await work()
            except (RunError, UnknownName) as error:
                failures.append(f"{name}: {error}")

        live = Orchestrator(pair(), Slow(), model=FunctionModel(slow))
        calls = {"message": partial(live.agents.message, "bob", "go"), "delete": partial(live.agents.delete, "bob")}
        async with live:
            with anyio.fail_after(600):
                async with anyio.create_task_group() as group:
                    group.start_soon(attempt, calls.pop(first), first)
                    await anyio.sleep(0.5)
                    (other,) = calls
                    group.start_soon(attempt, calls[other], other)
                await live.wait_idle()
        (failure,) = failures
        assert failure.startswith({"message": "delete: agent 'bob' has a message", "delete": "message: "}[first]), (
            failure
        )
