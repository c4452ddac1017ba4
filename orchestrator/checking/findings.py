"""What a check comes to: findings with stable codes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from orchestrator.records import Record

#: An error loses something or can never work; a warning is likely to disappoint; a note is worth knowing.
Severity = Literal["error", "warning", "note"]

GRAVEST_FIRST: Final[tuple[Severity, ...]] = ("error", "warning", "note")


class Finding(Record):
    """Something about a team, or about a store, that its developer should know."""

    #: Stable; `orchestrator check --explain CODE` says more.
    code: str
    severity: Severity
    #: What it is about: "block 'notes'", "agent 'ann'", "team 'pair'".
    place: str
    #: In one sentence.
    reason: str
    #: What to do about it.
    mend: str
    #: Why the team's declaration says that this is all right; None if it says nothing.
    waived: str | None = None


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The gravest first, and of one severity by their codes."""
    return tuple(sorted(findings, key=lambda finding: (GRAVEST_FIRST.index(finding.severity), finding.code)))


class Rule(NamedTuple):
    """What a check looks for, under its stable code."""

    code: str
    #: A few words, for lists.
    name: str
    severity: Severity
    #: What is found, in one sentence.
    summary: str
    #: Why it matters.
    why: str
    #: What to do about it.
    mend: str
    #: A declaration that has it, and the nearest one that has not, each of a `team`; "" where it is about a store.
    bad: str = ""
    good: str = ""
