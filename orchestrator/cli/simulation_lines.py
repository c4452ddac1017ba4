"""A simulation as lines for a person, or as a document for a program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.cli.simulation_words import Asked
from orchestrator.phrases import counted, visible
from orchestrator.simulation.reports import Failure, SimulationReport
from orchestrator.simulation.schedules import Schedule
from orchestrator.simulation.searching import SearchReport


class Told(NamedTuple):
    """What is to be said of a simulation, and whether all is well."""

    text: str
    passed: bool


class Kept(NamedTuple):
    """Where the token of a failure is: its path, or why there is none."""

    path: str | None
    problem: str | None = None


def lines(report: SimulationReport, asked: Asked, kept: Sequence[Kept], seconds: float) -> Iterator[str]:
    """What a simulation came to.

    Args:
        kept: of each failure; none where nothing was to be kept.
        seconds: how long it took, in real time.
    """
    played = f"{counted(report.schedules, 'schedule')} ({_distinct(report)})"
    yield f"passed: {played}" if report.passed else f"FAILED {report.failed:,} of {played}"
    took = f"{counted(report.turns, 'turn')}, {span(report.seconds)} of virtual time in {span(seconds)}"
    yield "; ".join((took, *_endings(report)))
    if isinstance(report, SearchReport):
        yield report.extent
    for number, failure in enumerate(report.failures):
        yield ""
        yield from _failed(
            failure, asked, kept[number] if kept else Kept(None), by_seed=not isinstance(report, SearchReport)
        )


def _distinct(report: SimulationReport) -> str:
    histories = "history" if len(report.histories) == 1 else "histories"
    return f"{counted(len(report.orders), 'distinct order')}, {len(report.histories):,} distinct {histories}"


def _endings(report: SimulationReport) -> Iterator[str]:
    """How the runs ended, and whether schedules repeated themselves."""
    if report.outcomes:
        yield f"runs: {', '.join(f'{many:,} {how}' for how, many in _ordered(report.outcomes))}"
    if report.repeated:
        differed = any(failure.flaw.kind == "P9" for failure in report.failures)
        yield f"{report.repeated:,} played twice, {'not always' if differed else 'each time'} the same"


def _ordered(outcomes: Mapping[str, int]) -> list[tuple[str, int]]:
    """The most frequent first."""
    return sorted(outcomes.items(), key=lambda item: (-item[1], item[0]))


def _failed(failure: Failure, asked: Asked, kept: Kept, *, by_seed: bool) -> Iterator[str]:
    often = f" and {failure.times - 1:,} more" if failure.times > 1 else ""
    flaw = failure.flaw
    where = f"seed {failure.seed}{often}" if by_seed else f"{counted(failure.times, 'schedule')}"
    yield f"{where}: {flaw.kind}: {visible(flaw.what)}"
    plain = "" if failure.choices else ": whoever has waited longest goes on"
    yield f"smallest schedule: {counted(failure.choices, 'choice')}{plain}"
    yield from story_lines(failure.story)
    if kept.path is not None:
        yield f"replay: orchestrator simulate --replay {kept.path}"
    if kept.problem is not None:
        yield f"not saved: {visible(kept.problem)}"
    if by_seed:
        yield f"by its seed: {visible(asked.by_seed(failure.seed))}"


def story_lines(story: Iterable[str]) -> Iterator[str]:
    """A story, moved in."""
    return (f"  {visible(line)}" for line in story)


def fields(report: SimulationReport, asked: Asked, kept: Sequence[Kept], seconds: float) -> dict[str, Any]:
    """What a document says of a simulation: everything but the long lists of digests."""
    told: dict[str, Any] = {
        "passed": report.passed,
        "team": asked.team,
        "message": asked.message,
        "options": asked.options(),
        "schedules": report.schedules,
        "orders": len(report.orders),
        "histories": len(report.histories),
        "repeated": report.repeated,
        "turns": report.turns,
        "steps": report.steps,
        "virtual_seconds": round(report.seconds, 3),
        "seconds": round(seconds, 3),
        "outcomes": dict(_ordered(report.outcomes)),
        "search": None,
        "failed": report.failed,
        "failures": [
            _failure_fields(failure, asked, kept[number] if kept else Kept(None))
            for number, failure in enumerate(report.failures)
        ],
    }
    if isinstance(report, SearchReport):
        told["search"] = {"switches": report.switches, "complete": report.complete, "total": report.total}
    return told


def _failure_fields(failure: Failure, asked: Asked, kept: Kept) -> dict[str, Any]:
    return {
        "seed": failure.seed,
        "times": failure.times,
        "promise": failure.flaw.kind,
        "sentence": failure.flaw.what,
        "block": failure.flaw.block,
        "schedule": schedule_fields(failure.schedule),
        "story": list(failure.story),
        "digest": failure.digest,
        "replay": asked.by_seed(failure.seed),
        "saved": kept.path,
    }


def schedule_fields(schedule: Schedule) -> dict[str, Any]:
    """What was drawn, and what was chosen."""
    document: dict[str, Any] = schedule.model_dump(mode="json")
    return document


def span(seconds: float) -> str:
    """A time, short or long."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {rest} s"
