"""`live.agents` and `live.agents.blocks`: the agents of a live team, for its owner."""

from __future__ import annotations

import builtins
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from orchestrator.agents import Agent
from orchestrator.blocks import Attachment, Block, BlockState, Grant
from orchestrator.errors import DeclarationError, RunError, UnknownName
from orchestrator.owner.blocks import OwnedBlocks
from orchestrator.owner.making import Making
from orchestrator.owner.office import AgentReference, AgentState, BlockReference, Office, given_once
from orchestrator.ports import Attached, Model, Reader, Transaction
from orchestrator.runs import Budget, Run
from orchestrator.tools import Tool


class OwnedAgents:
    """`live.agents`: the agents of a live team, for its owner.

    Every method takes an agent by its name, its declaration, or as it was read; `UnknownName` lists those there are.
    """

    def __init__(self, office: Office, run: Callable[..., Awaitable[Run]]) -> None:
        self._office = office
        self._run = run
        #: Names of agents that are being made.
        self._making: set[str] = set()
        #: Which blocks an agent sees.
        self.blocks = AttachedBlocks(office)

    async def create(
        self,
        agent: Agent | str | None = None,
        *,
        name: str | None = None,
        attach: Iterable[BlockReference] = (),
        **options: Any,
    ) -> AgentState:
        """Make an agent: from a declaration, or from a name and the options of `Agent`.

        A `Block` of it that the team has, or that was created from the same object, is shared; others become its own.
        It stays in the store, and is there when the team is opened again, with the tools of the declared agents that
        have the same names. Its model must be given by name to be found again. What a store cannot keep is refused
        (`DeclarationError`): functions of a `Wake`, and guards.

            await live.agents.create(name="carol", model="openai/gpt-5-mini", attach=["organization"])

        Args:
            attach: blocks that are there already, as `live.agents.blocks.attach` takes them.
        """
        office = self._office
        wanted = given_once("an agent", "name", agent, name)
        if isinstance(wanted, str):
            wanted = Agent(wanted, **options)
        elif not isinstance(wanted, Agent):
            raise DeclarationError("an agent", f"{wanted!r} is none; give an Agent, or a name")
        elif options:
            raise DeclarationError(f"agent {wanted.name!r}", "is declared already; give options with a name")
        if isinstance(attach, str | Block | Attachment | BlockState):
            raise DeclarationError(f"agent {wanted.name!r}", "attach is one block; give a list")
        references = builtins.list(attach)
        keys, stored = await office.read(
            lambda rows: ([office.key(rows, block) for block in references], {block.key for block in rows.blocks()})
        )
        # From here on nothing is waited for until the name is taken.
        if wanted.name in office.roster or wanted.name in self._making:
            raise DeclarationError(f"agent {wanted.name!r}", "is in the team already")
        if office.roster.is_declared(wanted.name):
            problem = "was deleted, but code declares it: it comes back when the team is opened again"
            raise DeclarationError(f"agent {wanted.name!r}", problem)
        return await self._create(wanted, Making(office.roster, wanted, stored), zip(keys, references, strict=True))

    async def _create(self, agent: Agent, made: Making, attach: Iterable[tuple[str, BlockReference]]) -> AgentState:
        office, name, wanted = self._office, agent.name, tuple(attach)
        model = office.models.find(agent)

        def work(tx: Transaction) -> None:
            office.ownership.create_agent(tx, made.record, made.own)
            for key, block in wanted:
                office.ownership.attach(tx, name, key, _grant(block, None))

        self._making.add(name)
        office.activity.scheduler.join(name, made.wakes, made.sleeps)
        try:
            await office.commit(work)
        except BaseException:
            office.activity.scheduler.leave(name)
            raise
        finally:
            self._making.discard(name)
        office.models.keep(name, model)
        office.roster.put(agent)
        made.remember()
        return await self.retrieve(name)

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

        What is changed of an agent that code declares counts until the team is opened again. The blocks that it sees
        are changed by `live.agents.blocks`; a model that was given to the `Orchestrator` still comes before its own.
        """
        office = self._office
        name = office.name(agent)
        given = {
            "instructions": instructions,
            "model": model,
            "tools": None if tools is None else builtins.list(tools),
            "max_steps": max_steps,
            "timeout": timeout,
        }
        wanted = {what: value for what, value in given.items() if value is not None}
        after = _changed(office.roster.agent(name), wanted)  # raises, and says what is wrong with them
        answers = office.models.find(after)
        await office.commit(lambda tx: office.ownership.modify_agent(tx, name, _stored(after, wanted)))
        office.roster.put(_changed(office.roster.agent(name), wanted))  # somebody else may have changed it meanwhile
        if model is not None:
            office.models.keep(name, answers)
        return await self.retrieve(name)

    async def delete(self, agent: AgentReference) -> None:
        """Remove an agent from the team, with its own blocks and with what was said to and by it.

        An own block that somebody else sees as well stays, and so does the archive of a block that stays. An agent that
        code declares comes back as declared when the team is opened again. Refused while it is at work or has a message
        to answer (`RunError`), and for the agent that the team's messages go to (`DeclarationError`).
        """
        office = self._office
        office.check_open()
        name = office.name(agent)
        if name == office.roster.team.entry:
            raise DeclarationError(f"agent {name!r}", "gets the team's messages, so it cannot be deleted")
        if not office.activity.scheduler.hold(name):
            problem = "is at work, was cut off at it, or has a message to answer; let its runs end, or cancel them"
            raise RunError(f"agent {name!r} {problem}")
        try:
            await office.commit(lambda tx: office.ownership.delete_agent(tx, name))
        except BaseException:
            office.activity.release(name)
            raise
        office.roster.remove(name)
        office.models.forget(name)
        office.activity.leave(name)

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
                block for attached in _attached(rows, name) if (block := rows.block(attached.key)) is not None
            ]
        )

    async def retrieve(self, agent: AgentReference, label: str) -> BlockState:
        """The block that the agent knows by this label; `UnknownName` lists those it sees."""
        name = self._office.name(agent)
        return await self._office.read(lambda rows: _labelled(rows, name, label))

    async def modify(self, agent: AgentReference, label: str, **changes: Any) -> BlockState:
        """Change the block that the agent knows by this label; see `live.blocks.modify`."""
        state = await self.retrieve(agent, label)
        return await OwnedBlocks(self._office).modify(state, **changes)

    async def attach(
        self, agent: AgentReference, block: BlockReference, *, grant: Grant | str | None = None
    ) -> AgentState:
        """Let the agent see the block, from its next step on; or let it do something else with it.

        An agent has one block of a label (`DeclarationError` otherwise). It is not woken by a block for being attached
        to it; a declared `Wake` on the block counts again.

        Args:
            block: a name, an id, a declaration, also as `.reader()` and the like.
            grant: "read", "insert", "replace" or "rethink"; by default "replace", or "read" where it is read-only.
        """
        office = self._office
        name, granted = office.name(agent), _grant(block, grant)
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

    def _key(self, rows: Reader, name: str, block: BlockReference) -> str:
        """The block that is meant: of those that the agent sees, the one with the label; or any."""
        if isinstance(block, str) and any(a.label == block for a in _attached(rows, name)):
            return _labelled(rows, name, block).key
        return self._office.key(rows, block)


def _changed(agent: Agent, wanted: dict[str, Any]) -> Agent:
    """The declaration with what is wanted instead."""
    known: dict[str, Any] = {
        "instructions": agent.instruction_parts,
        "model": agent.model,
        "tools": agent.toolbox,
        "max_steps": agent.max_steps,
        "timeout": agent.timeout,
    }
    return Agent(agent.name, blocks=agent.attachments, wakes_on=agent.wakes, **{**known, **wanted})


def _stored(agent: Agent, wanted: Iterable[str]) -> dict[str, Any]:
    """Those of its settings that are wanted, as a store keeps them."""
    known = {
        "instructions": agent.instruction_parts,
        "model": agent.model if isinstance(agent.model, str) else None,
        "tools": tuple(tool.name for tool in agent.toolbox),
        "max_steps": agent.max_steps,
        "timeout": agent.timeout,
    }
    return {what: known[what] for what in wanted}


def _attached(rows: Reader, name: str) -> tuple[Attached, ...]:
    record = rows.agent(name)
    return () if record is None else record.attached


def _labelled(rows: Reader, name: str, label: str) -> BlockState:
    attached = _attached(rows, name)
    found = [block for a in attached if a.label == label and (block := rows.block(a.key)) is not None]
    if not found:
        known = ", ".join(a.label for a in attached) or "none"
        raise UnknownName(f"agent {name!r}", f"sees no block {label!r}; it sees: {known}")
    return found[0]


def _grant(block: BlockReference, grant: Grant | str | None) -> Grant | None:
    """What is asked for: by name, by the declaration, or what a plain block grants."""
    if grant is None:
        return block.grant if isinstance(block, Attachment) else None
    if isinstance(grant, Grant):
        return grant
    try:
        return Grant[str(grant).upper()]
    except KeyError:
        raise DeclarationError("attach()", f"grant is {grant!r}; choose {', '.join(map(str, Grant))}") from None
