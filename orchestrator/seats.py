"""Where turns are taken: a task for each agent, which lasts as long as the team is open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from orchestrator.scheduler import Start
from orchestrator.turn import Activation


@dataclass(slots=True, eq=False)
class Taking:
    """A turn from the moment it is handed out until it has ended."""

    runs: tuple[str, ...]
    start: Start | None = None
    activation: Activation | None = None
    stopped: bool = False

    def stop(self) -> None:
        """Cancel it, now or as soon as it has started."""
        self.stopped = True
        if self.activation is not None:
            self.activation.stop()


@dataclass(slots=True, eq=False)
class _Seat:
    """Where one agent takes its turns, one after the other."""

    next: tuple[Taking, Activation] | None = None
    called: anyio.Event = field(default_factory=anyio.Event)


class Seats:
    """The tasks of a team that is open.

    An agent has one for all its turns, since to begin a task costs more than the rest of a turn. Context variables
    that its model or its tools set stay with the agent, and come to no other.

    The tasks are not cancelled from outside: whoever is cancelled there stops the runs first, and needs them for it.

    Args:
        see_through: takes one turn.
    """

    def __init__(self, see_through: Callable[[Taking, Activation], Awaitable[None]]) -> None:
        self._see_through = see_through
        self._seats: dict[str, _Seat] = {}
        self._scopes: list[anyio.CancelScope] = []
        self._is_closed = False

    def take(self, group: TaskGroup, agent: str, taking: Taking, activation: Activation) -> None:
        """Let the agent take a turn; it has no other one."""
        taking.activation = activation
        if taking.stopped:
            activation.stop()
        seat = self._seats.get(agent)
        if seat is None:
            seat = self._seats[agent] = _Seat()
            group.start_soon(self.last, self._serve, seat, name=f"turns of {agent}")
        seat.next = (taking, activation)
        seat.called.set()

    async def last(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        """Do the work until the seats are closed, whoever is cancelled meanwhile."""
        with anyio.CancelScope(shield=True) as scope:
            self._scopes.append(scope)
            if self._is_closed:  # this task has only just begun
                scope.cancel()
            await work(*args)

    def close(self) -> None:
        """Nobody takes a turn any more."""
        self._is_closed = True
        for scope in self._scopes:
            scope.cancel()

    async def _serve(self, seat: _Seat) -> None:
        while True:
            await seat.called.wait()
            following, seat.next, seat.called = seat.next, None, anyio.Event()
            assert following is not None, "who calls has put it there"
            await self._see_through(*following)
