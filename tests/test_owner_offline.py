"""What an owner finds in a store, and writes to it, while no team is open."""

from __future__ import annotations

from contextlib import aclosing

import anyio
import anyio.lowlevel
import pytest

from orchestrator import Agent, Block, Guarded, Orchestrator, OverLimit, StoreError, Team, ToolCall, UnknownName
from orchestrator.events import BlockChanged, BlockDeleted, RunEnded, TurnStarted
from orchestrator.feed import chosen, follow_from_outside
from orchestrator.owner.looking import (
    changes_names,
    find_history,
    find_run,
    key_called,
    last_event,
    list_blocks,
    list_runs,
)
from orchestrator.owner.offline import set_text
from orchestrator.ports import ModelRequest, ModelResponse, Transaction
from orchestrator.stores import MemoryStore


class Writer:
    """A model that writes one line and is done."""

    async def respond(self, request: ModelRequest) -> ModelResponse:
        if request.step == 0:
            return ModelResponse("", [ToolCall("memory_insert", {"label": "notes", "new_string": request.agent})])
        return ModelResponse("done")


def guarded(change: object) -> str:
    return "never"


def team(name: str = "pair") -> Team:
    notes = Block("notes", limit=20)
    return Team(name, [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes])])


async def used() -> MemoryStore:
    store = MemoryStore()
    async with Orchestrator(team(), store, model=Writer()) as live:
        await live.run("go")
    return store


async def test_a_text_is_written_as_a_new_version_and_the_store_is_closed_again():
    store = await used()

    written = await set_text(store, "notes", "other")

    assert (written.name, written.changed) == ("notes", True)
    assert (written.state.version, written.state.value, written.state.by) == (3, "other", "owner")
    event = (await store.events())[-1]
    assert isinstance(event, BlockChanged)
    assert (event.operation, event.runs) == ("modify", ())
    assert not (await set_text(store, "pair:notes", "other")).changed
    await store.open()


async def test_a_write_that_is_refused_writes_nothing_and_closes_the_store():
    store = await used()
    before = await store.events()
    strict = Team("pair", [Agent(name, blocks=[block]) for block in [Block("notes", guard=guarded)] for name in "ab"])

    with pytest.raises(OverLimit):
        await set_text(store, "notes", "x" * 21)
    with pytest.raises(Guarded, match="never"):
        await set_text(store, "notes", "x", team=strict)
    with pytest.raises(StoreError, match="holds the team 'pair'"):
        await set_text(store, "notes", "x", team=team("other"))
    with pytest.raises(UnknownName, match="it has: notes"):
        await set_text(store, "note", "x")
    assert await store.events() == before
    async with Orchestrator(team(), store, model=Writer()):
        with pytest.raises(StoreError, match="in use"):
            await set_text(store, "notes", "x")


async def test_a_block_that_nobody_sees_can_be_written_to():
    store = await used()
    async with Orchestrator(team(), store, model=Writer()) as live:
        for agent in ("ann", "bob"):
            await live.agents.blocks.detach(agent, "notes")

    await store.transact(lambda tx: [tx.delete_agent(name) for name in ("ann", "bob")])

    assert (await set_text(store, "notes", "still here")).state.value == "still here"
    assert [dict(block.agents) for block in await store.read(list_blocks)] == [{}]


async def test_the_history_of_a_deleted_block_is_found_by_its_id():
    store = await used()
    async with Orchestrator(team(), store, model=Writer()) as live:
        await live.blocks.delete("notes")

    history = await store.read(lambda rows: find_history(rows, "pair:notes"))
    assert (history.name, [revision.value for revision in history.revisions]) == ("pair:notes", ["", "ann"])
    with pytest.raises(UnknownName, match="it has: none"):
        await store.read(lambda rows: key_called(rows, "notes"))
    assert isinstance((await store.events())[-1], BlockDeleted)
    assert changes_names((await store.events())[-1])


async def test_a_turn_that_works_for_two_runs_is_counted_where_it_is_charged():
    store = await used()
    (listed,) = await store.read(list_runs)
    turn = (await store.read(lambda rows: rows.turns(listed.record.id)))[0]
    both = turn.model_copy(update={"id": "turn-both", "run": "run-other", "runs": ("run-other", listed.record.id)})
    await store.transact(lambda tx: tx.put_turn(both))

    found = await find_run(store, listed.record.id)

    assert [turn.id for turn in found.turns] == [turn.id, "turn-both"]
    assert found.usage == turn.usage
    assert await store.read(list_runs) == [listed]


async def test_the_last_event_is_found_with_a_few_looks():
    class Counting(MemoryStore):
        looks = 0

        async def events(self, after: int = 0, limit: int = 1000):
            self.looks += 1
            return await super().events(after, limit)

    store = Counting()
    for number in range(40):
        assert await last_event(store) == number
        await store.transact(log_end)
    await store.transact(lambda tx: [log_end(tx) for _ in range(5000)])
    store.looks = 0
    assert await last_event(store) == 5040
    assert store.looks < 30


def log_end(tx: Transaction) -> None:
    tx.add_event(RunEnded(seq=tx.next_seq(), at=0, run="run-1", status="complete", output="", error=None))


async def test_a_log_is_followed_from_outside_while_it_grows():
    store = MemoryStore()
    await store.transact(lambda tx: [log_end(tx) for _ in range(1200)])
    assert [event.seq async for event in follow_from_outside(store, 3, wait=False)] == list(range(4, 1201))
    seen: list[int] = []

    async def follow() -> None:
        async with aclosing(follow_from_outside(store, 1199)) as events:
            async for event in events:
                seen.append(event.seq)
                if event.seq == 1201:
                    return

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            while not seen:
                await anyio.lowlevel.checkpoint()
            await store.transact(log_end)
    assert seen == [1200, 1201]


def test_events_are_chosen_by_block_and_by_run():
    change = BlockChanged(
        seq=1,
        at=0,
        key="t:notes",
        label="notes",
        version=2,
        value="",
        limit=1,
        operation="insert",
        by="ann",
        turn=None,
        runs=("run-1", "run-2"),
    )
    turn = TurnStarted(seq=2, at=0, turn="turn-1", run="run-1", runs=("run-1",), agent="ann", attempt=1, causes=())

    assert chosen(None, None)(turn)
    assert chosen("t:notes", "run-2")(change)
    assert not chosen("t:other", None)(change)
    assert not chosen("t:notes", None)(turn)
    assert not chosen(None, "run-2")(turn)
