"""Agents who hand control over to each other, whoever to whom, and what the log tells of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator import (
    Agent,
    Block,
    BlockEdit,
    HandOff,
    Insert,
    Orchestrator,
    Run,
    Store,
    Team,
    ToolContext,
    Wake,
    tool,
)
from orchestrator.events import (
    Event,
    ToolAnswered,
    TurnEnded,
    TurnStarted,
)
from orchestrator.testing import ScriptedModel


@tool
async def pass_on(context: ToolContext, to: str, say: str = "go on", label: str = "note") -> HandOff:
    """Hand control over."""
    return HandOff(to, BlockEdit(label, Insert(f"{context.agent}: {say}")))


def joined(*names: str, handoffs: int = 6, limit: int = 1000, blocks: Iterable[Block] = ()) -> Team:
    """Agents who hand control over to each other, whoever to whom, with a note."""
    note = Block("note", limit=limit)
    wake = Wake(note, handoffs=handoffs)
    return Team("joined", [Agent(name, blocks=[note, *blocks], wakes_on=[wake], tools=[pass_on]) for name in names])


async def played(team: Team, store: Store, script: dict[str, list[Any]], **options: Any) -> tuple[Run, ScriptedModel]:
    """The run of a message to a team that follows a script."""
    with ScriptedModel(script) as model:
        async with Orchestrator(team, store, model=model) as live:
            return await live.run("go", **options), model


async def events(store: Store, *kinds: type[Event]) -> list[Any]:
    return [event for event in await store.events(limit=1_000_000) if isinstance(event, kinds)]


async def answers(store: Store) -> list[tuple[str, bool, str]]:
    return [(event.name, event.ok, event.text) for event in await events(store, ToolAnswered)]


async def overlaps(store: Store, groups: Iterable[set[str]]) -> list[tuple[str, str]]:
    """Who had a turn while somebody of its group had one, by the log."""
    at_work: set[str] = set()
    found: list[tuple[str, str]] = []
    for event in await events(store, TurnStarted, TurnEnded):
        if isinstance(event, TurnEnded):
            at_work.discard(event.agent)
            continue
        found += [(event.agent, other) for group in groups if event.agent in group for other in group & at_work]
        at_work.add(event.agent)
    return found
