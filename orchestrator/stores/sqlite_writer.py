"""The one who writes to a SQLite file while it is open: batches of transactions, each batch one commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any, Final, Generic, TypeVar

from orchestrator.environment import Environment
from orchestrator.errors import StoreError
from orchestrator.events import Event
from orchestrator.ports import Transaction
from orchestrator.stores.sqlite_batch import SQL, Batch, Recent
from orchestrator.stores.sqlite_file import (
    PATIENCE_SECONDS,
    Durability,
    is_busy,
    open_to_read,
    open_to_write,
    own,
)
from orchestrator.stores.sqlite_rows import BatchRows, CommittedRows

_T = TypeVar("_T")

#: How much is committed before it is moved from the log beside the file into the file, in rows; and what
#: a commit counts for besides its rows. It comes to some 10 MB.
_CHECKPOINT_ROWS: Final = 20_000
_COMMIT_ROWS: Final = 50


class _Step:
    """Something that a thread does, once; unless it is called off, which waits for it when it is being done."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._lock = Lock()  # the step is either done or called off
        self._is_off = False
        self._is_done = False

    def __call__(self) -> None:
        with self._lock:
            if not self._is_off:
                self._function()
                self._is_done = True

    def call_off(self) -> bool:
        """It will not be done from now on. Whether it has been."""
        with self._lock:
            self._is_off = True
            return self._is_done


class Piece(Generic[_T]):
    """One transaction, on its way through a batch."""

    def __init__(self, work: Callable[[Transaction], _T]) -> None:
        self._work = work
        self.result: _T | None = None
        self.events: tuple[Event, ...] = ()
        self.error: BaseException | None = None
        #: It is known what became of it.
        self.is_settled = False

    def run(self, rows: BatchRows, batch: Batch) -> None:
        """Do the work; if it raises, whatever it raises, it has written nothing."""
        logged = len(batch.log)
        self.error = None
        try:
            self.result = self._work(rows)
        except BaseException as error:
            self.error = error
            batch.take_back()
        else:
            self.events = tuple(event for event, _ in batch.log[logged:])
            batch.keep()

    def fail(self, error: StoreError, cause: BaseException) -> None:
        """It was not committed. What its work raised comes first."""
        self.is_settled = True
        if self.error is None:
            self.error = error
            self.error.__cause__ = cause


class Writer:
    """Owns the file: nobody else writes to it, so what it knows of the rows stays true.

    All is done on the event loop's thread, but for what waits for the disk or for others: that is one
    statement, for which `environment` has a thread. (A thread that executes many beside a busy event loop
    would wait for the interpreter's lock at each of them.)
    """

    def __init__(self, path: str, durability: Durability, environment: Environment) -> None:
        self._owner = own(path)
        try:
            self._connection = open_to_write(path, durability)
            try:
                self._reader = open_to_read(path).connection
            except BaseException:
                self._connection.close()
                raise
        except BaseException:
            self._owner.release()
            raise
        self._environment = environment
        self._recent = Recent()
        self._rows = CommittedRows(self._look, self._recent)
        self._data_version = 0
        #: A commit is under way, and the reader looks at what was before it until it is known how it went.
        self._is_committing = False
        self._uncopied = 0
        self._is_closed = False

    def read(self, work: Callable[[CommittedRows], _T]) -> _T:
        """Run `work` on what is committed; never on half of a commit that is under way."""
        try:
            return work(self._rows)
        finally:
            if self._reader.in_transaction and not self._is_committing:
                self._reader.rollback()

    def _look(self, query: str, values: Sequence[Any]) -> sqlite3.Cursor:
        """Look into the file, if what is at hand is not enough; the first look fixes what the others see."""
        if not self._reader.in_transaction:
            self._reader.execute("BEGIN")
        return self._reader.execute(query, values)

    async def begin(self) -> None:
        """Take SQLite's own lock, which only a foreign program can have. `sqlite3.Error` if it keeps it."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            step = _Step(self._begin_patiently)
            try:
                await self._environment.run_blocking(step)
            except BaseException:
                step.call_off()
                raise
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._data_version:  # a foreign program has written
            self._recent.clear()
            self._data_version = version

    def _begin_patiently(self) -> None:
        milliseconds = int(PATIENCE_SECONDS * 1000)
        self._connection.execute(f"PRAGMA busy_timeout = {milliseconds}")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        finally:
            self._connection.execute("PRAGMA busy_timeout = 0")

    async def commit(self, pieces: Sequence[Piece[object]]) -> BaseException | None:
        """Run the pieces, one after the other, and commit them together. `sqlite3.Error` if that fails.

        Returns what interrupted it when it could not be stopped any more.
        """
        batch = Batch()
        rows = BatchRows(self._connection.execute, self._recent, batch)
        for piece in pieces:
            piece.run(rows, batch)
        if not batch.size:
            self._connection.rollback()
            return None
        batch.flush(self._connection)
        self._reader.execute("BEGIN")
        self._is_committing = True
        self._reader.execute(SQL["last_seq"]).fetchone()  # what it reads from now on is as of now
        interruption = None
        step = _Step(partial(self._connection.execute, "COMMIT"))
        try:
            await self._environment.run_blocking(step)
        except BaseException as error:  # asyncio's own way to cancel a task knows no shield
            if not step.call_off():
                raise
            interruption = error
        batch.tell(self._recent)
        self._let_the_reader_go()
        self._uncopied += batch.size + _COMMIT_ROWS
        return interruption

    def take_back(self) -> None:
        """The commit has failed, or nobody knows: it shall not have happened."""
        with suppress(sqlite3.Error):  # where SQLite has taken it back already, or will when the file is opened again
            self._connection.rollback()
        self._recent.clear()
        self._let_the_reader_go()

    def _let_the_reader_go(self) -> None:
        self._is_committing = False
        with suppress(sqlite3.Error):
            self._reader.rollback()

    async def tidy(self) -> None:
        """Now and then, copy what was committed into the file itself.

        Not in the commit, as SQLite would do by itself: our own reader would keep the log from ever being
        begun anew, and everybody would wait for the copying. Another reader that stays long has the log
        grow as well, but hinders nobody.
        """
        if self._uncopied >= _CHECKPOINT_ROWS:
            self._uncopied = 0
            with suppress(sqlite3.Error):  # nothing is lost, and it is tried again
                step = _Step(partial(self._connection.execute, "PRAGMA wal_checkpoint(PASSIVE)"))
                try:
                    await self._environment.run_blocking(step)
                finally:
                    step.call_off()

    def close(self) -> None:
        """Give back the file. May be called twice, and blocks."""
        if not self._is_closed:
            self._is_closed = True
            self._reader.close()
            try:
                with suppress(
                    sqlite3.Error
                ):  # so that a copy of the file alone has everything; nothing is lost without
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._connection.close()
            finally:
                self._owner.release()
