"""A store as a simulation sees it: what was promised to whom is kept, and its process may die."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio

from orchestrator.environment import Environment
from orchestrator.errors import StoreError
from orchestrator.events import Event
from orchestrator.ports import Committed, Reader, Store, Transaction
from orchestrator.simulation.history import History, read_history
from orchestrator.simulation.promises.pools import declare_the_same
from orchestrator.team import Team

_T = TypeVar("_T")


class Witness:
    """Passes everything on to the store, and keeps the events of each commit that was acknowledged, in that order."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.commits: list[tuple[Event, ...]] = []
        #: The one that used it last, and the number of the last event from before its declaration.
        self._team: Team | None = None
        self._since = 0
        self._left: int | None = None
        self._scope: anyio.CancelScope | None = None

    def used_by(self, team: Team) -> None:
        """What is written from here on is judged by this declaration."""
        if self._team is not None and not declare_the_same(self._team, team):
            self._since = max((event.seq for commit in self.commits for event in commit), default=0)
        self._team = team

    def die_after(self, transactions: int, scope: anyio.CancelScope) -> None:
        """So many more transactions are committed; then the process is gone, and the scope is cancelled."""
        self._left, self._scope = transactions, scope

    def spare(self) -> None:
        """Nobody dies any more."""
        self._left = self._scope = None

    @property
    def is_dead(self) -> bool:
        """Whether the process is gone."""
        return self._left is not None and self._left <= 0

    async def revive(self) -> None:
        """Another process comes; it may open the store."""
        self.spare()
        await self.store.close()

    async def history(self) -> History:
        """All that was promised, and all that is there. `StoreError` if the store was taken away meanwhile."""
        try:
            return await read_history(self.store, self._team, commits=self.commits, since=self._since)
        except StoreError as error:
            problem = "the store is gone before its schedule has ended, so nobody can see whether promises were kept"
            raise StoreError(f"{problem}; keep its folder, such as pytest's tmp_path: {error}") from error

    async def open(self, environment: Environment | None = None) -> None:
        await self.store.open(environment)

    async def transact(self, work: Callable[[Transaction], _T]) -> Committed[_T]:
        self._check()
        committed = await self.store.transact(work)
        self._check()  # who is gone by now was promised nothing
        self.commits.append(committed.events)
        if self._left is not None:
            self._left -= 1
            if self._left <= 0 and self._scope is not None:
                self._scope.cancel()
                self._check()
        return committed

    async def read(self, work: Callable[[Reader], _T]) -> _T:
        self._check()
        return await self.store.read(work)

    async def events(self, after: int = 0, limit: int = 1000) -> list[Event]:
        self._check()
        return await self.store.events(after, limit)

    async def close(self) -> None:
        if not self.is_dead:
            await self.store.close()

    def _check(self) -> None:
        if self.is_dead:
            raise StoreError("the process of this store was killed by the simulation")
