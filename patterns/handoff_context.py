"""Two agents of whom one acts at a time, joined by a note with which control passes from one to the other."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Final

from pydantic import Field

from orchestrator import (
    Agent,
    Block,
    BlockEdit,
    DeclarationError,
    Grant,
    HandOff,
    Insert,
    Team,
    Tool,
    ToolContext,
    ToolError,
    Wake,
    prompt,
    tool,
    unescape,
)
from patterns.given import one_agent, one_block

#: The longest name that a tool can have.
_MOST: Final = 64

_INDENT: Final = "    "

#: How many wakes and tools are remembered; the oldest are made anew, and are then not those of teams before.
_REMEMBERED: Final = 10_000


def handoff_context(
    value: str = "",
    *,
    label: str = "handoff_context",
    limit: int = 10_000,
    overflow: Block | None = None,
    key: str | None = None,
) -> Block:
    """A block for the notes with which agents hand control over to each other, oldest first."""
    return Block(label, value, prompt("handoff_context_block"), limit=limit, overflow=overflow, key=key)


def hand_off(
    a: Agent, b: Agent, *, note: Block | None = None, back: bool = True, limit: int = 6, name: str = "handoff"
) -> Team:
    """A team in which messages go to `a`, who answers or hands control over to `b`, with a note; `b` goes on then.

    Note and control pass in one transaction, and the two never have turns at the same time. The run's output is what
    the one who finished said. The agents get the note as a plain block, unless they have it.

    Args:
        note: the block for the notes; the same one joins several pairs.
        back: whether `b` may hand control back.
        limit: the most handoffs over the note in one run; then whoever has control has to finish.
    """
    where = "hand_off()"
    one_agent(where, a)
    one_agent(where, b)
    if a.name == b.name:
        raise DeclarationError(where, f"{a.name!r} would hand control over to itself")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise DeclarationError(where, f"limit is {limit!r}; give 1 or more")
    note = handoff_context() if note is None else one_block(where, note)
    return Team(
        name,
        [
            a.merged(_joined(a, b, note, limit, hands=True, takes=back)),
            b.merged(_joined(b, a, note, limit, hands=back, takes=True)),
        ],
    )


def _joined(agent: Agent, partner: Agent, note: Block, limit: int, *, hands: bool, takes: bool) -> Agent:
    """What an agent gets to hand control over to its partner, or to take it from there."""
    tools = [_hand_off_to(note.label, partner.name)] if hands else []
    told = prompt(
        "handoff_context_agent",
        label=note.label,
        partner=partner.name,
        tool=tools[0].name if tools else "",
        takes=takes,
    )
    return Agent(
        agent.name,
        told,
        blocks=[next((attachment for attachment in agent.attachments if attachment.block is note), note)],
        wakes_on=[_wake(note, limit, partner.name)] if takes else [],
        tools=tools,
    )


# Made once for each note, so that teams over one note compose.


@lru_cache(maxsize=_REMEMBERED)
def _wake(note: Block, limit: int, partner: str) -> Wake:
    return Wake(note, handoffs=limit, by=(partner,))


@lru_cache(maxsize=_REMEMBERED)
def _hand_off_to(label: str, to: str) -> Tool:
    async def hand_off_to(
        context: ToolContext,
        note: Annotated[
            str, Field(description="What was asked, what you found out and did, what is left to do; in full sentences.")
        ],
    ) -> HandOff:
        return HandOff(to, BlockEdit(label, Insert(_entry(context.agent, to, unescape(note)))))

    hand_off_to.__name__ = f"hand_off_to_{to.replace('.', '_')}"[:_MOST]
    hand_off_to.__doc__ = (
        f"Hand control over to {to}, with a note, and end your turn. {to} sees your note and the blocks that you"
        " share, nothing else of what you were told."
    )
    return tool(hand_off_to, needs={label: Grant.INSERT}, hands_to=to)


def _entry(author: str, to: str, note: str) -> str:
    """The note as one entry; what is indented below its first line cannot be taken for another."""
    lines = [line.rstrip() for line in note.strip().splitlines()]
    if not lines:
        raise ToolError(f"not handed over: the note is empty; say what {to} has to know")
    return "\n".join([f"From {author} to {to}: {lines[0]}", *(f"{_INDENT}{line}".rstrip() for line in lines[1:])])
