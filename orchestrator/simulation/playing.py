"""One schedule, from its beginning to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain
from operator import attrgetter
from typing import Final, Generic, TypeVar

from orchestrator.environment import AMBIENT
from orchestrator.events import Event, event_to_json
from orchestrator.simulation.choosers import Choice, Chooser
from orchestrator.simulation.environment import SimulatedEnvironment
from orchestrator.simulation.history import History
from orchestrator.simulation.interrupting import heed
from orchestrator.simulation.loop import SimulatedLoop, names_of

_T = TypeVar("_T")

#: A schedule of so many steps is one without an end.
MOST_STEPS: Final = 100_000

#: What tells two events of one kind apart, besides when it was and what was said.
_TELLING: Final = ("agent", "by", "key", "version", "status", "to", "name", "ok")

_number: Final = attrgetter("seq")

#: What is played: it is given the environment, and may use `Orchestrator` without naming it.
Scene = Callable[[SimulatedEnvironment], Awaitable[_T]]


@dataclass(frozen=True, slots=True)
class Played(Generic[_T]):
    """What came of a schedule."""

    #: What the scene returned, or what ended it instead.
    result: _T | None
    error: BaseException | None
    environment: SimulatedEnvironment
    #: Which task took each step (-1: a timer fired first), and what was chosen where that was not simply the first.
    trace: tuple[int, ...]
    choices: dict[int, Choice]
    #: At which steps there was a choice, and among how many.
    options: dict[int, int]
    #: In virtual seconds.
    seconds: float
    #: What is in the stores that teams have used, and what was promised of it; none where the loop was given up.
    histories: tuple[History, ...]
    #: The names of tasks that went on after the scene had ended.
    left_over: tuple[str, ...] = field(default=())

    @property
    def commits(self) -> list[tuple[Event, ...]]:
        """What was committed to all stores, in the order in which it was acknowledged."""
        return [commit for witness in self.environment.witnesses for commit in witness.commits]

    @property
    def turns(self) -> int:
        """How many turns were started."""
        return sum(event.type == "turn_started" for commit in self.commits for event in commit)

    @property
    def order(self) -> str:
        """The same where tasks took their steps in the same order."""
        return _digest(repr(self.trace))

    @property
    def history(self) -> str:
        """The same where the same has happened in the same order, at whatever time."""
        logs = (sorted(chain(*witness.commits), key=_number) for witness in self.environment.witnesses)
        told = [[(event.type, *map(vars(event).get, _TELLING)) for event in log] for log in logs]
        return _digest(repr(told))

    @property
    def digest(self) -> str:
        """The same where all was the same: who took which step, and what was committed, when, to the last letter."""
        events = [event_to_json(event) for commit in self.commits for event in commit]
        return _digest("\n".join([repr(self.trace), *events]))


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()


def play(scene: Scene[_T], chooser: Chooser, seed: int = 0, most_steps: int = MOST_STEPS) -> Played[_T]:
    """Play the scene once, from beginning to end, without waiting for anything.

    What the scene raises is kept, but for `KeyboardInterrupt` and `SystemExit`. No event loop may be running.
    """
    stage = _Stage(chooser, seed, most_steps)
    loop = stage.loop
    result: _T | None = None
    error: BaseException | None = None
    try:
        # Not asyncio.run: it makes the first Ctrl-C a cancellation, which would be told as what the schedule came to.
        result = loop.run_until_complete(stage.played(scene))
    except BaseException as raised:  # the outermost door of a schedule: what it came to is told, whatever that is
        error = _innermost(raised)
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error from None
    finally:
        trace, options, seconds = tuple(loop.trace), dict(loop.options), loop.time()
        loop.wind_up()
    heed()
    return Played(
        result, error, stage.environment, trace, loop.choices, options, seconds, stage.histories, stage.left_over
    )


class _Stage:
    """Where one schedule is played."""

    def __init__(self, chooser: Chooser, seed: int, most_steps: int) -> None:
        self.loop = SimulatedLoop(chooser, most_steps)
        self.environment = SimulatedEnvironment(self.loop, seed)
        self.left_over: tuple[str, ...] = ()
        self.histories: tuple[History, ...] = ()

    async def played(self, scene: Scene[_T]) -> _T:
        AMBIENT.set(self.environment)  # in the context of this task, which nobody sees outside
        try:
            return await scene(self.environment)
        finally:
            if not self.loop.is_given_up:  # else all are being cancelled, and nothing was closed in order
                self.left_over = tuple(names_of(asyncio.all_tasks() - {asyncio.current_task()}))
                self.histories = tuple([await witness.history() for witness in self.environment.witnesses])


def _innermost(error: BaseException) -> BaseException:
    """Of a group, the one that a reader wants to see: what means the whole process, or what stands first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaving = error.split((KeyboardInterrupt, SystemExit))[0]
    return _innermost((leaving or error).exceptions[0])
