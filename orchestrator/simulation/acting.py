"""What happens in one schedule of a simulation: a team is opened and given a message, things go wrong, things heal."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import anyio

from orchestrator.checks import FAILURES
from orchestrator.engine import Orchestrator
from orchestrator.environment import Environment
from orchestrator.errors import RunError, StoreError
from orchestrator.events import RunStarted
from orchestrator.ports import Model, Store
from orchestrator.runs import Budget, Run
from orchestrator.simulation.environment import SimulatedEnvironment
from orchestrator.simulation.faults import Faults, SimulatedModel, simulated_team
from orchestrator.simulation.judging import Flaw, asserted, told
from orchestrator.simulation.latency import Latency
from orchestrator.simulation.schedules import Settings
from orchestrator.simulation.witness import Witness
from orchestrator.team import Team

#: What a user demands of a run that has ended, however it did; an `AssertionError`, or `False`, says that it is not so.
Invariant = Callable[[Run], object]


def unfit(function: Callable[..., object]) -> str | None:
    """What keeps a function from demanding anything, if something does."""
    if _is_one(function, inspect.iscoroutinefunction):
        return "an async function; the run has ended, so there is nothing to await"
    if _is_one(function, inspect.isgeneratorfunction) or _is_one(function, inspect.isasyncgenfunction):
        return "a generator, whose body would never run; leave out its yield"
    return None


def _is_one(function: Callable[..., object], kind: Callable[[object], bool]) -> bool:
    return kind(function) or kind(getattr(function, "__call__", None))  # noqa: B004  # an object's own method


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is simulated, in whatever schedule."""

    #: Makes the team of a schedule.
    team: Callable[[], Team]
    message: str
    #: Makes the model of a schedule, for all agents of that team.
    model: Callable[[Team], Model]
    store: Callable[[], Store]
    latency: Latency
    faults: Faults
    budget: Budget | None = None
    invariants: tuple[Invariant, ...] = ()


@dataclass(slots=True)
class Came:
    """What came of a schedule."""

    #: How the run of the message ended: a status; "unknown" where its caller was cancelled before it was there.
    outcome: str = "unknown"
    flaws: list[Flaw] = field(default_factory=list)


class Scene:
    """The team in one schedule."""

    def __init__(self, scenario: Scenario, settings: Settings, expected: str) -> None:
        self._team = scenario.team()  # outside of the schedule, where what makes it may do what it likes
        faults = scenario.faults if settings.faulty else Faults.none()
        self._scenario = scenario
        self._is_faulty = settings.faulty
        self._expected = expected
        self._plan = faults.drawn(Environment.seeded(f"faults {settings.seed}"))
        #: Without faults, the seed still says how long each answer takes.
        self._latency = scenario.latency.scaled(settings.slowness) if settings.slowness else Latency.none()

    async def __call__(self, environment: SimulatedEnvironment) -> Came:
        """Give the team the message, and see it through whatever goes wrong; then let it heal, and ask again."""
        scenario, plan = self._scenario, self._plan
        store: Witness = environment.witnessed(scenario.store(), self._team)
        model = scenario.model(self._team)
        run = await self._lived(environment, store, model, self._begin)
        while store.is_dead:
            await store.revive()
            run = await self._lived(environment, store, model, self._go_on)
        came = Came()
        if run is not None:
            came.outcome = run.status
            came.flaws += _demanded(run, scenario.invariants)
        if not self._is_faulty:
            came.flaws += self._unexpected(run, "the run ended as")
        else:
            came.flaws += await _left_behind(store)
            plan.heal()
            store.spare()
            again = await self._lived(environment, store, scenario.model(self._team), self._begin)
            came.flaws += self._unexpected(again, "nothing failed any more, and another message ended as")
        came.flaws += [Flaw(kind="P8", what=f"tool {name} goes on after its turn has ended") for name in plan.running]
        return came

    async def _lived(self, environment: SimulatedEnvironment, store: Witness, model: Model, act: _Act) -> Run | None:
        """What one process comes to: the team is opened, does something, and is closed; or the process is killed."""
        plan = self._plan
        team = simulated_team(self._team, plan, environment) if self._is_faulty else self._team
        asked = SimulatedModel(model, self._latency, plan, environment)
        with anyio.CancelScope() as process:
            if plan.kill_after is not None:
                store.die_after(plan.kill_after, process)
                plan.kill_after = None
            try:
                async with Orchestrator(team, store, model=asked, environment=environment) as live:
                    return await act(environment, live, store)
            except (StoreError, RunError, ExceptionGroup) as error:
                if not store.is_dead or not _is_of_its_death(error):
                    raise
        return None

    async def _begin(self, environment: SimulatedEnvironment, live: Orchestrator, store: Witness) -> Run | None:
        """Give the team the message; its caller may be cancelled meanwhile."""
        opened, plan = _opened(store), self._plan
        with anyio.CancelScope() as caller:
            if plan.cancel_at is not None:
                environment.loop.at_step(plan.cancel_at, caller.cancel)
            return await live.run(self._scenario.message, budget=self._scenario.budget)
        later = _opened(store)[len(opened) :]
        return await live.resume(later[0]) if later else None  # as it has ended

    async def _go_on(self, environment: SimulatedEnvironment, live: Orchestrator, store: Witness) -> Run | None:
        """Go on with what was cut off; begin, if nothing had begun."""
        for record in live.cut_off:
            await live.resume(record)
        runs = await store.read(lambda rows: [run.id for run in rows.runs()])
        return await live.resume(runs[0]) if runs else await self._begin(environment, live, store)

    def _unexpected(self, run: Run | None, became: str) -> list[Flaw]:
        """Whether the run came to something else than it does when nobody is early, late or at fault."""
        status = "unknown" if run is None else run.status
        if status == self._expected != "failed":
            return []
        error = f" ({run.error})" if run is not None and run.error else ""
        than = "" if status == self._expected else f"; when nobody is late it ends as {self._expected}"
        return [Flaw(kind="outcome", what=f"{became} {status}{error}{than}")]


_Act = Callable[[SimulatedEnvironment, Orchestrator, Witness], Awaitable[Run | None]]


def _opened(store: Witness) -> list[str]:
    """The runs that were opened by messages, as far as that was acknowledged."""
    events = (event for commit in store.commits for event in commit)
    return [event.run for event in events if isinstance(event, RunStarted) and event.agent]


def _is_of_its_death(error: Exception) -> bool:
    """Whether nothing else is wrong than that a store can do nothing any more."""
    if isinstance(error, ExceptionGroup):
        return error.split((StoreError, RunError))[1] is None
    return True


async def _left_behind(store: Store) -> list[Flaw]:
    """Turns that go on although the team was closed in order. Opened again, it would let go of them."""
    turns = await store.read(lambda rows: [turn for run in rows.runs() for turn in rows.turns(run.id)])
    running = {turn.id: turn.agent for turn in turns if turn.status == "running"}
    what = "has not ended, though the team was closed in order"
    return [Flaw(kind="P6", what=f"{id} of {agent} {what}") for id, agent in running.items()]


def _demanded(run: Run, invariants: Iterable[Invariant]) -> list[Flaw]:
    """What the user demands of the run, and it is not so."""
    flaws: list[Flaw] = []
    for invariant in invariants:
        name = getattr(invariant, "__name__", type(invariant).__name__)
        try:
            if invariant(run) is False:
                flaws.append(Flaw(kind="invariant", what=f"{name} returned False", of=name))
        except AssertionError as error:
            flaws.append(Flaw(kind="invariant", what=asserted(error), of=name))
        except FAILURES as error:  # a user's function: what else is wrong is told all the same
            flaws.append(Flaw(kind="invariant", what=f"{name} raised {told(error)}", of=name))
    return flaws
