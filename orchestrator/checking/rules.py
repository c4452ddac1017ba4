"""The table of all that a check looks for. `orchestrator check --explain CODE` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orchestrator.checking.findings import Finding, Rule
from orchestrator.checking.rules_of_blocks import OF_BLOCKS
from orchestrator.checking.rules_of_races import OF_RACES
from orchestrator.checking.rules_of_running import OF_RUNNING
from orchestrator.checking.rules_of_stores import OF_STORES
from orchestrator.checking.rules_of_wakes import OF_WAKES
from orchestrator.errors import DeclarationError

#: By code. A code that was given away once never comes to mean anything else.
RULES: Final[Mapping[str, Rule]] = {
    rule.code: rule for rule in (*OF_RACES, *OF_BLOCKS, *OF_WAKES, *OF_RUNNING, *OF_STORES)
}


def rule(code: str) -> Rule:
    """The rule of a code, however its letter is typed; `DeclarationError` lists those there are."""
    known = RULES.get(code.upper())
    if known is None:
        raise DeclarationError(code, f"is no code of a finding; there are: {', '.join(RULES)}")
    return known


def found(code: str, place: str, reason: str, mend: str = "") -> Finding:
    """What was found, with the severity of its rule, and, unless another way is said, how that says to mend it."""
    rule = RULES[code]
    return Finding(code=code, severity=rule.severity, place=place, reason=reason, mend=mend or rule.mend)
