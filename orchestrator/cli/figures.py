"""Text for what was measured: figures with their units, findings as lines and as rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from orchestrator.bench import Finding, Gain, Load, Measured, Sent, Timed
from orchestrator.phrases import visible
from orchestrator.team import Team


class Sheet(NamedTuple):
    """A table to be drawn: the names of its columns, its rows, and what has to be known to read it."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


#: What has to be known to read the findings of a kind.
_NOTES: Final = {
    Timed: "bare: a task group without team, blocks, history and log, that does the same waiting in the same run",
    Gain: "alone: the same with one transaction in each commit",
    Sent: "counted in words and signs; unchanged: in the beginning that the same agent's request before had, too",
}


def span(seconds: float) -> str:
    """A time with three digits, in the unit that suits it."""
    if seconds >= 1:
        return f"{seconds:.3g} s" if seconds < 1000 else f"{seconds:,.0f} s"
    return f"{seconds * 1000:.3g} ms" if seconds >= 0.001 or not seconds else f"{seconds * 1e6:.3g} µs"


def line(finding: Finding) -> str:
    """A finding in one line, for a pipe."""
    match finding:
        case Timed():
            return (
                f"{finding.workload}, {finding.store}: {finding.what}: {_rate(finding.turns_per_second)} turns/s,"
                f" {finding.cpu_us_per_turn:,.0f} µs CPU per turn; {span(finding.seconds)} against"
                f" {span(finding.bare_seconds)} bare, ratio {finding.ratio:.2f}"
            )
        case Gain():
            return (
                f"{finding.workload}, {finding.store}: {finding.what}: {_rate(finding.per_second)}/s against"
                f" {_rate(finding.alone_per_second)}/s, gain {finding.ratio:.1f}"
            )
        case Sent():
            return (
                f"{finding.workload}, block in the {finding.placement}: {finding.what}:"
                f" {finding.share:.1%} of {finding.tokens:,} prompt tokens unchanged,"
                f" {finding.said_share:.1%} without tools and system text"
            )


def notes(findings: Sequence[Finding]) -> Iterator[str]:
    """What has to be known to read the lines."""
    for kind, note in _NOTES.items():
        if any(isinstance(finding, kind) for finding in findings):
            yield note


def sheets(findings: Sequence[Finding]) -> Iterator[Sheet]:
    """The findings as tables, one for each kind."""
    timed = [found for found in findings if isinstance(found, Timed)]
    gains = [found for found in findings if isinstance(found, Gain)]
    sent = [found for found in findings if isinstance(found, Sent)]
    if timed:
        columns = ["workload", "store", "what", "turns/s", "µs CPU", "took", "bare", "ratio"]
        yield Sheet(columns, [_timed(found) for found in timed], _NOTES[Timed])
    if gains:
        columns = ["workload", "store", "what", "per s", "alone", "gain"]
        yield Sheet(columns, [_gain(found) for found in gains], _NOTES[Gain])
    if sent:
        columns = ["workload", "block in", "what", "prompt tokens", "unchanged", "without tools, system"]
        yield Sheet(columns, [_sent(found) for found in sent], _NOTES[Sent])


def _timed(found: Timed) -> list[str]:
    rates = [_rate(found.turns_per_second), f"{found.cpu_us_per_turn:,.0f}"]
    times = [span(found.seconds), span(found.bare_seconds), f"{found.ratio:.2f}"]
    return [found.workload, found.store, found.what, *rates, *times]


def _gain(found: Gain) -> list[str]:
    rates = [_rate(found.per_second), _rate(found.alone_per_second), f"{found.ratio:.1f}"]
    return [found.workload, found.store, found.what, *rates]


def _sent(found: Sent) -> list[str]:
    shares = [f"{found.share:.1%}", f"{found.said_share:.1%}"]
    return [found.workload, found.placement, found.what, f"{found.tokens:,}", *shares]


def asked_line(team: Team, asked: Load) -> str:
    """What a team is put under, in one line."""
    messages = f"{asked.messages:,} message{'s' * (asked.messages != 1)} at once"
    parts = [f" for {asked.tasks:,} tasks each" if asked.tasks > 1 else ""]
    parts += [f", {asked.repeat:,} times" if asked.repeat > 1 else ""]
    parts += [f"; {asked.model or 'own models'}"]
    parts += [f" after {asked.think} of thinking, seed {asked.seed}" if asked.think else ""]
    parts += [f"; {asked.max_concurrency:,} turns at once" if asked.max_concurrency else ""]
    parts += [f"; kept in {asked.store}" if asked.store else "; in memory"]
    return visible(f"{team.name}: {messages}{''.join(parts)}")


def measured_lines(measured: Measured) -> Iterator[str]:
    """What a team came to under load, but for spreads and refusals."""
    clock = " of simulated time" if measured.simulated else ""
    rate = "" if measured.turns_per_second is None else f": {_rate(measured.turns_per_second)} turns/s"
    yield f"{measured.turns:,} turns in {span(measured.seconds)}{clock}{rate}"
    if measured.speed_up is not None:
        yield f"{measured.speed_up:.2f} times as fast as one after another ({span(measured.thought)} of thinking)"
    if measured.against_ideal is not None:
        yield f"{measured.against_ideal:.2f} times the ideal ({span(measured.ideal)}, the longest chain of thinking)"
    yield ", ".join(f"{count} of {sum(measured.statuses.values())} {it}" for it, count in measured.statuses.items())


def measured_sheets(measured: Measured) -> Iterator[Sheet]:
    """The spreads, and the refused edits of each block."""
    spreads = (
        ("of a turn", measured.turn),
        ("of a message", measured.message),
        ("from wake to model request", measured.wait),
    )
    rows = [[name, *map(span, (spread.p50, spread.p95, spread.p99, spread.most))] for name, spread in spreads if spread]
    yield Sheet(["time", "p50", "p95", "p99", "most"], rows)
    if measured.refusals:
        edits = [
            [visible(found.block), f"{found.edits:,}", f"{found.refused:,}", f"{found.share:.1%}"]
            for found in measured.refusals
        ]
        yield Sheet(["block", "edits", "refused", "share"], edits)


def sheet_lines(sheet: Sheet) -> Iterator[str]:
    """A table as plain lines: each value with the name of its column."""
    for first, *rest in sheet.rows:
        values = ", ".join(f"{name} {value}" for name, value in zip(sheet.columns[1:], rest, strict=True))
        yield f"{first}: {values}"


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.3g}"
