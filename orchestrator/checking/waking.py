"""What a turn of one agent may set off: whose wakes count its changes, its end, and what it hands over."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from orchestrator.blocks import ENGINE, Block, Grant
from orchestrator.checks import FAILURES
from orchestrator.handoffs import Handoffs
from orchestrator.team import Team, WakeEntry
from orchestrator.tools import HandOff, Tool
from orchestrator.wakes import Wake


class Writing(NamedTuple):
    """A change of a block that an agent's turn may bring about."""

    key: str
    #: In whose name: the agent's, or the engine's where the oldest lines move to an archive.
    by: str


class HandingOver(NamedTuple):
    """Control may go from one agent to another, with a note in a block."""

    to: str
    key: str


class Waking:
    """The wakes of a team, by what sets them off."""

    def __init__(self, team: Team) -> None:
        self.team = team
        self.handoffs = Handoffs(team)
        #: By key: those who are woken by changes; pools that look at the text; and those that make room.
        self.changes: dict[str, list[WakeEntry]] = {}
        self.pools: dict[str, list[WakeEntry]] = {}
        self.full: dict[str, list[WakeEntry]] = {}
        #: Of the sleeptime agents.
        self.sleeping: list[WakeEntry] = []
        for entry in team.wakes:
            if entry.wake.is_sleeptime:
                self.sleeping.append(entry)
            elif entry.wake.handoffs is None:
                self._by_key(entry.wake).setdefault(entry.key, []).append(entry)

    def _by_key(self, wake: Wake) -> dict[str, list[WakeEntry]]:
        if wake.when is not None:
            return self.pools
        return self.full if wake.full is not None else self.changes

    @cached_property
    def writings(self) -> dict[str, tuple[Writing, ...]]:
        """What each agent's tools may change, by the agent's name."""
        return {agent.name: tuple(dict.fromkeys(self._writings(agent.name))) for agent in self.team.members}

    def _writings(self, name: str) -> Iterator[Writing]:
        for attachment in self.team.agent(name).attachments:
            if attachment.grant > Grant.READ:
                yield Writing(self.team.key_of(attachment.block), name)
                archive = attachment.block.overflow
                while archive is not None:
                    yield Writing(self.team.key_of(archive), ENGINE)
                    archive = archive.overflow

    @cached_property
    def archives(self) -> set[str]:
        """The keys of the blocks that oldest lines move to."""
        team = self.team
        return {team.key_of(block.overflow) for block in team.blocks.values() if block.overflow is not None}

    @cached_property
    def writers(self) -> dict[str, list[str]]:
        """The agents that are granted to change each block, by its key."""
        return {
            key: [name for name, attachment in holders if attachment.grant > Grant.READ]
            for key, holders in self.team.holders.items()
        }

    def claims(self, name: str) -> Iterator[str]:
        """The keys of the blocks from which something is claimed for an agent when its turn starts."""
        for entry in self.team.wakes:
            if entry.wake.claim is not None and name in entry.members:
                yield entry.key

    def hands(self, name: str) -> Iterator[HandingOver]:
        """To whom an agent may hand control over, as far as its tools and the wakes of others tell."""
        agent = self.team.agent(name)
        for entry in self.team.wakes:
            if entry.wake.handoffs is None:
                continue
            for to in entry.members:
                is_way = self.handoffs.wake(name, entry.key, to) is not None
                label = entry.wake.block.label if entry.wake.block is not None else ""
                if is_way and any(may_hand_over(tool, to, label) for tool in agent.toolbox):
                    yield HandingOver(to, entry.key)

    def can_fire(self, entry: WakeEntry, member: str) -> bool:
        """Whether a wake may ever wake this one of its agents, in the declared team with its owner."""
        wake = entry.wake
        if wake.handoffs is not None:
            senders = (agent.name for agent in self.team.members if agent.name != member)
            return any(to == member and key == entry.key for name in senders for to, key in self.hands(name))
        if wake.is_sleeptime:
            return any(agent.name != member and counts(wake, agent.name) for agent in self.team.members)
        # The owner may change any block.
        authors = [name for name in wake.authors if name != member]
        return not wake.authors or any(name not in self._names or self._may_write(name, entry.key) for name in authors)

    @cached_property
    def _names(self) -> set[str]:
        return {agent.name for agent in self.team.members}

    def _may_write(self, name: str, key: str) -> bool:
        return Writing(key, name) in self.writings[name]


def counts(wake: Wake, by: str) -> bool:
    """Whether somebody's changes, or turns, count for the wake."""
    return not wake.authors or by in wake.authors


def calls_at_first(entry: WakeEntry) -> bool:
    """Whether the text that is declared already calls for a turn of the pool."""
    wake = entry.wake
    assert wake.when is not None, "a pool looks at the text"
    assert wake.block is not None, "and so at a block"
    try:
        return wake.when(wake.block.value) > 0
    except FAILURES:  # a user's function, which the run will tell of
        return False


def may_hand_over(tool: Tool, to: str, label: str) -> bool:
    """Whether a tool may hand control over to an agent with a note in this block; what does not tell may."""
    if tool.hands_to:
        return tool.hands_to == to and label in tool.needs
    try:
        returned = get_type_hints(tool.function).get("return", Any)
    except FAILURES:  # names that are not there; the function works all the same
        return True
    return _includes_handoff(returned)


def _includes_handoff(returned: Any) -> bool:
    if returned in (Any, object, HandOff):
        return True
    return get_origin(returned) in (Union, UnionType) and any(map(_includes_handoff, get_args(returned)))


def block_of(entry: WakeEntry) -> Block:
    """The block that the wake looks at."""
    assert entry.wake.block is not None, "only those of sleeptime agents look at none"
    return entry.wake.block
