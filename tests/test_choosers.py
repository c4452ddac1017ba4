"""Who goes on next: what choosers promise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import anyio
import pytest

from orchestrator.simulation.choosers import FIRST, Choice, Chooser, InOrder, Nemesis, Priorities, Repeat, Walk
from orchestrator.simulation.environment import SimulatedEnvironment
from orchestrator.simulation.playing import play


def chosen(chooser: Chooser, many: int, tasks: Sequence[int] = (0, 1, 2), *, timers: bool = True) -> list[Choice]:
    return [chooser.choose(step, tasks, timers=timers) for step in range(1, many + 1)]


def test_in_order_whoever_has_waited_longest_goes_on():
    assert set(chosen(InOrder(), 100)) == {FIRST}


def test_a_walk_gives_everybody_the_same_chance():
    picks = Counter(choice.pick for choice in chosen(Walk("1"), 9_000, range(9)))

    assert sorted(picks) == list(range(9))
    # Chi square with 8 degrees of freedom: 26.1 is passed by one of a thousand such rows, and the row is always this.
    assert sum((times - 1000) ** 2 / 1000 for times in picks.values()) < 26.1


def test_the_same_seed_walks_the_same_way_and_another_one_another_way():
    assert chosen(Walk("1"), 50) == chosen(Walk("1"), 50)
    assert chosen(Walk("1"), 50) != chosen(Walk("2"), 50)


def test_a_walk_with_one_way_takes_it_without_drawing():
    one, other = Walk("1"), Walk("1")
    assert chosen(one, 10, [4]) == [FIRST] * 10
    assert chosen(one, 10) == chosen(other, 10)


def test_with_priorities_the_same_one_goes_on_until_its_moment():
    leaders = [choice.pick for choice in chosen(Priorities("3", depth=3, steps=100), 100)]

    changes = [step for step in range(1, 100) if leaders[step] != leaders[step - 1]]
    assert 1 <= len(changes) <= 2
    assert len(set(leaders)) == len(changes) + 1  # who fell behind stays behind, as long as others can go on


def test_priorities_belong_to_tasks_and_not_to_places():
    chooser = Priorities("5", depth=1)
    leader = chooser.choose(1, [7, 8, 9], timers=False).pick
    again = chooser.choose(2, [9, 8, 7], timers=False).pick
    assert [9, 8, 7][again] == [7, 8, 9][leader]


def test_priorities_find_a_bug_of_depth_three_at_least_as_often_as_their_authors_promise():
    tasks, length, depth = 3, 16, 3
    schedules = 800

    def is_found(seed: int) -> bool:
        state: list[str] = []

        async def scene(environment: SimulatedEnvironment) -> bool:
            async def going(name: str, steps: int) -> None:
                for nth in range(steps):
                    state.append(f"{name}{nth}")
                    await environment.pause()

            async with anyio.create_task_group() as group:
                group.start_soon(going, "a", 5)
                group.start_soon(going, "b", 5)
            # Three ordered steps: a has begun, b goes on to its fourth step, and only then does a go on.
            return state.index("a1") < state.index("b3") < state.index("a2")

        result = play(scene, Priorities(f"{seed}", depth, length))
        assert result.error is None
        assert len(result.trace) <= length
        return bool(result.result)

    found = sum(is_found(seed) for seed in range(schedules))
    assert found >= schedules / (tasks * length ** (depth - 1))


@pytest.mark.parametrize(("warp", "stall"), [(0.3, 0.0), (0.0, 0.03), (0.1, 0.1)])
def test_a_nemesis_comes_as_often_as_it_is_asked_to(warp: float, stall: float):
    many = 20_000
    choices = chosen(Nemesis(InOrder(), "1", warp, stall), many)

    warps = sum(choice.warp for choice in choices)
    stalls = [choice.stall for choice in choices if choice.stall]
    for found, expected in ((warps, many * warp), (len(stalls), many * (1 - warp) * stall)):
        assert abs(found - expected) <= 4 * expected**0.5
    assert all(0.001 <= seconds <= 10 for seconds in stalls)


def test_a_nemesis_fires_no_timer_where_none_is_set():
    assert not any(choice.warp for choice in chosen(Nemesis(InOrder(), "1", 0.9, 0), 100, timers=False))


def test_a_nemesis_holds_back_whom_the_other_one_picks():
    held = chosen(Nemesis(Walk("1"), "2", 0, 1), 50)
    assert [choice.pick for choice in held] == [choice.pick for choice in chosen(Walk("1"), 50)]
    assert all(choice.stall for choice in held)


def test_what_was_written_down_is_repeated_and_elsewhere_the_first_goes_on():
    written = {2: Choice(1), 3: Choice(warp=True), 4: Choice(2, stall=0.5)}
    expected = [FIRST, Choice(1), Choice(warp=True), Choice(2, stall=0.5), FIRST]
    assert chosen(Repeat(written), 5) == expected
    assert chosen(Repeat(written.items()), 5) == expected


def test_what_is_not_possible_any_more_is_done_as_far_as_it_is():
    written = {1: Choice(warp=True), 2: Choice(2), 3: Choice(2, stall=0.5)}
    assert chosen(Repeat(written), 3, [0, 1], timers=False) == [FIRST, FIRST, Choice(stall=0.5)]
