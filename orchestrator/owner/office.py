"""What the owner's calls have in common: how names are understood, and who does the work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from orchestrator.activity import Activity
from orchestrator.agents import Agent
from orchestrator.blocks import OWNER, Attachment, Block, BlockState
from orchestrator.errors import DeclarationError, UnknownName
from orchestrator.models import Models
from orchestrator.ownership import Modification, Ownership
from orchestrator.ports import Attached, Reader, RunRecord, Transaction
from orchestrator.records import Record
from orchestrator.runs import names_of

_T = TypeVar("_T")

#: A block by its name (`label`, `agent/label`), its id, its declaration, or as it was read.
BlockReference = str | Block | Attachment | BlockState


class AgentState(Record):
    """An agent of a live team."""

    name: str
    instructions: tuple[str, ...]
    #: The name of its model, if it was given by name.
    model: str | None
    #: The names of its tools, besides the memory tools that its grants give.
    tools: tuple[str, ...]
    #: The blocks that it sees, in order, each with its grant.
    blocks: tuple[Attached, ...]
    max_steps: int
    timeout: float
    #: Whether code declares it. What is changed of such an agent counts until the team is opened again.
    declared: bool

    @property
    def id(self) -> str:
        """Its name, which no other agent of the team has."""
        return self.name


#: An agent by its name, its declaration, or as it was read.
AgentReference = str | Agent | AgentState


def given_once(where: str, what: str, first: _T | None, named: str | None) -> _T | str:
    """What is given first or by its name, but not both."""
    if first is not None and named is not None:
        raise DeclarationError(where, f"is given {first!r} and {what}={named!r}; give one of them")
    if first is not None:
        return first
    if named is None:
        raise DeclarationError(where, f"needs a {what}")
    return named


class Office:
    """What `live.blocks`, `live.agents` and `live.agents.blocks` have in common."""

    def __init__(self, activity: Activity, models: Models, check_open: Callable[[], None]) -> None:
        self.activity = activity
        self.models = models
        self.check_open = check_open
        self.roster = activity.roster
        self.environment = activity.environment
        self.ownership = Ownership(activity.ledger.changes)

    async def read(self, work: Callable[[Reader], _T]) -> _T:
        """Look at what is stored."""
        self.check_open()
        return await self.activity.store.read(work)

    async def commit(self, work: Callable[[Transaction], _T]) -> _T:
        """Commit a piece of work, and do what follows from it."""
        self.check_open()
        return await self.activity.commit(work)

    def key(self, rows: Reader, block: BlockReference) -> str:
        """The stored key of the block that is meant; `UnknownName` or `AmbiguousLabel` otherwise."""
        if isinstance(block, Attachment):
            block = block.block
        if isinstance(block, Block):
            key = self.roster.key_of(block)
            if key is None:
                raise UnknownName(self.where, f"does not know this Block {block.label!r}; create it, or give its name")
            return key
        if isinstance(block, BlockState):
            return block.key
        if not isinstance(block, str):
            raise DeclarationError(self.where, f"{block!r} is no block; give its name, its id or its declaration")
        if rows.block(block) is not None:
            return block
        return names_of(rows, self.where).key(block)

    @property
    def where(self) -> str:
        """The team, for messages."""
        return f"team {self.roster.team.name!r}"

    def name(self, agent: AgentReference) -> str:
        """The name of the agent that is meant; `UnknownName` lists those there are."""
        name = agent.name if isinstance(agent, Agent | AgentState) else agent
        if not isinstance(name, str):
            raise DeclarationError(self.where, f"{agent!r} is no agent; give its name or its declaration")
        return self.roster.agent(name).name

    def agent(self, rows: Reader, name: str) -> AgentState:
        """An agent as it is now."""
        agent, record = self.roster.agent(name), rows.agent(name)
        return AgentState(
            name=name,
            instructions=agent.instruction_parts,
            model=agent.model if isinstance(agent.model, str) else None,
            tools=tuple(tool.name for tool in agent.toolbox),
            blocks=() if record is None else record.attached,
            max_steps=agent.max_steps,
            timeout=agent.timeout,
            declared=self.roster.is_declared(name),
        )

    def _would_wake(self, block: BlockState, wanted: Modification) -> bool:
        text = None if wanted.text == block.value else wanted.text
        limit = wanted.attributes.get("limit", block.limit)
        return self.activity.scheduler.would_wake(block.key, OWNER, text, limit)

    async def modify(self, block: BlockState, wanted: Modification) -> BlockState:
        """What the owner wants; if that wakes somebody, in a run of its own, which nobody waits for."""
        self.check_open()
        activity, ownership, key = self.activity, self.ownership, block.key
        if not self._would_wake(block, wanted):
            return await activity.commit(lambda tx: ownership.modify(tx, key, wanted, ()))
        record = RunRecord(id=self.environment.new_id("run"), agent="", text="", at=self.environment.now())
        _, block = await activity.open_run(record, lambda tx: ownership.modify(tx, key, wanted, (record.id,)))
        return block
