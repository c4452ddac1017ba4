"""Where turns are taken: a task for each agent, which lasts as long as the team is open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

import anyio
from anyio.abc import TaskGroup

from orchestrator.starts import Start
from orchestrator.turn import Activation


@dataclass(slots=True, eq=False)
class Taking:
    """A turn from the moment it is handed out until it has ended."""

    runs: tuple[str, ...]
    start: Start | None = None
    activation: Activation | None = None
    stopped: bool = False
    #: Runs that were cut off, and not resumed, wait for it as well.
    cut_off: bool = False

    def stop(self, *, cut_off: bool) -> None:
        """Cancel it, now or as soon as it has started."""
        self.stopped, self.cut_off = True, cut_off
        if self.activation is not None:
            self.activation.stop(cut_off=cut_off)


@dataclass(slots=True, eq=False)
class _Seat:
    """Where one agent takes its turns, one after the other."""

    next: tuple[Taking, Activation] | None = None
    called: anyio.Event = field(default_factory=anyio.Event)
    #: Ends it, when it has begun.
    scope: anyio.CancelScope = field(default_factory=lambda: anyio.CancelScope(shield=True))


class Seats:
    """The tasks of a team that is open.

    An agent has one for all its turns, since to begin a task costs more than the rest of a turn. Context variables
    that its model or its tools set stay with the agent, and come to no other.

    The tasks are not cancelled from outside: whoever is cancelled there stops the runs first, and needs them for it.

    Args:
        see_through: takes one turn.
        forget: is told of a turn that will not be taken after all.
    """

    def __init__(
        self,
        see_through: Callable[[Taking, Activation], Awaitable[None]],
        forget: Callable[[Taking], None],
    ) -> None:
        self._see_through = see_through
        self._forget = forget
        self._seats: dict[str, _Seat] = {}
        self._scopes: dict[anyio.CancelScope, None] = {}
        self._is_closed = False

    def take(self, group: TaskGroup, agent: str, taking: Taking, activation: Activation) -> None:
        """Let the agent take a turn; it has no other one."""
        taking.activation = activation
        if taking.stopped:
            activation.stop(cut_off=taking.cut_off)
        seat = self._seats.get(agent)
        if seat is None:
            seat = self._seats[agent] = _Seat()
            group.start_soon(self._serve, agent, seat, name=f"turns of {agent}")
        seat.next = (taking, activation)
        seat.called.set()

    def leave(self, agent: str) -> None:
        """The agent is gone, and takes no turn."""
        if (seat := self._seats.pop(agent, None)) is not None:
            seat.scope.cancel()

    async def last(self, work: Callable[[], Awaitable[None]], scope: anyio.CancelScope | None = None) -> None:
        """Do the work until the seats are closed and the group is cancelled; before that it goes on all the same."""
        with scope or anyio.CancelScope(shield=True) as lasting:
            self._scopes[lasting] = None
            if self._is_closed:  # this task has only just begun
                lasting.shield = False
            try:
                await work()
            finally:
                del self._scopes[lasting]

    def close(self) -> None:
        """Nobody takes a turn any more: from here on the tasks are cancelled together with their group."""
        self._is_closed = True
        for scope in list(self._scopes):
            scope.shield = False  # to cancel each by itself would cost much more

    async def _serve(self, agent: str, seat: _Seat) -> None:
        try:
            await self.last(partial(self._take_turns, seat), seat.scope)
        finally:
            if self._seats.get(agent) is seat:  # who comes now gets another one: in this nobody would be served
                del self._seats[agent]
            if seat.next is not None:
                self._forget(seat.next[0])

    async def _take_turns(self, seat: _Seat) -> None:
        while True:
            await seat.called.wait()
            following, seat.next, seat.called = seat.next, None, anyio.Event()
            assert following is not None, "who calls has put it there"
            await self._see_through(*following)
