"""One run, from a script that has no event loop."""

from __future__ import annotations

import anyio

from orchestrator.engine import Orchestrator
from orchestrator.errors import RunError
from orchestrator.ports import Model, Store
from orchestrator.runs import Budget, Run
from orchestrator.team import Team


def run_sync(
    team: Team,
    message: str,
    *,
    model: str | Model | None = None,
    store: Store | None = None,
    budget: Budget | None = None,
    max_concurrency: int | None = None,
) -> Run:
    """Run a team once, from a script: open it, give it a message, wait for the end, close it.

    A run that fails is returned, not raised: see `Run.status` and `Run.error`. Raises `RunError` inside
    an event loop; use `Orchestrator` there.
    """

    async def main() -> Run:
        async with Orchestrator(team, store, model=model, max_concurrency=max_concurrency) as live:
            return await live.run(message, budget=budget)

    if _in_event_loop():
        raise RunError("run_sync cannot be used inside an event loop; use: async with Orchestrator(…) as live")
    return anyio.run(main)


def _in_event_loop() -> bool:
    try:
        anyio.get_current_task()
    except anyio.NoEventLoopError:
        return False
    return True
