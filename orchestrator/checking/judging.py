"""A team is gone through by all rules."""

from __future__ import annotations

from typing import Final

from orchestrator.checking.asked import Asked
from orchestrator.checking.findings import in_order
from orchestrator.checking.lint_blocks import lint_blocks
from orchestrator.checking.lint_labels import lint_labels
from orchestrator.checking.lint_running import lint_running
from orchestrator.checking.lint_wakes import lint_wakes
from orchestrator.checking.lint_work import lint_work
from orchestrator.checking.races import race_finding, races
from orchestrator.checking.report import Report
from orchestrator.checking.waiving import waived

_LINTS: Final = (lint_blocks, lint_labels, lint_wakes, lint_work, lint_running)


def judged(asked: Asked) -> Report:
    """All that is found in the team, the gravest first, with what its declaration waives."""
    found = races(asked.team, asked.waking)
    findings = [finding for race in found if (finding := race_finding(race)) is not None]
    findings += [finding for lint in _LINTS for finding in lint(asked)]
    told = in_order(waived(findings, asked.team.waived))
    return Report.made(team=asked.team.name, findings=told, races=found)
