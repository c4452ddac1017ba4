"""One schedule, from its beginning to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Generic, TypeVar

import anyio

from orchestrator.environment import AMBIENT
from orchestrator.events import Event, event_to_json
from orchestrator.simulation.choosers import Choice, Chooser
from orchestrator.simulation.environment import SimulatedEnvironment
from orchestrator.simulation.history import History
from orchestrator.simulation.loop import SimulatedLoop

_T = TypeVar("_T")

#: A schedule of so many steps is one without an end.
MOST_STEPS: Final = 100_000

#: What tells two events of one kind apart, besides when it was and what was said.
_TELLING: Final = ("agent", "by", "key", "version", "status", "to", "name", "ok")

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
    def order(self) -> str:
        """The same where tasks took their steps in the same order."""
        return _digest(repr(self.trace))

    @property
    def history(self) -> str:
        """The same where the same was committed in the same order, at whatever time."""
        told = [[(event.type, *map(vars(event).get, _TELLING)) for event in commit] for commit in self.commits]
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

    What the scene raises is kept, but for `KeyboardInterrupt` and `SystemExit`.
    """
    stage = _Stage(chooser, seed, most_steps)
    result: _T | None = None
    error: BaseException | None = None
    try:
        result = anyio.run(stage.played, scene, backend="asyncio", backend_options={"loop_factory": stage.loop_made})
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as raised:  # the outermost door of a schedule: what it came to is told, whatever that is
        error = _innermost(raised)
    loop, environment = stage.loop, stage.environment
    return Played(
        result,
        error,
        environment,
        tuple(loop.trace),
        loop.choices,
        loop.options,
        loop.time(),
        stage.histories,
        stage.left_over,
    )


class _Stage:
    """Where one schedule is played."""

    def __init__(self, chooser: Chooser, seed: int, most_steps: int) -> None:
        self.loop = SimulatedLoop(chooser, most_steps)
        self.environment = SimulatedEnvironment(self.loop, seed)
        self.left_over: tuple[str, ...] = ()
        self.histories: tuple[History, ...] = ()

    def loop_made(self) -> SimulatedLoop:
        return self.loop

    async def played(self, scene: Scene[_T]) -> _T:
        token = AMBIENT.set(self.environment)
        try:
            return await scene(self.environment)
        finally:
            AMBIENT.reset(token)
            mine = asyncio.current_task()
            tasks = [task for task in asyncio.all_tasks() if task is not mine and not task.done()]
            self.left_over = tuple(sorted(task.get_name() for task in tasks))
            self.histories = tuple([await witness.history() for witness in self.environment.witnesses])


def _innermost(error: BaseException) -> BaseException:
    """Of a group, the one that a reader wants to see: what stands at the beginning of it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
