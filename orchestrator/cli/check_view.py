"""A report of a check, and what its codes mean, on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from orchestrator.checking import Finding, Report
from orchestrator.checking.findings import Rule
from orchestrator.cli.check_lines import INDENT, outcome, safe, safe_line, schedule
from orchestrator.phrases import visible

_COLOURS: Final = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}
_SAFE: Final = "bold green"

#: Findings and what is said of them stand so far in.
_IN: Final = len(INDENT)


def show_report(report: Report, console: Console | None = None) -> None:
    """Print the findings, grouped by severity, then what is safe, then how many there are."""
    console = console or Console()
    for severity, findings in groupby(report.findings, key=lambda finding: finding.severity):
        console.print(Text(f"{severity}s", _COLOURS[severity]))
        for finding in findings:
            _finding(console, finding, schedule(finding, report))
        console.print()
    if races := safe(report):
        console.print(Text("safe", _SAFE))
        for race in races:
            _put(console, Text(visible(safe_line(race))), 1)
        console.print()
    colour = _COLOURS["error"] if report.errors else _COLOURS["warning"] if report.warnings else _SAFE
    console.print(Text.assemble(visible(f"team {report.team!r}: "), (outcome(report), colour)))


def _finding(console: Console, finding: Finding, steps: Sequence[str]) -> None:
    colour = "dim" if finding.waived is not None else _COLOURS[finding.severity]
    head = Text.assemble((finding.code, colour), " ", (visible(finding.place), "bold"), ": ", visible(finding.reason))
    _put(console, head, 1)
    if finding.waived is not None:
        _put(console, Text(visible(f"waived: {finding.waived}"), "green"), 2)
        return
    for number, step in enumerate(steps, 1):
        _put(console, Text(visible(f"{number}. {step}")), 2)
    _put(console, Text(visible(f"mend: {finding.mend}"), "dim"), 2)


def show_rules(rules: Sequence[Rule], console: Console | None = None) -> None:
    """Print what codes mean; several are told apart by an empty line."""
    console = console or Console()
    for number, rule in enumerate(rules):
        if number:
            console.print()
        colour = _COLOURS[rule.severity]
        console.print(Text.assemble((rule.code, colour), " ", (rule.name, "bold"), " ", (f"({rule.severity})", colour)))
        for text in (rule.summary, rule.why, f"Mend: {rule.mend}."):
            console.print(Text(text))
        for word, code in (("Has it:", rule.bad), ("Has it not:", rule.good)) if rule.bad else ():
            console.print(Text(word, "bold"))
            for line in code.splitlines():
                console.print(Text(f"{INDENT}{line}"), soft_wrap=True)  # as it stands, to be copied


def _put(console: Console, text: Text, depth: int) -> None:
    console.print(Padding(text, (0, 0, 0, depth * _IN)))
