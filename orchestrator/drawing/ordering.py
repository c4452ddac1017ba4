"""The order of agents and blocks in their columns: few edges cross, and nothing moves that need not."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from orchestrator.drawing.picture import AgentNode, BlockNode, Picture
from orchestrator.drawing.sides import sides

#: How often columns are put in order by what they are linked with.
_ROUNDS: Final = 4

#: Blocks that overflow into each other; each stands above its archive.
Cluster = tuple[BlockNode, ...]


class Order(NamedTuple):
    """The columns, each from top to bottom."""

    left: tuple[AgentNode, ...]
    clusters: tuple[Cluster, ...]
    right: tuple[AgentNode, ...]

    @property
    def blocks(self) -> tuple[BlockNode, ...]:
        """The blocks from top to bottom."""
        return tuple(block for cluster in self.clusters for block in cluster)


def ordered(picture: Picture) -> Order:
    """Each node near the middle of what it is linked with, where that saves crossings; the entry stays at the top."""
    left, right = sides(picture)
    linked: dict[str, list[str]] = {agent.id: [] for agent in picture.agents}
    linked |= {block.id: [] for block in picture.blocks}
    for link in picture.links:
        linked[link.agent].append(link.block)
        linked[link.block].append(link.agent)
    best = order = Order(left, _clusters(picture), right)
    fewest = _crossings(best, linked)
    for _ in range(_ROUNDS):
        if not fewest:
            break
        order = _improved(order, linked)
        if (crossings := _crossings(order, linked)) < fewest:
            best, fewest = order, crossings
    return best


def _clusters(picture: Picture) -> tuple[Cluster, ...]:
    archives = dict(picture.overflows)
    sources: dict[str, list[BlockNode]] = {}
    for block in picture.blocks:
        sources.setdefault(archives.get(block.id, ""), []).append(block)

    def above(block: BlockNode) -> Cluster:
        return (*(node for source in sources.get(block.id, ()) for node in above(source)), block)

    return tuple(above(last) for last in sources.get("", ()))


def _improved(order: Order, linked: Mapping[str, Sequence[str]]) -> Order:
    agents = {**_places(order.left), **_places(order.right)}

    def of_cluster(cluster: Cluster) -> float:
        places = [agents[agent] for block in cluster for agent in linked[block.id]]
        return sum(places) / len(places)

    clusters = tuple(sorted(order.clusters, key=of_cluster))
    blocks = _places([block for cluster in clusters for block in cluster])

    def of_agent(agent: AgentNode) -> float:
        places = [blocks[block] for block in linked[agent.id]]
        return sum(places) / len(places) if places else 1

    entry, *others = order.left
    return Order((entry, *sorted(others, key=of_agent)), clusters, tuple(sorted(order.right, key=of_agent)))


def _places(nodes: Sequence[AgentNode | BlockNode]) -> dict[str, float]:
    """Where each stands, from 0 at the top to 1."""
    return {node.id: (number + 0.5) / len(nodes) for number, node in enumerate(nodes)}


def _crossings(order: Order, linked: Mapping[str, Sequence[str]]) -> int:
    """How many pairs of edges cross."""
    places = {block.id: number for number, block in enumerate(order.blocks)}
    crossings = 0
    for side in (order.left, order.right):
        seen: list[int] = []
        for agent in side:
            mine = [places[block] for block in linked[agent.id]]
            crossings += sum(len(seen) - bisect_right(seen, place) for place in mine)
            for place in mine:
                insort(seen, place)
    return crossings
