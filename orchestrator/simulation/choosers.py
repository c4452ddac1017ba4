"""Who goes on next: schedules that are drawn from a seed, repeated, or the plainest one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from orchestrator.environment import Environment

#: A task that is held back is so for 1 ms to 10 s: the logarithms of that, to base 10.
_HELD: Final = (-3.0, 1.0)


class Choice(NamedTuple):
    """What happens at one step of a schedule: by default, whoever has waited longest goes on."""

    #: Which of those that could go on, from 0, in the order in which they became able to.
    pick: int = 0
    #: Nobody goes on yet: the next timer fires first, as if everybody were slow.
    warp: bool = False
    #: Who was picked is held back for so many seconds.
    stall: float = 0.0


#: What happens where nobody has a say.
FIRST: Final = Choice()


class Chooser(Protocol):
    """Decides at each step of a schedule."""

    def choose(self, step: int, tasks: Sequence[int], *, timers: bool) -> Choice:
        """What happens at this step, from 1 on.

        Args:
            tasks: the numbers of the tasks that could go on, at least one, in the order in which they became able to.
            timers: whether a timer is set that could fire first.
        """
        ...


class InOrder:
    """Whoever has waited longest goes on: what asyncio does by itself."""

    def choose(self, step: int, tasks: Sequence[int], *, timers: bool) -> Choice:
        """The first."""
        return FIRST


class Walk:
    """A random walk: each of those that could go on has the same chance."""

    def __init__(self, seed: str) -> None:
        self._random = Environment.seeded(seed)

    def choose(self, step: int, tasks: Sequence[int], *, timers: bool) -> Choice:
        """Any of them."""
        many = len(tasks)
        return Choice(int(self._random.random() * many)) if many > 1 else FIRST


class Priorities:
    """Random priorities, and a few moments at which whoever leads falls behind all others.

    Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte 2010): a bug that needs `depth`
    ordered steps among n tasks and k steps shows with a probability of at least 1 / (n * k ** (depth - 1)).

    Args:
        steps: how long the schedule is expected to be; the moments are spread over so many steps.
    """

    def __init__(self, seed: str, depth: int = 3, steps: int = 300) -> None:
        self._random = Environment.seeded(seed)
        self._priorities: dict[int, float] = {}
        #: What the leader falls to at each of them: below all initial priorities, which are more than 0.
        self._moments = {1 + int(self._random.random() * steps): -float(nth) for nth in range(1, depth)}

    def choose(self, step: int, tasks: Sequence[int], *, timers: bool) -> Choice:
        """The one with the highest priority."""
        for task in tasks:
            if task not in self._priorities:
                self._priorities[task] = 1 - self._random.random()
        if step in self._moments:
            self._priorities[self._highest(tasks)] = self._moments[step]
        leader = self._highest(tasks)
        return Choice(tasks.index(leader))

    def _highest(self, tasks: Sequence[int]) -> int:
        return max(tasks, key=self._priorities.__getitem__)


class Nemesis:
    """Another chooser's schedule, in which now and then the next timer fires first, or somebody is held back.

    Models answer after times that are hardly ever the same, so agents are hardly ever ready at the same moment: without
    this, the order in which they go on would be the only thing that a seed decides.

    Args:
        warp: how likely it is at a step that the next timer fires first.
        stall: how likely it is that who was picked is held back.
    """

    def __init__(self, chooser: Chooser, seed: str, warp: float, stall: float) -> None:
        self._chooser = chooser
        self._random = Environment.seeded(seed)
        self._warp = warp
        self._stall = stall

    def choose(self, step: int, tasks: Sequence[int], *, timers: bool) -> Choice:
        """What the other one chooses, unless."""
        if timers and self._warp and self._random.random() < self._warp:
            return Choice(warp=True)
        choice = self._chooser.choose(step, tasks, timers=timers)
        if self._stall and self._random.random() < self._stall:
            return choice._replace(stall=10 ** self._random.uniform(*_HELD))
        return choice


class Repeat:
    """A schedule that was written down: what happened at which step; at all other steps, the first goes on."""

    def __init__(self, choices: Mapping[int, Choice] | Iterable[tuple[int, Choice]]) -> None:
        self._choices = dict(choices)

    def choose(self, step: int, tasks: Sequence[int], *, timers: bool) -> Choice:
        """What was written down, as far as it is possible: the code may have changed since."""
        choice = self._choices.get(step, FIRST)
        if choice.warp and not timers:
            return FIRST
        return choice if choice.pick < len(tasks) else choice._replace(pick=0)
