"""`simulate`: a team under many schedules."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, Literal, TypeVar

import anyio

from orchestrator.checks import check_count, unusable
from orchestrator.environment import Environment
from orchestrator.errors import DeclarationError, RunError
from orchestrator.models import Models
from orchestrator.ports import Model, Store
from orchestrator.runs import Budget
from orchestrator.simulation.acting import Invariant, Scenario, Scene, unfit
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

_T = TypeVar("_T")
#: A team, or what makes it, for each schedule anew.
TeamGiven = Team | Callable[[], Team]

_WHERE: Final = "a simulation"

#: Files in memory, where there are any: nothing of a simulation has to stay.
_QUICK: Final = Path("/dev/shm")  # noqa: S108  # a folder of a name that nobody can know is made in it


def simulate(
    team: TeamGiven,
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
    runs that are cancelled and processes that are killed; then nothing fails any more, and another message has to end
    as it does when nothing ever fails. Flaws of one kind are one failure, shown by the smallest schedule that was
    found; its seed plays it again: `simulate(…, schedules=1, seed=17)`.

    What it cannot see: others may go first wherever something is awaited, and nowhere else, so races of threads and of
    processes are not explored. Nothing outside of the process answers while a schedule is played.

    Args:
        team: or a function that makes it, for each schedule anew: for tools that remember something, or write files.
        schedules: how many, with the seeds from `seed` on; with seed 0 nobody is early, late or at fault. Reports of
            parts are put together with `|`.
        model: by default each agent's own. One that remembers what it was asked needs a function that makes it anew
            for each schedule; what has a method `anew`, as `ScriptedModel` and `RecordedModel`, is made anew
            by itself, also where an agent has it as its own.
        faults: `Faults.default()` for some of everything. Models are asked again then, and more often: a script that
            is strict about that fails, "rehearsal" does not.
        invariants: functions of the finished `Run` that raise `AssertionError`, or return False, where it is not as it
            has to be. With `faults` they are given runs, too, that have failed or were cancelled; look at `Run.status`.
        latency: how long models take to answer; by default as recorded, drawn for each call.
        store: "memory", "sqlite" (a file of its own for each schedule), or what makes one that is empty.
        allow: what tools may do for real although it leaves the simulation: "sleep", "thread", "process", "socket".
        tell: called after each schedule with how many were played, and how many failed; True ends it.

    Raises:
        ModelNotFound: as `Orchestrator` does.
        DeclarationError: an argument cannot be what it is.
        RunError: it is called in a running event loop; it runs loops of its own.
    """
    check_count(_WHERE, "schedules", schedules)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise DeclarationError(_WHERE, f"seed is {seed!r}; give a whole number, 0 or more")
    check_tell(tell)
    with performing(
        team,
        message,
        model=model,
        faults=faults,
        invariants=invariants,
        latency=latency,
        store=store,
        budget=budget,
        allow=allow,
    ) as performer:
        return explore(performer, range(seed, seed + schedules), faulty=faults is not None, tell=tell)


@contextmanager
def performing(
    team: TeamGiven,
    message: str,
    *,
    model: ModelGiven = None,
    faults: Faults | None = None,
    invariants: Iterable[Invariant] = (),
    latency: Latency | None = None,
    store: StoreGiven = "memory",
    budget: Budget | None = None,
    allow: Iterable[Kind] = (),
) -> Iterator[Performer]:
    """Who plays single schedules of the simulation that `simulate` describes, as long as it is entered; nothing
    escapes from them. Raises what `simulate` raises.
    """
    with _stores(store) as made, guarded(allow):
        yield performer_of(
            team, message, model=model, faults=faults, invariants=invariants, latency=latency, store=made, budget=budget
        )


def performer_of(
    team: TeamGiven,
    message: str,
    *,
    model: ModelGiven,
    faults: Faults | None,
    invariants: Iterable[Invariant],
    latency: Latency | None,
    store: Callable[[], Store],
    budget: Budget | None,
) -> Performer:
    """The same with stores of its own, where nothing is guarded from escaping."""
    _check_outside()
    if not isinstance(message, str) or unusable(message):
        raise DeclarationError(_WHERE, f"message is {message!r}; give text without NUL and halves of surrogate pairs")
    make_team = _team_maker(team)
    _check_is("faults", faults, Faults)
    _check_is("latency", latency, Latency)
    _check_is("budget", budget, Budget)
    scenario = Scenario(
        make_team,
        message,
        _models(make_team(), model),
        store,
        Latency.recorded() if latency is None else latency,
        faults or Faults.none(),
        budget,
        _checked(invariants),
    )
    return Performer(scenario)


@dataclass(slots=True)
class Performer:
    """Plays schedules of one scenario, and judges them."""

    scenario: Scenario
    #: How the run ends when nobody is early, late or at fault.
    _plain: str | None = None

    def __call__(self, settings: Settings, chooser: Chooser | None = None) -> Performance:
        """Play one, as it was drawn, or with other choices."""
        if self._plain is None:
            self._plain = "complete"  # which is what that has to come to itself, if it can be
            self._plain = self(drawn(0)).outcome or self._plain
        scene = Scene(self.scenario, settings, self._plain)
        played = play(scene, chooser or settings.chooser(), settings.seed)
        came, flaws = played.result, flaws_of(played)
        if came is None:
            return Performance(played, flaws)
        return Performance(played, [*flaws, *came.flaws], came.outcome)


def check_tell(tell: object) -> None:
    """Raise `DeclarationError` unless it can be told of each schedule, or is None."""
    if tell is not None and not callable(tell):
        raise DeclarationError(_WHERE, f"tell is {tell!r}; give a function of two numbers")


def _team_maker(given: TeamGiven) -> Callable[[], Team]:
    if isinstance(given, Team):
        return lambda: given
    if not callable(given):
        raise DeclarationError(_WHERE, f"team is {given!r}; give a Team, or a function that makes one")

    def make() -> Team:
        made = given()
        if not isinstance(made, Team):
            raise DeclarationError(_WHERE, f"team() has returned {made!r}; it has to make a Team")
        return made

    return make


def _check_outside() -> None:
    try:
        anyio.get_cancelled_exc_class()
    except RuntimeError:  # no event loop runs
        return
    raise RunError("a simulation runs event loops of its own; start it in a plain function, outside of any")


def _check_is(name: str, given: object, kind: type) -> None:
    if not isinstance(given, kind) and given is not None:
        raise DeclarationError(_WHERE, f"{name} is {given!r}; give a {kind.__name__}")


def _checked(invariants: Iterable[Invariant]) -> tuple[Invariant, ...]:
    if not isinstance(invariants, Iterable):
        raise DeclarationError(_WHERE, f"invariants is {invariants!r}; give a list of functions")
    functions = tuple(invariants)
    for function in functions:
        if not callable(function):
            raise DeclarationError(_WHERE, f"an invariant is {function!r}; give a function of the finished Run")
        if (problem := unfit(function)) is not None:
            raise DeclarationError(_WHERE, f"invariant {getattr(function, '__qualname__', function)!r} is {problem}")
    return functions


def _models(team: Team, given: ModelGiven) -> Callable[[Team], Model]:
    """What makes the model of a schedule. What has a name is looked up once."""
    if isinstance(given, type) or (callable(given) and not hasattr(given, "respond")):
        _check_makes("model", given, "a Model, such as FunctionModel(…)")
        make = partial(_made, "model", given, "respond")
        return lambda _: make()
    anew: Callable[[], Model] | None = getattr(given, "anew", None)
    if anew is not None:
        return lambda _: anew()
    models = Models(team.members, given, Environment())
    check_nobody_is_contacted(team, models)
    return partial(Each, models=models)


@contextmanager
def _stores(given: StoreGiven) -> Iterator[Callable[[], Store]]:
    """What makes the store of a schedule, as long as it is needed."""
    if given == "memory":
        yield MemoryStore
    elif given == "sqlite":
        with tempfile.TemporaryDirectory(dir=_QUICK if _QUICK.is_dir() else None) as folder:
            yield partial(_store_in, Path(folder), count())
    elif callable(given):
        _check_makes("store", given, "'memory' or 'sqlite'")
        yield _OneEach(given)
    else:
        raise DeclarationError(_WHERE, f"store is {given!r}; give 'memory', 'sqlite' or a function")


def _check_makes(name: str, function: Callable[..., object], instead: str) -> None:
    """Raise `DeclarationError` for a function that cannot make something for a schedule, since it wants to be given
    something itself.
    """
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        problem = f"{name} is {function!r}, which is called for each schedule, without arguments: {error}"
        raise DeclarationError(_WHERE, f"{problem}; or give {instead}") from None
    except ValueError:  # of some functions written in C nobody knows it
        pass


def _made(name: str, function: Callable[[], _T], method: str) -> _T:
    """What a user's function has made for a schedule."""
    made = function()
    if isinstance(made, type) or not hasattr(made, method):
        raise DeclarationError(_WHERE, f"{name} is a function that made {made!r}, which is no {name}")
    return made


class _OneEach:
    """Makes a store of its own for each schedule."""

    def __init__(self, function: Callable[[], Store]) -> None:
        self._function = function
        self._last: Store | None = None

    def __call__(self) -> Store:
        store = _made("store", self._function, "transact")
        if store is self._last:
            what = f"store is a function that gave the same {type(store).__name__} again"
            raise DeclarationError(_WHERE, f"{what}; it has to make one that is empty, each time")
        self._last = store
        return store


def _store_in(folder: Path, numbers: Iterator[int]) -> SQLiteStore:
    """A store of its own; those of the schedules before are not needed any more."""
    for file in folder.iterdir():
        with suppress(OSError):  # where an open file cannot be removed: it goes with the folder
            file.unlink()
    return SQLiteStore(folder / f"{next(numbers)}.db", durability="process")
