"""A store in one SQLite file: what was acknowledged is there after a crash."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar, get_args

import anyio
import anyio.lowlevel
import pydantic

from orchestrator.environment import Environment
from orchestrator.errors import DeclarationError, StoreError
from orchestrator.events import Event, event_from_json
from orchestrator.ports import Committed, Reader, Transaction
from orchestrator.stores.sqlite_batch import Recent
from orchestrator.stores.sqlite_file import Durability, open_to_read, store_error
from orchestrator.stores.sqlite_rows import CommittedRows
from orchestrator.stores.sqlite_writer import Piece, Writer

_T = TypeVar("_T")


#: How many transactions are committed together, so that the event loop is never kept for long.
_MOST: Final = 500


class _Round:
    """Transactions that are committed together. The first of them leads: it makes the commit for all."""

    def __init__(self) -> None:
        self.pieces: list[Piece[Any]] = []
        #: The round before it is over: its leader may begin.
        self.turn = anyio.Event()
        #: It is known what became of the pieces.
        self.told = anyio.Event()


class SQLiteStore:
    """Keeps everything in one file, which is made when it is first opened, for the eyes of its owner only.

        async with Orchestrator(team, SQLiteStore("team.db")) as live: ...

    One at a time opens it to write; reading needs no opening, and goes on beside a writer in any process.
    Transactions that come together are committed together, so that sixty wait for the disk as long as one.
    For Linux, macOS and other POSIX systems, and for a local folder.

    Args:
        path: of the file. SQLite keeps two more beside it (`-wal`, `-shm`), which belong to it until it is
            closed, and `-owner` says who has it open.
        durability: what was acknowledged survives the loss of power ("power"), or the end of this process,
            however it ends, but not always the loss of power ("process"; commits are quicker).

    Raises:
        DeclarationError: the path is none, or `durability` is neither of the two.
    """

    def __init__(self, path: str | os.PathLike[str], *, durability: Durability = "power") -> None:
        self._writer: Writer | None = None
        self._reader: sqlite3.Connection | None = None
        self._path: Final = _checked(path)
        if durability not in get_args(Durability):
            raise DeclarationError("SQLiteStore", f"durability is {durability!r}; choose 'power' or 'process'")
        self._durability: Final = durability
        #: The round that takes transactions; and whether an earlier one, or this one, is being committed.
        self._next: _Round | None = None
        self._is_busy = False
        self._idle: anyio.Event

    async def open(self, environment: Environment | None = None) -> None:
        """Make the file if there is none, bring it up to date, and own it until the store is closed.

        `StoreError` if somebody has it open to write, or if it is no file of ours, or one of a newer version.
        """
        await anyio.lowlevel.checkpoint_if_cancelled()
        environment = environment or Environment()
        with anyio.CancelScope(shield=True):  # what is opened here is closed only if it arrives
            writer = await environment.run_blocking(partial(Writer, self._path, self._durability, environment))
        self._writer = writer
        self._environment = environment
        self._close_reader()

    async def transact(self, work: Callable[[Transaction], _T]) -> Committed[_T]:
        """Run `work` and commit it, together with those that came at the same time."""
        await anyio.lowlevel.checkpoint_if_cancelled()
        writer = self._writer
        if writer is None:
            raise StoreError(f"{self._path!r} is not open to write; await store.open() first, as an Orchestrator does")
        piece = Piece(work)
        interruption: BaseException | None = None
        with anyio.CancelScope(shield=True):  # from here on it will be known what became of it
            while not piece.is_settled and interruption is None:
                try:
                    await self._see_through(writer, piece)
                except anyio.get_cancelled_exc_class() as cancelled:  # asyncio's own way to cancel knows no shield
                    interruption = cancelled
        if interruption is not None:
            if not piece.is_settled:
                raise interruption
            _cancel_again()
        error, piece.error = piece.error, None
        if isinstance(error, sqlite3.Error):  # raised by a read of the work
            raise store_error(self._path, error) from error
        if error is not None:
            raise error
        return Committed(piece.result, piece.events)  # type: ignore[arg-type]  # without an error there is a result

    async def read(self, work: Callable[[Reader], _T]) -> _T:
        """Run `work` on what is committed; also while the next commit is under way."""
        return self._read(work)

    async def events(self, after: int = 0, limit: int = 1000) -> list[Event]:
        """The events with a greater number, at most `limit` of them."""
        bodies = self._read(lambda rows: rows.events(after, limit))
        try:
            return [event_from_json(body) for body in bodies]
        except pydantic.ValidationError as error:
            raise StoreError(f"an event of {self._path!r} cannot be read: {error}") from error

    async def close(self) -> None:
        """Wait for the commit under way, and let others open the file to write. It can still be read."""
        writer, self._writer = self._writer, None
        self._close_reader()
        if writer is None:
            return
        with anyio.CancelScope(shield=True):
            while self._is_busy:
                await self._idle.wait()
            await self._environment.run_blocking(writer.close)

    def __del__(self) -> None:
        # A store that was forgotten: its connections would complain.
        if writer := getattr(self, "_writer", None):
            writer.close()
        if getattr(self, "_reader", None):
            self._close_reader()

    # --- writing

    async def _see_through(self, writer: Writer, piece: Piece[Any]) -> None:
        """Join the round that is being collected; or begin one, and lead it when the one before is over."""
        joined = self._next
        if joined is not None:
            joined.pieces.append(piece)
            await _outlast(joined.told)
            return
        led = self._next = _Round()
        led.pieces.append(piece)
        if not self._is_busy:
            self._is_busy = True
            self._idle = anyio.Event()
            led.turn.set()
        interruption = None
        try:
            await led.turn.wait()
            await anyio.lowlevel.checkpoint()  # whoever is ready joins
            interruption = await self._commit(writer, led)
        finally:
            if self._next is led:  # it was never led, and the others go into another round
                self._next = None
            led.told.set()
            if led.turn.is_set():
                try:
                    await writer.tidy()
                finally:
                    self._hand_over()
        if interruption is not None:
            raise interruption

    async def _commit(self, writer: Writer, led: _Round) -> BaseException | None:
        pieces: list[Piece[Any]] = []
        try:
            try:
                await writer.begin()
            finally:
                self._next = None  # whoever comes now is in the next round
                pieces = led.pieces[:_MOST]  # and so are those that are too many
            interruption = await writer.commit(pieces)
        except sqlite3.Error as error:
            writer.take_back()
            for piece in pieces:
                piece.fail(store_error(self._path, error), error)
            return None
        except BaseException:  # the others go into another round, without this leader
            writer.take_back()
            raise
        for piece in pieces:
            piece.is_settled = True
        return interruption

    def _hand_over(self) -> None:
        if self._next is not None:
            self._next.turn.set()
        else:
            self._is_busy = False
            self._idle.set()

    # --- reading

    def _read(self, work: Callable[[CommittedRows], _T]) -> _T:
        try:
            if self._writer is not None:
                return self._writer.read(work)
            return self._read_as_guest(work)
        except sqlite3.Error as error:
            raise store_error(self._path, error) from error

    def _read_as_guest(self, work: Callable[[CommittedRows], _T]) -> _T:
        if self._reader is not None:
            return _looked(self._reader, work)
        reader, lasting = open_to_read(self._path)
        if lasting:
            self._reader = reader
            return _looked(reader, work)
        try:
            return _looked(reader, work)
        finally:
            reader.close()

    def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()


async def _outlast(told: anyio.Event) -> None:
    """Wait for what is sure to come; who is cancelled by asyncio meanwhile is so afterwards."""
    interruption: BaseException | None = None
    while not told.is_set():
        try:
            await told.wait()
        except anyio.get_cancelled_exc_class() as cancelled:
            interruption = cancelled
    if interruption is not None:
        raise interruption


def _cancel_again() -> None:
    """What was written has to be told first: the caller's next wait is cancelled instead of this one."""
    if (task := asyncio.current_task()) is not None:
        task.uncancel()
        task.cancel()


def _looked(reader: sqlite3.Connection, work: Callable[[CommittedRows], _T]) -> _T:
    """Run `work` on the file as it is at this moment, whoever writes to it."""
    reader.execute("BEGIN")
    try:
        return work(CommittedRows(reader.execute, Recent()))
    finally:
        reader.rollback()


def _checked(path: object) -> str:
    """The path, absolute: a change of the working directory does not change it."""
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise DeclarationError("SQLiteStore", f"its path is {path!r}; give the path of a file")
    text: str = os.fspath(path)
    if text == ":memory:":
        problem = "':memory:' cannot be read beside a writer; use MemoryStore, or a file in a temporary folder"
        raise DeclarationError("SQLiteStore", problem)
    if not text or "\0" in text or text.startswith("file:"):
        raise DeclarationError("SQLiteStore", f"its path is {text!r}; give the path of a file")
    return os.path.abspath(text)
