"""A set of agents, joined by the blocks that they share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.agents import Agent
from orchestrator.blocks import OWNER, Attachment, Block, BlockState, Grant, stored
from orchestrator.checks import check_name
from orchestrator.errors import DeclarationError, UnknownName
from orchestrator.naming import Named, Names
from orchestrator.ports import Attached
from orchestrator.waivers import Waiver
from orchestrator.wakes import Wake

if TYPE_CHECKING:
    from networkx import MultiDiGraph


class Edge(NamedTuple):
    """From an agent that may change a block to an agent that sees it."""

    block: str
    source: str
    target: str
    #: What the source may do.
    grant: Grant
    #: Whether a change wakes the target.
    wakes: bool


class WakeEntry(NamedTuple):
    """A wake of the team: its number, the stored key of its block ("" without one), and the agents that have it."""

    number: int
    wake: Wake
    key: str
    members: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Team:
    """Agents that share blocks. A declaration: it opens nothing and starts nothing.

    Args:
        name: part of the key under which its blocks are stored.
        agents: at least one; messages go to the first.
        entry: the name of the agent that messages go to instead.
        waivers: findings of `check()` that are all right in this team, each with its reason.

    `team | team` is the team of both: agents of one name become one, the left name and entry stay.
    """

    name: str
    agents: tuple[Agent, ...] | Iterable[Agent]
    entry: str = field(default="", kw_only=True)
    waivers: tuple[Waiver, ...] | Iterable[Waiver] = field(default=(), kw_only=True)
    _agents: dict[str, Agent] = field(init=False, repr=False)
    _keys: dict[int, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_name("a team", "name", self.name)
        where = f"team {self.name!r}"
        put = object.__setattr__
        if isinstance(self.agents, Agent) or not isinstance(self.agents, Iterable):
            raise DeclarationError(where, "its agents are not a list")
        put(self, "agents", tuple(self.agents))
        for agent in self.members:
            if not isinstance(agent, Agent):
                raise DeclarationError(where, f"has a {type(agent).__name__} among its agents; give Agent objects")
        by_name = {agent.name: agent for agent in self.members}
        if not by_name:
            raise DeclarationError(where, "has no agents")
        if len(by_name) < len(self.members):
            names = [agent.name for agent in self.members]
            twice = next(name for name in names if names.count(name) > 1)
            raise DeclarationError(where, f"has two agents called {twice!r}")
        put(self, "_agents", by_name)
        entry = getattr(self.entry, "name", self.entry) or self.members[0].name
        if entry not in by_name:
            raise DeclarationError(where, f"entry {entry!r} is none of its agents: {', '.join(by_name)}")
        put(self, "entry", entry)
        put(self, "waivers", _waivers(where, self.waivers))
        put(self, "_keys", self._named(where))
        self._check_wakes(where)

    def _named(self, where: str) -> dict[int, str]:
        """The stored key of each block, by the identity of its declaration."""
        holders: dict[int, list[str]] = {}
        blocks: dict[int, Block] = {}
        for agent in self.members:
            for attachment in agent.attachments:
                blocks[id(attachment.block)] = attachment.block
                holders.setdefault(id(attachment.block), []).append(agent.name)
        for block in [*blocks.values()]:
            blocks |= {id(archive): archive for archive in _archives(block)}
        keys: dict[int, str] = {}
        shared: set[str] = set()
        for identity, block in blocks.items():
            if len(holders.get(identity, ())) == 1:
                keys[identity] = self.own_key(holders[identity][0], block)
                continue
            key = self.shared_key(block)
            if key in shared:
                raise DeclarationError(
                    where,
                    f"has two shared blocks that would be stored as {key!r};"
                    " give each its own key=, or give the agents the same Block object",
                )
            shared.add(key)
            keys[identity] = key
        return keys

    def _check_wakes(self, where: str) -> None:
        for agent in self.members:
            for wake in agent.wakes:
                for name in wake.authors:
                    if name not in self._agents and name != OWNER:
                        raise DeclarationError(
                            where, f"agent {agent.name!r} is woken by {name!r}, who is none of its agents"
                        )
                if wake.handoffs is not None:
                    self._check_handoffs(where, agent.name, wake)

    def _check_handoffs(self, where: str, to: str, wake: Wake) -> None:
        """Whoever hands control over by name writes a note, which both see."""
        for name in wake.authors:
            if name == to:
                raise DeclarationError(where, f"agent {to!r} would hand control over to itself; leave it out of by=")
            if name == OWNER:
                raise DeclarationError(
                    where, f"agent {to!r} takes control from the owner, who has no turn to hand over"
                )
            mine = [attachment for attachment in self._agents[name].attachments if attachment.block is wake.block]
            if not mine or mine[0].grant == Grant.READ:
                label = "" if wake.block is None else wake.block.label
                problem = f"hands control over to {to!r} with a note in block {label!r}, into which it cannot write"
                raise DeclarationError(
                    where, f"agent {name!r} {problem}; give it the block, plain or as .contributor()"
                )

    @property
    def members(self) -> tuple[Agent, ...]:
        """The agents, in the order of their declaration."""
        return self.agents  # type: ignore[return-value]  # normalised in __post_init__

    @property
    def waived(self) -> tuple[Waiver, ...]:
        """The waivers, each once."""
        return self.waivers  # type: ignore[return-value]  # normalised in __post_init__

    def agent(self, name: str) -> Agent:
        """The agent of that name; `UnknownName` lists those there are."""
        try:
            return self._agents[name]
        except KeyError:
            raise UnknownName(
                f"team {self.name!r}", f"has no agent {name!r}; it has {', '.join(self._agents)}"
            ) from None

    def own_key(self, agent: str, block: Block) -> str:
        """The key under which a block is stored that belongs to one agent only."""
        return f"{self.name}:{agent}/{block.label}"

    def shared_key(self, block: Block) -> str:
        """The key under which a block is stored that several agents see, or none."""
        return f"{self.name}:{block.key or block.label}"

    def key_of(self, block: Block) -> str:
        """The key under which a block of this team is stored."""
        return self._keys[id(block)]

    def attached(self, agent: Agent) -> tuple[Attached, ...]:
        """The blocks of an agent as a store keeps them."""
        keys = self._keys
        return tuple(Attached(a.block.label, keys[id(a.block)], a.grant) for a in agent.attachments)

    @cached_property
    def blocks(self) -> dict[str, Block]:
        """The declared blocks by stored key, in the order of their declaration; archives last."""
        declared = [attachment.block for agent in self.members for attachment in agent.attachments]
        archives = [archive for block in declared for archive in _archives(block)]
        return {self._keys[id(block)]: block for block in (*declared, *archives)}

    @cached_property
    def holders(self) -> dict[str, tuple[tuple[str, Attachment], ...]]:
        """By stored key, the agents that see the block, each with its attachment; nobody may see an archive."""
        found: dict[str, list[tuple[str, Attachment]]] = {key: [] for key in self.blocks}
        for agent in self.members:
            for attachment in agent.attachments:
                found[self._keys[id(attachment.block)]].append((agent.name, attachment))
        return {key: tuple(holders) for key, holders in found.items()}

    @cached_property
    def wakes(self) -> tuple[WakeEntry, ...]:
        """What wakes whom, each wake once."""
        members: dict[Wake, list[str]] = {}
        for agent in self.members:
            for wake in agent.wakes:
                members.setdefault(wake, []).append(agent.name)
        return tuple(
            WakeEntry(number, wake, self.key_of(wake.block) if wake.block else "", tuple(names))
            for number, (wake, names) in enumerate(members.items())
        )

    def initial_state(self, key: str) -> BlockState:
        """The declared block as it is stored when it is first created."""
        holders, block = self.holders[key], self.blocks[key]
        overflow = self.key_of(block.overflow) if block.overflow else None
        return stored(block, key, holders[0][0] if len(holders) == 1 else None, overflow)

    @cached_property
    def _names(self) -> Names:
        named = [
            Named(key, block.label, tuple(name for name, _ in self.holders[key])) for key, block in self.blocks.items()
        ]
        return Names(f"team {self.name!r}", named)

    @property
    def names(self) -> Mapping[str, str]:
        """What each block is called, by stored key: its label, or `agent/label` where that is not enough."""
        return self._names.by_key

    def key(self, name: str) -> str:
        """The stored key of the block called `label` or `agent/label`.

        `AmbiguousLabel` lists the candidates; `UnknownName` the blocks there are.
        """
        return self._names.key(name)

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """Who can tell whom something, by which block."""
        woken = {(entry.key, member) for entry in self.wakes for member in entry.members}
        return tuple(
            Edge(self.names[key], source, target, attachment.grant, (key, target) in woken)
            for key, holders in self.holders.items()
            for source, attachment in holders
            if attachment.grant > Grant.READ
            for target, _ in holders
            if target != source
        )

    @cached_property
    def graph(self) -> MultiDiGraph[str]:
        """The team as a networkx graph: agents are nodes, an edge's key is the block that makes it."""
        from networkx import MultiDiGraph  # takes longer to import than everything else here

        graph: MultiDiGraph[str] = MultiDiGraph(name=self.name)
        for agent in self.members:
            graph.add_node(agent.name, agent=agent, entry=agent.name == self.entry)
        for edge in self.edges:
            graph.add_edge(edge.source, edge.target, key=edge.block, grant=str(edge.grant), wakes=edge.wakes)
        return graph

    def __or__(self, other: Team) -> Team:
        """The team of both."""
        if not isinstance(other, Team):
            return NotImplemented
        agents = dict(self._agents)
        for agent in other.members:
            mine = agents.get(agent.name)
            agents[agent.name] = agent if mine is None or mine is agent else mine.merged(agent)
        return Team(self.name, agents.values(), entry=self.entry, waivers=(*self.waived, *other.waived))


def _waivers(where: str, given: object) -> tuple[Waiver, ...]:
    if isinstance(given, Waiver | str) or not isinstance(given, Iterable):
        raise DeclarationError(where, "its waivers are not a list")
    waivers = tuple(dict.fromkeys(given))
    for waiver in waivers:
        if not isinstance(waiver, Waiver):
            raise DeclarationError(where, f"has a {type(waiver).__name__} among its waivers; give Waiver objects")
    return waivers


def _archives(block: Block) -> Iterator[Block]:
    """The blocks that a block's oldest lines move to, one after the other; a chain ends, as values are frozen."""
    archive = block.overflow
    while archive is not None:
        yield archive
        archive = archive.overflow
