"""Labels that a model will confuse, and blocks that look as if they were meant to be one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final

from orchestrator.checking.asked import Asked
from orchestrator.checking.findings import Finding
from orchestrator.checking.rules import found
from orchestrator.phrases import listed

_WORDS: Final = re.compile(r"[_.-]+")

#: Shorter words are told apart at a glance, or are numbers and letters that count: plan_a, plan_b.
_SHORTEST: Final = 4

#: Each agent has its own, however alike they begin.
_OWN: Final = "persona"


def lint_labels(asked: Asked) -> Iterator[Finding]:
    """Labels of one agent that look alike; and blocks of several agents that have the same label and the same text."""
    for agent in asked.team.members:
        labels = [attachment.block.label for attachment in agent.attachments]
        for one, other in combinations(labels, 2):
            if how := alike(one, other):
                reason = f"its blocks {one!r} and {other!r} differ {how}"
                yield found("L006", f"agent {agent.name!r}", reason)
    yield from _same_twice(asked)


def _same_twice(asked: Asked) -> Iterator[Finding]:
    holders: dict[tuple[str, str], list[str]] = {}
    for key, block in asked.team.blocks.items():
        seen_by = asked.team.holders[key]
        if len(seen_by) == 1 and block.label != _OWN:
            holders.setdefault((block.label, block.value), []).append(seen_by[0][0])
    for (label, value), names in holders.items():
        if len(names) > 1:
            same = "the same text" if value else "no text yet"
            reason = f"{listed(names)} each have a block of their own with this label and {same}"
            yield found("L007", f"block {label!r}", reason)


def alike(one: str, other: str) -> str:
    """How little two labels differ, in words; "" for those that can be told apart."""
    first, second = (_WORDS.split(label.lower()) for label in (one, other))
    if one.lower() == other.lower():
        return "in case only"
    if "".join(first) == "".join(second):
        return "in punctuation only"
    if [_singular(word) for word in first] == [_singular(word) for word in second]:
        return "by a plural only"
    if len(first) == len(second):
        different = [pair for pair in zip(first, second, strict=True) if pair[0] != pair[1]]
        if len(different) == 1 and min(map(len, different[0])) >= _SHORTEST and _one_slip(*different[0]):
            return "by one letter only"
    return ""


def _singular(word: str) -> str:
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _one_slip(one: str, other: str) -> bool:
    """Whether one letter was left out, added, mistyped or exchanged with the next. Digits are no slips: they count."""
    start = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    longer, shorter = sorted((one[start:], other[start:]), key=len, reverse=True)
    if any(map(str.isdigit, longer[:1] + shorter[:1])):
        return False
    if len(longer) > len(shorter):
        return longer[1:] == shorter
    return longer[1:] == shorter[1:] or _exchanged(longer, shorter)


def _exchanged(one: Sequence[str], other: Sequence[str]) -> bool:
    return one[:2] == other[1::-1] and one[2:] == other[2:]
