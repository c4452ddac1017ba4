"""From top to bottom: agents in the middle of their columns, blocks near those who see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from orchestrator.drawing.boxes import Face, Ports, agent_face, block_face, ports
from orchestrator.drawing.ordering import Order
from orchestrator.drawing.picture import AgentNode, Link, Picture

#: Between agents, between blocks, and between a block that overflows and what stands below it.
_AGENTS_APART: Final = 20
_BLOCKS_APART: Final = 36
_ARCHIVE_APART: Final = 50
#: Between the wires that end at one side of a block: the first with which blocks take no more than this share.
_ENDS_APART: Final = (28, 24, 20, 17, 14)
_SHARE: Final = 0.7
#: What the height of a block is, besides those wires.
_AROUND_ENDS: Final = 24


class Row(NamedTuple):
    """What a node takes from top to bottom."""

    y: float
    height: float

    @property
    def middle(self) -> float:
        """The y of its middle."""
        return self.y + self.height / 2


class Ends(NamedTuple):
    """Where a link leaves its agent, and where it meets its block."""

    agent: float
    block: float


class Rows(NamedTuple):
    """Everything that is known before any x is, by the ids of nodes."""

    faces: Mapping[str, Face]
    ports: Mapping[str, Ports]
    rows: Mapping[str, Row]
    ends: Mapping[Link, Ends]


def rows(picture: Picture, order: Order, top: float) -> Rows:
    """Where the nodes of a picture stand from that y on, and what they show."""
    linked = _linked(picture, order)
    leaving = {id_: ports(links) for id_, links in linked.items()}
    faces = {agent.id: agent_face(agent) for agent in (*order.left, *order.right)}
    faces |= {block.id: block_face(block) for block in order.blocks}
    heights = {agent.id: max(faces[agent.id].height, leaving[agent.id].height) for agent in picture.agents}
    whole = max(_stacked(side, heights) for side in (order.left, order.right))
    blocks, apart = _blocks(picture, order, linked, faces, whole)
    whole = max(whole, blocks[-1].y + blocks[-1].height if blocks else 0)
    placed: dict[str, Row] = {}
    for side in (order.left, order.right):
        y = top + round((whole - _stacked(side, heights)) / 2)
        for agent in side:
            placed[agent.id] = Row(y, heights[agent.id])
            y += heights[agent.id] + _AGENTS_APART
    starts = {port.link: placed[id_].middle + port.below for id_, made in leaving.items() for port in made.ports}
    placed |= _shifted(order, blocks, starts, Row(top, whole))
    return Rows(faces, leaving, placed, dict(_ends(order, linked, starts, placed, apart)))


def _linked(picture: Picture, order: Order) -> dict[str, list[Link]]:
    """The links of each agent, in the order of their blocks."""
    places = {block.id: number for number, block in enumerate(order.blocks)}
    linked: dict[str, list[Link]] = {agent.id: [] for agent in picture.agents}
    for link in sorted(picture.links, key=lambda link: places[link.block]):
        linked[link.agent].append(link)
    return linked


def _stacked(side: Sequence[AgentNode], heights: Mapping[str, float]) -> float:
    return sum(heights[agent.id] + _AGENTS_APART for agent in side) - _AGENTS_APART if side else 0


class _Blocks(NamedTuple):
    rows: tuple[Row, ...]
    #: Between the wires that end at one side of a block.
    apart: int


def _blocks(
    picture: Picture, order: Order, linked: Mapping[str, Sequence[Link]], faces: Mapping[str, Face], room: float
) -> _Blocks:
    """The blocks one below the other, from 0 on: as high as their texts, and as the wires that end at one side need."""
    counts = [Counter(link.block for agent in side for link in linked[agent.id]) for side in (order.left, order.right)]
    overflowing = {flow.block for flow in picture.overflows}
    made: list[Row] = []
    for apart in _ENDS_APART:
        y, made = 0.0, []
        for block in order.blocks:
            ends = max(count[block.id] for count in counts)
            made.append(Row(y, max(faces[block.id].height, (ends - 1) * apart + _AROUND_ENDS)))
            y += made[-1].height + (_ARCHIVE_APART if block.id in overflowing else _BLOCKS_APART)
        if y <= room * _SHARE:
            break
    return _Blocks(tuple(made), apart)


def _shifted(order: Order, blocks: Sequence[Row], starts: Mapping[Link, float], room: Row) -> dict[str, Row]:
    """Each cluster of blocks as near as can be to the middle of its links, in order and without overlap.

    Every cluster has links: an archive that nobody sees stands below a block that somebody does.
    """
    seen: dict[str, list[float]] = {block.id: [] for block in order.blocks}
    for link, y in starts.items():
        seen[link.block].append(y)
    own = dict(zip(seen, blocks, strict=True))
    wishes = []
    for cluster in order.clusters:
        first, last = own[cluster[0].id], own[cluster[-1].id]
        ys = [y for block in cluster for y in seen[block.id]]
        wishes.append(sum(ys) / len(ys) - (first.y + last.y + last.height) / 2)
    slack = room.height - (blocks[-1].y + blocks[-1].height) if blocks else 0
    placed: dict[str, Row] = {}
    for cluster, shift in zip(order.clusters, _rising(wishes), strict=True):
        down = round(min(max(shift, room.y), room.y + slack))
        placed |= {block.id: Row(own[block.id].y + down, own[block.id].height) for block in cluster}
    return placed


def _rising(wishes: Sequence[float]) -> list[float]:
    """The nearest numbers, by squares, that never fall."""
    pools: list[tuple[float, int]] = []
    for wish in wishes:
        total, count = wish, 1
        while pools and pools[-1][0] / pools[-1][1] >= total / count:
            total, count = total + pools[-1][0], count + pools[-1][1]
            pools.pop()
        pools.append((total, count))
    return [total / count for total, count in pools for _ in range(count)]


def _ends(
    order: Order,
    linked: Mapping[str, Sequence[Link]],
    starts: Mapping[Link, float],
    placed: Mapping[str, Row],
    apart: int,
) -> list[tuple[Link, Ends]]:
    """At each side of a block the wires end in the order of their agents, around its middle."""
    found = []
    for side in (order.left, order.right):
        arriving: dict[str, list[Link]] = {}
        for agent in side:
            for link in linked[agent.id]:
                arriving.setdefault(link.block, []).append(link)
        for block, links in arriving.items():
            y = placed[block].middle - (len(links) - 1) * apart / 2
            found += [(link, Ends(starts[link], y + number * apart)) for number, link in enumerate(links)]
    return found
