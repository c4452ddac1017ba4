"""Bugs that agent frameworks have are found on the real engine, and nothing is found where they are repaired.

The whole proof, 8,000 schedules of repaired twins, is `python -m pytest -m soak tests/test_simulation_toys.py -n 2`.
"""

from __future__ import annotations

import pytest
from planted_toys import TOYS, Toy, first_found

from orchestrator.simulation.exploring import explore
from orchestrator.simulation.schedules import drawn

toys = pytest.mark.parametrize("toy", TOYS.values(), ids=TOYS)


@toys
def test_the_bug_is_found_within_a_hundred_schedules_for_its_own_reason(toy: Toy):
    assert first_found(toy, range(100)) is not None


@toys
def test_nothing_is_found_in_its_repaired_twin(toy: Toy):
    report = explore(toy.perform(False), range(100))

    report.raise_if_failed()
    assert report.repeated == 5
    assert len(report.orders) > 30


def test_the_smallest_schedule_of_a_bug_shows_it_again():
    toy = TOYS["cancel_leak"]
    seed = first_found(toy, range(100))
    assert seed is not None
    (failure,) = explore(toy.perform(True), [seed]).failures

    again = toy.perform(True)(failure.schedule.settings, failure.schedule.chooser())

    assert toy.is_found(again.flaws)
    assert again.played.digest == failure.digest
    assert failure.choices <= len(toy.perform(True)(drawn(seed), None).played.choices)


@pytest.mark.soak
@toys
@pytest.mark.parametrize("begin", range(0, 1000, 250))
def test_nothing_is_found_in_a_thousand_schedules_of_its_repaired_twin(toy: Toy, begin: int):
    explore(toy.perform(False), range(begin, begin + 250)).raise_if_failed()


@pytest.mark.soak
@toys
def test_the_bug_is_found_within_a_hundred_schedules_wherever_one_begins(toy: Toy):
    perform = toy.perform(True)
    found = [seed for seed in range(1000) if toy.is_found(perform(drawn(seed), None).flaws)]

    assert found
    gaps = [later - earlier for earlier, later in zip([-1, *found], [*found, 1000], strict=True)]
    assert max(gaps) <= 100
