"""One run, watched by whoever shows it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import NamedTuple

import anyio

from orchestrator.cli.lines import Show
from orchestrator.engine import Orchestrator
from orchestrator.environment import Environment
from orchestrator.events import Event, RunEnded
from orchestrator.runs import Budget, Run
from orchestrator.team import Team


class Answer(NamedTuple):
    """A run, and how long it took."""

    run: Run
    seconds: float


async def ask(team: Team, message: str, *, model: str | None, budget: Budget, show: Show | None) -> Answer:
    """Open the team, give it the message, show each event, and wait for the end of both run and show."""
    environment = Environment()
    try:
        # The group is outside, so that what happens while the team is closed is shown, too.
        async with anyio.create_task_group() as group, Orchestrator(team, model=model, environment=environment) as live:
            if show is not None:
                group.start_soon(_follow, live.watch(), show, environment)
            began = anyio.current_time()
            run = await live.run(message, budget=budget)
            seconds = anyio.current_time() - began
    except ExceptionGroup as errors:  # the first one has cancelled the others
        raise errors.exceptions[0] from errors.exceptions[0].__cause__
    return Answer(run, seconds)


async def _follow(
    watching: AbstractAsyncContextManager[AsyncIterator[Event]], show: Show, environment: Environment
) -> None:
    with anyio.CancelScope(shield=True):  # Ctrl-C cancels the run; its end is told, and then this ends by itself
        async with watching as events:
            async for event in events:
                # In a thread: whoever reads the other end of a pipe may be slow, and no turn has to wait for that.
                await environment.run_blocking(partial(show, event))
                if isinstance(event, RunEnded):
                    return
