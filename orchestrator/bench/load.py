"""A user's team under load: many messages at once, models that take their time, and what comes of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import anyio

from orchestrator.bench.chains import longest_chain, waits
from orchestrator.bench.measuring import Spread, stopwatch
from orchestrator.bench.report import Measured, Refusals
from orchestrator.bench.stores import MEMORY, lasting
from orchestrator.bench.thinking import Draws, Think, ThinkingModel, Thought
from orchestrator.bench.virtual import run_virtually
from orchestrator.checks import check_count, unusable
from orchestrator.engine import Orchestrator
from orchestrator.environment import Environment
from orchestrator.errors import DeclarationError
from orchestrator.events import BlockChanged, ChangeRefused, Event, TurnEnded, TurnStarted
from orchestrator.models import VARIABLE, Models
from orchestrator.ports import Model, Store
from orchestrator.runs import Budget, Run
from orchestrator.team import Team

#: The model that is asked where none is named, and how long it thinks where nothing else is said.
MODEL: Final = "rehearsal"
THINK: Final = Think("fixed", 0.05)
MESSAGE: Final = "What are memory blocks?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of a team.

    Args:
        message: what it is told.
        messages: how often, all at once.
        tasks: how many things each message asks for: that many lines, each with the message and its number.
        model: for every agent; None for each agent's own.
        think: how long a model thinks before it answers; None for no longer than it takes by itself.
        seed: of drawn think times and, in simulated time, of the order of what happens at the same instant.
        simulated: in virtual time, where think times cost nothing.
        store: a file to keep the team in; None for memory.
        max_concurrency: the most turns at once.
        repeat: how often all of it is done; in a new store each time, or on and on in the same file.
        budget: of each message.
    """

    message: str = MESSAGE
    messages: int = 8
    tasks: int = 1
    model: str | Model | None = MODEL
    think: Think | None = THINK
    seed: int = 0
    simulated: bool = False
    store: Path | None = None
    max_concurrency: int | None = None
    repeat: int = 1
    budget: Budget = Budget()  # noqa: RUF009 -- frozen, so all may share it

    def __post_init__(self) -> None:
        for name in ("messages", "tasks", "repeat"):
            check_count("a load", name, getattr(self, name))
        if problem := unusable(self.message):
            raise DeclarationError("--message", f"cannot hold {problem}")
        if self.simulated and self.store is not None:
            raise DeclarationError("--simulated", "keeps everything in memory; leave out --store")

    @property
    def text(self) -> str:
        """One message."""
        if self.tasks == 1:
            return self.message
        return "\n".join(f"Task {number} of {self.tasks}: {self.message}" for number in range(1, self.tasks + 1))


@dataclass(frozen=True, slots=True)
class _Pass:
    """What one repeat came to."""

    runs: list[Run]
    seconds: float
    latencies: list[float]
    events: list[Event]
    thoughts: Mapping[tuple[str, int], Thought]


def measure(team: Team, load: Load, done: Callable[[], None] = lambda: None) -> Measured:
    """Put the team under load. `done` is called when a message has been answered.

    A run that fails is counted, not raised. Raises what `Orchestrator` raises of a team that cannot be opened.
    """
    if load.simulated:
        _check_simulated(team, load)
        return run_virtually(partial(_measure, team, load, done), load.seed)
    return anyio.run(_measure, team, load, done, Environment(load.seed))


def _check_simulated(team: Team, load: Load) -> None:
    for agent in team.members:
        model = load.model or agent.model or os.environ.get(VARIABLE)
        if isinstance(model, str) and "/" in model:
            raise DeclarationError("--simulated", f"{model!r} is asked over a network, where no clock is simulated")


async def _measure(team: Team, load: Load, done: Callable[[], None], environment: Environment) -> Measured:
    passes = [await _once(team, load, str(number), done, environment) for number in range(load.repeat)]
    return _summary(team, load, passes)


async def _once(team: Team, load: Load, number: str, done: Callable[[], None], environment: Environment) -> _Pass:
    draws = None if load.think is None else Draws(load.think, f"{load.seed}/{number}")
    model = ThinkingModel(Models(team.members, load.model, environment), draws, environment)
    store: Store = MEMORY.make(Path()) if load.store is None else lasting(load.store)
    runs: list[Run] = []
    latencies: list[float] = []

    async def tell(live: Orchestrator) -> None:
        began = anyio.current_time()
        runs.append(await live.run(load.text, budget=load.budget))
        latencies.append(anyio.current_time() - began)
        done()

    places = load.max_concurrency
    try:
        async with Orchestrator(team, store, model=model, environment=environment, max_concurrency=places) as live:
            watching = live.watch()  # from here on; but it is read when all is over, so that it costs nobody anything
            with stopwatch() as took:
                async with anyio.create_task_group() as group:
                    for _ in range(load.messages):
                        group.start_soon(tell, live)
    except ExceptionGroup as errors:  # the first one has cancelled the others
        raise errors.exceptions[0] from errors.exceptions[0].__cause__
    async with watching as log:
        events = [event async for event in log]
    return _Pass(runs, took.seconds, latencies, events, model.thoughts)


def _summary(team: Team, load: Load, passes: list[_Pass]) -> Measured:
    """All repeats together: times are sums, spreads are over all of them."""
    runs = [run for each in passes for run in each.runs]
    unfinished = [run for run in runs if run.status != "complete"]
    return Measured(
        team=team.name,
        messages=load.messages,
        repeats=load.repeat,
        simulated=load.simulated,
        statuses=dict(sorted(Counter(run.status for run in runs).items())),
        failure=_why(unfinished[0]) if unfinished else None,
        turns=sum(isinstance(event, TurnEnded) for each in passes for event in each.events),
        seconds=sum(each.seconds for each in passes),
        thought=sum(thought.seconds for each in passes for thought in each.thoughts.values()),
        ideal=sum(_ideal(each, load.max_concurrency) for each in passes),
        turn=Spread.of(seconds for each in passes for seconds in _turn_times(each.events)),
        message=Spread.of(seconds for each in passes for seconds in each.latencies),
        wait=Spread.of(seconds for each in passes for seconds in waits(each.events, each.thoughts)),
        refusals=tuple(_refusals(team, [event for each in passes for event in each.events])),
    )


def _why(run: Run) -> str:
    if run.error is not None:
        return f"{run.status}: {run.error}"
    return f"{run.status}: spent after {len(run.turns):,} turn{'s' * (len(run.turns) != 1)}"


def _ideal(done: _Pass, places: int | None) -> float:
    """The longest chain; but so many places cannot think faster than all of them without a pause."""
    chain = longest_chain(done.events, done.thoughts)
    if places is None:
        return chain
    return max(chain, sum(thought.seconds for thought in done.thoughts.values()) / places)


def _turn_times(events: Iterable[Event]) -> Iterator[float]:
    started: dict[str, float] = {}
    for event in events:
        match event:
            case TurnStarted():
                started[event.turn] = event.at
            case TurnEnded() if event.turn in started:
                yield event.at - started.pop(event.turn)
            case _:
                pass


def _refusals(team: Team, events: Iterable[Event]) -> Iterator[Refusals]:
    """Of each block that agents tried to edit; by the name that they gave it where they have no such block."""
    made: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for event in events:
        match event:
            case BlockChanged() if event.turn is not None and event.operation not in ("claim", "release"):
                made[team.names.get(event.key, event.label)] += 1
            case ChangeRefused() if event.turn is not None:
                refused[team.names.get(event.key or "", event.label)] += 1
            case _:
                pass
    for name in sorted(made | refused):
        yield Refusals(name, made[name] + refused[name], refused[name])
