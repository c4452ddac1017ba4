"""`exhaust`: a small team under every schedule that has few switches; and a schedule that is played once more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from orchestrator.checks import check_count
from orchestrator.phrases import counted
from orchestrator.runs import Budget
from orchestrator.simulation.acting import Invariant
from orchestrator.simulation.choosers import Chooser
from orchestrator.simulation.escapes import Kind
from orchestrator.simulation.exhausting import every_schedule
from orchestrator.simulation.exploring import Performance, Tally, Tell, collecting_seldom, repeated
from orchestrator.simulation.faults import Faults
from orchestrator.simulation.latency import Latency
from orchestrator.simulation.playing import Played
from orchestrator.simulation.reports import SimulationReport
from orchestrator.simulation.schedules import Schedule, Settings
from orchestrator.simulation.simulating import ModelGiven, StoreGiven, TeamGiven, check_tell, performing

#: Nobody is late, and no model thinks: only who goes on differs.
_AT_ONCE: Final = Settings(seed=0, slowness=0.0)


class SearchReport(SimulationReport):
    """What every schedule with few switches came to, or those that were played of them."""

    switches: int
    #: Whether these were all with at most so many switches; and whether there are no others, however many switches.
    complete: bool
    total: bool

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.extent}"

    @property
    def extent(self) -> str:
        """How far the search has come, in a line."""
        many = counted(self.schedules, "schedule")
        switches = counted(self.switches, "switch", "switches")
        if not self.complete:
            return f"stopped after {many}: there are more with at most {switches}"
        end = " hold" if self.passed else f": {self.schedules - self.failed:,} hold, {self.failed:,} do not"
        more = "; there are no others" if self.total else ""
        return f"all {many} with at most {switches}{end}{more}"


def exhaust(
    team: TeamGiven,
    message: str,
    *,
    switches: int = 2,
    most: int = 10_000,
    model: ModelGiven = None,
    invariants: Iterable[Invariant] = (),
    store: StoreGiven = "memory",
    budget: Budget | None = None,
    allow: Iterable[Kind] = (),
    tell: Tell | None = None,
) -> SearchReport:
    """Give a small team the same message under every schedule with at most so many switches.

        report = exhaust(team, "Who takes the task?", switches=2, model="rehearsal")
        report.raise_if_failed()

    A switch: somebody else goes on than who has waited longest. Models answer at once, nothing is at fault, and no
    timer fires before its time, so what holds in all of them is shown at this size, not sampled. Their number grows
    with the power of the switches: two or three agents, one or two switches.

    Args:
        most: so many schedules are played at most; `SearchReport.complete` says whether these were all.
        team, model, invariants, store, budget, allow, tell: as for `simulate`.

    Raises:
        ModelNotFound: as `Orchestrator` does.
        DeclarationError: an argument cannot be what it is.
        RunError: it is called in a running event loop.
    """
    check_count("a search", "switches", switches)
    check_count("a search", "most", most)
    check_tell(tell)
    with performing(
        team,
        message,
        model=model,
        invariants=invariants,
        latency=Latency.none(),
        store=store,
        budget=budget,
        allow=allow,
    ) as performer:
        tally = Tally(performer)
        last: list[Performance] = []

        def play(chooser: Chooser) -> Played[Any]:
            last[:] = [performer(_AT_ONCE, chooser)]
            return last[0].played

        search = every_schedule(play, switches, most)
        is_stopped = False
        with collecting_seldom() as collect:
            for _ in search:
                tally.take(_AT_ONCE, last[0], last[0].flaws)
                collect()
                if tell is not None and tell(tally.schedules, tally.failed):
                    is_stopped = True
                    break
        reached = search.exhausted
    return SearchReport(
        **dict(tally.report()),
        switches=switches,
        complete=reached.complete and not is_stopped,
        total=reached.total and not is_stopped,
    )


def replay(
    team: TeamGiven,
    message: str,
    schedule: Schedule,
    *,
    model: ModelGiven = None,
    faults: Faults | None = None,
    invariants: Iterable[Invariant] = (),
    store: StoreGiven = "memory",
    budget: Budget | None = None,
    twice: bool = False,
) -> Performance:
    """Play one schedule, with the choices that were written down, as far as they are possible.

    Args:
        twice: play it a second time, to see that it repeats itself.
        team, model, faults, invariants, store, budget: as for `simulate`.
    """
    with performing(
        team, message, model=model, faults=faults, invariants=invariants, store=store, budget=budget
    ) as performer:
        performance = performer(schedule.settings, schedule.chooser())
        if twice and not performance.flaws:
            again = performer(schedule.settings, schedule.chooser())
            return Performance(performance.played, repeated(performance, again), performance.outcome)
    return performance
