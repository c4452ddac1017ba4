"""Every schedule of something small, as far as so many switches go: what holds in all of them is shown, not sampled.

Most bugs of concurrency need few switches at the right moments (iterative context bounding: Musuvathi, Qadeer 2007).
So all schedules with one switch come before all with two. No timer fires before its time here, and nobody is held back:
give models that answer at once, or agents are hardly ever able to go on at the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, Self, TypeVar

from orchestrator.simulation.choosers import Choice, Chooser, Repeat
from orchestrator.simulation.playing import Played

_T = TypeVar("_T")

#: Who goes on at which step where it is not the first, in the order of the steps.
_Switches = tuple[tuple[int, Choice], ...]


class Exhausted(NamedTuple):
    """How far a search has come."""

    schedules: int
    #: How many of them differed, in who took which step or in what was committed.
    distinct: int
    #: Whether these were all schedules with at most so many switches.
    complete: bool
    #: Whether there are no others at all, however many switches.
    total: bool


class _Node(NamedTuple):
    """A schedule that was played: what was chosen, and where else there was a choice."""

    switches: _Switches
    options: tuple[tuple[int, int], ...]

    def further(self) -> Iterator[_Switches]:
        """The schedules with one switch more, behind all others: so each is come to in one way only."""
        for step, count in self.options:
            for pick in range(1, count):
                yield (*self.switches, (step, Choice(pick)))


class EverySchedule(Generic[_T]):
    """The schedules, one after the other, those with the fewest switches first.

    A for loop may be left at any time; `exhausted` says how far it came.
    """

    def __init__(self, play: Callable[[Chooser], Played[_T]], switches: int, most: int) -> None:
        self._play = play
        self._switches = switches
        self._most = most
        self._schedules = 0
        self._digests: set[str] = set()
        self._is_complete = self._is_more = False
        self._going = self._played()

    @property
    def exhausted(self) -> Exhausted:
        """How far it has come."""
        complete = self._is_complete
        return Exhausted(self._schedules, len(self._digests), complete, complete and not self._is_more)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Played[_T]:
        return next(self._going)

    def _played(self) -> Iterator[Played[_T]]:
        level: list[_Node] = []
        for depth in range(self._switches + 1):
            found: list[_Node] = []
            further = (switches for node in level for switches in node.further()) if depth else iter([()])
            for switches in further:
                if self._schedules == self._most:
                    return
                played = self._play(Repeat(switches))
                self._schedules += 1
                self._digests.add(played.digest)
                last = switches[-1][0] if switches else 0
                options = tuple((step, count) for step, count in played.options.items() if step > last)
                if options and depth == self._switches:
                    self._is_more = True
                elif options:
                    found.append(_Node(switches, options))
                yield played
            level = found
        self._is_complete = True


def every_schedule(play: Callable[[Chooser], Played[_T]], switches: int = 2, most: int = 100_000) -> EverySchedule[_T]:
    """Play every schedule in which at most so many times somebody else goes on than who has waited longest.

        search = every_schedule(lambda chooser: play(scene, chooser), switches=2)
        failures = [played for played in search if played.error]
        print(search.exhausted)

    What is played must be the same at each time, but for who goes on.

    Args:
        most: so many schedules are played at most.
    """
    return EverySchedule(play, switches, most)
