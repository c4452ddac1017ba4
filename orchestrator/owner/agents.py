"""`live.agents` and `live.agents.blocks`: the agents of a live team, for its owner."""

from __future__ import annotations

import builtins
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from orchestrator.agents import Agent
from orchestrator.blocks import BlockState, Grant
from orchestrator.errors import DeclarationError, RunError, UnknownName
from orchestrator.owner.blocks import OwnedBlocks
from orchestrator.owner.making import Making, settings
from orchestrator.owner.office import AgentReference, AgentState, BlockReference, Office
from orchestrator.ports import Attached, Model, Reader, Transaction
from orchestrator.runs import Budget, Run
from orchestrator.tools import Tool


class OwnedAgents:
    """`live.agents`: the agents of a live team, for its owner.

    Every method takes an agent by its name, its declaration, or as it was read.
    """

    def __init__(self, office: Office, run: Callable[..., Awaitable[Run]]) -> None:
        self._office = office
        self._run = run
        #: Which blocks an agent sees.
        self.blocks = AttachedBlocks(office)

    async def create(self, agent: Agent | str, *, attach: Iterable[BlockReference] = (), **options: Any) -> AgentState:
        """Make an agent: from a declaration, or from a name and the options of `Agent`.

        A `Block` of it that the team has, or that was created from the same object, is shared; others become its own.
        It stays in the store, and is there when the team is opened again, with the tools of the declared agents that
        have the same names. Its model must be given by name to be found again. What a store cannot keep is refused
        (`DeclarationError`): functions of a `Wake`, and guards.

        Args:
            attach: blocks that are there already, by name or id, with what an agent may do with a block by default.
        """
        office = self._office
        if isinstance(agent, str):
            agent = Agent(agent, **options)
        elif options:
            raise DeclarationError(f"agent {agent.name!r}", "is declared already; give options with a name")
        if agent.name in office.roster:
            raise DeclarationError(f"agent {agent.name!r}", "is in the team already")
        references = list(attach)
        keys = await office.read(lambda rows: [office.key(rows, block) for block in references])
        made = Making(office.roster, agent)
        office.models.put(agent)
        office.roster.put(agent)
        office.activity.scheduler.join(agent.name, made.wakes)

        def work(tx: Transaction) -> AgentState:
            office.ownership.create_agent(tx, made.record, made.own)
            for key in keys:
                office.ownership.attach(tx, agent.name, key, None)
            return office.agent(tx, agent.name)

        try:
            state = await office.commit(work)
        except BaseException:
            office.roster.remove(agent.name)
            office.activity.scheduler.leave(agent.name)
            raise
        made.remember()
        return state

    async def retrieve(self, agent: AgentReference) -> AgentState:
        """The agent as it is now."""
        name = self._office.name(agent)
        return await self._office.read(lambda rows: self._office.agent(rows, name))

    async def list(self) -> builtins.list[AgentState]:
        """The agents, the declared ones first."""
        office = self._office
        return await office.read(lambda rows: [office.agent(rows, agent.name) for agent in office.roster.members])

    async def modify(
        self,
        agent: AgentReference,
        *,
        instructions: str | Iterable[str] | None = None,
        model: str | Model | None = None,
        tools: Iterable[Tool | Callable[..., Any]] | None = None,
        max_steps: int | None = None,
        timeout: float | None = None,
    ) -> AgentState:
        """Give an agent other instructions, another model, or the like, from its next turn on.

        What is changed of an agent that code declares counts until the team is opened again.
        """
        office = self._office
        name = office.name(agent)
        before = office.roster.agent(name)
        after = Agent(
            name,
            before.instruction_parts if instructions is None else instructions,
            model=before.model if model is None else model,
            blocks=before.attachments,
            wakes_on=before.wakes,
            tools=before.toolbox if tools is None else tools,
            max_steps=before.max_steps if max_steps is None else max_steps,
            timeout=before.timeout if timeout is None else timeout,
        )
        record = await office.read(lambda rows: rows.agent(name))
        assert record is not None, "an agent of the team is stored"
        if record.settings is not None:
            record = record.having(settings=settings(after, record.settings.wakes))
        office.models.put(after)
        await office.commit(lambda tx: office.ownership.modify_agent(tx, record))
        office.roster.put(after)
        return await self.retrieve(name)

    async def delete(self, agent: AgentReference) -> None:
        """Remove an agent from the team, with its own blocks and with what was said to and by it.

        One that code declares comes back when the team is opened again. Refused while it is at work (`RunError`), and
        for the team's entry (`DeclarationError`).
        """
        office = self._office
        name = office.name(agent)
        if name == office.roster.team.entry:
            raise DeclarationError(f"agent {name!r}", "gets the team's messages, so it cannot be deleted")
        office.check_open()
        if not office.activity.scheduler.hold(name):
            raise RunError(f"agent {name!r} is at work; delete it when its turn has ended")
        declared = office.roster.agent(name)
        office.roster.remove(name)  # from here on nobody can give it a message
        try:
            await office.commit(lambda tx: office.ownership.delete_agent(tx, name))
        except BaseException:
            office.roster.put(declared)
            office.activity.scheduler.release(name)
            raise
        office.activity.scheduler.leave(name)

    async def message(self, agent: AgentReference, text: str, *, budget: Budget | None = None) -> Run:
        """Give one agent a message, behind its other messages; returns the run that it opened when that has ended."""
        return await self._run(text, agent=self._office.name(agent), budget=budget)


class AttachedBlocks:
    """`live.agents.blocks`: which blocks an agent sees, and what it may do with them."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def list(self, agent: AgentReference) -> builtins.list[BlockState]:
        """The blocks that the agent sees, in order."""
        name = self._office.name(agent)
        return await self._office.read(
            lambda rows: [
                block for attached in self._attached(rows, name) if (block := rows.block(attached.key)) is not None
            ]
        )

    async def retrieve(self, agent: AgentReference, label: str) -> BlockState:
        """The block that the agent knows by this label."""
        return await self._office.read(lambda rows: self._labelled(rows, self._office.name(agent), label))

    async def modify(self, agent: AgentReference, label: str, **changes: Any) -> BlockState:
        """Change the block that the agent knows by this label; see `live.blocks.modify`."""
        state = await self.retrieve(agent, label)
        return await OwnedBlocks(self._office).modify(state, **changes)

    async def attach(
        self, agent: AgentReference, block: BlockReference, *, grant: Grant | str | None = None
    ) -> AgentState:
        """Let the agent see the block, from its next step on; or let it do something else with it.

        An agent has one block of a label. It is not woken by a block for being attached to it; a declared `Wake` on
        the block counts again.

        Args:
            grant: "read", "insert", "replace" or "rethink"; by default "replace", or "read" where it is read-only.
        """
        office = self._office
        name, granted = office.name(agent), _grant(grant)
        key = await office.read(lambda rows: office.key(rows, block))
        await office.commit(lambda tx: office.ownership.attach(tx, name, key, granted))
        return await office.read(lambda rows: office.agent(rows, name))

    async def detach(self, agent: AgentReference, block: BlockReference) -> AgentState:
        """Let the agent see the block no longer, from its next step on; it cannot change it any more, and is not woken
        by it. This is remembered when the team is opened again, although the attachment is declared.
        """
        office = self._office
        name = office.name(agent)
        key = await office.read(lambda rows: self._key(rows, name, block))
        await office.commit(lambda tx: office.ownership.detach(tx, name, key))
        return await office.read(lambda rows: office.agent(rows, name))

    def _attached(self, rows: Reader, name: str) -> tuple[Attached, ...]:
        record = rows.agent(name)
        return () if record is None else record.attached

    def _labelled(self, rows: Reader, name: str, label: str) -> BlockState:
        attached = self._attached(rows, name)
        found = [block for a in attached if a.label == label and (block := rows.block(a.key)) is not None]
        if not found:
            known = ", ".join(a.label for a in attached) or "none"
            raise UnknownName(f"agent {name!r}", f"sees no block {label!r}; it sees: {known}")
        return found[0]

    def _key(self, rows: Reader, name: str, block: BlockReference) -> str:
        """The block that is meant: of those that the agent sees, the one with the label; or any."""
        if isinstance(block, str) and any(a.label == block for a in self._attached(rows, name)):
            return self._labelled(rows, name, block).key
        return self._office.key(rows, block)


def _grant(grant: Grant | str | None) -> Grant | None:
    if grant is None or isinstance(grant, Grant):
        return grant
    try:
        return Grant[grant.upper()]
    except KeyError:
        raise DeclarationError("attach()", f"grant is {grant!r}; choose {', '.join(map(str, Grant))}") from None
