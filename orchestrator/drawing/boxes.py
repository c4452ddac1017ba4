"""What stands in the boxes of agents and blocks, and where on their sides the wires end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from orchestrator.drawing.geometry import Line, Rect, Written, extent, wrapped, written
from orchestrator.drawing.picture import AgentNode, BlockNode, Link, Own

#: How many letters of a name, and of anything smaller, stand in one line.
_NAME: Final = 30
_SMALL: Final = 34
#: How many letters of a wire's label stand in one line.
_LABEL: Final = 34

#: Between a box's border and its text.
_PADDING: Final = 14
_ABOVE: Final = 10
#: The same inside the small box of an own block, and the space above it.
_CHIP_PADDING: Final = 8
_CHIP_ABOVE: Final = 4
_CHIP_GAP: Final = 6

_LEAST_WIDTH: Final = 140

#: From a label down to its wire, and from there to the next label.
LABEL_ABOVE: Final = 3
_LABEL_BELOW: Final = 6


class Chip(NamedTuple):
    """The small box of an own block, inside its agent's."""

    own: Own
    rect: Rect
    texts: tuple[Written, ...]


class Box(NamedTuple):
    """An agent or a block in its place."""

    node: AgentNode | BlockNode
    rect: Rect
    texts: tuple[Written, ...]
    chips: tuple[Chip, ...]


class Face(NamedTuple):
    """What a box shows, not yet anywhere."""

    node: AgentNode | BlockNode
    lines: tuple[Line, ...]
    own: tuple[tuple[Own, tuple[Line, ...]], ...]

    @property
    def width(self) -> float:
        """The least width that holds it."""
        widths = [extent(lines)[0] + 2 * _CHIP_PADDING for _, lines in self.own]
        return max(_LEAST_WIDTH, *(width + 2 * _PADDING for width in (extent(self.lines)[0], *widths)))

    @property
    def height(self) -> float:
        """The least height that holds it."""
        chips = sum(extent(lines)[1] + 2 * _CHIP_ABOVE + _CHIP_GAP for _, lines in self.own)
        return extent(self.lines)[1] + chips + 2 * _ABOVE

    def placed(self, rect: Rect) -> Box:
        """The box in its place, with its texts in the middle."""
        y = rect.y + (rect.height - self.height) / 2 + _ABOVE
        texts = written(self.lines, rect.middle.x, y, "middle")
        y += extent(self.lines)[1]
        chips = []
        for own, lines in self.own:
            y += _CHIP_GAP
            height = extent(lines)[1] + 2 * _CHIP_ABOVE
            chip = Rect(rect.x + _PADDING, y, rect.width - 2 * _PADDING, height)
            chips.append(Chip(own, chip, written(lines, chip.x + _CHIP_PADDING, y + _CHIP_ABOVE, "start")))
            y += height
        return Box(self.node, rect, texts, tuple(chips))


def agent_face(agent: AgentNode) -> Face:
    """What the box of an agent shows."""
    notes = [*(["entry"] if agent.entry else []), *agent.notes]
    lines = [*wrapped(agent.name, "name", _NAME), *(line for note in notes for line in wrapped(note, "small", _SMALL))]
    return Face(agent, tuple(lines), tuple((own, _chip(own)) for own in agent.own))


def block_face(block: BlockNode) -> Face:
    """What the box of a block shows."""
    locked = (Line("read-only", "locked"),) if block.read_only else ()
    return Face(block, (*wrapped(block.name, "name", _NAME), *locked), ())


def _chip(own: Own) -> tuple[Line, ...]:
    said = (line for text in own.says[1:] for line in wrapped(text, "small", _SMALL))
    grant = Line(own.says[0], "locked" if own.read_only else "small")
    return (*wrapped(own.label, "strong", _SMALL), grant, *said)


class Port(NamedTuple):
    """Where a link leaves its agent: so far below the middle of its box; and what stands above the wire."""

    link: Link
    below: float
    label: tuple[Line, ...]


class Ports(NamedTuple):
    """Where the links of an agent leave it, from top to bottom."""

    ports: tuple[Port, ...]
    #: The least height of the box beside which all labels stand.
    height: float

    @property
    def width(self) -> float:
        """The width of the widest label."""
        return max((extent(port.label)[0] for port in self.ports), default=0)


def ports(links: Sequence[Link]) -> Ports:
    """The links of an agent, one below the other, around the middle of its box."""
    labels = [_label(link) for link in links]
    y, lines = 0.0, []
    for label in labels:
        y += extent(label)[1] + LABEL_ABOVE
        lines.append(y)
        y += _LABEL_BELOW
    if not lines:
        return Ports((), 0)
    middle = round((lines[0] + lines[-1]) / 2)
    placed = [Port(link, line - middle, label) for link, line, label in zip(links, lines, labels, strict=True)]
    return Ports(tuple(placed), 2 * max(middle, y - middle))


def _label(link: Link) -> tuple[Line, ...]:
    """The grant; what wakes stands below it, or beside it where both are short."""
    short = ", ".join(link.says)
    texts = (short,) if len(short) <= _LABEL else link.says
    return tuple(line for text in texts for line in wrapped(text, "strong" if link.wakes else "small", _LABEL))
