"""What every store must pass; for those who write one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel

from orchestrator.blocks import BlockState, Grant, Revision
from orchestrator.errors import StoreError
from orchestrator.events import BlockChanged, Cause, RunEnded
from orchestrator.messages import AssistantMessage, Message, ToolCall, ToolMessage, Usage, UserMessage
from orchestrator.ports import (
    AgentRecord,
    Attached,
    Effect,
    JournalEntry,
    ModelResponse,
    Reader,
    RunRecord,
    Store,
    Transaction,
    TurnRecord,
)


class _Planned(Exception):
    """Raised inside a transaction to see that nothing of it stays."""


class StoreContract:
    """Subclass it in a test module, with a fixture `store` that gives a new, empty store.

        class TestMyStore(StoreContract):
            @pytest.fixture
            def store(self):
                return MyStore()

    Run it with anyio's pytest plugin (`anyio_mode = "auto"`, or `@pytest.mark.anyio` on the class).
    """

    async def test_a_block_and_its_history_come_back_as_written(self, store: Store) -> None:
        await store.transact(lambda tx: _write(tx, "first"))
        await store.transact(lambda tx: _write(tx, "second"))

        block = await store.read(lambda rows: rows.block("t:notes"))
        assert block == _block("second", 2)
        revisions = await store.read(lambda rows: list(rows.revisions("t:notes")))
        assert [(revision.version, revision.value) for revision in revisions] == [(2, "second"), (1, "first")]
        assert [r.version for r in await store.read(lambda rows: list(rows.revisions("t:notes", after=1)))] == [2]

    async def test_what_is_not_there_is_none_or_empty(self, store: Store) -> None:
        def look(rows: Transaction) -> list[object]:
            return [
                rows.block("no"),
                rows.agent("no"),
                rows.run("no"),
                rows.turn("no"),
                rows.journal("no", 0),
                rows.effect("no"),
                *rows.blocks(),
                *rows.agents(),
                *rows.runs(),
                *rows.revisions("no"),
                *rows.turns("no"),
                *rows.messages("no"),
            ]

        assert (await store.transact(look)).result == [None] * 6
        assert await store.events() == []

    async def test_blocks_are_listed_in_the_order_of_their_creation(self, store: Store) -> None:
        for key in ("t:b", "t:c", "t:a"):
            await store.transact(partial(_write, value="x", key=key))
        await store.transact(lambda tx: _write(tx, "y", "t:b"))

        assert await store.read(lambda rows: [block.key for block in rows.blocks()]) == ["t:b", "t:c", "t:a"]

    async def test_attributes_of_a_block_change_without_a_new_version(self, store: Store) -> None:
        await store.transact(lambda tx: _write(tx, "text"))
        changed = _block("text", 1).having(limit=7)
        await store.transact(lambda tx: tx.put_block(changed))

        assert await store.read(lambda rows: rows.block("t:notes")) == changed
        assert len(await store.read(lambda rows: list(rows.revisions("t:notes")))) == 1

    async def test_a_version_cannot_be_skipped_or_written_twice(self, store: Store) -> None:
        await store.transact(lambda tx: _write(tx, "first"))
        for version in (1, 3):
            with _raises(StoreError):
                await store.transact(partial(_write_version, version=version))

        assert await store.read(lambda rows: rows.block("t:notes")) == _block("first", 1)

    async def test_a_deleted_block_is_gone_and_its_history_goes_on(self, store: Store) -> None:
        await store.transact(lambda tx: _write(tx, "first"))
        await store.transact(lambda tx: _write(tx, "other", "t:other"))

        def delete(tx: Transaction) -> tuple[object, ...]:
            tx.delete_block("t:notes")
            tx.delete_block("t:never")
            return tx.block("t:notes"), [block.key for block in tx.blocks()]

        assert (await store.transact(delete)).result == (None, ["t:other"])
        assert await store.read(lambda rows: rows.block("t:notes")) is None
        assert [r.value for r in await store.read(lambda rows: list(rows.revisions("t:notes")))] == ["first"]

        await store.transact(lambda tx: _write_version(tx, 2))
        assert await store.read(lambda rows: [block.key for block in rows.blocks()]) == ["t:other", "t:notes"]
        assert [r.version for r in await store.read(lambda rows: list(rows.revisions("t:notes")))] == [2, 1]

    async def test_agents_and_runs_are_listed_in_the_order_in_which_they_came(self, store: Store) -> None:
        def write(tx: Transaction) -> tuple[list[str], list[str]]:
            for name in ("bob", "ann", "cid"):
                tx.put_agent(AgentRecord(name=name))
                tx.put_run(RunRecord(id=f"run-{name}", agent=name, text="", at=1.5, max_turns=7, max_usd=0.5))
            tx.put_agent(AgentRecord(name="bob", detached=("t:notes",)))
            tx.put_run(RunRecord(id="run-bob", agent="bob", text="", status="complete"))
            tx.add_message("ann", UserMessage(text="hello"))
            tx.delete_agent("ann")
            tx.delete_agent("nobody")
            return [agent.name for agent in tx.agents()], [run.id for run in tx.runs()]

        names, runs = ["bob", "cid"], ["run-bob", "run-ann", "run-cid"]
        assert (await store.transact(write)).result == (names, runs)
        assert await store.read(lambda rows: [agent.name for agent in rows.agents()]) == names
        assert await store.read(lambda rows: rows.agent("ann")) is None
        assert await store.read(lambda rows: list(rows.messages("ann"))) == []
        assert await store.read(lambda rows: [run.id for run in rows.runs()]) == runs
        assert await store.read(lambda rows: [run.id for run in rows.runs("running")]) == ["run-ann", "run-cid"]
        assert await store.read(lambda rows: [run.id for run in rows.runs("complete")]) == ["run-bob"]
        assert await store.read(lambda rows: rows.run("run-cid")) == RunRecord(
            id="run-cid", agent="cid", text="", at=1.5, max_turns=7, max_usd=0.5
        )

    async def test_a_transaction_that_raises_writes_nothing(self, store: Store) -> None:
        await store.transact(_write_everything)
        before = await store.read(_everything)

        def fail(tx: Transaction) -> None:
            _write(tx, "changed")
            _write(tx, "new", "t:other")
            tx.delete_block("t:other")
            tx.put_agent(AgentRecord(name="ann"))
            tx.put_agent(AgentRecord(name="bob"))
            tx.delete_agent("ann")
            tx.put_run(RunRecord(id="run-1", agent="ann", text="changed"))
            tx.put_turn(_turn().having(status="done"))
            tx.put_turn(_turn().having(id="turn-2"))
            tx.put_journal("turn-1", 1, _entry())
            tx.put_effect("other", Effect(text="", ok=True))
            tx.add_message("ann", UserMessage(text="changed"))
            tx.add_event(_ended(tx.next_seq()))
            raise _Planned

        with _raises(_Planned):
            await store.transact(fail)
        assert await store.read(_everything) == before
        assert len(await store.events()) == 1

    async def test_reads_in_a_transaction_see_its_writes(self, store: Store) -> None:
        def work(tx: Transaction) -> tuple[object, ...]:
            _write_everything(tx)
            return _everything(tx)

        assert (await store.transact(work)).result == await store.read(_everything)

    async def test_rows_come_back_as_written(self, store: Store) -> None:
        await store.transact(_write_everything)

        agent, run, turn, turns, messages, journal, effect = (await store.read(_everything))[1:]
        assert agent == AgentRecord(name="ann", attached=(Attached("notes", "t:notes", Grant.INSERT),))
        assert run == RunRecord(id="run-1", agent="ann", text="hello")
        assert turn == _turn()
        assert turns == [_turn()]
        assert messages == _messages()
        assert journal == _entry()
        assert effect == Effect(text="Done.", ok=True)

    async def test_a_turn_is_listed_with_every_run_it_works_for(self, store: Store) -> None:
        await store.transact(lambda tx: tx.put_turn(_turn().having(runs=("run-1", "run-2"))))
        await store.transact(lambda tx: tx.put_turn(_turn().having(id="turn-2")))
        ended = _turn().having(runs=("run-1", "run-2"), status="done")
        await store.transact(lambda tx: tx.put_turn(ended))

        first = await store.read(lambda rows: [turn.id for turn in rows.turns("run-1")])
        second = await store.read(lambda rows: list(rows.turns("run-2")))
        assert first == ["turn-1", "turn-2"]
        assert second == [ended]

    async def test_an_answer_is_journalled_once(self, store: Store) -> None:
        await store.transact(lambda tx: tx.put_journal("turn-1", 0, _entry()))
        with _raises(StoreError):
            await store.transact(
                lambda tx: tx.put_journal("turn-1", 0, JournalEntry(response=ModelResponse("other"), shown={}))
            )

        assert await store.read(lambda rows: rows.journal("turn-1", 0)) == _entry()
        assert await store.read(lambda rows: rows.journal("turn-1", 1)) is None

    async def test_an_effect_happens_once(self, store: Store) -> None:
        await store.transact(lambda tx: tx.put_effect("run/turn/0/0", Effect(text="first", ok=True)))
        with _raises(StoreError):
            await store.transact(lambda tx: tx.put_effect("run/turn/0/0", Effect(text="second", ok=True)))

        assert await store.read(lambda rows: rows.effect("run/turn/0/0")) == Effect(text="first", ok=True)

    async def test_the_log_has_no_gaps(self, store: Store) -> None:
        for _ in range(5):
            await store.transact(lambda tx: tx.add_event(_ended(tx.next_seq())))
        for seq in (5, 7):
            with _raises(StoreError):
                await store.transact(partial(_log_end, seq=seq))

        assert [event.seq for event in await store.events()] == [1, 2, 3, 4, 5]
        assert [event.seq for event in await store.events(after=2)] == [3, 4, 5]
        assert [event.seq for event in await store.events(after=2, limit=2)] == [3, 4]
        assert await store.events(after=5) == []

    async def test_a_commit_tells_its_events(self, store: Store) -> None:
        def work(tx: Transaction) -> str:
            tx.add_event(_ended(tx.next_seq()))
            tx.add_event(
                BlockChanged(
                    seq=tx.next_seq(),
                    at=2.5,
                    key="t:notes",
                    label="notes",
                    version=2,
                    value="ünï 𝄞",
                    limit=10,
                    operation="insert",
                    by="ann",
                    turn=None,
                    runs=("run-1",),
                )
            )
            return "result"

        committed = await store.transact(work)
        assert committed.result == "result"
        assert list(committed.events) == await store.events()
        assert [event.type for event in committed.events] == ["run_ended", "block_changed"]

    async def test_concurrent_transactions_do_not_lose_each_others_writes(self, store: Store) -> None:
        def add(tx: Transaction, line: str) -> None:
            block = tx.block("t:notes")
            _write(tx, f"{block.value}{line}\n" if block else f"{line}\n")
            tx.add_event(_ended(tx.next_seq()))

        async def writer(name: int) -> None:
            for number in range(10):
                await store.transact(partial(add, line=f"{name}.{number}"))
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            for name in range(20):
                group.start_soon(writer, name)

        block = await store.read(lambda rows: rows.block("t:notes"))
        assert block is not None
        assert sorted(block.value.split()) == sorted(f"{name}.{number}" for name in range(20) for number in range(10))
        assert block.version == 200
        revisions = await store.read(lambda rows: list(rows.revisions("t:notes")))
        assert [revision.version for revision in revisions] == list(range(200, 0, -1))
        assert [event.seq for event in await store.events()] == list(range(1, 201))

    async def test_a_cancelled_transaction_writes_all_or_nothing(self, store: Store) -> None:
        def work(tx: Transaction) -> None:
            _write(tx, "text")
            tx.add_event(_ended(tx.next_seq()))

        with anyio.CancelScope() as scope:
            scope.cancel()
            await store.transact(work)

        block = await store.read(lambda rows: rows.block("t:notes"))
        assert (block is not None) == (len(await store.events()) == 1)
        await store.transact(lambda tx: _write(tx, "afterwards", "t:other"))

    async def test_a_store_is_open_for_one_at_a_time(self, store: Store) -> None:
        await store.open()
        with _raises(StoreError):
            await store.open()
        await store.transact(_write_everything)
        await store.close()
        await store.close()

        await store.open()
        assert await store.read(lambda rows: rows.run("run-1")) is not None
        await store.close()

    async def test_what_was_committed_can_be_read_after_closing(self, store: Store) -> None:
        await store.open()
        await store.transact(_write_everything)
        await store.close()

        assert len(await store.events()) == 1
        assert await store.read(lambda rows: rows.run("run-1")) is not None


@contextmanager
def _raises(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")


def _block(value: str, version: int, key: str = "t:notes") -> BlockState:
    return BlockState(
        key=key, label="notes", value=value, limit=10_000, version=version, tags=("a", "b"), metadata={"n": [1, None]}
    )


def _revision(value: str, version: int) -> Revision:
    return Revision(version=version, value=value, operation="insert", by="ann", turn="turn-1", at=1.5)


def _write(tx: Transaction, value: str, key: str = "t:notes") -> None:
    block = tx.block(key)
    version = block.version + 1 if block else 1
    tx.put_block(_block(value, version, key), _revision(value, version))


def _write_version(tx: Transaction, version: int) -> None:
    tx.put_block(_block("x", version), _revision("x", version))


def _log_end(tx: Transaction, seq: int) -> None:
    tx.add_event(_ended(seq))


def _turn() -> TurnRecord:
    cause = Cause(kind="change", key="t:notes", label="notes", version=3, by="bob", wake=0)
    return TurnRecord(id="turn-1", run="run-1", runs=("run-1",), agent="ann", causes=(cause,), usage=Usage(cost=0.25))


def _entry() -> JournalEntry:
    calls = (ToolCall("lookup", {"city": "Zürich"}, "c1"), ToolCall("raw", '{"half', "c2"))
    return JournalEntry(response=ModelResponse("text", calls), shown={"t:notes": 3})


def _messages() -> list[Message]:
    return [
        UserMessage(text="hello"),
        AssistantMessage(text="", tool_calls=_entry().response.tool_calls),
        ToolMessage(call="c1", name="lookup", text="sunny", ok=False),
    ]


def _ended(seq: int) -> RunEnded:
    return RunEnded(seq=seq, at=1.5, run="run-1", status="complete", output="", error=None)


def _write_everything(tx: Transaction) -> None:
    _write(tx, "text")
    tx.put_agent(AgentRecord(name="ann", attached=(Attached("notes", "t:notes", Grant.INSERT),)))
    tx.put_run(RunRecord(id="run-1", agent="ann", text="hello"))
    tx.put_turn(_turn())
    for message in _messages():
        tx.add_message("ann", message)
    tx.put_journal("turn-1", 0, _entry())
    tx.put_effect("run-1/turn-1/0/0", Effect(text="Done.", ok=True))
    tx.add_event(_ended(tx.next_seq()))


def _everything(rows: Reader) -> tuple[Any, ...]:
    return (
        [list(rows.blocks()), list(rows.agents()), list(rows.runs())],
        rows.agent("ann"),
        rows.run("run-1"),
        rows.turn("turn-1"),
        list(rows.turns("run-1")),
        list(rows.messages("ann")),
        rows.journal("turn-1", 0),
        rows.effect("run-1/turn-1/0/0"),
    )
