"""What the owner of a team may do to its blocks and agents, each thing as one function over a transaction.

Grants and read-only bind agents, not the owner; limits and guards bind everybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.blocks import OWNER, Author, BlockState, Grant
from orchestrator.changes import Changes
from orchestrator.edits import Rethink
from orchestrator.errors import DeclarationError, Fresh, OutdatedRewrite, OverLimit, RunError, UnknownName
from orchestrator.events import (
    AgentCreated,
    AgentDeleted,
    AgentModified,
    BlockAttached,
    BlockDeleted,
    BlockDetached,
)
from orchestrator.handoffs import handed_and_waiting
from orchestrator.ports import AgentRecord, Attached, Reader, RunRecord, Transaction
from orchestrator.telling import tell

_OWNER = Author(OWNER)


@dataclass(frozen=True, slots=True)
class Modification:
    """What the owner wants of a block."""

    text: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    operation: str = "modify"
    #: The only version over which the text may be written, if that matters.
    if_version: int | None = None


@dataclass(frozen=True, slots=True)
class Ownership:
    """The owner's rights."""

    changes: Changes

    # --- blocks

    def create_block(self, tx: Transaction, declared: BlockState) -> BlockState:
        """A block comes to be, that no agent sees yet."""
        self._create(tx, declared)
        created = self._block(tx, declared.key)
        self._check_archive(tx, created)
        return created

    def _create(self, tx: Transaction, declared: BlockState) -> None:
        if tx.block(declared.key) is not None:
            raise DeclarationError(f"block {declared.label!r}", f"there is one with the key {declared.key!r} already")
        self.changes.create(tx, declared, None)

    def _check_archive(self, rows: Reader, block: BlockState) -> None:
        """Raise `DeclarationError` unless the block's oldest lines can move to its archive, and never come back."""
        if block.overflow is None:
            return
        archive = self._block(rows, block.overflow)
        if archive.read_only:
            problem = f"overflows into {archive.label!r}, which is read-only: insertions would change it"
            raise DeclarationError(f"block {block.label!r}", problem)
        key: str | None = block.overflow
        while key is not None:
            if key == block.key:
                raise DeclarationError(f"block {block.label!r}", f"would overflow into itself, by {archive.label!r}")
            following = rows.block(key)
            key = None if following is None else following.overflow

    def modify(self, tx: Transaction, key: str, wanted: Modification, runs: tuple[str, ...]) -> BlockState:
        """The block gets what is wanted; a `BlockError` says why not."""
        block = self._block(tx, key)
        fresh = Fresh(block.value, block.version, block.by)
        if wanted.if_version not in (None, block.version):
            raise OutdatedRewrite(block.label, wanted.if_version, block.by, fresh)
        described = block.having(**wanted.attributes)
        size = len(block.value if wanted.text is None else wanted.text)
        if size > described.limit:
            raise OverLimit(block.label, size, described.limit, fresh)
        if "overflow" in wanted.attributes:
            self._check_archive(tx, described)
        if described != block:
            self.changes.describe(tx, described)
        if wanted.text is None:
            return described
        text = self.changes.apply(tx, described, Rethink(wanted.text), _OWNER)
        return self.changes.write(tx, described, text, wanted.operation, _OWNER, runs)

    def delete_block(self, tx: Transaction, key: str) -> None:
        """The block is gone, from whoever saw it; its history stays. What overflows into it can do so no more."""
        block = self._block(tx, key)
        for agent in list(tx.agents()):
            if any(attached.key == key for attached in agent.attached):
                self._put_without(tx, agent, block)
        self._delete(tx, block)

    def _delete(self, tx: Transaction, block: BlockState) -> None:
        tx.delete_block(block.key)
        tell(tx, self._now(), BlockDeleted, key=block.key, label=block.label)

    # --- who sees what

    def attach(self, tx: Transaction, name: str, key: str, grant: Grant | None) -> None:
        """The agent sees the block from its next step on, and may do with it what is granted."""
        block, agent = self._block(tx, key), self._agent(tx, name)
        wanted = Grant.REPLACE if grant is None and not block.read_only else grant or Grant.READ
        if block.read_only and wanted > Grant.READ:
            problem = f"is read-only, so nobody can be granted {wanted} on it"
            raise DeclarationError(f"block {block.label!r}", problem)
        if any(a.label == block.label and a.key != key for a in agent.attached):
            raise DeclarationError(f"agent {name!r}", f"sees another block labelled {block.label!r} already")
        attached = Attached(block.label, key, wanted)
        if attached in agent.attached:
            return
        tx.put_agent(
            agent.having(
                attached=_with(agent.attached, attached),
                added=_with(agent.added, attached),
                detached=tuple(other for other in agent.detached if other != key),
            )
        )
        self._tell_attached(tx, name, attached)

    def detach(self, tx: Transaction, name: str, key: str) -> None:
        """The agent no longer sees the block, from its next step on."""
        agent = self._agent(tx, name)
        block = self._block(tx, key)
        if all(attached.key != key for attached in agent.attached):
            raise UnknownName(f"agent {name!r}", f"does not see the block {block.label!r}")
        self._put_without(tx, agent, block)

    def _put_without(self, tx: Transaction, agent: AgentRecord, block: BlockState) -> None:
        tx.put_agent(
            agent.having(
                attached=_without(agent.attached, block.key),
                added=_without(agent.added, block.key),
                # also what the owner had added: it may be declared besides, with another grant
                detached=(*agent.detached, block.key),
            )
        )
        tell(tx, self._now(), BlockDetached, agent=agent.name, key=block.key, label=block.label)

    def _tell_attached(self, tx: Transaction, agent: str, attached: Attached) -> None:
        tell(
            tx,
            self._now(),
            BlockAttached,
            agent=agent,
            key=attached.key,
            label=attached.label,
            grant=str(attached.grant),
        )

    # --- agents

    def create_agent(self, tx: Transaction, agent: AgentRecord, own: Iterable[BlockState]) -> AgentRecord:
        """An agent comes to be, with own blocks and with shared ones."""
        if tx.agent(agent.name) is not None:
            problem = "is in the store, though no longer declared; declare it again, or choose another name"
            raise DeclarationError(f"agent {agent.name!r}", problem)
        tell(tx, self._now(), AgentCreated, agent=agent.name)
        blocks = list(own)
        for block in blocks:
            self._create(tx, block)
        for block in blocks:  # one may be the archive of another
            self._check_archive(tx, block)
        tx.put_agent(agent)
        for attached in agent.attached:
            self._block(tx, attached.key)
            self._tell_attached(tx, agent.name, attached)
        return agent

    def modify_agent(self, tx: Transaction, name: str, changes: Mapping[str, Any]) -> AgentRecord:
        """An agent has other settings from its next turn on; of one that code declares, none are stored."""
        agent = self._agent(tx, name)
        if agent.settings is not None:
            agent = agent.having(settings=agent.settings.having(**changes))
            tx.put_agent(agent)
        tell(tx, self._now(), AgentModified, agent=name)
        return agent

    def delete_agent(self, tx: Transaction, name: str) -> None:
        """The agent is gone, and so are its own blocks; one that somebody else sees, or that takes lines of a block
        that stays, is nobody's own from here on.
        """
        self._agent(tx, name)
        for run in tx.runs("running"):
            if run.agent == name and not _is_taken_up(tx, run):
                raise RunError(f"agent {name!r} has a message to answer, that of {run.id!r}")
            if name in handed_and_waiting(tx.turns(run.id)):
                raise RunError(f"agent {name!r} has to go on with {run.id!r}, which was handed over to it")
        tx.delete_agent(name)
        blocks = {block.key: block for block in tx.blocks()}
        seen = {attached.key for other in tx.agents() for attached in other.attached}
        staying = _with_archives(blocks, [key for key, block in blocks.items() if block.agent != name or key in seen])
        for block in [block for block in blocks.values() if block.agent == name]:
            if block.key in staying:
                tx.put_block(block.having(agent=None))
            else:
                self._delete(tx, block)
        tell(tx, self._now(), AgentDeleted, agent=name)

    def _block(self, rows: Reader, key: str) -> BlockState:
        block = rows.block(key)
        if block is None:
            raise UnknownName("the store", f"has no block {key!r}; its owner may have deleted it")
        return block

    def _agent(self, rows: Reader, name: str) -> AgentRecord:
        agent = rows.agent(name)
        if agent is None:
            raise UnknownName("the store", f"has no agent {name!r}; its owner may have deleted it")
        return agent

    def _now(self) -> float:
        return self.changes.environment.now()


def _is_taken_up(rows: Reader, run: RunRecord) -> bool:
    """Whether a turn has taken up the message of the run."""
    causes = [cause for turn in rows.turns(run.id) if turn.agent == run.agent for cause in turn.causes]
    return any(cause.kind == "message" and cause.run == run.id for cause in causes)


def _with_archives(blocks: Mapping[str, BlockState], keys: Iterable[str]) -> set[str]:
    """These blocks, by key, and all that their oldest lines may come to."""
    found: set[str] = set()
    for key in keys:
        block = blocks.get(key)
        while block is not None and block.key not in found:
            found.add(block.key)
            block = blocks.get(block.overflow or "")
    return found


def _without(attached: Iterable[Attached], key: str) -> tuple[Attached, ...]:
    return tuple(one for one in attached if one.key != key)


def _with(attached: tuple[Attached, ...], wanted: Attached) -> tuple[Attached, ...]:
    """Those attached with this one, in its place if the block is among them."""
    if all(one.key != wanted.key for one in attached):
        return (*attached, wanted)
    return tuple(wanted if one.key == wanted.key else one for one in attached)
