"""What many schedules came to: counted, merged, written down and told."""

from __future__ import annotations

import json
from collections.abc import Callable

import anyio
import pytest

from orchestrator.simulation.choosers import Choice, Chooser, Walk
from orchestrator.simulation.environment import SimulatedEnvironment
from orchestrator.simulation.exploring import CHANCE, Performance, explore
from orchestrator.simulation.judging import Flaw, flaws_of
from orchestrator.simulation.playing import Played, play
from orchestrator.simulation.reports import Failure, ScheduleFailed, SimulationReport
from orchestrator.simulation.schedules import Schedule, Settings, drawn

Judge = Callable[[Settings, Played[list[str]]], list[Flaw]]


async def three(environment: SimulatedEnvironment) -> list[str]:
    """Three tasks that take turns; who took them."""
    order: list[str] = []

    async def going(name: str) -> None:
        for _ in range(3):
            order.append(name)
            await environment.pause()
        await anyio.sleep(0.1)

    async with anyio.create_task_group() as group:
        for name in "abc":
            group.start_soon(going, name)
    return order


def performer(judge: Judge, played: list[Settings] | None = None) -> Callable[[Settings, Chooser | None], Performance]:
    def perform(settings: Settings, chooser: Chooser | None) -> Performance:
        if played is not None:
            played.append(settings)
        result = play(three, chooser or settings.chooser(), settings.seed)
        return Performance(result, [*flaws_of(result), *judge(settings, result)], "complete")

    return perform


def well(settings: Settings, played: Played[list[str]]) -> list[Flaw]:
    return []


def c_leads(settings: Settings, played: Played[list[str]]) -> list[Flaw]:
    """Two flaws of one block, and one of another, where the last task has begun first."""
    if played.result is None or played.result[0] != "c":
        return []
    at = played.result.index("a")
    return [
        Flaw(kind="P2", what=f"version {at} is there twice", block="t:b"),
        Flaw(kind="P1", what=f"lost by {at}", block="t:a"),
        Flaw(kind="P1", what="lost again", block="t:a"),
    ]


def test_what_was_played_is_counted():
    report = explore(performer(well), range(40))

    assert (report.schedules, report.repeated, report.failed, report.failures) == (40, 2, 0, ())
    assert report.turns == 0  # nobody has run a team
    assert report.outcomes == {"complete": 40}
    assert report.steps > 40 * 9
    assert report.seconds >= 4
    assert 5 < len(report.orders) <= 40
    assert len(report.histories) == 1
    assert report.passed
    report.raise_if_failed()
    assert str(report) == f"passed: 40 schedules, {len(report.orders)} of them distinct, 0 turns"


def test_one_schedule_is_told_as_one():
    report = explore(performer(lambda settings, played: []), [0])
    assert str(report) == "passed: 1 schedule, 1 of them distinct, 0 turns"


def test_flaws_of_one_kind_about_one_block_are_one_failure_and_the_promises_come_in_their_order():
    report = explore(performer(c_leads), range(60))

    assert [(one.flaw.kind, one.flaw.block) for one in report.failures] == [("P1", "t:a"), ("P2", "t:b")]
    assert report.failed == report.failures[0].times == report.failures[1].times
    assert 10 < report.failed < 40
    assert not report.passed
    with pytest.raises(ScheduleFailed, match="FAILED") as caught:
        report.raise_if_failed()
    assert str(caught.value) == str(report)


def test_a_failure_is_shown_by_the_smallest_schedule_that_fails():
    report = explore(performer(c_leads), range(60))

    for failure in report.failures:
        assert failure.choices == 1
        assert failure.schedule.settings == drawn(failure.seed)
        again = play(three, failure.schedule.chooser(), failure.seed)
        assert again.digest == failure.digest
        assert c_leads(failure.schedule.settings, again)
    assert report.failures[0].flaw.what == "lost by 1"  # as it is in that schedule


def test_failures_are_told_with_their_seed_their_number_and_their_schedule():
    schedule = Schedule.of(drawn(17), {3: Choice(1), 5: Choice(warp=True)})
    lost = Failure(
        flaw=Flaw(kind="P1", what="a line is lost", block="t:a"),
        seed=17,
        times=1200,
        schedule=schedule,
        story=("ann read version 7", "bob wrote version 8"),
    )
    plain = Failure(flaw=Flaw(kind="invariant", what="too few"), seed=0, schedule=Schedule.of(drawn(0), {}))
    report = SimulationReport(
        schedules=2000, orders=frozenset({"a", "b"}), turns=1, failed=1200, failures=(plain, lost)
    )

    assert str(report).splitlines() == [
        "FAILED 1,200 of 2,000 schedules, 2 of them distinct, 1 turn",
        "  seed 0: invariant: too few",
        "  smallest schedule: whoever has waited longest goes on",
        "  seed 17 and 1,199 more: P1: a line is lost",
        "  smallest schedule: 2 choices",
        "    ann read version 7",
        "    bob wrote version 8",
    ]


def test_parts_of_a_simulation_are_together_what_the_whole_is():
    def part(first: int, last: int) -> SimulationReport:
        return explore(performer(c_leads), range(first, last))

    one, two, three_ = part(0, 15), part(15, 30), part(30, 60)
    whole = part(0, 60)

    for merged in ((one | two) | three_, one | (two | three_), (three_ | one) | two):
        assert merged == whole
        assert merged.model_dump_json() == whole.model_dump_json()
    assert SimulationReport() | whole == whole | SimulationReport() == whole


def test_a_report_is_the_same_after_it_was_written_as_json():
    report = explore(performer(c_leads), range(30))
    text = report.model_dump_json()

    assert SimulationReport.model_validate_json(text) == report
    orders = json.loads(text)["orders"]
    assert orders == sorted(orders)


def test_it_stops_when_it_is_told_to():
    told: list[tuple[int, int]] = []

    def tell(schedules: int, failed: int) -> bool:
        told.append((schedules, failed))
        return failed > 1

    report = explore(performer(c_leads), range(1000), tell=tell)
    assert report.failed == 2
    assert told[-1] == (report.schedules, 2)
    assert [schedules for schedules, _ in told] == list(range(1, report.schedules + 1))


def test_every_twentieth_schedule_is_played_twice_and_has_to_be_the_same():
    played: list[Settings] = []
    calls: list[int] = []

    def chancy(settings: Settings, chooser: Chooser | None) -> Performance:
        played.append(settings)
        calls.append(settings.seed)
        chosen = Walk(f"{len(calls)}") if settings.seed == 20 else settings.chooser()
        return Performance(play(three, chosen, settings.seed), [])

    report = explore(chancy, range(41))
    assert [seed for seed in range(41) if calls.count(seed) > 1] == [0, 20, 40]
    assert (report.repeated, report.failed) == (3, 1)
    (failure,) = report.failures
    assert (failure.flaw.kind, failure.seed) == ("P9", 20)
    assert "first at step" in failure.flaw.what
    assert CHANCE in failure.flaw.what


def test_what_fails_once_and_not_again_is_told_as_that():
    calls: list[int] = []

    def once(settings: Settings, played: Played[list[str]]) -> list[Flaw]:
        calls.append(settings.seed)
        return [Flaw(kind="P1", what="lost")] if calls.count(3) == 1 and settings.seed == 3 else []

    report = explore(performer(once), range(5))
    (failure,) = report.failures
    assert failure.flaw.what == f"lost; not so when it was played again: {CHANCE}"
    assert calls.count(3) == 2
    assert failure.seed == 3


def test_things_go_wrong_only_where_they_may():
    for faulty in (False, True):
        seen: list[Settings] = []
        explore(performer(well, seen), range(1, 30), faulty=faulty)
        assert any(settings.faulty for settings in seen) is faulty


def test_what_fails_twice_and_not_a_third_time_is_told_and_ends_nothing() -> None:
    perform, seen = performer(c_leads), 0

    def twice(settings: Settings, chooser: Chooser | None = None) -> Performance:
        nonlocal seen
        if settings.seed != 3:
            return Performance(perform(settings, chooser).played, [])
        seen += 1
        flaws = [Flaw(kind="invariant", what="lost")] if seen <= 2 else []
        return Performance(perform(settings, chooser).played, flaws)

    (failure,) = explore(twice, range(5)).failures
    assert failure.flaw.what == f"lost; played again it came to something else: {CHANCE}"
    assert failure.seed == 3
