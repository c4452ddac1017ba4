"""Findings that a declaration says are all right, and waivers that say so of nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from orchestrator.checking.findings import Finding
from orchestrator.checking.rules import RULES, found
from orchestrator.phrases import listed
from orchestrator.waivers import Waiver


def waived(findings: Iterable[Finding], waivers: Sequence[Waiver]) -> Iterator[Finding]:
    """The findings, those that are waived with the reason; then what is wrong with the waivers."""
    spare = dict.fromkeys(waivers)
    places: dict[str, list[str]] = {}
    for finding in findings:
        places.setdefault(finding.code, []).append(finding.place)
        fitting = [waiver for waiver in waivers if _fits(waiver, finding)]
        for waiver in fitting:
            spare.pop(waiver, None)
        yield finding.having(waived=fitting[0].reason) if fitting else finding
    for waiver in spare:
        place = f"waiver {waiver.code!r}"
        if waiver.code not in RULES:
            yield found("W002", place, f"there is no rule {waiver.code!r}, so it waives nothing")
        else:
            at = f" at {waiver.place!r}" if waiver.place else ""
            others = f"; there is one at {listed(places[waiver.code])}" if waiver.code in places else ""
            reason = f"there is no finding {waiver.code} ({RULES[waiver.code].name}){at}{others}"
            yield found("W001", place, reason)


def _fits(waiver: Waiver, finding: Finding) -> bool:
    if waiver.code != finding.code:
        return False
    return waiver.place in ("", finding.place) or finding.place.endswith(f" {waiver.place!r}")
