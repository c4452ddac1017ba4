"""One schedule, from its beginning to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Generic, TypeVar

import anyio

from orchestrator.environment import AMBIENT
from orchestrator.simulation.choosers import Choice, Chooser
from orchestrator.simulation.environment import SimulatedEnvironment
from orchestrator.simulation.loop import SimulatedLoop

_T = TypeVar("_T")

#: A schedule of so many steps is one without an end.
MOST_STEPS: Final = 100_000

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
    #: The names of tasks that went on after the scene had ended.
    left_over: tuple[str, ...] = field(default=())

    @property
    def digest(self) -> str:
        """The same for schedules in which the same tasks took the same steps, and committed the same at the same time."""
        told = blake2b(repr(self.trace).encode(), digest_size=8)
        for witness in self.environment.witnesses:
            for commit in witness.commits:
                for event in commit:
                    told.update(event.model_dump_json().encode())
        return told.hexdigest()


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
        stage.left_over,
    )


class _Stage:
    """Where one schedule is played."""

    def __init__(self, chooser: Chooser, seed: int, most_steps: int) -> None:
        self.loop = SimulatedLoop(chooser, most_steps)
        self.environment = SimulatedEnvironment(self.loop, seed)
        self.left_over: tuple[str, ...] = ()

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


def _innermost(error: BaseException) -> BaseException:
    """Of a group, the one that a reader wants to see: what stands at the beginning of it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
