"""Who wrote which line of a block, from its history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from orchestrator.blocks import Revision


class BlameLine(NamedTuple):
    """A line of a block, and the version in which it came to stand there."""

    text: str
    version: int
    by: str
    turn: str | None
    #: When, in Unix seconds.
    at: float


def blame(history: Iterable[Revision]) -> list[BlameLine]:
    """The lines of the last version, each with who wrote it. The history begins with its first version.

    A line that a rewrite left as it was is still its author's; one that was moved is its mover's, so the lines of an
    archive are the engine's that put them there: whose they were is in the history of the block that they came from.
    """
    lines: list[BlameLine] = []
    for lines in blamed(history):  # noqa: B007 - the last one is wanted
        pass
    return lines


def blamed(history: Iterable[Revision]) -> Iterator[list[BlameLine]]:
    """The same for each version, oldest first. A line that stays is the same object."""
    lines: list[BlameLine] = []
    for revision in history:
        lines = rewritten(lines, revision)
        yield lines


def rewritten(before: Sequence[BlameLine], revision: Revision) -> list[BlameLine]:
    """The lines of a version, given those of the version before it."""
    texts = revision.value.split("\n") if revision.value else []
    old = [line.text for line in before]
    # Most changes touch one place: what is the same before and behind it need not be compared by the slow way.
    head = _alike(old, texts)
    tail = _alike(old[head:][::-1], texts[head:][::-1])
    new = [BlameLine(text, revision.version, revision.by, revision.turn, revision.at) for text in texts]
    inner_old, inner_new = old[head : len(old) - tail], texts[head : len(texts) - tail]
    for start, at, size in SequenceMatcher(None, inner_old, inner_new, autojunk=False).get_matching_blocks():
        new[head + at : head + at + size] = before[head + start : head + start + size]
    return [*before[:head], *new[head : len(new) - tail], *before[len(before) - tail :]]


def _alike(first: Sequence[str], second: Sequence[str]) -> int:
    """How many lines the two begin with that are the same."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(first), len(second)))
