"""Stores that teams have used, and what is found in them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import anyio

from orchestrator import (
    Agent,
    Block,
    Orchestrator,
    Store,
    Team,
)
from orchestrator.checking.doctor import Diagnosis, diagnose
from orchestrator.checking.findings import Finding
from orchestrator.testing import Line, Say, ScriptedModel, edit

NewStore = Callable[[], Store]


async def looked(store: Store, **options: Any) -> Diagnosis:
    try:
        return await diagnose(store, **options)
    finally:
        await store.close()


async def used(
    store: Store,
    team: Team,
    script: Mapping[str, Sequence[Line]],
    *messages: str,
    then: Callable[[Orchestrator], Awaitable[object]] | None = None,
    **options: Any,
) -> Diagnosis:
    """What is found after agents were given messages, all at once, and the owner has done something."""
    with anyio.fail_after(1000), ScriptedModel(script) as model:
        async with Orchestrator(team, store, model=model) as live:
            async with anyio.create_task_group() as group:
                for agent in messages:
                    group.start_soon(lambda agent: live.run("go", agent=agent), agent)
            if then is not None:
                await then(live)
    return await looked(store, **options)


def codes(diagnosis: Diagnosis) -> list[str]:
    return [finding.code for finding in diagnosis.findings]


def only(diagnosis: Diagnosis, code: str) -> Finding:
    (finding,) = [finding for finding in diagnosis.findings if finding.code == code]
    return finding


def shared(*names: str, block: Block, entry: str | None = None) -> Team:
    """Agents that may all rewrite one block."""
    return Team("pair", [Agent(name, blocks=[block.curator()]) for name in names], entry=entry)


def rethink(text: str, after: float = 0) -> Say:
    return edit("memory_rethink", "notes", new_memory=text, after=after)


def insert(text: str, after: float = 0, label: str = "notes") -> Say:
    return edit("memory_insert", label, new_string=text, after=after)
