"""`live.blocks`: the blocks of a live team, for its owner."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from orchestrator.blame import Line, blame
from orchestrator.blocks import Block, BlockState, Placement, Rethinking, Revision, stored
from orchestrator.checks import check_count
from orchestrator.errors import DeclarationError, UnknownName
from orchestrator.owner.office import AgentState, BlockReference, Office
from orchestrator.ownership import Modification
from orchestrator.ports import Reader

Order = Literal["asc", "desc"]


class OwnedBlocks:
    """`live.blocks`: the blocks of a live team, for its owner.

    Every method takes a block by its name (`label`, or `agent/label` where that is not enough), its id, its
    declaration, or as it was read; `UnknownName` or `AmbiguousLabel` lists the names there are. What is changed is
    seen by every agent that has the block, at its next step; `read_only` and grants bind agents, not the owner.
    """

    def __init__(self, office: Office) -> None:
        self._office = office

    async def create(
        self,
        block: Block | str,
        value: str = "",
        *,
        description: str = "",
        limit: int = 20_000,
        read_only: bool = False,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        rethink: Rethinking = "if_unchanged",
        placement: Placement | None = None,
    ) -> BlockState:
        """Make a block that agents can be attached to: from a declaration, or from a label and what else is known.

        It stays in the store until it is deleted. Several blocks may have one label; they are told apart by their
        ids. A guard cannot be kept in a store: declare such a block in code (`DeclarationError`).
        """
        office = self._office
        if isinstance(block, str):
            block = Block(
                block,
                value,
                description,
                limit=limit,
                read_only=read_only,
                tags=tuple(tags),
                metadata=metadata or {},
                rethink=rethink,
                placement=placement,
            )
        if office.roster.key_of(block) is not None:
            raise DeclarationError(f"block {block.label!r}", "is declared, or was created from this Block, already")
        if block.guard is not None:
            raise DeclarationError(f"block {block.label!r}", "has a guard, which no store can keep; declare it in code")
        key = f"{office.roster.team.name}:{block.key or office.environment.new_id('block')}"
        created = await office.commit(lambda tx: office.ownership.create_block(tx, stored(block, key)))
        office.roster.remember(key, block)
        return created

    async def retrieve(self, block: BlockReference) -> BlockState:
        """The block as it is now."""
        return await self._office.read(lambda rows: self._state(rows, block))

    async def list(
        self,
        *,
        label: str | None = None,
        label_search: str | None = None,
        limit: int | None = None,
        before: BlockReference | None = None,
        after: BlockReference | None = None,
        order: Order = "asc",
    ) -> list[BlockState]:
        """The blocks, in the order of their creation, or "desc" for the newest first.

        Args:
            label: only those with this label.
            label_search: only those whose label contains this text, whatever its case.
            limit: at most so many, the first ones of the list.
            before: only those that stand before this block in the list.
            after: only those that stand after it.
        """
        if order not in ("asc", "desc"):
            raise DeclarationError("a list of blocks", f"order is {order!r}; choose 'asc' or 'desc'")
        if limit is not None:
            check_count("a list of blocks", "limit", limit)

        def work(rows: Reader) -> list[BlockState]:
            found = list(rows.blocks())
            if order == "desc":
                found.reverse()
            keys = [block.key for block in found]
            start = 0 if after is None else keys.index(self._state(rows, after).key) + 1
            end = len(keys) if before is None else keys.index(self._state(rows, before).key)
            wanted = [
                block
                for block in found[start:end]
                if label in (None, block.label) and (label_search or "").lower() in block.label.lower()
            ]
            return wanted[:limit]

        return await self._office.read(work)

    async def modify(
        self,
        block: BlockReference,
        *,
        value: str | None = None,
        limit: int | None = None,
        description: str | None = None,
        read_only: bool | None = None,
        tags: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        if_version: int | None = None,
    ) -> BlockState:
        """Change a block: its text (a new version, in the history), and what else is given.

        A text that wakes somebody opens a run of its own; see `Orchestrator.wait_idle`. With `if_version`, the text is
        only written over that version (`OutdatedRewrite` otherwise); without, it is written over whatever is there,
        and what it removed stays in the history. Raises `OverLimit`, `Guarded` or `UnusableText`; nothing is written
        then. What code declares of a block but its text counts again when the team is next opened.
        """
        given: dict[str, Any] = {
            "limit": limit,
            "description": description,
            "read_only": read_only,
            "tags": None if tags is None else tuple(tags),
            "metadata": None if metadata is None else dict(metadata),
        }
        wanted = {name: what for name, what in given.items() if what is not None}
        if value is not None and not isinstance(value, str):
            raise DeclarationError("modify()", f"value is of type {type(value).__name__}; give text")
        Block("modified", **{"limit": 1, **wanted})  # raises, and says what is wrong with them
        key = await self._office.read(lambda rows: self._state(rows, block).key)
        return await self._office.modify(key, Modification(value, wanted, if_version=if_version))

    async def delete(self, block: BlockReference) -> None:
        """Remove a block from every agent that sees it, and from the store; its history stays.

        One that code declares does not come back when the team is opened again.
        """
        key = await self._office.read(lambda rows: self._state(rows, block).key)
        await self._office.commit(lambda tx: self._office.ownership.delete_block(tx, key))

    async def agents(self, block: BlockReference) -> builtins.list[AgentState]:
        """The agents that see the block."""

        def work(rows: Reader) -> builtins.list[AgentState]:
            key = self._state(rows, block).key
            seen_by = [agent.name for agent in rows.agents() if any(a.key == key for a in agent.attached)]
            return [self._office.agent(rows, name) for name in seen_by if name in self._office.roster]

        return await self._office.read(work)

    async def history(
        self, block: BlockReference, *, after: int = 0, limit: int | None = None
    ) -> builtins.list[Revision]:
        """The versions of the block, oldest first: text, operation, by whom, in which turn, and when.

        Args:
            after: only greater versions.
            limit: at most so many, the first ones.
        """
        if limit is not None:
            check_count("a history", "limit", limit)
        return (await self._office.read(lambda rows: self._history(rows, block, after)))[:limit]

    async def blame(self, block: BlockReference) -> builtins.list[Line]:
        """The lines of the block, each with who wrote it, in which version, turn, and when."""
        return blame(await self.history(block))

    async def undo(self, block: BlockReference, *, to: int | None = None) -> BlockState:
        """Write the text of an earlier version again, as a new version: of the one before, or of the one named."""
        revisions = await self._office.read(lambda rows: self._history(rows, block, 0))
        state = await self.retrieve(block)
        wanted = state.version - 1 if to is None else to
        found = [revision.value for revision in revisions if revision.version == wanted]
        if not found:
            raise UnknownName(f"block {state.label!r}", f"has no version {wanted}; it has 1 to {state.version}")
        return await self._office.modify(state.key, Modification(found[0], operation="undo", if_version=state.version))

    def _state(self, rows: Reader, block: BlockReference) -> BlockState:
        key = self._office.key(rows, block)
        state = rows.block(key)
        if state is None:
            raise UnknownName(self._office.where, f"has no block {key!r} any more")
        return state

    def _history(self, rows: Reader, block: BlockReference, after: int) -> builtins.list[Revision]:
        return list(rows.revisions(self._state(rows, block).key, after))[::-1]
