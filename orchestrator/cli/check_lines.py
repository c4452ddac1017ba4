"""A report of a check as text: a few lines for each finding, and what is safe."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import indent
from typing import Final

from orchestrator.checking import Finding, Race, Report
from orchestrator.checking.findings import Rule
from orchestrator.cli.lines import one_line
from orchestrator.phrases import counted

#: What stands before the second and later lines of an entry.
INDENT: Final = "    "


def report_lines(report: Report) -> Iterator[str]:
    """The report, for a pipe: each finding begins a line with its severity and code."""
    for finding in report.findings:
        yield one_line(f"{finding.severity} {finding.code} {finding.place}: {finding.reason}")
        for word, text in details(finding, report):
            yield one_line(f"{INDENT}{word}: {text}")
    for race in safe(report):
        yield one_line(f"safe {safe_line(race)}")
    yield one_line(f"team {report.team!r}: {outcome(report)}")


def details(finding: Finding, report: Report) -> Iterator[tuple[str, str]]:
    """What is said below a finding, each with the word before it."""
    if finding.waived is not None:
        yield "waived", finding.waived
        return
    if steps := schedule(finding, report):
        yield "so", "; ".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
    yield "mend", finding.mend


def schedule(finding: Finding, report: Report) -> tuple[str, ...]:
    """How a race that is told of may come to pass; nothing for what is none."""
    mine = (race for race in report.races if race.code == finding.code and finding.place == f"block {race.block!r}")
    return next((race.schedule for race in mine), ())


def safe(report: Report) -> list[Race]:
    """Changes that are made at the same time, and that nothing comes of."""
    return [race for race in report.races if race.grade == "safe"]


def safe_line(race: Race) -> str:
    """Who may change a block without a care."""
    first = race.pairs[0]
    words = sorted({operation for pair in race.pairs for operation in pair.operations})
    return f"block {race.block!r}: {', '.join(race.agents)}: {' and '.join(words)}, {first.when}: {first.reason}"


def outcome(report: Report) -> str:
    """How many of each there are, in one line."""
    parts = [
        counted(len(found), word)
        for found, word in ((report.errors, "error"), (report.warnings, "warning"), (report.notes, "note"))
    ]
    return ", ".join(parts + ([f"{len(report.waived):,} waived"] if report.waived else []))


def explained(rule: Rule) -> str:
    """All that there is to say about a code."""
    parts = [f"{rule.code} {rule.name} ({rule.severity})", rule.summary, rule.why, f"Mend: {rule.mend}."]
    if rule.bad:
        parts += [f"Has it:\n\n{indent(rule.bad, INDENT)}", f"Has it not:\n\n{indent(rule.good, INDENT)}"]
    return "\n\n".join(parts)
