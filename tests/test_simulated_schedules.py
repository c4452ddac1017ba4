"""What is drawn for a schedule, and how a schedule is written down."""

from __future__ import annotations

from collections import Counter

import pytest
from pydantic import ValidationError

from orchestrator.simulation.choosers import Choice, InOrder, Nemesis, Priorities, Repeat, Walk
from orchestrator.simulation.schedules import Schedule, Settings, Taken, drawn


def test_with_seed_0_nobody_is_early_late_or_at_fault():
    assert drawn(0) == drawn(0, faulty=True) == Settings(seed=0)
    assert isinstance(drawn(0).chooser(), InOrder)


#: A seed names a schedule in reports and bug trackers: it stays the same one.
DRAWN = [
    (
        1,
        Settings(seed=1, way="walk", warp=0.3, stall=0.0, slowness=0.1, faulty=True),
    ),
    (
        2,
        Settings(seed=2, way="priorities", warp=0.0, stall=0.0, slowness=1.0, faulty=False),
    ),
    (
        3,
        Settings(seed=3, way="priorities", warp=0.0, stall=0.0, slowness=3.0, faulty=False),
    ),
    (
        17,
        Settings(seed=17, way="priorities", warp=0.0, stall=0.0, slowness=1.0, faulty=False),
    ),
    (
        1000,
        Settings(seed=1000, way="walk", warp=0.1, stall=0.0, slowness=1.0, faulty=True),
    ),
    (
        123456789,
        Settings(seed=123456789, way="walk", warp=0.3, stall=0.0, slowness=3.0, faulty=True),
    ),
]


def test_a_seed_always_draws_the_same():
    for seed, settings in DRAWN:
        assert drawn(seed, faulty=True) == settings


def test_things_go_wrong_in_two_of_three_schedules_and_only_where_they_may():
    wrong = sum(drawn(seed, faulty=True).faulty for seed in range(1, 901))
    assert 550 < wrong < 650
    assert not any(drawn(seed).faulty for seed in range(1, 901))


def test_whether_things_may_go_wrong_changes_nothing_else():
    for seed in range(1, 50):
        assert drawn(seed, faulty=True).having(faulty=False) == drawn(seed)


def test_most_schedules_are_walks_and_everything_is_drawn():
    settings = [drawn(seed) for seed in range(1, 1001)]
    assert 0.75 < Counter(one.way for one in settings)["walk"] / 1000 < 0.85
    assert {one.way for one in settings} == {"walk", "priorities"}
    assert {one.warp for one in settings} == {0.0, 0.1, 0.3}
    assert {one.stall for one in settings} == {0.0, 0.03}
    assert {one.slowness for one in settings} == {0.0, 0.1, 1.0, 3.0}


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (Settings(seed=1, way="walk"), Walk),
        (Settings(seed=1, way="priorities"), Priorities),
        (Settings(seed=1, way="walk", warp=0.1), Nemesis),
        (Settings(seed=1, way="in_order", stall=0.1), Nemesis),
    ],
)
def test_the_settings_say_who_chooses(settings: Settings, kind: type):
    assert type(settings.chooser()) is kind


def test_settings_make_the_same_choices_every_time():
    settings = Settings(seed=5, way="walk", warp=0.3, stall=0.03)

    def choices() -> list[Choice]:
        chooser = settings.chooser()
        return [chooser.choose(step, range(4), timers=True) for step in range(1, 100)]

    assert choices() == choices()


def test_a_schedule_is_the_same_after_it_was_written_as_json():
    settings = drawn(17, faulty=True)
    schedule = Schedule.of(settings, {3: Choice(2), 5: Choice(warp=True), 9: Choice(1, stall=0.25)})

    assert schedule.choices == (Taken(step=3, pick=2), Taken(step=5, warp=True), Taken(step=9, pick=1, stall=0.25))
    assert Schedule.model_validate_json(schedule.model_dump_json()) == schedule
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_a_schedule_chooses_what_was_chosen():
    chooser = Schedule.of(Settings(seed=1, way="walk"), {2: Choice(1), 3: Choice(warp=True)}).chooser()
    assert isinstance(chooser, Repeat)
    chosen = [chooser.choose(step, [0, 1], timers=True) for step in range(1, 5)]
    assert chosen == [Choice(), Choice(1), Choice(warp=True), Choice()]


@pytest.mark.parametrize(
    "text",
    [
        '{"settings": {"seed": -1}, "choices": []}',
        '{"settings": {"seed": 1, "way": "sideways"}, "choices": []}',
        '{"settings": {"seed": 1, "warp": 1.5}, "choices": []}',
        '{"settings": {"seed": 1}, "choices": [{"step": 0}]}',
        '{"settings": {"seed": 1}, "choices": [{"step": 1, "pick": -1}]}',
        '{"settings": {"seed": 1}, "choices": [{"step": 1, "stall": -1}]}',
    ],
)
def test_a_schedule_that_cannot_be_played_is_refused(text: str):
    with pytest.raises(ValidationError):
        Schedule.model_validate_json(text)
