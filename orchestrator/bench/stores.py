"""The stores that are measured, and what is lost when each transaction is committed by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import anyio

from orchestrator.environment import Environment
from orchestrator.events import Event
from orchestrator.ports import Committed, Reader, Store, Transaction
from orchestrator.stores import MemoryStore, SQLiteStore

_T = TypeVar("_T")


class Kind(NamedTuple):
    """A kind of store: its name, whether what it keeps survives the process, and a new one in an empty folder."""

    name: str
    lasts: bool
    make: Callable[[Path], Store]


def lasting(path: Path) -> Store:
    """The store that keeps a team in a file."""
    return SQLiteStore(path)


MEMORY: Final = Kind("memory", False, lambda folder: MemoryStore())

#: Each is measured by every workload that writes.
KINDS: Final[tuple[Kind, ...]] = (
    MEMORY,
    Kind("SQLite", True, lambda folder: lasting(folder / "bench.db")),
)


class OneAtATime:
    """A store whose transactions queue up before it, so that each commit carries one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        #: Lets one transaction at a time reach the store, which so has nothing to commit together.
        self._lock = anyio.Lock()

    async def open(self, environment: Environment | None = None) -> None:
        """Open the store behind it."""
        await self._store.open(environment)

    async def transact(self, work: Callable[[Transaction], _T]) -> Committed[_T]:
        """Wait for the transactions before it; then run and commit this one."""
        async with self._lock:
            return await self._store.transact(work)

    async def read(self, work: Callable[[Reader], _T]) -> _T:
        """Read at once: reading waits for nobody."""
        return await self._store.read(work)

    async def events(self, after: int = 0, limit: int = 1000) -> list[Event]:
        """The events of the store behind it."""
        return await self._store.events(after, limit)

    async def close(self) -> None:
        """Close the store behind it."""
        await self._store.close()
