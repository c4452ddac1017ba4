"""A run that is cancelled at each of its steps in turn, and a process that is lost after each of its transactions.

As SQLite's tests have each operation fail: at the first step, at the second, and so on, until a run comes to its end
before that step is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from random import Random

import pytest
from log_checks import left_behind
from reference_teams import curated_team

from orchestrator import Run
from orchestrator.environment import AMBIENT
from orchestrator.simulation.acting import Invariant
from orchestrator.simulation.environment import SimulatedEnvironment
from orchestrator.simulation.exploring import Performance
from orchestrator.simulation.faults import Plan
from orchestrator.simulation.schedules import Settings, drawn
from orchestrator.simulation.simulating import performer_of
from orchestrator.stores import MemoryStore
from orchestrator.testing import Faults
from patterns.teams import handoff_context_team, task_queue_team

TEAMS = {"task_queue": task_queue_team(2), "curator": curated_team(), "handoff": handoff_context_team()}

#: One in which nobody is early or late, and one of a random walk.
SETTINGS = {"in_order": Settings(seed=0, faulty=True), "walk": drawn(7).having(way="walk", warp=0.3, faulty=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Once(Faults):
    """One thing goes wrong, at one moment."""

    cancel_at: int | None = None
    kill_after: int | None = None

    def drawn(self, random: Random) -> Plan:
        return Plan(self, "", cancel_at=self.cancel_at, kill_after=self.kill_after)


each_team = pytest.mark.parametrize("team", TEAMS)
each_way = pytest.mark.parametrize("way", SETTINGS)
each_way_in_the_end = pytest.mark.parametrize("way", ["in_order", pytest.param("walk", marks=pytest.mark.soak)])


def played(team: str, way: str, faults: Faults, invariants: Sequence[Invariant] = ()) -> Performance:
    perform = performer_of(
        TEAMS[team],
        "What are memory blocks?",
        model="rehearsal",
        faults=faults,
        invariants=invariants,
        latency=None,
        store=MemoryStore,
        budget=None,
    )
    performance = perform(SETTINGS[way])
    assert not performance.flaws, (faults, performance.flaws)
    return performance


def steps_of(team: str, way: str) -> int:
    """How many steps the run takes when nothing goes wrong."""
    ended_at: list[int] = []

    def note(run: Run) -> None:
        environment = AMBIENT.get()
        assert isinstance(environment, SimulatedEnvironment)
        ended_at.append(environment.loop.steps)

    assert played(team, way, Once(), [note]).outcome == "complete"
    return ended_at[-1]  # the first one is that of the plainest schedule, which others are compared with


def commits_of(team: str, way: str) -> int:
    """How many transactions there are until the run has ended, when nothing goes wrong."""
    commits = played(team, way, Once()).played.commits
    return next(place for place, commit in enumerate(commits, 1) for event in commit if event.type == "run_ended")


@each_way_in_the_end
@each_team
def test_a_run_may_be_cancelled_at_every_step(team: str, way: str):
    steps = steps_of(team, way)
    outcomes: list[str] = []
    for step in range(1, steps + 1):
        performance = played(team, way, Once(cancel_at=step))
        outcomes.append(performance.outcome)
        for history in performance.played.histories:
            assert not list(left_behind(history)), step

    assert steps > 50
    phases = [outcome for outcome, _ in groupby(outcomes)]
    assert phases == ["complete", "unknown", "cancelled", "complete"], (
        "the team is opened, the run is, goes on, is over"
    )


@each_way
@each_team
def test_the_process_may_be_lost_after_every_transaction(team: str, way: str):
    commits = commits_of(team, way)
    resumed = 0
    for transaction in range(1, commits + 1):
        performance = played(team, way, Once(kill_after=transaction))
        assert performance.outcome == "complete", transaction
        resumed += any(event.type == "run_resumed" for commit in performance.played.commits for event in commit)

    assert commits > 5
    assert resumed == commits - 2, "all but the first, which opens the team, and the last, which ends the run"
