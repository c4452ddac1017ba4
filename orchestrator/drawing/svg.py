"""The picture as an SVG image: no scripts, nothing from elsewhere, readable in the light and in the dark."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from orchestrator.drawing.boxes import Box, Chip
from orchestrator.drawing.geometry import LOCK, Point, Rect, Written
from orchestrator.drawing.layout import layout
from orchestrator.drawing.picture import AgentNode, Picture, told
from orchestrator.drawing.style import ROOT, style_sheet
from orchestrator.drawing.wires import Wire

#: The length of an arrow's head, and half its width: of a thin wire and of a bold one.
_THIN: Final = (9, 4)
_BOLD: Final = (12, 6)

#: The rounded corners of agents, and the folded one of blocks.
_ROUND: Final = 16
_FOLD: Final = 12

#: From the top of a line of text to where its letters stand, as a share of its height.
_BASELINE: Final = 0.76


def render(picture: Picture) -> str:
    """The text of the image."""
    placed = layout(picture)
    size = f'width="{placed.width:g}" height="{placed.height:g}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {placed.width:g} {placed.height:g}" role="img"'
        f' class="{ROOT}">',
        f"<title>{escape(f'Team {picture.name}')}</title>",
        f"<desc>{escape(' '.join(told(picture)))}</desc>",
        f"<style>{style_sheet()}</style>",
        f'<rect class="paper" {size} rx="8"/>',
        *_text(placed.title),
        *(line for wire in placed.wires for line in _wire(wire)),
        *(line for box in placed.boxes for line in _box(box)),
        *(line for label in placed.labels for text in label.texts for line in _text(text)),
        *(line for sample in placed.legend for line in (*_wire(sample.wire), *_text(sample.text))),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _box(box: Box) -> Iterator[str]:
    node, (x, y, width, height) = box.node, box.rect
    if isinstance(node, AgentNode):
        shape, kind = _rounded(box.rect, _ROUND), "agent entry" if node.entry else "agent"
    else:
        right, bottom = x + width, y + height
        fold = f"M{right - _FOLD:g} {y:g}v{_FOLD}h{_FOLD}"
        outline = f"M{x:g} {y:g}H{right - _FOLD:g}l{_FOLD} {_FOLD}V{bottom:g}H{x:g}Z"
        shape, kind = f'<path d="{outline}{fold}"', "block read-only" if node.read_only else "block"
    yield f'<g>{shape} class="box {kind}">{_title(_described(box))}{_closing(shape)}'
    for text in box.texts:
        yield from _text(text)
    for chip in box.chips:
        yield from _chip(chip)
    yield "</g>"


def _described(box: Box) -> str:
    description = "" if isinstance(box.node, AgentNode) else box.node.description
    return f"{box.node.name}: {description}" if description else box.node.name


def _chip(chip: Chip) -> Iterator[str]:
    kind = "block read-only" if chip.own.read_only else "block"
    shape = _rounded(chip.rect, 3)
    yield f'{shape} class="box {kind}">{_title(f"{chip.own.label}: {chip.own.description}")}{_closing(shape)}'
    for text in chip.texts:
        yield from _text(text)


def _rounded(rect: Rect, radius: int) -> str:
    return f'<rect x="{rect.x:g}" y="{rect.y:g}" width="{rect.width:g}" height="{rect.height:g}" rx="{radius}"'


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>"


def _closing(shape: str) -> str:
    return f"</{shape[1:].partition(' ')[0]}>"


def _text(text: Written) -> Iterator[str]:
    rect, line = text.rect, text.line
    y = round(rect.y + rect.height * _BASELINE, 1)
    x = {"start": rect.x, "middle": rect.middle.x, "end": rect.right}[text.align]
    if line.style == "locked":
        yield from _lock(Point(rect.x, y))
        x = {"start": x + LOCK, "middle": x + LOCK / 2, "end": x}[text.align]
    anchor = "" if text.align == "start" else f' text-anchor="{text.align}"'
    quiet = " quiet" if line.style in ("small", "locked") else ""
    yield f'<text x="{x:g}" y="{y:g}" class="{line.style}{quiet}"{anchor}>{escape(line.text)}</text>'


def _lock(at: Point) -> Iterator[str]:
    """The sign of a lock that stands on that point."""
    x, y = at
    yield f'<path class="shackle" d="M{x + 2:g} {y - 5:g}v-1.5a2.5 2.5 0 0 1 5 0v1.5"/>'
    yield f'<rect class="bolt" x="{x:g}" y="{y - 5.5:g}" width="9" height="6" rx="1"/>'


def _wire(wire: Wire) -> Iterator[str]:
    points = _shortened(wire)
    yield "<g>" + (_title(wire.title) if wire.title else "")
    if wire.bends:
        start, bend, straight, end = points
        middle = (bend.x + straight.x) / 2
        curve = f"C{middle:g} {bend.y:g} {middle:g} {straight.y:g} {_at(straight)}"
        path = f"M{_at(start)}H{bend.x:g}{curve}H{end.x:g}"
    else:
        path = "M" + "L".join(map(_at, points))
    yield f'<path class="line {wire.kind}" d="{path}"/>'
    if wire.head_at_start:
        yield _head(wire.points[0], wire.points[1], wire)
    if wire.head_at_end:
        yield _head(wire.points[-1], wire.points[-2], wire)
    if wire.kind == "entry":
        yield f'<circle class="head entry" cx="{points[0].x:g}" cy="{points[0].y:g}" r="4"/>'
    yield "</g>"


def _shortened(wire: Wire) -> tuple[Point, ...]:
    """The line ends inside its heads: it is broader than their tips."""
    points = [*wire.points]
    if wire.head_at_start:
        points[0] = _towards(points[0], points[1], _size(wire)[0] - 2)
    if wire.head_at_end:
        points[-1] = _towards(points[-1], points[-2], _size(wire)[0] - 2)
    return tuple(points)


def _size(wire: Wire) -> tuple[int, int]:
    return _BOLD if wire.kind in ("wakes", "handoff") else _THIN


def _towards(point: Point, other: Point, length: int) -> Point:
    """So far from a point towards another that is straight beside, above or below it."""
    dx, dy = (other.x > point.x) - (other.x < point.x), (other.y > point.y) - (other.y < point.y)
    return Point(point.x + dx * length, point.y + dy * length)


def _head(tip: Point, back: Point, wire: Wire) -> str:
    length, half = _size(wire)
    base, (dx, dy) = _towards(tip, back, length), _towards(Point(0, 0), Point(back.x - tip.x, back.y - tip.y), 1)
    corners = (tip, Point(base.x + dy * half, base.y + dx * half), Point(base.x - dy * half, base.y - dx * half))
    return f'<path class="head {wire.kind}" d="M{"L".join(map(_at, corners))}Z"/>'


def _at(point: Point) -> str:
    return f"{point.x:g} {point.y:g}"
