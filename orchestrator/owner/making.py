"""An agent that is made while the team is live, as the rows that a store keeps of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from orchestrator.agents import Agent
from orchestrator.blocks import OWNER, Block, BlockState, stored
from orchestrator.errors import DeclarationError
from orchestrator.ports import AgentRecord, AgentSettings, Attached, Sleep
from orchestrator.roster import Roster


class Making:
    """A declaration of an agent, as rows; `DeclarationError` says what of it no store can keep."""

    def __init__(self, roster: Roster, agent: Agent, stored_keys: Collection[str]) -> None:
        self._roster = roster
        self._own: list[tuple[BlockState, Block]] = []
        attached: list[Attached] = []
        keys: dict[Block, str] = {}
        for attachment in agent.attachments:
            block = attachment.block
            key, own_key = roster.key_of(block), roster.team.own_key(agent.name, block)
            if key is None and block.guard is not None:
                problem = f"its block {block.label!r} has a guard, which no store can keep; declare it in code"
                raise DeclarationError(f"agent {agent.name!r}", problem)
            if key is None or (key == own_key and key not in stored_keys):  # it was there before, and so was its block
                key = own_key
                self._own.append((stored(block, key, agent.name), block))
            keys[block] = key
            attached.append(Attached(block.label, key, attachment.grant))
        self._own = [
            (state.having(overflow=_overflow(roster, agent, block, keys)), block) for state, block in self._own
        ]
        #: By key, whose changes of which blocks wake it.
        self.wakes = _wakes(roster, agent, keys)
        self.sleeps = tuple(Sleep(w.every, w.idle, w.authors) for w in agent.wakes if w.is_sleeptime)
        self.record = AgentRecord(
            name=agent.name,
            attached=tuple(attached),
            added=tuple(attached),
            settings=settings(agent, tuple(self.wakes.items()), self.sleeps),
        )

    @property
    def own(self) -> list[BlockState]:
        """The blocks that come to be with it."""
        return [state for state, _ in self._own]

    def remember(self) -> None:
        """The declarations stand for the blocks that have come to be."""
        for state, block in self._own:
            self._roster.remember(state.key, block)


def _overflow(roster: Roster, agent: Agent, block: Block, keys: Mapping[Block, str]) -> str | None:
    """The key of the block's archive: another block of the agent, or one that the team has."""
    archive = block.overflow
    if archive is None:
        return None
    key = keys.get(archive) or roster.key_of(archive)
    if key is None:
        problem = (
            f"its block {block.label!r} overflows into {archive.label!r}, which the team does not have; create that"
        )
        raise DeclarationError(f"agent {agent.name!r}", problem)
    return key


def _wakes(roster: Roster, agent: Agent, keys: Mapping[Block, str]) -> dict[str, tuple[str, ...]]:
    wakes: dict[str, tuple[str, ...]] = {}
    for wake in agent.wakes:
        if wake.when is not None:
            raise DeclarationError(f"agent {agent.name!r}", "has a Wake with functions; declare it in code")
        if wake.full is not None or wake.handoffs is not None:
            raise DeclarationError(f"agent {agent.name!r}", "has a Wake with full= or handoffs=; declare it in code")
        for name in wake.authors:
            if name not in roster and name not in (OWNER, agent.name):
                raise DeclarationError(f"agent {agent.name!r}", f"is woken by {name!r}, who is not in the team")
        if wake.block is None:
            continue
        key = keys[wake.block]
        known = wakes.get(key, wake.authors)
        wakes[key] = tuple(dict.fromkeys((*known, *wake.authors))) if known and wake.authors else ()  # () is everybody
    return wakes


def settings(agent: Agent, wakes: tuple[tuple[str, tuple[str, ...]], ...], sleeps: tuple[Sleep, ...]) -> AgentSettings:
    """What a store keeps of a declaration, besides the blocks."""
    return AgentSettings(
        instructions=agent.instruction_parts,
        model=agent.model if isinstance(agent.model, str) else None,
        tools=tuple(tool.name for tool in agent.toolbox),
        wakes=wakes,
        sleeps=sleeps,
        max_steps=agent.max_steps,
        timeout=agent.timeout,
    )
