"""Many schedules of one scene: each is played and judged, and the first of each kind that fails is made small."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any, Final

from orchestrator.simulation.choosers import Choice, Chooser
from orchestrator.simulation.interrupting import put_off
from orchestrator.simulation.judging import Flaw
from orchestrator.simulation.playing import Played
from orchestrator.simulation.reports import Failure, SimulationReport, added, in_order, same
from orchestrator.simulation.schedules import Schedule, Settings, drawn
from orchestrator.simulation.shrinking import shrink
from orchestrator.simulation.stories import story

#: After so many schedules what they left behind is collected.
_COLLECTED: Final = 20

#: Of so many schedules one is played twice, to see that it repeats itself.
_TWICE: Final = 20

#: Why a schedule does not repeat itself.
CHANCE: Final = "a tool, model or guard follows chance, or what schedules before have left"


@dataclass(frozen=True, slots=True)
class Performance:
    """A schedule that was played, and judged."""

    played: Played[Any]
    flaws: list[Flaw]
    #: A word for how it ended.
    outcome: str = ""

    def told(self, about: str | None) -> list[str]:
        """Its story: of a block, by its stored key, if anything happened to that, or else the whole."""
        events = list(chain.from_iterable(self.played.commits))
        is_told_of = any(getattr(event, "key", None) == about for event in events)
        return story(events, about=about if is_told_of else None)


#: Plays one schedule: what was drawn for it, and who chooses; None: as was drawn.
Perform = Callable[[Settings, Chooser | None], Performance]

#: Is told after each schedule how many have been played and how many have failed; whether to stop.
Tell = Callable[[int, int], bool]


def explore(
    perform: Perform, seeds: Iterable[int], *, faulty: bool = False, tell: Tell | None = None
) -> SimulationReport:
    """Play the schedules with these seeds, one after the other.

    Args:
        faulty: whether things may go wrong in them.
    """
    tally = Tally(perform)
    with collecting_seldom() as collect:
        for seed in seeds:
            _explored(perform, drawn(seed, faulty=faulty), tally)
            collect()
            if tell is not None and tell(tally.schedules, tally.failed):
                break
    return tally.report()


@contextmanager
def collecting_seldom() -> Iterator[Callable[[], None]]:
    """Each schedule leaves cycles behind, and looking for them at every chance takes a fifth of all time."""
    if not gc.isenabled():
        yield lambda: None
        return
    numbers, is_ours = count(1), not gc.get_freeze_count()  # what somebody else has frozen stays so

    def collect() -> None:
        if next(numbers) % _COLLECTED == 0:
            with put_off():
                gc.collect()

    gc.disable()
    try:
        if is_ours:
            with put_off():
                gc.collect()
            gc.freeze()
        yield collect
    finally:
        gc.enable()
        if is_ours:
            gc.unfreeze()


def _explored(perform: Perform, settings: Settings, tally: Tally) -> None:
    """Play and judge one schedule, twice now and then."""
    performance = perform(settings, None)
    flaws = performance.flaws
    if settings.seed % _TWICE == 0 and not flaws:
        tally.repeated += 1
        flaws = repeated(performance, perform(settings, None))
    tally.take(settings, performance, flaws)


@dataclass(slots=True)
class Tally:
    """A report that grows."""

    perform: Perform
    schedules: int = 0
    orders: set[str] = field(default_factory=set)
    histories: set[str] = field(default_factory=set)
    repeated: int = 0
    turns: int = 0
    steps: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    failures: dict[Hashable, Failure] = field(default_factory=dict)

    def take(self, settings: Settings, performance: Performance, flaws: Iterable[Flaw]) -> None:
        """Count a schedule that was played, and keep what is wrong with it, as small as it can be made."""
        self._count(performance)
        found = list(_once(flaws))
        self.failed += bool(found)
        for flaw in found:
            known = self.failures.get(same(flaw))
            self.failures[same(flaw)] = (
                _failure(self.perform, settings, performance, flaw)
                if known is None
                else known.having(times=known.times + 1)
            )

    def _count(self, performance: Performance) -> None:
        played = performance.played
        self.schedules += 1
        self.orders.add(played.order)
        self.histories.add(played.history)
        self.turns += played.turns
        self.steps += len(played.trace)
        self.seconds = added(self.seconds, played.seconds)
        if performance.outcome:
            self.outcomes[performance.outcome] += 1

    def report(self) -> SimulationReport:
        """As far as it has come."""
        return SimulationReport(
            schedules=self.schedules,
            orders=frozenset(self.orders),
            histories=frozenset(self.histories),
            repeated=self.repeated,
            turns=self.turns,
            steps=self.steps,
            seconds=self.seconds,
            outcomes=dict(sorted(self.outcomes.items())),
            failed=self.failed,
            failures=in_order(self.failures.values()),
        )


def _once(flaws: Iterable[Flaw]) -> Iterable[Flaw]:
    first: dict[Hashable, Flaw] = {}
    for flaw in flaws:
        first.setdefault(same(flaw), flaw)
    return first.values()


def repeated(one: Performance, other: Performance) -> list[Flaw]:
    """Whether two schedules of one seed were the same."""
    if one.played.digest == other.played.digest:
        return []
    pairs = enumerate(zip(one.played.trace, other.played.trace, strict=False), 1)
    step = next((step for step, (left, right) in pairs if left != right), None)
    where = "in what was committed" if step is None else f"at step {step}"
    what = f"the same seed came to something else the second time, first {where}: {CHANCE}"
    return [Flaw(kind="P9", what=what)]


def _failure(perform: Perform, settings: Settings, performance: Performance, flaw: Flaw) -> Failure:
    """The flaw, with the smallest schedule that has it."""
    choices: Mapping[int, Choice] = performance.played.choices
    as_played = choices

    def again(choices: Mapping[int, Choice]) -> Performance:
        return perform(settings, Schedule.of(settings, choices).chooser())

    def fails(tried: Mapping[int, Choice]) -> bool:
        # As it was played it has just failed again; who follows chance may not do so a third time.
        return tried == as_played or any(same(other) == same(flaw) for other in again(tried).flaws)

    if flaw.kind != "P9":
        second = again(choices)
        if any(same(other) == same(flaw) for other in second.flaws):
            repeats = flaw in second.flaws and second.played.digest == performance.played.digest
            choices = shrink(fails, choices)
            performance = again(choices)
            shown = next((other for other in performance.flaws if same(other) == same(flaw)), None)
            flaw = shown or flaw
            if shown is None or not repeats:
                flaw = flaw.having(what=f"{flaw.what}; played again it came to something else: {CHANCE}")
        else:
            flaw = flaw.having(what=f"{flaw.what}; not so when it was played again: {CHANCE}")
    return Failure(
        flaw=flaw,
        seed=settings.seed,
        schedule=Schedule.of(settings, choices),
        story=tuple(performance.told(flaw.block)),
        digest=performance.played.digest,
    )
