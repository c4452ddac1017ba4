"""`live.blocks`: the blocks of a live team, for its owner."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping, Sequence
from types import EllipsisType
from typing import Any, Final, Literal, TypeVar

from orchestrator.blame import BlameLine, blame
from orchestrator.blocks import Block, BlockState, Placement, Rethinking, Revision, stored
from orchestrator.checks import check_count
from orchestrator.errors import DeclarationError, UnknownName
from orchestrator.owner.office import AgentState, BlockReference, Office, given_once
from orchestrator.ownership import Modification
from orchestrator.ports import Reader

_T = TypeVar("_T")

Order = Literal["asc", "desc"]

#: What a block is that is created by its label only.
_PLAIN: Final[Mapping[str, Any]] = {
    "value": "",
    "description": "",
    "limit": 20_000,
    "read_only": False,
    "tags": (),
    "metadata": None,
    "rethink": "if_unchanged",
    "placement": None,
    "overflow": None,
}


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
        block: Block | str | None = None,
        value: str = "",
        *,
        label: str | None = None,
        description: str = "",
        limit: int = 20_000,
        read_only: bool = False,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        rethink: Rethinking = "if_unchanged",
        placement: Placement | None = None,
        overflow: BlockReference | None = None,
    ) -> BlockState:
        """Make a block that agents can be attached to: from a declaration, or from a label and what else is known.

        It stays in the store until it is deleted. Several blocks may have one label; they are told apart by their
        ids. A block that was deleted can be created again from the same declaration, and its history goes on. A guard
        cannot be kept in a store: declare such a block in code (`DeclarationError`). Its archive must be there before.

            organization = await live.blocks.create(label="organization", value="Organization: Letta", limit=4000)
        """
        declared = _declaration(
            given_once("a block", "label", block, label),
            {
                "value": value,
                "description": description,
                "limit": limit,
                "read_only": read_only,
                "tags": tags,
                "metadata": metadata,
                "rethink": rethink,
                "placement": placement,
                "overflow": overflow,
            },
        )
        archive = await self._archive(overflow if declared.overflow is None else declared.overflow)
        known = self._office.roster.key_of(declared)
        return await (self._create(declared, archive) if known is None else self._write(declared, known, archive))

    async def _archive(self, block: BlockReference | None) -> str | None:
        """The stored key of the block that is to take the oldest lines of another."""
        return None if block is None else await self._office.read(lambda rows: self._office.key(rows, block))

    async def _create(self, block: Block, archive: str | None) -> BlockState:
        """From here on the declaration stands for the block, unless it does not come to be."""
        office = self._office
        if block.guard is not None:
            raise DeclarationError(f"block {block.label!r}", "has a guard, which no store can keep; declare it in code")
        key = f"{office.roster.team.name}:{block.key or office.environment.new_id('block')}"
        office.roster.remember(key, block)
        try:
            return await self._write(block, key, archive)
        except BaseException:
            office.roster.forget(block)
            raise

    async def _write(self, block: Block, key: str, archive: str | None) -> BlockState:
        state = stored(block, key, overflow=archive)
        return await self._office.commit(lambda tx: self._office.ownership.create_block(tx, state))

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

        def work(rows: Reader) -> list[BlockState]:
            found = _page(list(rows.blocks()), order)
            keys = [block.key for block in found]
            start = 0 if after is None else keys.index(self._state(rows, after).key) + 1
            end = len(keys) if before is None else keys.index(self._state(rows, before).key)
            wanted = [
                block
                for block in found[start:end]
                if label in (None, block.label) and (label_search or "").lower() in block.label.lower()
            ]
            return _page(wanted, "asc", limit)

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
        overflow: BlockReference | EllipsisType | None = ...,
        if_version: int | None = None,
    ) -> BlockState:
        """Change a block: its text (a new version, in the history), and what else is given, all of it or nothing.

        A text that wakes somebody opens a run of its own; see `Orchestrator.wait_idle`. With `if_version`, nothing is
        changed unless that is the version which is stored (`OutdatedRewrite`); without, the text is written over
        whatever is there, and what it removed stays in the history. Raises `OverLimit`, `Guarded` or `UnusableText`;
        nothing is written then. What code declares of a block but its text counts again when the team is next opened.

        Args:
            overflow: the block that the oldest lines move to when an insertion does not fit; None: it is refused then.
        """
        given: dict[str, Any] = {
            "limit": limit,
            "description": description,
            "read_only": read_only,
            "tags": tags,
            "metadata": metadata,
        }
        wanted = {name: what for name, what in given.items() if what is not None}
        if value is not None and not isinstance(value, str):
            raise DeclarationError("modify()", f"value is of type {type(value).__name__}; give text")
        state = await self.retrieve(block)
        checked = Block(state.label, **{"limit": 1, **wanted})  # raises, and says what is wrong with them
        attributes = {name: getattr(checked, name) for name in wanted}
        if not isinstance(overflow, EllipsisType):
            attributes["overflow"] = await self._archive(overflow)
        return await self._office.modify(state, Modification(value, attributes, if_version=if_version))

    async def delete(self, block: BlockReference) -> None:
        """Remove a block from every agent that sees it, and from the store; its history stays, under its id.

        One that code declares does not come back when the team is opened again. Insertions that would have moved lines
        there are refused from here on, until the blocks get another archive or none; see `modify`.
        """
        key = await self._office.read(lambda rows: self._state(rows, block).key)
        await self._office.commit(lambda tx: self._office.ownership.delete_block(tx, key))

    async def agents(
        self, block: BlockReference, *, limit: int | None = None, order: Order = "asc"
    ) -> builtins.list[AgentState]:
        """The agents that see the block, in the order of their creation, or "desc" for the newest first.

        Args:
            limit: at most so many, the first ones of the list.
        """

        def work(rows: Reader) -> builtins.list[AgentState]:
            key = self._state(rows, block).key
            seen_by = [agent.name for agent in rows.agents() if any(a.key == key for a in agent.attached)]
            there = [self._office.agent(rows, name) for name in seen_by if name in self._office.roster]
            return _page(there, order, limit)

        return await self._office.read(work)

    async def history(
        self, block: BlockReference, *, after: int = 0, limit: int | None = None
    ) -> builtins.list[Revision]:
        """The versions of the block, oldest first: text, operation, by whom, in which turn, and when.

        That of a block that was deleted is found by its id.

        Args:
            after: only greater versions.
            limit: at most so many, the first ones.
        """
        if isinstance(after, bool) or not isinstance(after, int) or after < 0:
            raise DeclarationError("a history", f"after is {after!r}; give a version, or 0 to begin with the first")
        revisions = await self._office.read(lambda rows: self._revisions(rows, block, after))
        return _page(revisions, "asc", limit)

    async def blame(self, block: BlockReference) -> builtins.list[BlameLine]:
        """The lines of the block, each with who wrote it, in which version, turn, and when."""
        return blame(await self.history(block))

    async def undo(self, block: BlockReference, *, to: int | None = None) -> BlockState:
        """Write the text of an earlier version again, as a new version: of the one before, or of the one named.

        Raises what `modify` raises; `OutdatedRewrite` if somebody changes the block at the same time. Lines that had
        moved to an archive are then in both.
        """

        def work(rows: Reader) -> tuple[BlockState, Sequence[Revision]]:
            state = self._state(rows, block)
            return state, self._revisions(rows, state, 0)

        state, revisions = await self._office.read(work)
        wanted = state.version - 1 if to is None else to
        found = [revision.value for revision in revisions if revision.version == wanted]
        if not found:
            raise UnknownName(f"block {state.label!r}", f"has no version {wanted}; it has 1 to {state.version}")
        return await self._office.modify(state, Modification(found[0], operation="undo", if_version=state.version))

    def _state(self, rows: Reader, block: BlockReference) -> BlockState:
        key = self._office.key(rows, block)
        state = rows.block(key)
        if state is None:
            raise UnknownName(self._office.where, f"has no block {key!r} any more")
        return state

    def _revisions(self, rows: Reader, block: BlockReference, after: int) -> builtins.list[Revision]:
        """The history, oldest first; also of a block that is there no more."""
        is_id = isinstance(block, str) and any(rows.revisions(block))
        key = str(block) if is_id else self._office.key(rows, block)
        return list(rows.revisions(key, after))[::-1]


def _declaration(block: object, given: Mapping[str, Any]) -> Block:
    """What is declared; or a block with this label and what is given."""
    if isinstance(block, str):
        metadata = given["metadata"]
        # What it overflows into may be a name: no block is made of that.
        return Block(block, **{**given, "metadata": {} if metadata is None else metadata, "overflow": None})
    if not isinstance(block, Block):
        raise DeclarationError("a block", f"{block!r} is none; give a Block, or a label")
    if surplus := [name for name, default in _PLAIN.items() if given[name] != default]:
        problem = f"is declared already; {', '.join(surplus)} can be given with a label"
        raise DeclarationError(f"block {block.label!r}", problem)
    return block


def _page(found: list[_T], order: str, limit: int | None = None) -> list[_T]:
    """The beginning of a list, in this order."""
    if order not in ("asc", "desc"):
        raise DeclarationError("a list", f"order is {order!r}; choose 'asc' or 'desc'")
    if limit is not None:
        check_count("a list", "limit", limit)
    return (found if order == "asc" else found[::-1])[:limit]
