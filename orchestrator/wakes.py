"""What wakes an agent, besides messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.blocks import Block
from orchestrator.checks import check_count, check_pure
from orchestrator.errors import DeclarationError


@dataclass(frozen=True, eq=False, slots=True)
class Wake:
    """What wakes an agent. The same `Wake` on several agents makes them a pool, where it looks at a text.

    `Wake(block)` wakes each agent that has it when somebody else changes the block; `by` names whose
    changes count. Wakes coalesce: however much changed, it is one turn.

    `Wake(block, when=function)` looks at the text instead: `function(text)` says whether, or how many,
    turns the block now calls for. It is looked at after every change and every turn. A call is answered
    when as many turns that were started for it have ended and were shown the text that calls; then nobody
    is called until somebody changes the text. Changes by `claim` and `release` do not call again.

    `claim(text, agent)` gives the text with something taken for the agent, or None if there is nothing;
    it is applied in the transaction that starts the turn, so a pool never takes the same thing twice.
    `release(text, agent)` gives it back, in the transaction that ends or loses a turn; None if the
    agent holds nothing. All three functions must be pure.

    `Wake(block, full=0.8)` calls when somebody else has filled more than this share of the block's limit, or was
    refused because it is full: for an agent that makes room. Its own changes do not call it again, and turns for
    nothing else never change what a run comes to, as those of sleeptime agents.

    `Wake(block, handoffs=6)` wakes the agent when control is handed over to it with a note in the block (see
    `HandOff`), by those named in `by`, or anybody; more handoffs over the block than this are refused within a run.
    Those who hand over and those who are handed over to by one block never have turns at the same time.

    `Wake(every=5)` wakes the agent when so many turns of others have ended since its last turn of this kind, and
    `Wake(idle=True)` once when nobody in the team has anything left to do, if any such turn has ended; `by` names
    whose turns count. These are for sleeptime agents: their turns never change what a run comes to, and do not count
    as turns of others.
    """

    block: Block | None = None
    by: tuple[str, ...] | Iterable[str | Any] = field(default=(), kw_only=True)
    when: Callable[[str], int] | None = field(default=None, kw_only=True)
    claim: Callable[[str, str], str | None] | None = field(default=None, kw_only=True)
    release: Callable[[str, str], str | None] | None = field(default=None, kw_only=True)
    full: float | None = field(default=None, kw_only=True)
    handoffs: int | None = field(default=None, kw_only=True)
    every: int | None = field(default=None, kw_only=True)
    idle: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if self.block is None and (self.every is not None or self.idle):
            where = "a wake of a sleeptime agent"
        elif isinstance(self.block, Block):
            where = f"a wake on block {self.block.label!r}"
        else:
            raise DeclarationError("a wake", f"needs a Block, every= or idle=, not {type(self.block).__name__}")
        object.__setattr__(self, "by", self._names(where))
        for name, function in (("when", self.when), ("claim", self.claim), ("release", self.release)):
            if function is not None:
                check_pure(where, name, function, "of the text")
        self._check_numbers(where)
        self._check_together(where)

    def _names(self, where: str) -> tuple[str, ...]:
        if isinstance(self.by, str):
            raise DeclarationError(where, f"by is one text; give a tuple: by=({self.by!r},)")
        if not isinstance(self.by, Iterable):
            raise DeclarationError(where, f"by is {self.by!r}; give a tuple of names")
        return tuple(getattr(name, "name", name) for name in self.by)

    def _check_numbers(self, where: str) -> None:
        for name, count in (("every", self.every), ("handoffs", self.handoffs)):
            if count is not None:
                check_count(where, name, count)
        if not isinstance(self.idle, bool):
            raise DeclarationError(where, f"idle is {self.idle!r}; give True or False")
        full = self.full
        if full is not None and (isinstance(full, bool) or not isinstance(full, int | float) or not 0 < full <= 1):
            raise DeclarationError(where, f"full is {full!r}; give a share of the limit, more than 0 and at most 1")

    def _check_together(self, where: str) -> None:
        if self.by and self.when:
            raise DeclarationError(where, "has both by= and when=, but when= looks at the text, whoever wrote it")
        if self.claim and not self.when:
            raise DeclarationError(where, "has claim= but no when= to say that there is something to claim")
        if self.release and not self.claim:
            raise DeclarationError(where, "has release= but no claim=")
        if self.claim and self.block is not None and self.block.read_only:
            raise DeclarationError(where, "has claim=, which changes the block in an agent's name, but it is read-only")
        if self.by and self.full is not None:
            raise DeclarationError(where, "has both by= and full=, but full= looks at the text, whoever wrote it")
        if self.block is not None and self.is_sleeptime:
            raise DeclarationError(where, "has every= or idle=, which count turns and look at no block; leave it out")
        asked = [name for name in ("when", "full", "handoffs") if getattr(self, name) is not None]
        if len(asked) + self.is_sleeptime > 1:
            raise DeclarationError(where, f"has {' and '.join(asked)} at once; declare a Wake for each")

    @property
    def authors(self) -> tuple[str, ...]:
        """The names whose changes, handoffs or turns count; none for everybody's."""
        return self.by  # type: ignore[return-value]  # normalised in __post_init__

    @property
    def is_sleeptime(self) -> bool:
        """Whether it counts turns, or waits for quiescence, and looks at no block."""
        return self.every is not None or self.idle

    @property
    def meaning(self) -> tuple[object, ...]:
        """Equal for two wakes that say the same."""
        return (id(self.block), frozenset(self.authors), self.full, self.handoffs, self.every, self.idle)
