"""The fewest choices with which a schedule still fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count

import pytest
from planted_bugs import BUGS

from orchestrator.environment import Environment
from orchestrator.simulation.choosers import Choice, Repeat
from orchestrator.simulation.playing import Played, Scene, play
from orchestrator.simulation.schedules import drawn
from orchestrator.simulation.shrinking import shrink

#: With each bug, the most choices that may be left of its first failing schedule.
MOST_LEFT = {
    "overwritten": 1,
    "read_then_modify": 1,
    "read_then_rethink": 0,
    "many_readers": 1,
    "claimed_twice": 1,
    "over_limit": 2,
    "leaked": 10,  # what is cancelled when depends on many steps
    "compared_by_value": 1,
}


class Counted:
    """Counts how often it is asked, and what for."""

    def __init__(self, fails: Callable[[Mapping[int, Choice]], bool]) -> None:
        self._fails = fails
        self.asked: list[dict[int, Choice]] = []

    def __call__(self, choices: Mapping[int, Choice]) -> bool:
        self.asked.append(dict(choices))
        return self._fails(choices)


def many(seed: str = "many", steps: int = 60) -> dict[int, Choice]:
    """A choice at every step."""
    random = Environment.seeded(seed)
    return {step: Choice(random.randrange(1, 4), random.random() < 0.2) for step in range(1, steps)}


def failing(scene: Scene[None]) -> tuple[int, Played[None]]:
    """The first failing schedule that has choices."""
    for seed in count(1):
        played = play(scene, drawn(seed).chooser(), seed)
        if isinstance(played.error, AssertionError) and played.choices:
            return seed, played
    raise AssertionError


@pytest.mark.parametrize("bug", BUGS)
def test_of_a_real_teams_failing_schedule_next_to_nothing_is_left(bug: str):
    scene = BUGS[bug]()
    seed, played = failing(scene)
    fails = Counted(lambda choices: isinstance(play(scene, Repeat(choices), seed).error, AssertionError))

    less = shrink(fails, played.choices)

    assert len(less) <= MOST_LEFT[bug] < len(played.choices)
    assert isinstance(play(scene, Repeat(less), seed).error, AssertionError)
    assert len(fails.asked) <= 300


def test_only_the_choices_are_left_that_are_needed():
    choices = many()
    needed = {7: choices[7], 30: choices[30], 31: choices[31]}
    less = shrink(lambda tried: needed.items() <= dict(tried).items(), choices)
    assert less == needed


def test_what_fails_with_no_choice_at_all_is_left_with_none():
    fails = Counted(lambda choices: True)
    assert shrink(fails, many()) == {}
    assert fails.asked == [many(), {}]
    assert shrink(fails, {}) == {}


def test_what_does_not_fail_is_refused():
    with pytest.raises(ValueError, match="does not fail when it is played again"):
        shrink(lambda choices: False, many())


def test_what_came_after_the_failure_is_cut_off_by_halves():
    choices = many(steps=1000)
    fails = Counted(lambda tried: all(step in tried for step in range(1, 6)))
    assert list(shrink(fails, choices)) == [1, 2, 3, 4, 5]
    assert max(map(len, fails.asked[12:])) <= 5  # the whole, nothing, and ten halves


def test_no_more_is_asked_than_allowed_and_what_is_found_by_then_fails():
    def breaks(tried: Mapping[int, Choice]) -> bool:
        return sum(tried) % 3 == sum(many()) % 3 and len(tried) > 20

    for most in (1, 2, 3, 10, 40):
        fails = Counted(breaks)
        less = shrink(fails, many(), most)
        assert len(fails.asked) <= most
        assert breaks(less)


def test_nothing_is_asked_twice():
    fails = Counted(lambda tried: sum(choice.pick for choice in tried.values()) >= 9)
    shrink(fails, many())
    asked = [tuple(sorted(choices.items())) for choices in fails.asked]
    assert len(set(asked)) == len(asked)


def test_the_same_choices_shrink_to_the_same():
    def breaks(tried: Mapping[int, Choice]) -> bool:
        return sum(choice.pick for choice in tried.values()) % 5 == 1

    choices = next(found for found in (many(str(number)) for number in range(20)) if breaks(found))
    asked = [Counted(breaks), Counted(breaks)]
    backwards = dict(reversed(list(choices.items())))
    assert shrink(asked[0], choices) == shrink(asked[1], backwards)
    assert asked[0].asked == asked[1].asked


def test_what_comes_after_a_timer_or_after_somebody_held_back_moves_up_when_these_are_left_out():
    def breaks(tried: Mapping[int, Choice]) -> bool:
        # Each of them takes a step, so the one that matters is always the same.
        gone = sum(choice.warp or choice.stall > 0 for step, choice in tried.items() if step < 50)
        return Choice(1) == tried.get(20 + gone)

    choices = {3: Choice(warp=True), 5: Choice(2, stall=0.5), 22: Choice(1)}
    assert shrink(breaks, choices) == {20: Choice(1)}


@pytest.mark.parametrize("one", [{11: Choice(1)}, {12: Choice(warp=True)}])
def test_two_choices_become_one_that_does_what_both_did(one: dict[int, Choice]):
    both = {10: Choice(warp=True), 13: Choice(1)}
    assert shrink(lambda tried: tried in (both, one), both) == one


def test_a_choice_becomes_plainer():
    def breaks(tried: Mapping[int, Choice]) -> bool:
        return 4 in tried and tried[4].pick in (2, 3)

    assert shrink(breaks, {4: Choice(3, stall=2.0)}) == {4: Choice(2)}

    def held_back(tried: Mapping[int, Choice]) -> bool:
        return 4 in tried and tried[4].stall > 0

    assert shrink(held_back, {4: Choice(3, stall=2.0)}) == {4: Choice(0, stall=2.0)}


def test_choices_that_choose_nothing_are_not_counted():
    assert shrink(lambda tried: 5 in tried, {3: Choice(), 5: Choice(1)}) == {5: Choice(1)}
