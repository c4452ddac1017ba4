"""Runs that are begun or gone on with, watched by whoever shows them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack
from functools import partial
from typing import NamedTuple, TypeVar

import anyio

from orchestrator.cli.lines import Show
from orchestrator.engine import Orchestrator
from orchestrator.environment import Environment
from orchestrator.events import Event
from orchestrator.owner.looking import run_called
from orchestrator.ports import RunRecord, Store
from orchestrator.runs import Blocks, Budget, Run, blocks_of
from orchestrator.stores import MemoryStore
from orchestrator.team import Team

_T = TypeVar("_T")

#: Gives who is told what happens in a team with these blocks, while it is entered; None for nobody.
Stage = Callable[[Team, Blocks], AbstractContextManager[Show | None]]

#: Is told of the runs that were cut off, if there are any, before anything is done.
TellCutOff = Callable[[Sequence[RunRecord]], None]


class Answer(NamedTuple):
    """A run, and how long it took."""

    run: Run
    seconds: float


async def ask(
    team: Team,
    message: str,
    *,
    model: str | None,
    budget: Budget,
    stage: Stage,
    store: Store | None = None,
    tell_cut_off: TellCutOff | None = None,
) -> Answer:
    """Open the team, give it the message, show each event, and wait for the end of both run and show."""

    async def work(live: Orchestrator) -> Answer:
        return await _timed(lambda: live.run(message, budget=budget))

    return await _watched(team, store or MemoryStore(), model, stage, work, tell_cut_off)


async def resume(team: Team, store: Store, part: str | None, *, model: str | None, stage: Stage) -> list[Answer]:
    """Open the team and go on with the run whose id begins or ends so, or with all that were cut off, side by side."""

    async def work(live: Orchestrator) -> list[Answer]:
        if part is None:
            ids = [record.id for record in live.cut_off]
        else:
            ids = [(await store.read(lambda rows: run_called(rows, part))).id]
        answers: dict[str, Answer] = {}

        async def go_on(id: str) -> None:
            answers[id] = await _timed(lambda: live.resume(id))

        async with anyio.create_task_group() as group:
            for id in ids:
                group.start_soon(go_on, id)
        return [answers[id] for id in ids]

    return await _watched(team, store, model, stage, work)


async def _timed(run: Callable[[], Awaitable[Run]]) -> Answer:
    began = anyio.current_time()
    return Answer(await run(), anyio.current_time() - began)


async def _watched(
    team: Team,
    store: Store,
    model: str | None,
    stage: Stage,
    work: Callable[[Orchestrator], Awaitable[_T]],
    tell_cut_off: TellCutOff | None = None,
) -> _T:
    """What the work comes to, in a team that is open, while each event is shown."""
    environment = Environment()
    try:
        # The show is outermost and the group outside the team: what happens while it is closed is shown, too.
        with ExitStack() as shows:
            async with (
                anyio.create_task_group() as group,
                Orchestrator(team, store, model=model, environment=environment) as live,
            ):
                if tell_cut_off is not None and live.cut_off:
                    tell_cut_off(live.cut_off)
                blocks = await store.read(lambda rows: blocks_of(rows, f"team {team.name!r}"))
                events = live.watch()
                show = shows.enter_context(stage(team, blocks))
                if show is not None:
                    group.start_soon(_follow, events, show, environment)
                result = await work(live)
    except ExceptionGroup as errors:  # the first one has cancelled the others
        error: Exception = errors
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        raise error from error.__cause__
    finally:
        with anyio.CancelScope(shield=True):
            await store.close()  # once more: what was read after the team was closed
    return result


async def _follow(
    watching: AbstractAsyncContextManager[AsyncIterator[Event]], show: Show, environment: Environment
) -> None:
    with anyio.CancelScope(shield=True):  # Ctrl-C cancels the run; its end is told, and this ends with the team
        async with watching as events:
            async for event in events:
                # In a thread: whoever reads the other end of a pipe may be slow, and no turn has to wait for that.
                await environment.run_blocking(partial(show, event))
