"""What the lines of a picture mean, below it: only those that are in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from orchestrator.drawing.geometry import Line, Point, Written, written
from orchestrator.drawing.picture import Picture
from orchestrator.drawing.wires import Wire

_LENGTH: Final = 30
_GAP: Final = 8
_APART: Final = 26
_ROW: Final = 20


class Sample(NamedTuple):
    """A line, and what it means."""

    wire: Wire
    text: Written


class Legend(NamedTuple):
    """The samples in rows."""

    samples: tuple[Sample, ...]
    height: float


def legend(picture: Picture, x: float, y: float, width: float) -> Legend:
    """The samples that fit the picture, in rows of that width, from that corner on."""
    samples: list[Sample] = []
    left, top = x, y
    for wire, text in _meanings(picture):
        line = Line(text, "small")
        taken = _LENGTH + _GAP + line.width
        if left > x and left + taken > x + width:
            left, top = x, top + _ROW
        middle = top + line.height / 2
        placed = wire._replace(points=(Point(left, middle), Point(left + _LENGTH, middle)))
        samples.append(Sample(placed, written([line], left + _LENGTH + _GAP, top, "start")[0]))
        left += taken + _APART
    return Legend(tuple(samples), top + _ROW - y if samples else 0)


def _meanings(picture: Picture) -> Iterator[tuple[Wire, str]]:
    if any(link.writes for link in picture.links):
        yield Wire("plain", (), False, True), "may change the block"
    if any(not link.writes and not link.wakes for link in picture.links):
        yield Wire("plain", (), True, False), "only reads it"
    if any(link.wakes and not link.handoff for link in picture.links):
        yield Wire("wakes", (), True, False), "wakes the agent"
    if any(link.handoff for link in picture.links):
        yield Wire("handoff", (), True, False), "hands over to the agent"
    if picture.overflows:
        yield Wire("overflow", (), False, True), "oldest lines move on"
