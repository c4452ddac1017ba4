"""Bugs that are planted in the stores, each for as long as a test looks for it; and the list of all planted bugs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from orchestrator.changes import Changes
from orchestrator.ports import Committed
from orchestrator.stores import MemoryStore
from orchestrator.stores.memory import _Rows
from orchestrator.stores.sqlite_batch import Batch
from orchestrator.stores.sqlite_rows import BatchRows
from orchestrator.stores.sqlite_writer import Writer

#: All of them, by name.
MUTANTS: dict[str, Callable[[], Any]] = {}

_Planting = Callable[[], Iterator[None]]


def planted(mutant: _Planting) -> _Planting:
    """Put a mutant among the others, as a context manager."""
    MUTANTS[mutant.__name__] = contextmanager(mutant)
    return mutant


@planted
def block_and_history_in_two_commits() -> Iterator[None]:
    """A block is committed, and the history row of its version after that: who is cut off in between leaves none."""

    def put_block(self: Any, block: Any, revision: Any = None) -> None:
        if revision is not None:
            self.later.append((block.key, revision))
        self._put(self.heads, block.key, block)

    async def transact(self: Any, work: Any) -> Any:
        await self._environment.pause()
        rows = self._rows
        logged, rows.later = len(rows.log), []
        try:
            result = work(rows)
        except BaseException:
            rows.roll_back()
            raise
        rows.undo.clear()
        later, committed = rows.later, Committed(result, tuple(rows.log[logged:]))
        await self._environment.pause()
        for key, revision in later:
            rows.history.setdefault(key, []).append(revision)
        return committed

    with patch.object(_Rows, "put_block", put_block), patch.object(MemoryStore, "transact", transact):
        yield


@planted
def events_after_the_transaction() -> Iterator[None]:
    """What happened is written into the log in a commit of its own."""

    async def transact(self: Any, work: Any) -> Any:
        await self._environment.pause()
        rows = self._rows
        logged = len(rows.log)
        try:
            result = work(rows)
        except BaseException:
            rows.roll_back()
            raise
        rows.undo.clear()
        events = rows.log[logged:]
        del rows.log[logged:]
        if events:
            await self._environment.pause()
        numbered = [event.having(seq=len(rows.log) + place) for place, event in enumerate(events, 1)]
        rows.log.extend(numbered)
        return Committed(result, tuple(numbered))

    with patch.object(MemoryStore, "transact", transact):
        yield


@planted
def versions_with_gaps() -> Iterator[None]:
    """Where two agents write one after the other, the store counts twice; and nobody checks that."""

    def put_block(self: Any, block: Any, revision: Any = None) -> None:
        if revision is not None:
            self._add(self.history.setdefault(block.key, []), revision)
        self._put(self.heads, block.key, block)

    write = Changes.write

    def counted_twice(self: Any, tx: Any, block: Any, text: str, word: str, author: Any, runs: Any) -> Any:
        is_others = author.is_agent and block.by not in ("owner", author.name)
        known = block.having(version=block.version + 1) if is_others else block
        return write(self, tx, known, text, word, author, runs)

    with patch.object(_Rows, "put_block", put_block), patch.object(Changes, "write", counted_twice):
        yield


@planted
def acknowledged_before_the_commit() -> Iterator[None]:
    """SQLite's writer tells that all is well, and leaves the COMMIT to the next one."""
    begin = Writer.begin

    async def begun(self: Any) -> None:
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")
        await begin(self)

    async def commit(self: Any, pieces: Any) -> None:
        batch = Batch()
        rows = BatchRows(self._connection.execute, self._recent, batch)
        for piece in pieces:
            piece.run(rows, batch)
        batch.flush(self._connection)
        batch.tell(self._recent)

    with patch.object(Writer, "begin", begun), patch.object(Writer, "commit", commit):
        yield
