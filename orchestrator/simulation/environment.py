"""What a simulation hands in: a clock that follows the loop, ids that count, blocking work at a scheduling point."""

from __future__ import annotations

import math
import types
from asyncio import CancelledError
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any, Final, TypeVar

import anyio

from orchestrator.environment import Environment
from orchestrator.errors import OrchestratorError
from orchestrator.simulation.loop import SimulatedLoop
from orchestrator.simulation.witness import Witness

_T = TypeVar("_T")

#: The time of day at which every simulation begins, in Unix seconds: the first of January 2026.
BEGINNING: Final = 1_767_225_600.0


class SimulatedEnvironment(Environment):
    """The environment of one schedule.

    Args:
        seed: of `random`.
    """

    def __init__(self, loop: SimulatedLoop, seed: int) -> None:
        super().__init__(seed)
        self.loop = loop
        #: The stores that teams have used, in the order of their first use.
        self.witnesses: list[Witness] = []
        self._made: Counter[str] = Counter()

    @property
    def escapes(self) -> list[OrchestratorError]:
        """What has left the simulation, or tried to."""
        return self.loop.escapes

    def now(self) -> float:
        """The loop's time, on the day on which simulations begin."""
        return BEGINNING + self.loop.time()

    def new_id(self, kind: str) -> str:
        """`kind`, a dash, and the next number."""
        self._made[kind] += 1
        return f"{kind}-{self._made[kind]}"

    async def pause(self) -> None:
        """Others may go first."""
        await _let_others_go()

    async def pause_shielded(self) -> None:
        """Others may go first; no cancel scope has an effect here."""
        try:
            await _let_others_go()
        except CancelledError:
            # A scope cancels again, until somebody reacts. asyncio cancels a task once, whatever it waits for.
            if anyio.current_effective_deadline() > -math.inf:
                raise

    def witnessed(self, store: Any, team: Any) -> Any:
        """Look on at what is committed, and promised."""
        witness = next((known for known in self.witnesses if store in (known, known.store)), None)
        if witness is None:
            witness = Witness(store)
            self.witnesses.append(witness)
        witness.used_by(team)
        return witness

    async def run_blocking(self, function: Callable[[], _T]) -> _T:
        """Run it here and now, between two points at which others may go first: no thread has a say."""
        await self.pause()
        result = function()
        await self.pause_shielded()
        return result


@types.coroutine
def _let_others_go() -> Generator[None]:
    """What `anyio.lowlevel.checkpoint` comes to in the end, at a tenth of its price."""
    yield
