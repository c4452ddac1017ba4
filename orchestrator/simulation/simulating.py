"""`simulate`: a team under many schedules."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, Literal

import anyio

from orchestrator.checks import check_count
from orchestrator.environment import Environment
from orchestrator.errors import DeclarationError, RunError
from orchestrator.models import Models
from orchestrator.ports import Model, Store
from orchestrator.runs import Budget
from orchestrator.simulation.acting import Invariant, Scenario, Scene
from orchestrator.simulation.answering import Each, check_nobody_is_contacted
from orchestrator.simulation.choosers import Chooser
from orchestrator.simulation.escapes import Kind, guarded
from orchestrator.simulation.exploring import Performance, Tell, explore
from orchestrator.simulation.faults import Faults
from orchestrator.simulation.judging import flaws_of
from orchestrator.simulation.latency import Latency
from orchestrator.simulation.playing import play
from orchestrator.simulation.reports import SimulationReport
from orchestrator.simulation.schedules import Settings, drawn
from orchestrator.stores import MemoryStore, SQLiteStore
from orchestrator.team import Team

#: A model for all agents, by name or as an object; or what makes one for each schedule.
ModelGiven = str | Model | Callable[[], Model] | None
StoreGiven = Literal["memory", "sqlite"] | Callable[[], Store]

#: Files in memory, where there are any: nothing of a simulation has to stay.
_QUICK: Final = Path("/dev/shm")  # noqa: S108  # a folder of a name that nobody can know is made in it


def simulate(
    team: Team,
    message: str,
    *,
    schedules: int = 1000,
    seed: int = 0,
    model: ModelGiven = None,
    faults: Faults | None = None,
    invariants: Iterable[Invariant] = (),
    latency: Latency | None = None,
    store: StoreGiven = "memory",
    budget: Budget | None = None,
    allow: Iterable[Kind] = (),
    tell: Tell | None = None,
) -> SimulationReport:
    """Give a team the same message under many schedules, each with virtual time and of a seed of its own.

        report = simulate(team, "Write the report", schedules=1000, model="rehearsal")
        report.raise_if_failed()

    Everything is the real thing, but for time and chance: the engine, the stores, your tools. What is promised (P1 to
    P8) is looked for after each schedule; P9 by playing every twentieth twice. Without `faults` a run has to end in
    each schedule as it does when nobody is late. With them, two of three schedules have models and tools that fail,
    runs that are cancelled and processes that are killed; then nothing fails any more, and another message has to get
    its answer. It is asyncio's cooperative concurrency that is explored: others may go first wherever something is
    awaited, and nowhere else.

    Args:
        schedules: how many, beginning with `seed`; with seed 0 nobody is early, late or at fault.
        model: by default each agent's own. One that remembers what it was asked needs a function that makes it anew
            for each schedule; what has a method `anew`, as `ScriptedModel` and `RecordedModel`, is made anew
            by itself, also where an agent has it as its own.
        faults: `Faults.default()` for some of everything.
        invariants: functions of the finished `Run` that raise `AssertionError` where it is not as it has to be.
        latency: how long models take to answer; by default as recorded, drawn for each call.
        store: "memory", "sqlite" (a file of its own for each schedule), or what makes one.
        allow: what tools may do for real although it leaves the simulation: "sleep", "thread", "process", "socket".
        tell: called after each schedule with how many were played, and how many failed; True ends it.

    Raises:
        ModelNotFound: as `Orchestrator` does.
        DeclarationError: an argument cannot be what it is.
        RunError: it is called in a running event loop; it runs loops of its own.
    """
    check_count("a simulation", "schedules", schedules)
    _check_outside()
    with stores_for(store) as made, guarded(allow):
        performer = performer_of(
            team, message, model=model, faults=faults, invariants=invariants, latency=latency, store=made, budget=budget
        )
        return explore(performer, range(seed, seed + schedules), faulty=faults is not None, tell=tell)


def performer_of(
    team: Team,
    message: str,
    *,
    model: ModelGiven,
    faults: Faults | None,
    invariants: Iterable[Invariant],
    latency: Latency | None,
    store: Callable[[], Store],
    budget: Budget | None,
) -> Performer:
    """Who plays single schedules of the simulation that `simulate` describes."""
    scenario = Scenario(
        team,
        message,
        _models(team, model),
        store,
        Latency.recorded() if latency is None else latency,
        faults or Faults.none(),
        budget,
        tuple(invariants),
    )
    return Performer(scenario)


@dataclass(slots=True)
class Performer:
    """Plays schedules of one scenario, and judges them."""

    scenario: Scenario
    #: How the run ends when nobody is early, late or at fault.
    _plain: str = ""

    def __call__(self, settings: Settings, chooser: Chooser | None = None) -> Performance:
        """Play one, as it was drawn, or with other choices."""
        if not self._plain:
            self._plain = "complete"
            self._plain = self(drawn(0)).outcome
        scene = Scene(self.scenario, settings, self._plain)
        played = play(scene, chooser or settings.chooser(), settings.seed)
        came, flaws = played.result, flaws_of(played)
        if came is None:
            return Performance(played, flaws)
        return Performance(played, [*flaws, *came.flaws], came.outcome, came.turns)


def _check_outside() -> None:
    try:
        anyio.get_cancelled_exc_class()
    except RuntimeError:  # no event loop runs
        return
    raise RunError("simulate() runs event loops of its own; call it from a plain function, outside of any")


def _models(team: Team, given: ModelGiven) -> Callable[[], Model]:
    """What makes the model of a schedule. What has a name is looked up once."""
    anew: Callable[[], Model] | None = getattr(given, "anew", None)
    if anew is None and callable(given) and not hasattr(given, "respond"):
        anew = given
    if anew is not None:
        return anew
    models = Models(team.members, given, Environment())  # type: ignore[arg-type]  # no function any more
    check_nobody_is_contacted(team, models)
    return partial(Each, team, models)


@contextmanager
def stores_for(given: StoreGiven) -> Iterator[Callable[[], Store]]:
    """What makes the store of a schedule, as long as it is needed."""
    if given == "memory":
        yield MemoryStore
    elif given == "sqlite":
        with tempfile.TemporaryDirectory(dir=_QUICK if _QUICK.is_dir() else None) as folder:
            numbers = count()
            yield lambda: SQLiteStore(Path(folder) / f"{next(numbers)}.db", durability="process")
    elif callable(given):
        yield given
    else:
        raise DeclarationError("a simulation", f"store is {given!r}; give 'memory', 'sqlite' or a function")
