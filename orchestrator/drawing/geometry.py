"""Points, rectangles and texts with a size. Down is positive; units are pixels at natural size."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Final, Literal, NamedTuple

Style = Literal["title", "name", "small", "strong", "locked"]
Align = Literal["start", "middle", "end"]

#: The size of each style's letters, and the height of its lines.
SIZES: Final[dict[Style, int]] = {"title": 16, "name": 14, "small": 11, "strong": 11, "locked": 11}
LINES: Final[dict[Style, int]] = {"title": 22, "name": 18, "small": 14, "strong": 14, "locked": 14}

#: The width of a letter, as a share of its size. Common monospaced fonts have 0.55 to 0.602.
ADVANCE: Final = 0.62

#: What the sign of a lock takes, left of its text.
LOCK: Final = 13


class Point(NamedTuple):
    """A place in the picture."""

    x: float
    y: float


class Rect(NamedTuple):
    """A rectangle, by its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The x of its right side."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The y of its lower side."""
        return self.y + self.height

    @property
    def middle(self) -> Point:
        """Its centre."""
        return Point(self.x + self.width / 2, self.y + self.height / 2)


class Line(NamedTuple):
    """A line of text, not yet anywhere."""

    text: str
    style: Style

    @property
    def width(self) -> float:
        """The most that it takes in any common monospaced font."""
        width = len(self.text) * SIZES[self.style] * ADVANCE
        return _round(width) + (LOCK if self.style == "locked" else 0)

    @property
    def height(self) -> int:
        """The distance to the next line."""
        return LINES[self.style]


class Written(NamedTuple):
    """A line of text in its place."""

    rect: Rect
    line: Line
    align: Align


def wrapped(text: str, style: Style, most: int) -> tuple[Line, ...]:
    """The text in lines of so many letters at most; a word that is longer is cut."""
    return tuple(Line(part, style) for part in wrap(text, most, break_on_hyphens=False))


def extent(lines: Sequence[Line]) -> tuple[float, float]:
    """The width and the height of lines that stand one below the other."""
    return max((line.width for line in lines), default=0), sum(line.height for line in lines)


def written(lines: Sequence[Line], x: float, y: float, align: Align) -> tuple[Written, ...]:
    """The lines one below the other, the first from y on; x is where they begin, have their middle, or end."""
    placed = []
    for line in lines:
        left = x - line.width * {"start": 0, "middle": 0.5, "end": 1}[align]
        placed.append(Written(Rect(left, y, line.width, line.height), line, align))
        y += line.height
    return tuple(placed)


def _round(width: float) -> float:
    """Upwards to a whole even number, so that halves are whole."""
    return -(-width // 2) * 2
