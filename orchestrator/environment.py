"""One clock, one source of ids, one randomness, one way to run what blocks: nowhere else are they made.

Handing in another environment is what makes a run repeatable.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, TypeVar

import anyio
import anyio.to_thread

_T = TypeVar("_T")


class Environment:
    """The real one. Override what a test or a simulation needs to decide.

    Args:
        seed: makes `random` repeat itself.
    """

    def __init__(self, seed: int | None = None) -> None:
        #: For jitter and other choices that need not be secret.
        self.random = random.Random(seed)
        #: Tools that block leave some of anyio's 40 threads to the store, so that nobody's commit waits for them.
        self._tools = anyio.CapacityLimiter(32)

    def now(self) -> float:
        """The time of day, in Unix seconds; for records, never for decisions."""
        return time.time()

    def new_id(self, kind: str) -> str:
        """A new id, unique in every store: `kind`, a dash, and 20 hexadecimal digits.

        The first eleven are the time in milliseconds, so that later ones stand later in an index; the others random.
        """
        return f"{kind}-{int(self.now() * 1000):011x}{os.urandom(5).hex()[:9]}"

    @staticmethod
    def seeded(seed: str) -> random.Random:
        """A row of random numbers of its own: the same seed, the same row, in every process."""
        return random.Random(seed)

    async def pause(self) -> None:
        """Where a simulation may let others go first: what a database or a network would make a wait."""

    async def pause_shielded(self) -> None:
        """The same, where something has happened that its caller must learn: cancellation does not take effect."""

    def witnessed(self, store: _T, team: object) -> _T:
        """The store as the team uses it; a simulation looks on."""
        return store

    async def run_blocking(self, function: Callable[[], _T]) -> _T:
        """Run a function that may block, out of the way of the event loop.

        It is never abandoned: when the caller is cancelled, the wait goes on until the function returns.
        """
        if _time_is_simulated():
            # A thread does not hold a mock clock back: every deadline would pass while it works.
            return function()
        return await anyio.to_thread.run_sync(function)

    async def run_tool(self, function: Callable[[], _T]) -> _T:
        """Run a user's function that may block for long: as `run_blocking`, and at most 32 of them at a time."""
        async with self._tools:
            return await self.run_blocking(function)


#: What is used where none is handed in; a simulation puts its own here, for the code under test.
AMBIENT: Final[ContextVar[Environment | None]] = ContextVar("environment", default=None)


def ambient() -> Environment:
    """The environment of the simulation that one is in; outside of any, a new one."""
    return AMBIENT.get() or Environment()


def _time_is_simulated() -> bool:
    trio_testing = sys.modules.get("trio.testing")
    if trio_testing is None:
        return False
    try:
        return isinstance(sys.modules["trio"].lowlevel.current_clock(), trio_testing.MockClock)
    except RuntimeError:  # another event loop is running
        return False
