"""What every store must pass; for those who write one."""

from __future__ import annotations

from functools import partial

import anyio
import anyio.lowlevel

from orchestrator.errors import StoreError
from orchestrator.events import BlockChanged
from orchestrator.messages import UserMessage
from orchestrator.ports import (
    AgentRecord,
    Effect,
    Reader,
    RunRecord,
    Store,
    Transaction,
)
from orchestrator.testing.rows_contract import RowsContract
from orchestrator.testing.sample_rows import (
    Planned,
    a_turn,
    an_end,
    an_entry,
    everything,
    names,
    opened,
    raises,
    write,
    write_everything,
)


class StoreContract(RowsContract):
    """Subclass it in a test module, with a fixture `store` that gives a new, empty store.

        class TestMyStore(StoreContract):
            @pytest.fixture
            def store(self):
                return MyStore()

    Run it with anyio's pytest plugin (`anyio_mode = "auto"`, or `@pytest.mark.anyio` on the class).
    """

    async def test_a_transaction_that_raises_writes_nothing(self, store: Store) -> None:
        async with opened(store):
            await store.transact(write_everything)
            before = await store.read(everything)

            def fail(tx: Transaction) -> None:
                write(tx, "changed")
                write(tx, "new", "t:other")
                tx.delete_block("t:other")
                tx.put_agent(AgentRecord(name="ann"))
                tx.put_agent(AgentRecord(name="bob"))
                tx.delete_agent("ann")
                tx.put_run(RunRecord(id="run-1", agent="ann", text="changed"))
                tx.put_turn(a_turn().having(status="done"))
                tx.put_turn(a_turn().having(id="turn-2"))
                tx.put_journal("turn-1", 1, an_entry())
                tx.put_effect("other", Effect(text="", ok=True))
                tx.add_message("ann", UserMessage(text="changed"))
                tx.add_event(an_end(tx.next_seq()))
                raise Planned

            with raises(Planned):
                await store.transact(fail)
            assert await store.read(everything) == before
            assert len(await store.events()) == 1

    async def test_reads_in_a_transaction_see_its_writes(self, store: Store) -> None:
        async with opened(store):

            def work(tx: Transaction) -> tuple[object, ...]:
                write_everything(tx)
                return everything(tx)

            assert (await store.transact(work)).result == await store.read(everything)

    async def test_a_commit_tells_its_events(self, store: Store) -> None:
        async with opened(store):

            def work(tx: Transaction) -> str:
                tx.add_event(an_end(tx.next_seq()))
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
        async with opened(store):

            def add(tx: Transaction, line: str) -> None:
                block = tx.block("t:notes")
                write(tx, f"{block.value}{line}\n" if block else f"{line}\n")
                tx.add_event(an_end(tx.next_seq()))

            async def writer(name: int) -> None:
                for number in range(10):
                    await store.transact(partial(add, line=f"{name}.{number}"))
                    await anyio.lowlevel.checkpoint()

            async with anyio.create_task_group() as group:
                for name in range(20):
                    group.start_soon(writer, name)

            block = await store.read(lambda rows: rows.block("t:notes"))
            assert block is not None
            assert sorted(block.value.split()) == sorted(
                f"{name}.{number}" for name in range(20) for number in range(10)
            )
            assert block.version == 200
            revisions = await store.read(lambda rows: list(rows.revisions("t:notes")))
            assert [revision.version for revision in revisions] == list(range(200, 0, -1))
            assert [event.seq for event in await store.events()] == list(range(1, 201))

    async def test_a_transaction_that_raises_among_others_takes_nobody_along(self, store: Store) -> None:
        outcomes: dict[int, str] = {}

        def add(tx: Transaction, number: int) -> None:
            block = tx.block("t:notes")
            write(tx, f"{block.value}{number}\n" if block else f"{number}\n")
            tx.add_event(an_end(tx.next_seq()))
            tx.add_message("ann", UserMessage(text=str(number)))
            tx.put_turn(a_turn().model_copy(update={"id": f"turn-{number}"}))
            if number % 3 == 0:
                raise Planned

        async def writer(number: int) -> None:
            try:
                await store.transact(partial(add, number=number))
                outcomes[number] = "committed"
            except Planned:
                outcomes[number] = "raised"

        async with opened(store):
            async with anyio.create_task_group() as group:
                for number in range(20):
                    group.start_soon(writer, number)

            written = {str(number) for number in range(20) if number % 3}
            assert {str(number) for number, outcome in outcomes.items() if outcome == "committed"} == written
            assert len(outcomes) == 20
            block = await store.read(lambda rows: rows.block("t:notes"))
            assert block is not None
            assert (set(block.value.split()), block.version) == (written, len(written))
            assert len(await store.read(lambda rows: list(rows.revisions("t:notes")))) == len(written)
            assert {message.text for message in await store.read(lambda rows: rows.messages("ann"))} == written
            assert len(await store.read(lambda rows: rows.turns("run-1"))) == len(written)
            assert [event.seq for event in await store.events()] == list(range(1, len(written) + 1))

    async def test_a_deletion_that_is_taken_back_leaves_the_order_of_what_came_at_the_same_time(
        self, store: Store
    ) -> None:
        def create(tx: Transaction) -> None:
            for key in ("t:a", "t:b"):
                write(tx, "x", key)

        def delete(tx: Transaction) -> None:
            tx.delete_block("t:a")
            raise Planned

        async def fail() -> None:
            with raises(Planned):
                await store.transact(delete)

        async with opened(store):
            async with anyio.create_task_group() as group:
                group.start_soon(store.transact, create)
                for _ in range(3):
                    group.start_soon(fail)

            assert await store.read(names) == ["t:a", "t:b"]

    async def test_a_read_sees_whole_transactions_and_all_that_were_acknowledged(self, store: Store) -> None:
        acknowledged = 0

        def add(tx: Transaction) -> None:
            block = tx.block("t:notes")
            value = str(int(block.value) + 1) if block else "1"
            write(tx, value)
            tx.put_run(RunRecord(id=f"run-{value}", agent="ann", text=value))
            tx.add_message("ann", UserMessage(text=value))
            tx.add_event(an_end(tx.next_seq()))

        def look(rows: Reader) -> list[int]:
            block = rows.block("t:notes")
            version = block.version if block else 0
            revisions, messages = list(rows.revisions("t:notes")), rows.messages("ann")
            return [version, len(revisions), len(messages), len(list(rows.runs()))]

        async def writer() -> None:
            nonlocal acknowledged
            for _ in range(10):
                await store.transact(add)
                acknowledged += 1

        async def reader() -> None:
            while acknowledged < 80:
                known = acknowledged
                events = len(await store.events())
                seen = await store.read(look)
                assert len(set(seen)) == 1, f"half of a transaction: {seen}"
                assert known <= events <= seen[0]
                await anyio.lowlevel.checkpoint()

        async with opened(store), anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(writer)
            group.start_soon(reader)

    async def test_a_cancelled_transaction_writes_all_or_nothing(self, store: Store) -> None:
        async with opened(store):

            def work(tx: Transaction) -> None:
                write(tx, "text")
                tx.add_event(an_end(tx.next_seq()))

            with anyio.CancelScope() as scope:
                scope.cancel()
                await store.transact(work)

            block = await store.read(lambda rows: rows.block("t:notes"))
            assert (block is not None) == (len(await store.events()) == 1)
            await store.transact(lambda tx: write(tx, "afterwards", "t:other"))

    async def test_a_store_is_open_for_one_at_a_time(self, store: Store) -> None:
        await store.open()
        with raises(StoreError):
            await store.open()
        await store.transact(write_everything)
        await store.close()
        await store.close()

        await store.open()
        assert await store.read(lambda rows: rows.run("run-1")) is not None
        await store.close()

    async def test_what_was_committed_can_be_read_after_closing(self, store: Store) -> None:
        await store.open()
        await store.transact(write_everything)
        await store.close()

        assert len(await store.events()) == 1
        assert await store.read(lambda rows: rows.run("run-1")) is not None
