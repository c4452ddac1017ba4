"""What each change of a block brought and took away, and whose it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from orchestrator.blame import BlameLine, rewritten
from orchestrator.blocks import ENGINE, Revision
from orchestrator.events import BlockChanged, BlockCreated
from orchestrator.phrases import brief

#: Of a text, so many characters are quoted; of several lines, so many.
_MOST: Final = 60
_MOST_LINES: Final = 2


class Passage(NamedTuple):
    """From one version of a block to the next one."""

    #: The lines that came, and those of which nothing is left, wherever it stands now.
    added: tuple[BlameLine, ...]
    removed: tuple[BlameLine, ...]


class Passages:
    """Follows the texts of blocks through the log."""

    def __init__(self) -> None:
        self._lines: dict[str, list[BlameLine]] = {}

    def of(self, event: BlockCreated | BlockChanged) -> Passage:
        """What this event, the next one of its block, did to the text."""
        before = self._lines.get(event.key, [])
        lines = self._lines[event.key] = rewritten(before, _revision(event))
        old, new = set(map(id, before)), set(map(id, lines))  # a line that stays is the same object
        added = tuple(line for line in lines if id(line) not in old and line.text.strip())
        removed = tuple(line for line in before if id(line) not in new and line.text.strip() not in event.value)
        return Passage(added, removed)


def _revision(event: BlockCreated | BlockChanged) -> Revision:
    if isinstance(event, BlockCreated):
        return Revision.made(version=event.version, value=event.value, operation="create", by=ENGINE, at=event.at)
    return Revision.made(
        version=event.version,
        value=event.value,
        operation=event.operation,
        by=event.by,
        turn=event.turn,
        at=event.at,
    )


def several(lines: Sequence[BlameLine]) -> str:
    """The first of the lines, quoted, and how many there are more."""
    first = ", ".join(in_marks(line.text) for line in lines[:_MOST_LINES])
    more = len(lines) - _MOST_LINES
    return f"{first} and {more} more" if more > 0 else first


def in_marks(text: str) -> str:
    """The beginning of a text, between marks that are not in it."""
    line = brief(text, _MOST)
    return f"'{line}'" if '"' in line else f'"{line}"'
