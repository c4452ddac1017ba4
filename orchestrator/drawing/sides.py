"""Which agents stand on which side of the blocks."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from orchestrator.drawing.picture import AgentNode, Picture

#: How much may stand on one side, in lines of text, before agents are dealt to both.
_MOST: Final = 28


class Sides(NamedTuple):
    """The agents left and right of the blocks, each from top to bottom."""

    left: tuple[AgentNode, ...]
    right: tuple[AgentNode, ...]


def sides(picture: Picture) -> Sides:
    """The entry agent stands left, at the top; those who are all alike, such as workers, right, if there is room."""
    blocks: dict[str, list[object]] = {agent.id: [] for agent in picture.agents}
    for link in picture.links:
        blocks[link.agent].append((link.block, link.says))
    kinds = {agent.id: (*blocks[agent.id], agent.notes, agent.own) for agent in picture.agents}
    entry = next(agent for agent in picture.agents if agent.entry)
    others = [agent for agent in picture.agents if not agent.entry]
    kind, size = Counter(kinds[agent.id] for agent in others).most_common(1)[0] if others else (None, 0)
    rest = [agent for agent in others if size < 2 or kinds[agent.id] != kind]
    pool = [agent for agent in others if agent not in rest]
    order = [entry, *rest, *pool]
    weights = [2 + len(agent.own) + max(len(agent.notes) + 1, len(blocks[agent.id])) for agent in order]
    cut = 1 + (len(rest) if pool else 0)
    if max(sum(weights[:cut]), sum(weights[cut:])) > _MOST:
        cut = min(range(1, len(order) + 1), key=lambda cut: max(sum(weights[:cut]), sum(weights[cut:])))
    return Sides(tuple(order[:cut]), tuple(order[cut:]))
