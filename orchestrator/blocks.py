"""Shared text: what a block is when it is declared, and what it is when it is stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, Literal, NamedTuple

from pydantic import Field

from orchestrator.checks import check_count, check_name, check_pure, unusable
from orchestrator.errors import DeclarationError
from orchestrator.records import Record

#: Who writes without being an agent. No agent may have one of these names.
OWNER: Final = "owner"
ENGINE: Final = "engine"

#: Element names of the rendered context; a block called like one of them could pass for it.
_RESERVED: Final = frozenset({"memory_blocks", "description", "metadata", "value"})

_DESCRIPTIONS: Final = {
    "persona": "Who you are: your role, your manner and what matters to you. Act by it, and keep it up to date.",
    "human": "What you know about the person you talk with: facts and preferences that make your answers fit.",
}

Rethinking = Literal["if_unchanged", "last_write_wins"]
Placement = Literal["system", "tail"]


class Grant(IntEnum):
    """What one agent may do with one block; each includes those before it."""

    READ = 0
    INSERT = 1
    REPLACE = 2
    RETHINK = 3

    def __str__(self) -> str:
        return self.name.lower()


class Author(NamedTuple):
    """Who makes a change: the owner, the engine, or an agent (in a turn)."""

    name: str
    turn: str | None = None

    @property
    def is_agent(self) -> bool:
        """Whether grants, read-only and rethink rules bind this author."""
        return self.name not in (OWNER, ENGINE)


class Change(NamedTuple):
    """What a guard is asked about: a change that is about to be written."""

    label: str
    old: str
    new: str
    author: Author


#: Says why a change must not be made, or None to allow it. Pure: it runs inside the transaction.
Guard = Callable[[Change], str | None]


@dataclass(frozen=True, eq=False, slots=True)
class Block:
    """A labelled, limited, described piece of text that agents always see.

    The same object on two agents is one shared block; on one agent it is that agent's own.

    Args:
        label: unique among an agent's blocks; letters, digits, `_`, `.`, `-`, at most 64.
        value: the text it starts with; a store that knows the block keeps its own.
        description: what the block is for. Models decide by it how to read and write the block.
        limit: the most characters (code points) the value may ever have.
        read_only: no agent may change it; its owner may, from outside.
        guard: a pure function that says why a change must not be made, or None.
        rethink: a rewrite is refused if somebody else wrote since ("if_unchanged"),
            or overwrites what it was never shown ("last_write_wins").
        placement: "system" (first, cached by providers) or "tail" (last, free to change);
            by default read-only and own blocks go first, shared ones last.
        overflow: the block that the oldest lines move to when an insertion does not fit; without one it is refused.
            No agent needs to see that block, or a grant on it.
        key: tells apart two shared blocks of one label.
    """

    label: str
    value: str = ""
    description: str = ""
    limit: int = field(default=20_000, kw_only=True)
    read_only: bool = field(default=False, kw_only=True)
    tags: tuple[str, ...] = field(default=(), kw_only=True)
    metadata: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    guard: Guard | None = field(default=None, kw_only=True)
    rethink: Rethinking = field(default="if_unchanged", kw_only=True)
    placement: Placement | None = field(default=None, kw_only=True)
    overflow: Block | None = field(default=None, kw_only=True)
    key: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_name("a block", "label", self.label)
        where = f"block {self.label!r}"
        if self.label.lower() in _RESERVED:
            raise DeclarationError(where, "is called like an element of the prompt; choose another label")
        if self.key is not None:
            check_name(where, "key", self.key)
        if not isinstance(self.value, str):
            raise DeclarationError(where, f"its value is a {type(self.value).__name__}; give text")
        if not isinstance(self.description, str):
            raise DeclarationError(where, f"its description is a {type(self.description).__name__}; give text")
        if problem := unusable(self.value) or unusable(self.description):
            raise DeclarationError(where, f"cannot hold {problem}")
        check_count(where, "limit", self.limit)
        if len(self.value) > self.limit:
            raise DeclarationError(
                where, f"its value has {len(self.value):,} characters and its limit is {self.limit:,}"
            )
        self._check_choices(where)
        self._check_extras(where)
        object.__setattr__(self, "tags", tuple(self.tags))
        object.__setattr__(self, "metadata", dict(self.metadata))
        object.__setattr__(self, "description", self.description or _DESCRIPTIONS.get(self.label, ""))

    def _check_extras(self, where: str) -> None:
        tags: object = self.tags
        if isinstance(tags, str) or not isinstance(tags, Iterable):
            raise DeclarationError(where, f"tags is {tags!r}; give a tuple of texts")
        object.__setattr__(self, "tags", tuple(tags))
        if not all(isinstance(tag, str) for tag in self.tags):
            raise DeclarationError(where, f"its tags are {self.tags!r}; give texts")
        if not isinstance(self.metadata, Mapping):
            raise DeclarationError(where, f"its metadata is of type {type(self.metadata).__name__}; give a mapping")
        if not all(isinstance(name, str) for name in self.metadata):
            raise DeclarationError(where, "its metadata has names that are not text")
        if problem := next(filter(None, map(unusable, self.tags)), None):
            raise DeclarationError(where, f"its tags cannot hold {problem}")
        try:
            text = json.dumps(dict(self.metadata), allow_nan=False, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise DeclarationError(where, f"its metadata is not JSON: {error}") from error
        if problem := unusable(text):
            raise DeclarationError(where, f"its metadata cannot hold {problem}")

    def _check_choices(self, where: str) -> None:
        if not isinstance(self.read_only, bool):
            raise DeclarationError(where, f"read_only is {self.read_only!r}; give True or False")
        if self.rethink not in ("if_unchanged", "last_write_wins"):
            raise DeclarationError(where, f"rethink is {self.rethink!r}; choose 'if_unchanged' or 'last_write_wins'")
        if self.placement not in (None, "system", "tail"):
            raise DeclarationError(where, f"placement is {self.placement!r}; choose 'system' or 'tail'")
        if self.guard is not None:
            check_pure(where, "guard", self.guard, "of a Change")
        if self.overflow is not None and not isinstance(self.overflow, Block):
            raise DeclarationError(where, f"overflow is {self.overflow!r}; give the Block that old lines move to")
        if self.overflow is not None and self.overflow.read_only:
            problem = f"overflows into {self.overflow.label!r}, which is read-only: insertions would change it"
            raise DeclarationError(where, problem)

    def reader(self) -> Attachment:
        """The block for an agent that may only read it."""
        return Attachment(self, Grant.READ)

    def contributor(self) -> Attachment:
        """The block for an agent that may insert into it, and change nothing else."""
        return Attachment(self, Grant.INSERT)

    def curator(self) -> Attachment:
        """The block for an agent that may also rewrite it as a whole."""
        return Attachment(self, Grant.RETHINK)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A block on an agent, with what the agent may do. A plain block grants insert and replace."""

    block: Block
    grant: Grant

    def __post_init__(self) -> None:
        if not isinstance(self.block, Block):
            raise DeclarationError("an attachment", f"needs a Block, not {type(self.block).__name__}")
        if not isinstance(self.grant, Grant):
            raise DeclarationError(f"block {self.block.label!r}", f"grant is {self.grant!r}; give a Grant")
        if self.block.read_only and self.grant > Grant.READ:
            raise DeclarationError(
                f"block {self.block.label!r}", f"is read-only, so nobody can be granted {self.grant} on it"
            )

    @classmethod
    def of(cls, block: Block | Attachment) -> Attachment:
        """What an agent was given, as an attachment."""
        if isinstance(block, Attachment):
            return block
        return cls(block, Grant.READ if block.read_only else Grant.REPLACE)


class BlockState(Record):
    """A block as stored. `version` is 1 when it is created and grows by one with each change."""

    key: str
    label: str
    #: The agent whose own block it is; None for a shared one.
    agent: str | None = None
    value: str = ""
    description: str = ""
    limit: int
    read_only: bool = False
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = Field(default_factory=dict)
    rethink: Rethinking = "if_unchanged"
    placement: Placement = "tail"
    #: The key of the block that the oldest lines move to when an insertion does not fit.
    overflow: str | None = None
    version: int = 1
    #: Who wrote the version.
    by: str = OWNER

    @property
    def id(self) -> str:
        """Its stored key: unique, and never another block's."""
        return self.key


def stored(block: Block, key: str, agent: str | None = None, overflow: str | None = None) -> BlockState:
    """A declared block as it is stored when it is first created: shared, or an agent's own.

    Args:
        overflow: the key of the block that its oldest lines move to.
    """
    return BlockState(
        key=key,
        label=block.label,
        agent=agent,
        value=block.value,
        description=block.description,
        limit=block.limit,
        read_only=block.read_only,
        tags=block.tags,
        metadata=dict(block.metadata),
        rethink=block.rethink,
        placement=block.placement or ("tail" if agent is None and not block.read_only else "system"),
        overflow=overflow,
    )


class Revision(Record):
    """One version of a block: its text, how it came about, by whom, in which turn, and when (Unix seconds)."""

    version: int
    value: str
    operation: str
    by: str
    turn: str | None = None
    at: float
