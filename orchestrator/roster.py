"""Who is in a team at this moment: the agents that it declares, and those that its owner made while it was live."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.agents import Agent
from orchestrator.blocks import Block, Guard
from orchestrator.errors import UnknownName
from orchestrator.team import Team

#: Gives back what an agent holds: a function of the text and the agent's name, and the key of the block.
Release = tuple[Callable[[str, str], str | None], str]


class Roster:
    """The agents of a live team by name, and the declarations of its blocks by stored key."""

    def __init__(self, team: Team) -> None:
        self.team = team
        self._agents = {agent.name: agent for agent in team.members}
        self._declared = frozenset(self._agents)
        self._blocks = dict(team.blocks)
        self._keys = {block: key for key, block in team.blocks.items()}
        self._releases: dict[str, tuple[Release, ...]] = {}
        for agent in team.members:
            found = [
                (wake.release, team.key_of(wake.block))
                for wake in agent.wakes
                if wake.release is not None and wake.block is not None
            ]
            self._releases[agent.name] = tuple(found)
        self._all_releases = tuple(dict.fromkeys(one for found in self._releases.values() for one in found))

    @property
    def members(self) -> tuple[Agent, ...]:
        """The agents, the declared ones first."""
        return tuple(self._agents.values())

    def agent(self, name: str) -> Agent:
        """The agent of that name; `UnknownName` lists those there are."""
        try:
            return self._agents[name]
        except KeyError:
            known = ", ".join(self._agents)
            raise UnknownName(f"team {self.team.name!r}", f"has no agent {name!r}; it has {known}") from None

    def __contains__(self, name: str) -> bool:
        return name in self._agents

    def is_declared(self, name: str) -> bool:
        """Whether code declares the agent."""
        return name in self._declared

    def put(self, agent: Agent) -> None:
        """Add an agent, or put another declaration in the place of the one that has its name."""
        self._agents[agent.name] = agent

    def remove(self, name: str) -> None:
        """The agent is no longer in the team."""
        self._agents.pop(name, None)

    def releases(self, agent: str, *, claimed: bool) -> tuple[Release, ...]:
        """What gives back the things that an agent may hold at the end of a turn, which may have claimed something."""
        # What that was is not known when the agent is no longer declared, or its wake is not: whatever it may be.
        if claimed or agent not in self._agents:
            return self._all_releases
        return self._releases.get(agent, ())

    def key_of(self, block: Block) -> str | None:
        """The stored key of a block, by the identity of its declaration; None if this team has not seen it."""
        return self._keys.get(block)

    def remember(self, key: str, block: Block) -> None:
        """The declaration stands for the block that is stored under the key."""
        self._keys[block] = key

    def forget(self, block: Block) -> None:
        """The declaration stands for no block after all."""
        self._keys.pop(block, None)

    def guard(self, key: str) -> Guard | None:
        """The guard of a block, if it is declared with one."""
        block = self._blocks.get(key)
        return None if block is None else block.guard
