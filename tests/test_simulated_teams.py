"""What is promised holds in every schedule of the six reference teams, whatever goes wrong.

The soak is 60,000 schedules, 10,000 of each team, in parts of 1,000:

    python -m pytest -m soak tests/test_simulated_teams.py -n 2
"""

from __future__ import annotations

import pytest
from log_checks import LOG_CHECKS
from reference_teams import MESSAGE, TEAMS

from orchestrator.simulation.schedules import drawn
from orchestrator.simulation.simulating import performer_of
from orchestrator.stores import MemoryStore
from orchestrator.testing import Faults, SimulationReport, simulate

each_team = pytest.mark.parametrize("name", TEAMS)


def played(name: str, schedules: int, seed: int = 0, store: str = "memory") -> SimulationReport:
    """Schedules of a team with faults, all of which keep what is promised."""
    report = simulate(
        TEAMS[name],
        MESSAGE,
        schedules=schedules,
        seed=seed,
        model="rehearsal",
        faults=Faults.default(),
        store=store,  # type: ignore[arg-type]  # one of the two words
    )
    report.raise_if_failed()
    assert report.schedules == schedules
    return report


@each_team
def test_a_team_keeps_what_is_promised_whatever_goes_wrong(name: str):
    report = played(name, 230)

    assert report.outcomes["complete"] > 100
    assert sum(report.outcomes.values()) == 230
    assert report.repeated == 12, "P9: each twentieth is played twice"
    assert len(report.orders) > 150


@each_team
def test_a_team_keeps_what_is_promised_on_sqlite(name: str):
    report = played(name, 20, seed=1000, store="sqlite")

    assert report.repeated == 1


@each_team
def test_everybody_is_woken_shown_what_is_there_and_paid_for(name: str):
    perform = performer_of(
        TEAMS[name],
        MESSAGE,
        model="rehearsal",
        faults=None,
        invariants=(),
        latency=None,
        store=MemoryStore,
        budget=None,
    )
    for seed in range(2000, 2020):
        (history,) = perform(drawn(seed)).played.histories
        assert [sentence for look in LOG_CHECKS for sentence in look(history)] == []


@pytest.mark.soak
@pytest.mark.parametrize("part", range(10))
@each_team
def test_ten_thousand_schedules_of_a_team(name: str, part: int):
    report = played(name, 1000, seed=part * 1000, store="sqlite" if part == 9 else "memory")

    assert report.repeated == 50
