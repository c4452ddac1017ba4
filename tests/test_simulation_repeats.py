"""The same seed, or the same choices, and the same code: the same schedule, wherever it is played."""

from __future__ import annotations

import pytest
from other_pythons import VARIABLE, others, start
from played_teams import SCENES, played

from orchestrator.simulation.playing import play
from orchestrator.simulation.schedules import Schedule, drawn

#: How many schedules of each team are compared.
SEEDS = 40

#: Those that have all there is: every pattern, handoffs, sleeptime agents, refusals, errors, cancellation, timeouts, a
#: process that dies, a crowd of tasks in a tool.
TEAMS = ["all_patterns", "handing", "cancelled", "killed", "crowds"]


def test_other_hash_seeds_and_other_processes_change_nothing():
    playing = {hashes: start(SEEDS, TEAMS, hashes=hashes) for hashes in ("0", "1", "2", "random")}
    digests = {hashes: one.digests() for hashes, one in playing.items()}
    assert list(digests["0"]) == TEAMS
    for team in TEAMS:
        assert len(digests["0"][team]) == SEEDS
        assert len(set(digests["0"][team])) > SEEDS * 0.9, f"{team} shows hardly any difference between schedules"
        for hashes in ("1", "2", "random"):
            assert digests[hashes][team] == digests["0"][team], f"{team} with PYTHONHASHSEED={hashes}"


def test_other_pythons_change_nothing():
    found = others()
    usable = {other.version: other for other in reversed(found) if not other.problem}
    if not usable:
        why = "; ".join(other.problem for other in found) or "there is none on the path"
        pytest.skip(f"no other Python to compare with: {why}. Name interpreters with our dependencies in {VARIABLE}")
    mine = start(SEEDS, TEAMS)
    theirs = {version: start(SEEDS, TEAMS, python=other.path) for version, other in usable.items()}
    expected = mine.digests()
    for version, playing in theirs.items():
        assert playing.digests() == expected, f"Python {version}"


@pytest.mark.parametrize("name", SCENES)
def test_what_was_played_before_changes_nothing(name: str):
    forwards = [one.digest for one in played(name, range(5))]
    backwards = [one.digest for one in played(name, reversed(range(5)))]
    assert backwards[::-1] == forwards


@pytest.mark.parametrize("name", SCENES)
def test_a_schedule_that_was_written_down_comes_to_the_same(name: str):
    scene = SCENES[name]()
    for seed in range(1, 5):
        settings = drawn(seed)
        first = play(scene, settings.chooser(), seed)
        written = Schedule.of(settings, first.choices).model_dump_json()
        again = play(scene, Schedule.model_validate_json(written).chooser(), seed)
        assert (again.digest, again.trace, again.choices) == (first.digest, first.trace, first.choices)


@pytest.mark.parametrize("name", SCENES)
def test_no_task_goes_on_when_a_scene_has_ended(name: str):
    for one in played(name, range(5)):
        assert one.error is None
        assert one.left_over == ()
