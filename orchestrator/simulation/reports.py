"""What many schedules came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable

from pydantic import Field, field_serializer

from orchestrator.errors import OrchestratorError
from orchestrator.phrases import counted
from orchestrator.records import Record
from orchestrator.simulation.judging import Flaw
from orchestrator.simulation.schedules import Schedule


class ScheduleFailed(OrchestratorError, AssertionError):
    """A team did not keep in every schedule what is promised, or demanded of it."""


class Failure(Record):
    """One way in which schedules fail, shown by the smallest schedule that was found."""

    flaw: Flaw
    #: The first seed that fails so, and in how many of the schedules it was so.
    seed: int
    times: int = 1
    #: The fewest choices that fail in the same way, and what happens then.
    schedule: Schedule
    story: tuple[str, ...] = ()
    #: Of that schedule.
    digest: str = ""

    @property
    def choices(self) -> int:
        """How many steps were not simply taken by whoever had waited longest."""
        return len(self.schedule.choices)


class SimulationReport(Record):
    """What was played, and what was wrong."""

    schedules: int = 0
    #: Schedules in which tasks took their steps in an order of its own; and those that committed something of its own.
    orders: frozenset[str] = frozenset()
    histories: frozenset[str] = frozenset()
    #: How many were played twice, to see that they repeat themselves.
    repeated: int = 0
    turns: int = 0
    steps: int = 0
    #: In virtual seconds, all together.
    seconds: float = 0.0
    #: How the runs ended, and how many of them.
    outcomes: dict[str, int] = Field(default_factory=dict)
    failed: int = 0
    failures: tuple[Failure, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return not self.failed

    def raise_if_failed(self) -> None:
        """Raise `ScheduleFailed` with what was wrong, if anything was."""
        if not self.passed:
            raise ScheduleFailed(str(self))

    @field_serializer("orders", "histories")
    def _sorted(self, digests: frozenset[str]) -> list[str]:
        return sorted(digests)  # a set has another order in each process

    def __or__(self, other: SimulationReport) -> SimulationReport:
        """Both together, of one simulation in two parts."""
        by_flaw = {same(failure.flaw): failure for failure in self.failures}
        for failure in other.failures:
            known = by_flaw.get(same(failure.flaw))
            by_flaw[same(failure.flaw)] = failure if known is None else _both(known, failure)
        return SimulationReport(
            schedules=self.schedules + other.schedules,
            orders=self.orders | other.orders,
            histories=self.histories | other.histories,
            repeated=self.repeated + other.repeated,
            turns=self.turns + other.turns,
            steps=self.steps + other.steps,
            seconds=added(self.seconds, other.seconds),
            outcomes=dict(sorted((Counter(self.outcomes) + Counter(other.outcomes)).items())),
            failed=self.failed + other.failed,
            failures=in_order(by_flaw.values()),
        )

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def same(flaw: Flaw) -> tuple[Hashable, ...]:
    """Equal for two flaws that are told as one."""
    return (flaw.kind, flaw.block, flaw.of)


def in_order(failures: Iterable[Failure]) -> tuple[Failure, ...]:
    """The first seed first, and of one seed the promises."""
    return tuple(sorted(failures, key=lambda failure: (failure.seed, *map(str, same(failure.flaw)))))


def added(seconds: float, more: float) -> float:
    """In microseconds, so that the sum is the same in whatever order it is made."""
    return round(seconds + round(more, 6), 6)


def _both(one: Failure, other: Failure) -> Failure:
    first, second = sorted((one, other), key=lambda failure: failure.seed)
    return first.having(times=first.times + second.times)


def _lines(report: SimulationReport) -> Iterable[str]:
    schedules, turns = counted(report.schedules, "schedule"), counted(report.turns, "turn")
    played = f"{schedules}, {len(report.orders):,} of them distinct, {turns}"
    if report.passed:
        yield f"passed: {played}"
        return
    yield f"FAILED {report.failed:,} of {played}"
    for failure in report.failures:
        often = f" and {failure.times - 1:,} more" if failure.times > 1 else ""
        yield f"  seed {failure.seed}{often}: {failure.flaw.kind}: {failure.flaw.what}"
        choices = counted(failure.choices, "choice") if failure.choices else "whoever has waited longest goes on"
        yield f"  smallest schedule: {choices}"
        yield from (f"    {line}" for line in failure.story)
