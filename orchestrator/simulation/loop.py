"""An event loop in which time costs nothing, and somebody else decides which task goes on next.

It overrides what asyncio lets a loop decide: what time it is, how it waits, and when a callback runs. Steps of tasks
go into a pool of those that could go on, and a chooser picks one of them at a time; all other callbacks keep asyncio's
own order, so what asyncio and anyio take for granted holds. In the pool they stand in the order in which they became
able to go on, and, where that was one moment, in which they were made: anyio keeps tasks in sets, and the order of a
set must not leak into a schedule.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import re
import selectors
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import Context
from operator import itemgetter
from typing import Any, Final, NoReturn, TypeVarTuple

from orchestrator.errors import OrchestratorError
from orchestrator.simulation.choosers import FIRST, Choice, Chooser, InOrder

_Ts = TypeVarTuple("_Ts")

#: So often nothing but callbacks and timers of libraries may run in a row, without a task, before it is called a spin.
_MOST_IDLE: Final = 10_000

#: anyio posts a cancellation again and again until its task reacts; after so many rounds time goes on all the same.
_PATIENCE: Final = 2

#: Nobody is slower than this, in seconds: deadlines of minutes do not pass for want of luck.
FARTHEST: Final = 10.0

#: What a schedule that was given up may still do to clean up, in steps.
_CLEANING_UP: Final = 10_000

#: So often whatever goes on after the end is cancelled, before it is left as it is.
_CANCELLED: Final = 3

#: What asyncio calls a task that nobody has named: the number is of the process, and not of the schedule.
_UNNAMED: Final = re.compile(r"Task-\d+")

_moment = itemgetter(0, 1)


class ScheduleStuck(BaseException):
    """Nobody can go on, and no timer is set; or there is no end of going on. Says which tasks there are."""


def names_of(tasks: Iterable[asyncio.Task[Any]]) -> list[str]:
    """The tasks as a reader knows them: the same in every process."""
    return sorted(_name_of(task) for task in tasks)


def _name_of(task: asyncio.Task[Any]) -> str:
    name = task.get_name()
    return getattr(task.get_coro(), "__qualname__", name) if _UNNAMED.fullmatch(name) else name


def _has_begun(task: asyncio.Task[Any]) -> bool:
    """One that is cancelled before never awaits the coroutine that it was made for, and Python warns of that."""
    coroutine = task.get_coro()
    return not inspect.iscoroutine(coroutine) or inspect.getcoroutinestate(coroutine) != inspect.CORO_CREATED


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
        #: How often the loop has gone round since the last step, and which one that was.
        self._rounds = 0
        self._last_step = 0
        self._numbers: dict[asyncio.Task[Any], int] = {}
        #: Those that could go on: since which step, the number of the task, and what it does.
        self._able: list[tuple[int, int, asyncio.Handle]] = []
        #: Whether the loop will call `_take_steps`.
        self._is_asked = False
        self._alarms: dict[int, list[Callable[[], object]]] = {}
        self._gave_up = ""
        #: What has left the simulation, or tried to, whatever became of the error.
        self.escapes: list[OrchestratorError] = []
        #: Whether the schedule had no end.
        self.is_given_up = False
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

    def _write_to_self(self) -> None:
        """Nobody has to be woken: the loop never waits."""

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

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Set a timer. One that is never due, as of who sleeps for ever, is none."""
        if when == math.inf:
            return asyncio.TimerHandle(when, callback, args, self, context)
        return super().call_at(when, callback, *args, context=context)

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
        try:
            while self._able:
                if not self._take_step():
                    return
                if len(waiting) > self._is_asked or self._is_timer_due or self._gave_up:
                    break
                if self._is_asked:  # just now, and nobody else waits: to be called for it would cost as much as a step
                    waiting.pop()
                    self._is_asked = False
        except BaseException:  # such as Ctrl-C: the others still have to be ended
            self._ask_for_steps()
            raise
        if self._able:
            self._ask_for_steps()

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
        if self.steps != self._last_step:
            self._last_step, self._rounds = self.steps, 0
        self._rounds += 1
        if self._rounds > _MOST_IDLE:
            self._give_up("callbacks call each other without an end, and no task goes on")
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
        if self._idle > _PATIENCE and self._timers:
            self._go_on_to_timer()

    def _go_on_to_timer(self) -> None:
        self._now = max(self._now, self._timers[0].when())
        self._idle = 0

    def _give_up(self, reason: str) -> NoReturn:
        self.is_given_up = True
        self._rounds = 0
        # But for the first, in which all the others are.
        names = ", ".join(names_of(task for task in asyncio.all_tasks(self) if self._numbers.get(task)))
        raise ScheduleStuck(f"{reason}; there are: {names}" if names else reason)

    def wind_up(self) -> None:
        """End the tasks that go on, as far as they let themselves be ended, and close; their errors are not told."""
        self._chooser = InOrder()
        self._alarms.clear()
        self.set_exception_handler(lambda loop, context: None)
        try:
            for _ in range(_CANCELLED):
                if not (tasks := asyncio.all_tasks(self)):
                    break
                for task in filter(_has_begun, tasks):
                    task.cancel()
                with suppress(ScheduleStuck):
                    self.run_until_complete(asyncio.wait(tasks))
            with suppress(ScheduleStuck):
                self.run_until_complete(self.shutdown_asyncgens())
        finally:
            self.close()


class _NoWaiting(selectors.SelectSelector):
    """Moves the loop's time instead of waiting. Nothing outside of the process is ever ready."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.wait(timeout)
        return []
