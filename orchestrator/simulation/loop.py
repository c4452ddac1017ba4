"""An event loop in which time costs nothing, and somebody else decides which task goes on next.

It overrides what asyncio lets a loop decide: what time it is, how it waits, and when a callback runs. Steps of tasks
go into a pool of those that could go on, and a chooser picks one of them at a time; all other callbacks keep asyncio's
own order, so what asyncio and anyio take for granted holds. In the pool they stand in the order in which they became
able to go on, and, where that was one moment, in which they were made: anyio keeps tasks in sets, and the order of a
set must not leak into a schedule.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Callable
from contextvars import Context
from operator import itemgetter
from typing import Any, Final, NoReturn, TypeVarTuple

from orchestrator.errors import OrchestratorError
from orchestrator.simulation.choosers import FIRST, Choice, Chooser

_Ts = TypeVarTuple("_Ts")

#: So often nothing but callbacks of libraries may run in a row, without a task or a timer, before it is called a spin.
_MOST_IDLE: Final = 10_000

#: anyio posts a cancellation again and again until its task reacts; after so many rounds time goes on all the same.
_PATIENCE: Final = 2

#: Nobody is slower than this, in seconds: deadlines of minutes do not pass for want of luck.
FARTHEST: Final = 10.0

#: What a schedule that was given up may still do to clean up, in steps.
_CLEANING_UP: Final = 10_000

_moment = itemgetter(0, 1)


class ScheduleStuck(BaseException):
    """Nobody can go on, and no timer is set; or there is no end of going on. Says which tasks there are."""


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Runs one schedule.

    Args:
        chooser: decides who goes on.
        most_steps: a schedule that takes more of them is given up, as one without an end.
    """

    def __init__(self, chooser: Chooser, most_steps: int = 100_000) -> None:
        self._chooser = chooser
        self._most_steps = most_steps
        self._now = 0.0
        self._idle = 0
        self._numbers: dict[asyncio.Task[Any], int] = {}
        #: Those that could go on: since which step, the number of the task, and what it does.
        self._able: list[tuple[int, int, asyncio.Handle]] = []
        #: Whether the loop will call `_take_steps`.
        self._is_asked = False
        self._alarms: dict[int, list[Callable[[], object]]] = {}
        self._gave_up = ""
        #: What has left the simulation, or tried to, whatever became of the error.
        self.escapes: list[OrchestratorError] = []
        #: How many steps there have been, which task took each (-1 where a timer fired first), and what was chosen
        #: where that was not simply the first.
        self.steps = 0
        self.trace: list[int] = []
        self.choices: dict[int, Choice] = {}
        #: Of each step at which there was a choice, among how many.
        self.options: dict[int, int] = {}
        super().__init__(_NoWaiting(self))

    def _make_self_pipe(self) -> None:
        """None: threads would wake the loop by it, and there are none."""

    def _close_self_pipe(self) -> None:
        """There is none."""

    def time(self) -> float:
        """Seconds since the schedule began."""
        return self._now

    def at_step(self, step: int, action: Callable[[], object]) -> None:
        """Do this just before that step."""
        self._alarms.setdefault(step, []).append(action)

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Put steps of tasks into the pool; all else is called in its turn."""
        task = getattr(callback, "__self__", None)
        if not isinstance(task, asyncio.Task):
            return super().call_soon(callback, *args, context=context)
        handle = asyncio.Handle(callback, args, self, context)
        self._put(task, handle)
        return handle

    def _put(self, task: asyncio.Task[Any], handle: asyncio.Handle) -> None:
        number = self._numbers.get(task)
        if number is None:
            number = self._numbers[task] = len(self._numbers)
        self._able.append((self.steps, number, handle))
        self._ask_for_steps()

    def _ask_for_steps(self) -> None:
        if not self._is_asked:
            self._is_asked = True
            super().call_soon(self._take_steps)

    def _take_steps(self) -> None:
        """Let those go on that could, one after the other, as long as nothing else waits for its turn."""
        self._is_asked = False
        waiting = self._waiting_callbacks
        while self._able:
            if not self._take_step() or self._gave_up:
                return
            if len(waiting) > self._is_asked or self._is_timer_due:
                if self._able:
                    self._ask_for_steps()
                return
            if self._is_asked:  # just now, and nobody else waits: to be called for it would cost as much as a step
                waiting.pop()
                self._is_asked = False

    def _take_step(self) -> bool:
        """Let one of those go on that could; whether there is no timer to be fired first."""
        able = self._able
        self.steps += 1
        if self.steps > self._most_steps and not self._gave_up:
            self._gave_up = f"no end after {self._most_steps:,} steps"  # raised where nothing swallows it
        if self._alarms:
            for action in self._alarms.pop(self.steps, ()):
                action()
        choice = FIRST
        if len(able) > 1:
            able.sort(key=_moment)
            self.options[self.steps] = len(able)
        tasks = [number for _, number, _ in able]
        choice = self._chooser.choose(self.steps, tasks, timers=self._is_timer_near())
        if choice is not FIRST and choice != FIRST:
            self.choices[self.steps] = choice
        if choice.warp:
            self._go_on_to_timer()
            self.trace.append(-1)
            super().call_soon(self._ask_for_steps)  # one round later: what the timer wakes is able to go on by then
            return False
        _, number, handle = able.pop(choice.pick)
        if choice.stall:
            self.call_later(choice.stall, self._put_back, number, handle)
        else:
            self.trace.append(number)
            if not handle.cancelled():
                handle._run()
        return True

    def _put_back(self, number: int, handle: asyncio.Handle) -> None:
        self._able.append((self.steps, number, handle))
        self._ask_for_steps()

    def _is_timer_near(self) -> bool:
        """Whether a timer could fire before anybody goes on, without a delay that nobody would believe."""
        timers = self._timers
        return bool(timers) and not timers[0].cancelled() and timers[0].when() - self._now <= FARTHEST

    @property
    def _is_timer_due(self) -> bool:
        return bool(self._timers) and self._timers[0].when() <= self._now

    @property
    def _waiting_callbacks(self) -> deque[asyncio.Handle]:
        return self._ready  # type: ignore[attr-defined,no-any-return]  # asyncio's own queue of callbacks

    @property
    def _timers(self) -> list[asyncio.TimerHandle]:
        return self._scheduled  # type: ignore[attr-defined,no-any-return]  # asyncio's own heap of timers

    def wait(self, timeout: float | None) -> None:
        """What the selector is asked for instead of waiting: time goes on to the next timer.

        Raises:
            ScheduleStuck: there is nothing to wait for, or there was no end of steps.
        """
        if self._gave_up:
            reason, self._gave_up = self._gave_up, ""
            self._most_steps += _CLEANING_UP
            self._give_up(reason)
        if timeout is None:
            self._give_up("nobody can go on, and no timer is set")
        if timeout > 0:
            self._go_on_to_timer()
        elif self._able or self._stopping:  # type: ignore[attr-defined]  # asyncio is told to return
            self._idle = 0
        else:
            self._be_patient()

    def _be_patient(self) -> None:
        """Only callbacks of libraries have run since the last step."""
        self._idle += 1
        if self._idle > _MOST_IDLE:
            self._give_up("callbacks call each other without an end, and no task goes on")
        if self._idle > _PATIENCE and self._timers:
            self._go_on_to_timer()

    def _go_on_to_timer(self) -> None:
        self._now = max(self._now, self._timers[0].when())
        self._idle = 0

    def _give_up(self, reason: str) -> NoReturn:
        waiting = [task for task in asyncio.all_tasks(self) if not task.done() and self._numbers.get(task)]
        names = ", ".join(sorted(task.get_name() for task in waiting))  # but for the first, in which all the others are
        raise ScheduleStuck(f"{reason}; there are: {names}" if names else reason)


class _NoWaiting(selectors.SelectSelector):
    """Moves the loop's time instead of waiting. Nothing outside of the process is ever ready."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.wait(timeout)
        return []
