"""Faults that are planted into turns and runs, and into what is one transaction: each is found, and told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from planting import (
    KEY,
    changed,
    end_of,
    followed,
    found,
    noted,
    of,
    pair,
    promises,
    relogged,
    returned,
    seen,
    told,
    version,
    without,
)

from orchestrator import Agent, Block, Orchestrator, Team
from orchestrator.events import (
    ChangeRefused,
    Event,
    RunEnded,
    RunSettled,
    RunStarted,
    StepTaken,
    ToolAnswered,
    TurnEnded,
    TurnResumed,
    TurnStarted,
)
from orchestrator.testing import History, edit, simulated_time, violations
from patterns import curate, user_preferences


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


def first(history: History, wanted: Callable[[Event], bool]) -> Any:
    return next(event for event in history.log if wanted(event))


def last_words(history: History) -> Callable[[Event], bool]:
    """The last event of the log."""
    return lambda event: event is history.log[-1]


# --- P6


async def test_a_turn_that_ends_twice_is_told():
    history = await noted()
    again = end_of(history, "turn-1").having(status="cancelled")

    wrong = followed(history, of(TurnEnded, turn="turn-1"), again, apart=True)

    ends = [event.seq for event in wrong.log if of(TurnEnded, turn="turn-1")(event)]
    assert found(wrong) == [("P6", "turn-1 of bob ended 2 times: done and cancelled")]
    assert violations(wrong)[0].events == tuple(ends)


async def test_a_turn_that_never_ends_is_told_unless_its_run_was_cut_off():
    history = await noted()

    wrong = without(history, of(TurnEnded, turn="turn-3"))
    rows = tuple(turn.having(status="running", text="", steps=0) for turn in history.turns)

    assert found(wrong) == [
        ("P6", "turn-3 of bob has started and not ended"),
        ("P6", "turn-3 of bob has another status in the store than in the log"),
        ("P7", "run-3 ended while turn-3 of bob was going on for it"),
    ]
    cut = without(wrong, of(RunEnded, run="run-3"), turns=(*history.turns[:2], rows[2]))
    runs = (*history.runs[:2], history.runs[2].having(status="running", output=""))
    cut = replace(cut, runs=runs)
    assert promises(cut) == {"P6", "P7"}
    assert found(replace(cut, cut_off=frozenset({"run-3"}))) == []
    assert found(cut, closed=False) == []


async def test_what_comes_after_the_end_of_a_turn_is_told():
    history = await noted()
    step = first(history, of(StepTaken, turn="turn-1")).having(step=3, tool_calls=())
    refused = ChangeRefused(
        seq=1,
        at=0.0,
        key=KEY,
        label="notes",
        operation="insert",
        by="bob",
        turn="turn-1",
        run=None,
        code="x",
        reason="",
    )
    answer = first(history, of(ToolAnswered, turn="turn-1")).having(step=3)

    wrong = followed(history, of(TurnEnded, turn="turn-1"), step, refused, answer, apart=True)

    assert told("P6", wrong) == ["turn-1 of bob goes on after its end: step taken, change refused, tool answered"]


async def test_a_late_write_is_told():
    history = await noted()
    commits = list(history.commits)
    at = next(at for at, commit in enumerate(commits) if any(map(version(3), commit)))
    end = next(at for at, commit in enumerate(commits) if any(map(of(TurnEnded, turn="turn-1"), commit)))

    wrong = relogged(history, [*commits[:at], *commits[at + 1 : end + 1], commits[at], *commits[end + 1 :]])

    assert found(wrong)[0] == ("P6", "turn-1 of bob goes on after its end: block changed, tool answered")
    assert promises(wrong) == {"P6"}


async def test_a_turn_starts_once_and_its_attempts_are_counted():
    history = await noted()
    start = first(history, of(TurnStarted, turn="turn-2"))
    resumed = TurnResumed(seq=1, at=0.0, turn="turn-2", run="run-2", runs=("run-2",), agent="ann", attempt=2)

    def after_start(*more: Event) -> History:
        return followed(history, of(TurnStarted, turn="turn-2"), *more, apart=True)

    turns = tuple(turn.having(attempt=2) if turn.id == "turn-2" else turn for turn in history.turns)
    assert found(after_start(start)) == [("P6", "turn-2 of ann is in the log and started 2 times")]
    assert found(replace(after_start(resumed), turns=turns)) == [], "another attempt is no other turn"
    assert found(after_start(resumed)) == [("P6", "turn-2 of ann has another attempt in the store than in the log")]
    assert found(replace(after_start(resumed.having(attempt=3)), turns=turns)) == [
        ("P6", "turn-2 of ann was resumed 1 times, the last time as attempt 3")
    ]


async def test_events_of_a_turn_that_never_started_are_told():
    history = await seen(pair(), {"bob": ["hello"]}, "bob")

    wrong = without(history, of(TurnStarted))

    assert found(wrong) == [("P6", "turn-1 is in the log without having started"), ("P6", UNKNOWN)]


UNKNOWN = "turn-1 is among the turns and not in the log of the store"


async def test_turns_in_the_store_are_those_of_the_log():
    history = await noted()
    one, two, three = history.turns

    def stored(*turns: Any) -> list[str]:
        return told("P6", replace(history, turns=turns))

    differs = "in the store than in the log"
    assert stored(one, two) == ["turn-3 of bob is in the log and not among the turns of the store"]
    assert stored(one, two, three.having(status="failed")) == [f"turn-3 of bob has another status {differs}"]
    assert stored(one, two, three.having(text="", steps=9)) == [f"turn-3 of bob has another text and steps {differs}"]
    assert stored(one, two, three.having(agent="ann")) == [f"turn-3 of bob has another agent {differs}"]
    assert stored(one, two, three.having(claimed=True)) == [f"turn-3 of bob has another claim {differs}"]


async def test_steps_are_taken_in_order_by_whose_turn_it_is():
    history = await noted()

    twice = changed(history, of(StepTaken, turn="turn-2", step=1), step=0)
    by_another = changed(history, of(StepTaken, turn="turn-2", step=1), agent="bob")
    endless = changed(history, of(TurnEnded, turn="turn-2"), status="running")

    assert found(twice) == [("P6", "turn-2 of ann took step 0 in place of step 1")]
    assert found(by_another) == [("P6", "turn-2 is a turn of ann, and the log has a step taken of it by bob")]
    assert "turn-2 of ann ended as running" in told("P6", endless)


# --- P7


async def test_a_run_that_never_ends_or_ends_twice_is_told():
    history = await noted()
    end = first(history, of(RunEnded, run="run-2"))
    running = tuple(run.having(status="running", output="") if run.id == "run-2" else run for run in history.runs)

    endless = replace(without(history, of(RunEnded, run="run-2")), runs=running)
    twice = followed(history, of(RunEnded, run="run-2"), end.having(status="budget"), apart=True)

    assert found(endless) == [("P7", "run-2 has started and not ended")]
    assert found(endless, closed=False) == []
    assert found(twice) == [("P7", "run-2 ended 2 times: complete and budget")]
    assert "run-2 ended as running" in told("P7", changed(history, of(RunEnded, run="run-2"), status="running"))


async def test_a_run_starts_once():
    history = await noted()
    start = first(history, of(RunStarted, run="run-2"))

    twice = followed(history, of(RunStarted, run="run-2"), start, apart=True)
    never = without(history, of(RunStarted, run="run-2"))

    assert found(twice) == [("P7", "run-2 is in the log and started 2 times")]
    assert told("P7", never) == [
        "run-2 is in the log without having started",
        "run-2 is among the runs and not in the log of the store",
        "turn-2 of ann started for run-2, which had ended",
    ]


async def test_a_run_that_fails_says_why():
    history = await noted()
    runs = tuple(run.having(status="failed") if run.id == "run-2" else run for run in history.runs)

    wrong = replace(changed(history, of(RunEnded, run="run-2"), status="failed"), runs=runs)

    assert found(wrong) == [("P7", "run-2 failed, and nothing says why")]


async def test_runs_in_the_store_are_those_of_the_log():
    history = await noted()
    one, two, three = history.runs

    def stored(*runs: Any) -> list[str]:
        return told("P7", replace(history, runs=runs))

    differs = "in the store than in the log"
    assert stored(one, two) == ["run-3 is in the log and not among the runs of the store"]
    assert stored(one, two, three.having(status="failed")) == [f"run-3 has another status {differs}"]
    assert stored(one, two, three.having(output="x", text="y")) == [f"run-3 has another output and message {differs}"]
    assert stored(one, two, three.having(settled="failed")) == [f"run-3 has another fixed status {differs}"]


async def tidied() -> History:
    """A run that is settled before the curator's idle round, and then ends."""
    team = curate(Agent("curator"), user_preferences("tea"), [Agent("ann")], every=None, full=None)
    return await seen(team, {"ann": ["hello"], "curator": ["nothing to do"]}, "ann")


async def test_what_a_run_comes_to_is_fixed_once_before_its_end():
    history = await tidied()
    settled = first(history, of(RunSettled))

    other = changed(history, of(RunSettled), output="something else")
    twice = followed(history, of(RunSettled), settled, apart=True)
    late = followed(without(history, of(RunSettled)), of(RunEnded), settled, apart=True)

    assert found(other) == [("P7", "run-1 ended with another output than was fixed before")]
    assert found(twice) == [("P7", "what run-1 comes to was fixed twice")]
    assert found(late) == [("P7", "what run-1 comes to was fixed after its end")]


async def test_turns_work_for_runs_that_go_on():
    history = await noted()
    commits = list(history.commits)
    start = next(at for at, commit in enumerate(commits) if any(map(of(TurnStarted, turn="turn-2"), commit)))
    end = next(at for at, commit in enumerate(commits) if any(map(of(RunEnded, run="run-2"), commit)))

    early = [*commits[:start], commits[end], *commits[start:end], *commits[end + 1 :]]
    midway = [*commits[: start + 1], commits[end], *commits[start + 1 : end], *commits[end + 1 :]]

    assert found(relogged(history, early)) == [("P7", "turn-2 of ann started for run-2, which had ended")]
    assert found(relogged(history, midway)) == [("P7", "run-2 ended while turn-2 of ann was going on for it")]
    let_go = changed(relogged(history, midway), of(TurnEnded, turn="turn-2"), cut_off=True)
    assert found(let_go) == [], "a turn that was cut off is nobody's any more"


# --- P8


async def test_a_change_and_the_answer_of_its_tool_are_one():
    history = await noted()
    at = next(at for at, commit in enumerate(history.commits) if any(map(version(4), commit)))
    change, answer = history.commits[at]

    def parted(*commits: Any) -> list[tuple[str, str]]:
        return found(relogged(history, [*history.commits[:at], *commits, *history.commits[at + 1 :]]))

    subject = "version 4 of block 'notes' (rethink by ann in turn-2)"
    alone = f"{subject} is not in one transaction with the answer of its tool"
    assert parted([change], [answer]) == [("P8", alone)]
    assert parted([change, answer.having(ok=False)]) == [
        ("P8", f"{subject} was made, and memory_rethink answered that it was not")
    ]
    assert parted([change]) == [
        ("P8", alone),
        ("P8", "turn-2 of ann is done, and its call 0 of step 0 has no answer: memory_rethink"),
    ]


async def test_an_answer_without_its_change_is_told():
    history = await noted()

    wrong = without(history, version(5))

    assert told("P8", wrong) == ["memory_insert in turn-3 of bob was answered, and changed nothing"]
    assert promises(wrong) == {"P2", "P8"}


async def test_a_call_that_is_answered_twice_is_told():
    history = await noted()
    answer = first(history, of(ToolAnswered, turn="turn-2")).having(ok=False)

    wrong = followed(history, of(ToolAnswered, turn="turn-2"), answer, apart=True)

    assert found(wrong) == [("P8", "call 0 of step 0 in turn-2 of ann was answered twice: memory_rethink")]


async def test_a_change_that_leaves_the_text_as_it_is_makes_no_version():
    same = [
        edit("memory_replace", "notes", old_string="tea", new_string="tea"),
        edit("memory_rethink", "notes", new_memory="tea"),
    ]
    script = {"ann": [edit("memory_insert", "notes", new_string=""), *same, "done"]}

    async def acts(live: Orchestrator) -> None:
        await live.blocks.modify("notes", value="")
        await live.blocks.modify("notes", value="tea")

    empty = await seen(pair(), {"ann": [script["ann"][0], "done"]}, "ann")
    full = await seen(pair(value="tea"), {"ann": [*same, "done"]}, "ann", acts=acts)

    assert [row.operation for row in empty.revisions[KEY]] == ["create"]
    assert [row.operation for row in full.revisions[KEY]] == ["create", "modify", "modify"]


async def test_what_a_call_would_change_is_judged_by_the_text_that_it_means():
    same = [
        edit("memory_insert", "notes", new_string=""),  # a line has begun already
        edit("memory_replace", "notes", old_string="tea & milk", new_string="tea &amp; milk"),
        edit("memory_rethink", "notes", new_memory="tea &amp; milk\n"),
    ]

    history = await seen(pair(value="tea & milk\n"), {"ann": [*same, "done"]}, "ann")

    assert [row.operation for row in history.revisions[KEY]] == ["create"]


async def test_an_insertion_of_nothing_begins_a_line_where_none_has_begun():
    nothing = edit("memory_insert", "notes", new_string="")
    history = await seen(pair(value="tea"), {"ann": [nothing, "done"]}, "ann")

    wrong = without(history, version(2))

    assert [row.value for row in history.revisions[KEY]] == ["tea", "tea\n"]
    assert told("P8", wrong) == ["memory_insert in turn-1 of ann was answered, and changed nothing"]


async def test_an_insertion_of_the_line_that_has_to_leave_for_it_changes_the_archive_only():
    old = Block("old", description="What left.")
    notes = Block("notes", "tea\ntea", "What we know.", limit=7, overflow=old)
    team = Team("pair", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes])])
    again = edit("memory_insert", "notes", new_string="tea")

    history = await seen(team, {"ann": [again, "done"]}, "ann")

    assert [row.value for row in history.revisions["pair:old"]] == ["", "tea"]
    assert [row.operation for row in history.revisions["pair:notes"]] == ["create"]


async def test_a_call_that_nobody_knows_of_is_not_judged_by_what_it_asked_for():
    history = await seen(pair(value="tea"), {"ann": [edit("memory_rethink", "notes", new_memory="tea"), "done"]}, "ann")

    wrong = changed(history, of(ToolAnswered), call=3)

    assert told("P8", wrong) == [
        "memory_rethink in turn-1 of ann was answered, and changed nothing",
        "turn-1 of ann is done, and its call 0 of step 0 has no answer: memory_rethink",
    ]


async def test_arguments_may_be_texts_as_providers_send_them():
    history = await noted()

    def as_text(event: Event) -> Event:
        if not isinstance(event, StepTaken) or not event.tool_calls:
            return event
        (asked,) = event.tool_calls
        arguments = f'{{"label": "notes", "new_string": "{asked.arguments.get("new_string", "")}"}}'
        return event.having(tool_calls=(asked.having(arguments=arguments),))

    texts = relogged(history, [[as_text(event) for event in commit] for commit in history.commits])
    garbled = changed(
        texts,
        of(StepTaken, turn="turn-3", step=0),
        tool_calls=(first(texts, of(StepTaken, turn="turn-3")).tool_calls[0].having(arguments="{"),),
    )
    nonsense = changed(history, lambda event: isinstance(event, StepTaken) and bool(event.tool_calls), tool_calls=())

    assert found(texts) == []
    assert found(garbled) == []
    assert found(nonsense) == []


async def test_whoever_fails_leaves_nothing_half_done():
    history = await returned()
    release = first(history, version(4, "crew:queue"))

    assert release.operation == "release"
    assert [turn.status for turn in history.turns] == ["done", "failed", "done"]
    assert promises(without(history, of(TurnEnded, turn="turn-2"))) >= {"P6", "P8"}


async def test_a_team_may_be_unknown():
    history = await noted()

    assert found(replace(history, team=None)) == []
    assert promises(replace(history, team=Team("pair", [Agent("ann"), Agent("bob")]))) == set()
