"""Where everything stands: a pure function from a picture to rectangles, texts and wires.

Agents stand in a column left of the blocks, or right. Each link leaves its agent on a line of its own, on which
its label stands, and only then bends towards its block: so no label can meet another, and no wire a box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from orchestrator.drawing.boxes import LABEL_ABOVE, Box, Port
from orchestrator.drawing.geometry import Line, Point, Rect, Written, extent, written
from orchestrator.drawing.legend import Sample, legend
from orchestrator.drawing.ordering import Order, ordered
from orchestrator.drawing.picture import AgentNode, Picture
from orchestrator.drawing.rows import Rows, rows
from orchestrator.drawing.wires import Kind, Wire

#: Around everything; below the title, and above the legend.
_MARGIN: Final = 24
_BELOW_TITLE: Final = 18
_ABOVE_LEGEND: Final = 26
#: Left of the entry agent, for the arrow that says that messages come in here.
_ENTRANCE: Final = 30
#: The straight ends of a wire, where the heads of arrows are.
_HEAD: Final = 14
#: Where wires bend: the least and the most width, and the width for each pixel that a wire climbs.
_LEAST_BEND: Final = 80
_MOST_BEND: Final = 260
_BEND: Final = 0.35
#: Between the columns of a team without blocks.
_NO_BLOCKS: Final = 60
#: Between two wires that go down to archives past other blocks; below the block, and above the archive.
_LANE: Final = 14
_DOWN: Final = 28
_UP: Final = 16
_ASIDE: Final = 24
#: From a block that overflows to the label that says so.
_OVERFLOW: Final = Line("overflow", "small")
_BESIDE: Final = 6


class Label(NamedTuple):
    """What stands at a wire."""

    rect: Rect
    texts: tuple[Written, ...]


class Layout(NamedTuple):
    """The picture, measured."""

    width: float
    height: float
    title: Written
    boxes: tuple[Box, ...]
    labels: tuple[Label, ...]
    wires: tuple[Wire, ...]
    legend: tuple[Sample, ...]


def layout(picture: Picture) -> Layout:
    """The places of all that the picture shows."""
    order = ordered(picture)
    title = written([Line(picture.name, "title")], _MARGIN, _MARGIN, "start")[0]
    plan = rows(picture, order, title.rect.bottom + _BELOW_TITLE)
    lanes = _lanes(picture, order)
    columns = _columns(plan, order, len(lanes))
    boxes = {id_: face.placed(columns.rect(id_, plan)) for id_, face in plan.faces.items()}
    rects = {id_: box.rect for id_, box in boxes.items()}
    joined = [*_links(plan, order, columns), *_flows(picture, order, lanes, columns, rects)]
    inside = max(columns.end - _MARGIN, title.rect.width)
    bottom = max(rect.bottom for rect in rects.values())
    samples = legend(picture, _MARGIN, bottom + _ABOVE_LEGEND, inside)
    if samples.samples:
        bottom += _ABOVE_LEGEND + samples.height
    entry = rects[order.left[0].id]
    entrance = (Point(entry.x - _ENTRANCE + 6, entry.middle.y), Point(entry.x, entry.middle.y))
    return Layout(
        inside + 2 * _MARGIN,
        bottom + _MARGIN,
        title,
        tuple(boxes.values()),
        tuple(label for label, _ in joined),
        (*(wire for _, wire in joined), Wire("entry", entrance, False, True, "messages come in here")),
        samples.samples,
    )


class _Column(NamedTuple):
    x: float
    width: float

    @property
    def right(self) -> float:
        return self.x + self.width


class _Columns(NamedTuple):
    """What a picture takes from left to right."""

    left: _Column
    blocks: _Column
    right: _Column
    #: Which column a node is in.
    of: Mapping[str, _Column]
    #: Where the wires of each side bend: from their labels to the blocks.
    left_bend: tuple[float, float]
    right_bend: tuple[float, float]
    #: The right side of the picture, without its margin.
    end: float

    def rect(self, node: str, plan: Rows) -> Rect:
        column, row = self.of[node], plan.rows[node]
        return Rect(column.x, row.y, column.width, row.height)


def _columns(plan: Rows, order: Order, lanes: int) -> _Columns:
    widths = [
        max((plan.faces[n.id].width for n in nodes), default=0) for nodes in (order.left, order.blocks, order.right)
    ]
    labels = [max((plan.ports[n.id].width for n in nodes), default=0) for nodes in (order.left, order.right)]
    left = _Column(_MARGIN + _ENTRANCE, widths[0])
    at_left = left.right + (2 * _HEAD + labels[0] if labels[0] else 0)
    blocks = _Column(at_left + _bend(plan, order.left) + _HEAD, widths[1])
    from_right = blocks.right + lanes * _LANE + _HEAD
    to_right = from_right + _bend(plan, order.right)
    right = _Column(to_right + (2 * _HEAD + labels[1] if labels[1] else 0), widths[2])
    if not order.blocks:
        right = right._replace(x=left.right + _NO_BLOCKS)
    of = {node.id: left for node in order.left} | {node.id: right for node in order.right}
    of |= {block.id: blocks for block in order.blocks}
    end = right.right if order.right else from_right if order.blocks else left.right
    return _Columns(left, blocks, right, of, (at_left, blocks.x - _HEAD), (to_right, from_right), end)


def _bend(plan: Rows, side: Sequence[AgentNode]) -> float:
    """The steeper the wires, the more room they get to bend."""
    links = [port.link for agent in side for port in plan.ports[agent.id].ports]
    climb = max((abs(plan.ends[link].agent - plan.ends[link].block) for link in links), default=0)
    return min(max(_LEAST_BEND, round(climb * _BEND)), _MOST_BEND)


class _Joined(NamedTuple):
    label: Label
    wire: Wire


def _links(plan: Rows, order: Order, columns: _Columns) -> list[_Joined]:
    names = {id_: face.node.name for id_, face in plan.faces.items()}
    found = []
    for from_left, side in ((True, order.left), (False, order.right)):
        for agent in side:
            for port in plan.ports[agent.id].ports:
                title = f"{agent.name} and {names[port.link.block]}: {', '.join(port.link.says)}"
                found.append(_link(port, from_left, plan, columns, title))
    return found


def _link(port: Port, from_left: bool, plan: Rows, columns: _Columns, title: str) -> _Joined:
    link, (y, end) = port.link, plan.ends[port.link]
    width, height = extent(port.label)
    if from_left:
        x = columns.left.right
        label = Rect(x + _HEAD, y - LABEL_ABOVE - height, width, height)
        texts = written(port.label, label.x, label.y, "start")
        xs = (x, *columns.left_bend, columns.blocks.x)
    else:
        x = columns.right.x
        label = Rect(x - _HEAD - width, y - LABEL_ABOVE - height, width, height)
        texts = written(port.label, label.right, label.y, "end")
        xs = (x, *columns.right_bend, columns.blocks.right)
    points = tuple(Point(x, y) for x, y in zip(xs, (y, y, end, end), strict=True))
    kind: Kind = "handoff" if link.handoff else "wakes" if link.wakes else "plain"
    wire = Wire(kind, points, bool(link.wakes) or not link.writes, link.writes, title)
    return _Joined(Label(label, texts), wire)


def _below(order: Order) -> dict[str, str]:
    """What stands directly below each block."""
    return {upper.id: lower.id for upper, lower in pairwise(order.blocks)}


def _lanes(picture: Picture, order: Order) -> dict[str, int]:
    """For each archive that does not stand directly below all that it takes from, the lane down to it."""
    below = _below(order)
    far = dict.fromkeys(flow.archive for flow in picture.overflows if below[flow.block] != flow.archive)
    return {archive: number for number, archive in enumerate(far)}


def _flows(
    picture: Picture, order: Order, lanes: Mapping[str, int], columns: _Columns, rects: Mapping[str, Rect]
) -> list[_Joined]:
    """From a block to its archive: straight down, or past the blocks between them."""
    found, below = [], _below(order)
    for flow in picture.overflows:
        block, archive = rects[flow.block], rects[flow.archive]
        x, y, top = block.middle.x, block.bottom, archive.y
        points = [Point(x, y), Point(x, top)]
        if below[flow.block] != flow.archive:
            lane = columns.blocks.right + (lanes[flow.archive] + 1) * _LANE
            corners = [(x, y + _DOWN), (lane, y + _DOWN), (lane, top - _UP), (x + _ASIDE, top - _UP), (x + _ASIDE, top)]
            points[1:] = [Point(*corner) for corner in corners]
        texts = written([_OVERFLOW], x + _BESIDE, y + _BESIDE, "start")
        found.append(_Joined(Label(texts[0].rect, texts), Wire("overflow", tuple(points), False, True, "overflow")))
    return found
