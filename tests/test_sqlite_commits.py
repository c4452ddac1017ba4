"""How a SQLite store commits: many at once, all or nothing, and what is seen and told meanwhile."""

# ruff: noqa: ASYNC240 -- a look at a file is what is asserted, and nobody else is on the event loop

from __future__ import annotations

import asyncio
import gc
import resource
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from orchestrator import Environment
from orchestrator.errors import StoreError
from orchestrator.messages import UserMessage
from orchestrator.ports import AgentRecord, Reader, RunRecord, Transaction
from orchestrator.stores import SQLiteStore, sqlite_writer
from orchestrator.testing.sample_rows import a_turn, an_end, everything, write, write_everything


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "team.db"


class Watched(Environment):
    """Runs what blocks inline, and lets a test wait before or after it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.before: anyio.Event | None = None
        self.after: anyio.Event | None = None
        self.is_waiting = anyio.Event()

    async def run_blocking(self, function: Callable[[], Any]) -> Any:
        self.calls += 1
        if self.before is not None:
            self.is_waiting.set()
            await self.before.wait()
        result = function()
        if self.after is not None:
            self.is_waiting.set()
            await self.after.wait()
        return result


@asynccontextmanager
async def opened(path: Path, environment: Environment | None = None) -> AsyncIterator[SQLiteStore]:
    store = SQLiteStore(path)
    with anyio.fail_after(20):
        await store.open(environment)
        try:
            yield store
        finally:
            await store.close()


def add(tx: Transaction, text: str = "x") -> None:
    tx.add_message("ann", UserMessage(text=text))
    tx.add_event(an_end(tx.next_seq()))


async def texts(store: SQLiteStore) -> list[str]:
    found = [message.text for message in await store.read(lambda rows: rows.messages("ann"))]
    assert [event.seq for event in await store.events()] == list(range(1, len(found) + 1))
    return found


# --- together


async def test_transactions_that_come_together_are_one_commit(path: Path):
    environment = Watched()
    async with opened(path, environment) as store:
        environment.calls = 0
        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(store.transact, partial(add, text=str(number)))

        assert environment.calls == 1
        assert sorted(map(int, await texts(store))) == list(range(50))


async def test_a_crowd_is_committed_in_parts_so_that_others_get_their_turn(path: Path):
    environment, told = Watched(), []

    async def transact(number: int) -> None:
        await store.transact(partial(add, text=str(number)))
        told.append(number)

    async with opened(path, environment) as store:
        environment.calls = 0
        async with anyio.create_task_group() as group:
            for number in range(1200):
                group.start_soon(transact, number)

        assert environment.calls == 3
        assert sorted(told) == list(range(1200))
        found = await store.read(lambda rows: rows.messages("ann"))
        assert sorted(int(message.text) for message in found) == list(range(1200))


async def test_those_who_come_during_a_commit_share_the_next_one(path: Path):
    environment = Watched()
    async with opened(path, environment) as store:
        environment.calls, environment.before = 0, anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(store.transact, add)
            await environment.is_waiting.wait()
            for number in range(10):
                group.start_soon(store.transact, partial(add, text=str(number)))
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            environment.before.set()

        assert environment.calls == 2
        assert len(await texts(store)) == 11


async def test_a_transaction_that_writes_nothing_waits_for_no_disk(path: Path):
    environment = Watched()
    async with opened(path, environment) as store:
        environment.calls = 0
        assert (await store.transact(lambda tx: tx.next_seq())).result == 1
        assert environment.calls == 0


async def test_many_small_commits_leave_a_log_that_does_not_grow(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite_writer, "_CHECKPOINT_ROWS", 1000)
    log = Path(f"{path}-wal")
    async with opened(path) as store:
        sizes = []
        for _ in range(300):
            await store.transact(lambda tx: add(tx, "x" * 1000))
            sizes.append(log.stat().st_size)

        assert max(sizes[100:]) == max(sizes[:100]) == sizes[-1]
        assert path.stat().st_size > 300 * 1000


async def test_a_log_that_cannot_be_copied_is_copied_later(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite_writer, "_CHECKPOINT_ROWS", 1)

    class Refusing(Environment):
        async def run_blocking(self, function: Callable[[], Any]) -> Any:
            if "wal_checkpoint" in repr(getattr(function, "_function", "")):
                raise sqlite3.OperationalError("disk I/O error")
            return function()

    async with opened(path, Refusing()) as store:
        await store.transact(add)
        await store.transact(add)
        assert len(await texts(store)) == 2


# --- seen


def look(rows: Reader) -> list[object]:
    return [everything(rows), [run.id for run in rows.runs("running")], [r.version for r in rows.revisions("t:notes")]]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("is_hot", [True, False])
async def test_nobody_sees_half_of_a_commit_that_is_under_way(path: Path, moment: str, is_hot: bool):
    """Also when SQLite has committed and the store has not heard of it, and whether rows are at hand or in the file."""
    environment = Watched()
    async with opened(path, environment) as store, anyio.create_task_group() as group:
        await store.transact(write_everything)
        if not is_hot:
            store._writer._recent.clear()  # type: ignore[union-attr]
        expected = await store.read(look) if is_hot else None

        def change(tx: Transaction) -> None:
            write(tx, "changed")
            tx.put_agent(AgentRecord(name="bob"))
            tx.put_run(RunRecord(id="run-1", agent="ann", text="hello", status="complete"))
            tx.put_run(RunRecord(id="run-2", agent="ann", text=""))
            tx.put_turn(a_turn().model_copy(update={"id": "turn-2"}))
            add(tx, "more")

        gate = anyio.Event()
        setattr(environment, moment, gate)
        group.start_soon(store.transact, change)
        await environment.is_waiting.wait()
        try:
            during, events = await store.read(look), await store.events()
            assert (await store.read(look), await store.events()) == (during, events)
            assert expected in (None, during)
            assert (during[1:], len(events)) == ([["run-1"], [1]], 1)
            assert len(await store.read(lambda rows: rows.messages("ann"))) == 3
        finally:
            setattr(environment, moment, None)
            gate.set()

        await store.transact(lambda tx: None)
        after = await store.read(look)
        assert after[1:] == [["run-2"], [2, 1]]
        assert len(await store.read(lambda rows: rows.messages("ann"))) == 4
        assert len(await store.events()) == 2
        store._writer._recent.clear()  # type: ignore[union-attr]
        assert await store.read(look) == after, "what is at hand is what is in the file"


async def test_what_a_foreign_program_wrote_is_seen_by_the_next_transaction(path: Path):
    async with opened(path) as store:
        await store.transact(write_everything)
        with sqlite3.connect(path) as other:
            other.execute("UPDATE runs SET body = replace(body, 'hello', 'changed')")
            other.execute("DELETE FROM events")
        other.close()

        def work(tx: Transaction) -> tuple[object, int]:
            run = tx.run("run-1")
            return run and run.text, tx.next_seq()

        assert (await store.transact(work)).result == ("changed", 1)


async def test_what_was_not_asked_for_longest_is_forgotten_and_read_again(path: Path):
    async with opened(path) as store:
        recent = store._writer._recent  # type: ignore[union-attr]
        recent._rows._most = 3
        recent.said._most = 2
        for number in range(6):
            await store.transact(partial(_write_about, number=number))
            for seen in range(number + 1):
                found = await store.read(partial(_read_about, number=seen))
                assert found == ("twice", "twice", ["one", "two"])
        assert len(recent._rows._kept) == 3
        assert len(recent.said._kept) == 2


def _write_about(tx: Transaction, number: int) -> None:
    name = f"name-{number}"
    for text in ("once", "twice"):
        tx.put_run(RunRecord(id=name, agent=name, text=text))
        write(tx, text, name)
    for text in ("one", "two"):
        tx.add_message(name, UserMessage(text=text))


def _read_about(rows: Reader, number: int) -> tuple[object, ...]:
    name = f"name-{number}"
    run, block = rows.run(name), rows.block(name)
    assert run is not None
    assert block is not None
    return run.text, block.value, [message.text for message in rows.messages(name)]


async def test_messages_that_were_read_stay_as_they_were_read(path: Path):
    async with opened(path) as store:
        await store.transact(add)
        before = await store.read(lambda rows: rows.messages("ann"))
        await store.transact(add)
        assert (len(before), len(await store.read(lambda rows: rows.messages("ann")))) == (1, 2)


# --- what goes wrong


@contextmanager
def full_disk(store: SQLiteStore, path: Path, how: str) -> Iterator[None]:
    connection = store._writer._connection  # type: ignore[union-attr]
    if how == "pages":
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        yield
        connection.execute("PRAGMA max_page_count = 1000000")
    else:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (Path(f"{path}-wal").stat().st_size + 10_000, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize(("how", "words"), [("pages", "full"), ("bytes", r"disk I/O error|full")])
async def test_a_full_disk_is_told_to_everybody_and_the_store_goes_on_when_there_is_space(
    path: Path, how: str, words: str
):
    refusals: list[StoreError] = []

    async def write_much(store: SQLiteStore) -> None:
        try:
            await store.transact(lambda tx: add(tx, "x" * 100_000))
        except StoreError as error:
            refusals.append(error)

    async with opened(path) as store:
        await store.transact(write_everything)
        before = await store.read(look)
        with full_disk(store, path, how):
            for _ in range(2):
                async with anyio.create_task_group() as group:
                    for _ in range(4):
                        group.start_soon(write_much, store)
                assert await store.read(look) == before
                assert len(await store.events()) == 1

        assert len(refusals) == 8 == len({id(error) for error in refusals})
        for error in refusals:
            assert isinstance(error.__cause__, sqlite3.Error)
            with pytest.raises(StoreError, match=words):
                raise error
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(store.transact, lambda tx: add(tx, "x" * 100_000))
        assert len(await store.events()) == 5
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()


class Failing(Watched):
    """Its disk fails when it is told to, before or after the commit has happened."""

    failure: BaseException | None = None
    when = "before"

    async def run_blocking(self, function: Callable[[], Any]) -> Any:
        await anyio.lowlevel.checkpoint()
        if self.failure is not None and self.when == "before":
            raise self.failure
        result = await super().run_blocking(function)
        if self.failure is not None:
            raise self.failure
        return result


async def test_a_commit_that_fails_is_told_to_each_and_those_who_raised_are_told_that(path: Path):
    environment, told = Failing(), []

    async def write_or(number: int) -> None:
        def work(tx: Transaction) -> None:
            add(tx)
            if number == 1:
                raise ValueError("mine")

        with pytest.raises((StoreError, ValueError)) as refusal:
            await store.transact(work)
        told.append(refusal.value)

    async with opened(path, environment) as store:
        environment.failure = sqlite3.OperationalError("disk I/O error")
        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(write_or, number)
        environment.failure = None

        assert sorted(str(error) for error in told) == [*3 * [f"{str(path)!r}: disk I/O error"], "mine"]
        assert await texts(store) == []
        await store.transact(add)
        assert await texts(store) == ["x"]


async def test_whatever_a_transaction_raises_goes_to_who_asked_for_it_and_to_nobody_else(path: Path):
    caught: list[type[BaseException]] = []

    async def run(kind: type[BaseException] | None) -> None:
        def work(tx: Transaction) -> None:
            add(tx)
            if kind is not None:
                raise kind

        try:
            await store.transact(work)
        except BaseException as error:
            caught.append(type(error))

    async with opened(path) as store:
        async with anyio.create_task_group() as group:
            for kind in (KeyboardInterrupt, None, SystemExit, None, ZeroDivisionError):
                group.start_soon(run, kind)

        assert sorted(kind.__name__ for kind in caught) == ["KeyboardInterrupt", "SystemExit", "ZeroDivisionError"]
        assert await texts(store) == ["x", "x"]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_interrupts_a_commit_ends_its_leader_only(path: Path, when: str):
    environment, told = Failing(), []

    async def transact(number: int) -> None:
        try:
            await store.transact(partial(add, text=str(number)))
            told.append(str(number))
        except KeyboardInterrupt:
            environment.failure = None

    async with opened(path, environment) as store:
        environment.failure, environment.when = KeyboardInterrupt(), when
        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(transact, number)

        assert len(told) == 2
        written = await texts(store)
        assert set(told) <= set(written)
        assert len(written) == (3 if when == "after" else 2)
        await store.transact(add)


async def test_a_commit_that_was_given_up_is_not_made_later(path: Path):
    """A thread that comes too late, when somebody else's transaction is open, does nothing."""

    class Late(Environment):
        is_late = False
        late: list[Callable[[], Any]]

        async def run_blocking(self, function: Callable[[], Any]) -> Any:
            if self.is_late:
                self.is_late = False
                self.late = [function]
                raise KeyboardInterrupt
            while getattr(self, "late", None):
                self.late.pop()()
            return function()

    environment = Late()
    async with opened(path, environment) as store:
        environment.is_late = True
        with pytest.raises(KeyboardInterrupt):
            await store.transact(partial(add, text="given up"))
        await store.transact(partial(add, text="kept"))
        assert environment.late == []
        assert await texts(store) == ["kept"]


async def test_a_reader_that_stays_long_hinders_nobody(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite_writer, "_CHECKPOINT_ROWS", 100)
    async with opened(path) as store:
        await store.transact(add)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM events").fetchone() == (1,)
        for _ in range(50):
            await store.transact(add)
        assert other.execute("SELECT count(*) FROM events").fetchone() == (1,)
        other.rollback()
        assert other.execute("SELECT count(*) FROM events").fetchone() == (51,)
        other.close()
        assert len(await texts(store)) == 51


# --- locked by a foreign program


class Patient(Environment):
    """Lets the foreign program go before, or counts how often is waited for it."""

    def __init__(self, other: sqlite3.Connection | None) -> None:
        super().__init__()
        self.other = other
        self.threads: list[bool] = []

    async def run_blocking(self, function: Callable[[], Any]) -> Any:
        def observed() -> Any:
            self.threads.append(threading.current_thread() is threading.main_thread())
            return function()

        if self.other is not None and self.other.in_transaction:
            self.other.rollback()
        return await super().run_blocking(observed)


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield other
    finally:
        other.close()


async def test_a_file_that_is_locked_by_another_program_is_waited_for_in_a_thread(path: Path):
    environment = Patient(None)
    async with opened(path, environment) as store:
        environment.threads.clear()
        with locked(path) as environment.other:
            await store.transact(add)
            environment.other = None
        assert environment.threads == [False, False], "to begin, and to commit"
        assert await texts(store) == ["x"]


async def test_a_file_that_stays_locked_is_told_to_everybody_and_is_written_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sqlite_writer, "PATIENCE_SECONDS", 0.05)
    told: list[str] = []

    async def transact() -> None:
        with pytest.raises(StoreError, match="is locked by another program; try again") as refusal:
            await store.transact(add)
        told.append(type(refusal.value.__cause__).__name__)

    async with opened(path) as store:
        with locked(path):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(transact)
            assert told == ["OperationalError"] * 3
            assert await texts(store) == []
        await store.transact(add)
        assert await texts(store) == ["x"]


async def test_a_file_that_is_locked_while_it_is_opened_is_told(path: Path, monkeypatch: pytest.MonkeyPatch):
    async with opened(path):
        pass
    monkeypatch.setattr("orchestrator.stores.sqlite_file.PATIENCE_SECONDS", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA journal_mode = DELETE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="is locked by another program"):
        await SQLiteStore(path).open()
    other.close()
    async with opened(path) as store:
        await store.transact(add)


# --- cancelled


@pytest.mark.parametrize("moment", range(14))
async def test_cancelled_at_any_moment_it_is_written_and_told_or_neither(path: Path, moment: int):
    """Three at once, the one that leads and those that follow; each is cancelled after so many steps of the loop."""

    class Slow(Environment):
        async def run_blocking(self, function: Callable[[], Any]) -> Any:
            await anyio.lowlevel.checkpoint()
            result = function()
            await anyio.lowlevel.checkpoint()
            return result

    told: list[str] = []

    async def transact(text: str, scope: anyio.CancelScope) -> None:
        with scope:
            await store.transact(partial(add, text=text))
            told.append(text)

    async with opened(path, Slow()) as store:
        for victim in range(3):
            scopes = [anyio.CancelScope() for _ in range(3)]
            async with anyio.create_task_group() as group:
                for number, scope in enumerate(scopes):
                    group.start_soon(transact, f"{victim}.{number}", scope)
                for _ in range(moment):
                    await anyio.lowlevel.checkpoint()
                scopes[victim].cancel()
            assert sorted(await texts(store)) == sorted(told)
            assert len(told) >= 2 * (victim + 1)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("moment", range(12))
async def test_a_task_that_asyncio_cancels_takes_nobody_along(path: Path, moment: int):
    """asyncio's own way to cancel a task knows no shield: its outcome may be lost, but nobody else's."""

    class Slow(Environment):
        async def run_blocking(self, function: Callable[[], Any]) -> Any:
            await anyio.lowlevel.checkpoint()
            return await super().run_blocking(function)

    told: list[str] = []

    async def transact(text: str) -> None:
        await store.transact(partial(add, text=text))
        told.append(text)

    async with opened(path, Slow()) as store:
        for victim in range(5):
            first = [asyncio.create_task(transact(f"{victim}.{number}")) for number in range(3)]
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            tasks = first + [asyncio.create_task(transact(f"{victim}.{number}")) for number in range(3, 5)]
            for _ in range(moment):
                await anyio.lowlevel.checkpoint()
            tasks[victim].cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert [outcome for number, outcome in enumerate(outcomes) if number != victim] == [None] * 4
            assert set(told) <= set(await texts(store))
        await store.transact(add)
    gc.collect()


async def test_closing_waits_for_the_commit_that_is_under_way(path: Path):
    environment = Watched()
    store = SQLiteStore(path)
    await store.open(environment)
    environment.before = anyio.Event()
    order: list[str] = []

    async def transact() -> None:
        await store.transact(add)
        order.append("committed")

    async def close() -> None:
        await store.close()
        order.append("closed")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(transact)
            await environment.is_waiting.wait()
            group.start_soon(close)
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            with pytest.raises(StoreError, match="is not open to write"):
                await store.transact(add)
            environment.before.set()
    assert order == ["committed", "closed"]
    assert await texts(store) == ["x"]
    await store.close()


async def test_a_cancelled_opening_leaves_the_file_to_others(path: Path):
    store = SQLiteStore(path)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.open()
    async with opened(path):
        pass
