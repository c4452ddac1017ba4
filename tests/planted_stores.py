"""Stores that look before they write, or before they wait; with `planted=False` they do as a store has to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import anyio

from orchestrator.blocks import BlockState, Revision
from orchestrator.events import BlockChanged, Event
from orchestrator.ports import Committed, Transaction
from orchestrator.stores import MemoryStore

_T = TypeVar("_T")


class Told:
    """A transaction in which blocks are as somebody says, until they are written."""

    def __init__(self, tx: Transaction, told: Mapping[str, Mapping[str, Any]]) -> None:
        self._tx = tx
        self._told = dict(told)

    def block(self, key: str) -> BlockState | None:
        block = self._tx.block(key)
        return None if block is None else block.having(**self._told.get(key, {}))

    def put_block(self, block: BlockState, revision: Revision | None = None) -> None:
        self._told.pop(block.key, None)
        self._tx.put_block(block, revision)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)


class Reads(MemoryStore):
    """Work is told what was read of each block, one of its attributes, before others could go first; not in the
    transaction.
    """

    attribute = "value"

    def __init__(self, *, planted: bool) -> None:
        super().__init__()
        self._planted = planted

    async def transact(self, work: Callable[[Transaction], _T]) -> Committed[_T]:
        before = self._as_read()
        await self._environment.pause()  # one for the query, and one for the transaction

        def written(tx: Transaction) -> _T:
            return work(self._telling(tx, before if self._planted else self._as_read()))

        return await super().transact(written)

    def _as_read(self) -> dict[str, dict[str, Any]]:
        return {key: {self.attribute: getattr(block, self.attribute)} for key, block in self._rows.heads.items()}

    def _telling(self, tx: Transaction, read: Mapping[str, Mapping[str, Any]]) -> Any:
        return Told(tx, read)


class ReadsNowAndThen(Reads):
    """Only every twentieth change of a block is one that was read before."""

    def _telling(self, tx: Transaction, read: Mapping[str, Mapping[str, Any]]) -> Any:
        changes = sum(len(history) - 1 for history in self._rows.history.values())
        return Told(tx, read) if changes % 20 == 19 else tx


class Appending(Told):
    """A transaction that adds to a text where it stands, after it was checked against what was read before."""

    def put_block(self, block: BlockState, revision: Revision | None = None) -> None:
        read, now = self._told.get(block.key), self._tx.block(block.key)
        if read is not None and now is not None and revision is not None:
            whole = now.value + block.value.removeprefix(read["value"])
            block, revision = block.having(value=whole), revision.having(value=whole)
        super().put_block(block, revision)

    def add_event(self, event: Event) -> None:
        if isinstance(event, BlockChanged) and (block := self._tx.block(event.key)) is not None:
            event = event.having(value=block.value)
        self._tx.add_event(event)


class Appends(Reads):
    """What SQL's `value = value || ?` comes to, if whether there is room was asked before."""

    def _telling(self, tx: Transaction, read: Mapping[str, Mapping[str, Any]]) -> Any:
        return Appending(tx, read)


class ReadsWhetherReadOnly(Reads):
    """Whether a block is read-only is what was read before; that is not written back with the text."""

    attribute = "read_only"

    def _telling(self, tx: Transaction, read: Mapping[str, Mapping[str, Any]]) -> Any:
        return TextOnly(tx, read)


class TextOnly(Told):
    """A transaction that, with a new text of a block, writes nothing else."""

    def put_block(self, block: BlockState, revision: Revision | None = None) -> None:
        now = self._tx.block(block.key)
        if now is not None and revision is not None:
            block = block.having(read_only=now.read_only)
        super().put_block(block, revision)


class OneAtATime(MemoryStore):
    """Its transactions wait for each other; who is done rings, and hangs up a new bell."""

    def __init__(self, *, planted: bool) -> None:
        super().__init__()
        self._planted = planted
        self._is_busy = False
        self._bell = anyio.Event()

    async def transact(self, work: Callable[[Transaction], _T]) -> Committed[_T]:
        while self._is_busy:
            if self._planted:  # between the look and the wait somebody may ring, and then it is another bell
                await self._environment.pause()
            await self._bell.wait()
        self._is_busy = True
        try:
            return await super().transact(work)
        finally:
            self._is_busy = False
            self._bell.set()
            self._bell = anyio.Event()
