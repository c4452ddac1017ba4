"""A run as a story for a person."""

from __future__ import annotations

from typing import Any

import pytest
from planted_bugs import overwritten
from played_teams import SCENES

from orchestrator import ToolCall, UnknownName, Usage
from orchestrator.events import (
    AgentCreated,
    AgentDeleted,
    AgentModified,
    BlockAttached,
    BlockChanged,
    BlockCreated,
    BlockDeleted,
    BlockDetached,
    BlockModified,
    Cause,
    ChangeRefused,
    Event,
    HandedOver,
    RunEnded,
    RunResumed,
    RunSettled,
    RunStarted,
    StepTaken,
    ToolAnswered,
    TurnEnded,
    TurnResumed,
    TurnStarted,
)
from orchestrator.simulation.choosers import InOrder
from orchestrator.simulation.environment import BEGINNING
from orchestrator.simulation.playing import Played, play
from orchestrator.simulation.schedules import drawn
from orchestrator.simulation.stories import story

KEY = "team:facts"


class Log:
    """Events, numbered as they come, each at so many seconds since the beginning."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, kind: type[Any], at: float, **fields: Any) -> None:
        self.events.append(kind(seq=len(self.events) + 1, at=BEGINNING + at, **fields))

    def block(self, value: str = "", *, key: str = KEY, label: str = "facts", seen_by: tuple[str, ...] = ()) -> None:
        self.add(BlockCreated, 0, key=key, label=label, agent=None, value=value, limit=100, read_only=False)
        for agent in seen_by:
            self.add(BlockAttached, 0, agent=agent, key=key, label=label, grant="rethink")

    def turn(self, at: float, agent: str, turn: str, *causes: Cause) -> None:
        causes = causes or (Cause(kind="message", run="run-1"),)
        self.add(TurnStarted, at, turn=turn, run="run-1", runs=("run-1",), agent=agent, attempt=1, causes=causes)

    def step(self, at: float, agent: str, turn: str, shown: int, *calls: str | ToolCall, step: int = 0) -> None:
        asked = tuple(call if isinstance(call, ToolCall) else ToolCall(call, {}) for call in calls)
        fields = {"turn": turn, "run": "run-1", "agent": agent, "step": step, "text": "", "usage": Usage()}
        self.add(StepTaken, at, shown={KEY: shown}, tool_calls=asked, **fields)

    def change(self, at: float, by: str, turn: str | None, version: int, value: str, operation: str = "insert") -> None:
        fields = {"key": KEY, "label": "facts", "limit": 100, "turn": turn, "runs": ("run-1",)}
        self.add(BlockChanged, at, by=by, version=version, value=value, operation=operation, **fields)

    def answer(self, at: float, agent: str, turn: str, name: str, text: str = "", *, ok: bool = True) -> None:
        fields = {"turn": turn, "run": "run-1", "agent": agent, "step": 0, "call": 0}
        self.add(ToolAnswered, at, name=name, text=text, ok=ok, **fields)

    def end(self, at: float, agent: str, turn: str, status: str = "done", error: str | None = None) -> None:
        fields = {"turn": turn, "run": "run-1", "runs": ("run-1",), "agent": agent, "steps": 1, "text": ""}
        self.add(TurnEnded, at, status=status, error=error, usage=Usage(), shown={}, **fields)

    def refuse(self, at: float, by: str, operation: str, reason: str, *, key: str | None = KEY) -> None:
        fields = {"label": "facts", "turn": "turn-1", "run": "run-1", "code": "changed"}
        self.add(ChangeRefused, at, key=key, operation=operation, by=by, reason=reason, **fields)

    def told(self, about: str | None = None) -> list[str]:
        return story(self.events, about=about)


@pytest.fixture
def log() -> Log:
    return Log()


def lost() -> Log:
    """A curator is shown version 1, and its rewrite becomes version 3."""
    log = Log()
    log.block("old\nkept", seen_by=("curator", "worker"))
    log.add(RunStarted, 0, run="run-1", agent="curator", text="tidy", max_turns=9)
    log.turn(0.1, "curator", "turn-1")
    log.turn(0.2, "worker", "turn-2")
    log.step(2.4, "worker", "turn-2", 1, "memory_insert")
    log.change(2.4, "worker", "turn-2", 2, "old\nkept\nOrigin: MemGPT.")
    log.answer(2.4, "worker", "turn-2", "memory_insert")
    log.step(4, "curator", "turn-1", 1, "memory_rethink")
    log.change(4, "curator", "turn-1", 3, "kept\ntidy", "rethink")
    log.answer(4, "curator", "turn-1", "memory_rethink")
    log.end(5, "worker", "turn-2")
    log.end(6, "curator", "turn-1")
    log.add(RunEnded, 6, run="run-1", status="complete", output="tidied", error=None)
    return log


def test_a_loss_is_told_with_who_was_shown_what_who_wrote_and_who_overwrote_it():
    assert lost().told(about=KEY) == [
        '    0.0 s  facts began at version 1: "old kept"',
        '    0.0 s  run-1 began: "tidy" for curator',
        "    0.1 s  curator began turn-1, woken by a message",
        "    0.1 s  curator was shown facts, version 1",
        "    0.2 s  worker began turn-2, woken by a message",
        "    0.2 s  worker was shown facts, version 1",
        '    2.4 s  worker inserted into facts: version 2 (+ "Origin: MemGPT.")',
        '    4.0 s  curator rewrote facts: version 3, from version 1 (+ "tidy"; - "old"):'
        ' "Origin: MemGPT." by worker is gone, which curator was never shown',
        "    5.0 s  worker's turn-2 is done",
        "    6.0 s  curator's turn-1 is done",
        '    6.0 s  run-1 ended as complete: "tidied"',
    ]


def test_without_a_block_showings_are_told_where_somebody_wrote_in_between():
    told = lost().told()
    assert "    0.1 s  curator was shown facts, version 1" in told
    assert "    0.2 s  worker was shown facts, version 1" not in told


def test_a_block_is_named_as_users_name_it_or_by_its_key():
    assert lost().told(about="facts") == lost().told(about=KEY)
    with pytest.raises(UnknownName, match="has no block 'fact'; it has: facts"):
        lost().told(about="fact")


def test_events_may_come_in_any_order():
    log = lost()
    assert story(log.events[::-1]) == log.told()


def test_of_two_blocks_of_one_label_each_is_named_by_who_sees_it(log: Log):
    log.block("a", seen_by=("ann",))
    log.block("b", key="team:bob:facts", seen_by=("bob",))
    assert log.told() == [
        '    0.0 s  ann/facts began at version 1: "a"',
        '    0.0 s  bob/facts began at version 1: "b"',
    ]


def test_where_a_story_is_about_one_block_others_are_left_out(log: Log):
    log.block("a")
    log.block("b", key="team:other", label="other")
    log.turn(1, "ann", "turn-1")
    log.end(2, "ann", "turn-1")
    log.add(BlockModified, 3, key="team:other", label="other", limit=5, read_only=True, description="")
    log.add(AgentCreated, 4, agent="carol")
    assert log.told(about=KEY) == ['    0.0 s  facts began at version 1: "a"']


def test_a_replacement_has_named_what_it_takes_away(log: Log):
    log.block("one")
    log.turn(0, "ann", "turn-1")
    log.change(1, "bob", "turn-2", 2, "one\ntwo")
    log.step(2, "ann", "turn-1", 1, "memory_replace")
    log.change(2, "ann", "turn-1", 3, "one\nthree", "replace")
    assert log.told()[-2] == '    2.0 s  ann replaced text in facts: version 3, from version 1 (+ "three"; - "two")'


def test_several_lines_of_several_authors_are_lost(log: Log):
    log.block("")
    log.turn(0, "ann", "turn-1")
    log.change(1, "bob", "turn-2", 2, "b1\nb2\nb3")
    log.change(1, "owner", None, 3, "b1\nb2\nb3\no1", "modify")
    log.change(1, "ann", "turn-0", 4, "b1\nb2\nb3\no1\nmine")
    log.step(2, "ann", "turn-1", 1, "memory_rethink")
    log.change(2, "ann", "turn-1", 5, "nothing", "rethink")
    assert log.told()[-2] == (
        '    2.0 s  ann rewrote facts: version 5, from version 1 (+ "nothing"; - "mine"): "b1", "b2" and 1 more by bob'
        ' are gone, which ann was never shown; "o1" by the owner is gone, which ann was never shown'
    )


def test_a_line_that_stands_elsewhere_now_is_not_gone(log: Log):
    log.block("one\ntwo")
    log.turn(0, "ann", "turn-1")
    log.step(1, "ann", "turn-1", 1, "memory_rethink")
    log.change(1, "ann", "turn-1", 2, "two and one", "rethink")
    assert log.told()[-2] == '    1.0 s  ann rewrote facts: version 2 (+ "two and one")'


@pytest.mark.parametrize(
    ("operation", "by", "said"),
    [
        ("claim", "engine", 'ann claimed from facts: version 2 (+ "new")'),
        ("release", "engine", 'ann gave back to facts: version 2 (+ "new")'),
        ("archive", "engine", 'the engine moved old lines into facts: version 2 (+ "new"; - "old")'),
        ("modify", "owner", 'the owner changed facts: version 2 (+ "new"; - "old")'),
        ("undo", "owner", 'the owner took back a change of facts: version 2 (+ "new"; - "old")'),
        ("shuffle", "ann", 'ann made a change (shuffle) of facts: version 2 (+ "new"; - "old")'),
    ],
)
def test_changes_are_told_by_what_was_done_and_claims_by_whose_turn_they_are_for(
    log: Log, operation: str, by: str, said: str
):
    log.block("old")
    log.turn(0.5, "ann", "turn-1")
    log.change(1, by, "turn-1", 2, "new", operation)
    assert log.told()[2] == f"    1.0 s  {said}"


def test_a_refusal_is_told_once_with_its_reason(log: Log):
    log.block("old")
    log.turn(0, "ann", "turn-1")
    log.step(1, "ann", "turn-1", 1, "memory_rethink", "search")
    log.refuse(1, "ann", "rethink", "somebody was there first")
    log.answer(1, "ann", "turn-1", "memory_rethink", "Refused: somebody was there first", ok=False)
    log.answer(2, "ann", "turn-1", "search", "no network", ok=False)
    assert log.told()[1:-1] == [
        "    0.0 s  ann began turn-1, woken by a message",
        "    0.0 s  ann was shown facts, version 1",
        "    1.0 s  ann's rewrite of facts was refused: somebody was there first",
        "    1.0 s  ann called search()",
        "    2.0 s  ann's search failed: no network",
    ]


def test_a_tool_is_told_with_when_it_was_called_and_what_it_answered(log: Log):
    log.turn(0, "ann", "turn-1")
    log.turn(0, "bob", "turn-2")
    log.step(1, "ann", "turn-1", 1, ToolCall("count", {"by": 2, "of": "apples"}))
    log.step(1, "bob", "turn-2", 1, ToolCall("count", "{broken"), "search")
    log.answer(2, "ann", "turn-1", "count", "now 1")
    log.answer(2, "bob", "turn-2", "count", "now 1")
    log.answer(2, "bob", "turn-2", "search")
    assert log.told()[2:-2] == [
        "    1.0 s  ann called count(by=2, of='apples')",
        "    1.0 s  bob called count({broken)",
        '    2.0 s  ann\'s count answered: "now 1"',
        '    2.0 s  bob\'s count answered: "now 1"',
        "    2.0 s  bob called search()",
    ]


def test_a_tool_whose_change_was_told_just_now_is_not_told(log: Log):
    log.block()
    log.turn(0, "ann", "turn-1")
    log.step(1, "ann", "turn-1", 1, "note", "note")
    log.change(1, "ann", "turn-1", 2, "apples")
    log.answer(1, "ann", "turn-1", "note", "noted")
    log.answer(1, "ann", "turn-1", "note", "known already")
    assert log.told()[1:-1] == [
        '    1.0 s  ann inserted into facts: version 2 (+ "apples")',
        '    1.0 s  ann called note(): "known already"',
    ]
    assert not any("called" in line for line in log.told(about=KEY))


@pytest.mark.parametrize(("status", "is_told"), [("timed_out", True), ("cancelled", True), ("done", False)])
def test_a_tool_that_never_answered_is_told_but_for_one_that_ended_the_turn(log: Log, status: str, is_told: bool):
    log.turn(0, "ann", "turn-1")
    log.step(1, "ann", "turn-1", 1, "wait")
    log.end(600, "ann", "turn-1", status)
    assert ("    1.0 s  ann called wait()" in log.told()) == is_told


def test_a_refusal_of_a_block_that_is_not_there_or_of_another_kind_is_told(log: Log):
    log.refuse(1, "ann", "insert", "no such block", key=None)
    log.refuse(2, "ann", "shuffle", "no", key=KEY)
    assert log.told() == [
        "    1.0 s  ann's insertion into facts was refused: no such block",
        f"    2.0 s  ann's shuffle of {KEY} was refused: no",
    ]


def test_a_showing_stands_behind_what_it_showed(log: Log):
    log.block("")
    log.turn(0, "ann", "turn-1")
    log.change(1, "bob", "turn-2", 2, "b")  # while ann's turn waited for the store
    log.step(3, "ann", "turn-1", 2, "memory_insert", "memory_insert")
    log.change(3, "ann", "turn-1", 3, "b\na")
    log.change(3, "ann", "turn-1", 4, "b\na\na2")
    assert log.told(about=KEY)[1:-1] == [
        "    0.0 s  ann began turn-1, woken by a message",
        '    1.0 s  bob inserted into facts: version 2 (+ "b")',
        "    1.0 s  ann was shown facts, version 2",
        '    3.0 s  ann inserted into facts: version 3 (+ "a")',
        '    3.0 s  ann inserted into facts: version 4, from version 2 (+ "a2")',
    ]


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (Cause(kind="change", key=KEY, version=4, by="bob"), "bob's change of facts (version 4)"),
        (Cause(kind="call", key=KEY), "facts, which called"),
        (Cause(kind="full", key=KEY), "facts, which is nearly full"),
        (Cause(kind="handoff", key=KEY, by="bob"), "bob, who handed over"),
        (Cause(kind="every"), "the turns of others"),
        (Cause(kind="idle"), "the end of everybody's work"),
    ],
)
def test_why_a_turn_began_is_told(log: Log, cause: Cause, said: str):
    log.block()
    log.turn(1, "ann", "turn-1", cause, Cause(kind="message"))
    assert log.told()[0] == f"    1.0 s  ann began turn-1, woken by {said} and a message"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("failed", "ann's turn-1 failed: \"it's over\""),
        ("cancelled", "ann's turn-1 was cancelled: \"it's over\""),
        ("timed_out", "ann's turn-1 was cut short: it took too long: \"it's over\""),
    ],
)
def test_how_a_turn_ended_is_told(log: Log, status: str, said: str):
    log.turn(0, "ann", "turn-1")
    log.end(1, "ann", "turn-1", status, "it's over")
    assert log.told()[-1] == f"    1.0 s  {said}"


def test_handoffs_resumptions_and_what_the_owner_does_are_told(log: Log):
    log.block()
    log.add(RunStarted, 1, run="run-1", agent="", text="", max_turns=9)
    log.add(RunResumed, 2, run="run-1")
    fields = {"turn": "turn-1", "run": "run-1", "runs": ("run-1",), "agent": "ann"}
    log.add(TurnResumed, 3, attempt=2, **fields)
    log.add(HandedOver, 4, to="bob", key=KEY, label="facts", version=2, number=1, **fields)
    log.end(4, "ann", "turn-1")
    log.add(RunSettled, 5, run="run-1", status="complete", output="", error=None)
    log.add(RunEnded, 6, run="run-1", status="failed", output="", error="stuck")
    log.add(BlockModified, 7, key=KEY, label="facts", limit=5000, read_only=True, description="")
    log.add(BlockModified, 7, key=KEY, label="facts", limit=6000, read_only=False, description="")
    log.add(BlockDetached, 8, agent="ann", key=KEY, label="facts")
    log.add(BlockDeleted, 8, key=KEY, label="facts")
    for kind in (AgentCreated, AgentModified, AgentDeleted):
        log.add(kind, 9, agent="carol")
    assert log.told() == [
        "    1.0 s  run-1 began, with a change by the owner",
        "    2.0 s  run-1 went on, after it was cut off",
        "    3.0 s  ann went on with turn-1, in attempt 2",
        "    4.0 s  ann handed control over to bob",
        "    4.0 s  ann's turn-1 is done",
        "    5.0 s  run-1 will end as complete; sleeptime agents take their turns first",
        '    6.0 s  run-1 ended as failed: "stuck"',
        "    7.0 s  facts has a limit of 5,000 and is read-only",
        "    7.0 s  facts has a limit of 6,000",
        "    8.0 s  ann no longer sees facts",
        "    8.0 s  facts was deleted",
        "    9.0 s  carol was made by the owner",
        "    9.0 s  carol was modified by the owner",
        "    9.0 s  carol was deleted by the owner",
    ]
    assert "    4.0 s  ann handed control over to bob" in log.told(about=KEY)


def test_long_texts_are_shortened_and_no_terminal_is_told_what_to_do(log: Log):
    log.block('say "hi"\n' + "x" * 100)
    log.change(1, "bob", None, 2, 'say "hi"\n\x1b[31mred\u202e')
    assert log.told() == [
        '    0.0 s  facts began at version 1: \'say "hi" ' + "x" * 50 + "…'",
        '    1.0 s  bob inserted into facts: version 2 (+ "\\x1b[31mred\\u202e"; - "' + "x" * 59 + '…")',
    ]


def test_where_nothing_happened_that_is_said():
    assert story([]) == ["           nothing happened"]


def test_whoever_did_not_come_to_an_end_is_told_with_what_it_waited_for(log: Log):
    log.add(RunStarted, 0, run="run-1", agent="ann", text="go", max_turns=9)
    log.turn(1, "ann", "turn-1")
    log.step(2, "ann", "turn-1", 1, "search", "ask")
    log.answer(3, "ann", "turn-1", "search")
    log.turn(1, "bob", "turn-2")
    log.turn(1, "carol", "turn-3")
    log.step(2, "carol", "turn-3", 1, "search")
    log.answer(3, "carol", "turn-3", "search")
    assert log.told()[-4:] == [
        "           run-1 never ended",
        "           ann still had turn-1, and waited for an answer to ask",
        "           bob still had turn-2, and waited for an answer of its model",
        "           carol still had turn-3, and waited for an answer of its model",
    ]


def test_a_log_whose_beginning_is_missing_is_told_as_far_as_it_goes(log: Log):
    log.step(1, "ann", "turn-1", 1, "memory_insert")
    log.answer(1, "ann", "turn-1", "memory_insert")
    log.change(1, "ann", "turn-1", 7, "text")
    log.end(2, "ann", "turn-1")
    assert log.told() == [
        '    1.0 s  ann inserted into facts: version 7 (+ "text")',
        "    2.0 s  ann's turn-1 is done",
    ]


def test_a_story_may_begin_at_another_time(log: Log):
    log.turn(3, "ann", "turn-1")
    assert story(log.events, began=BEGINNING + 1)[0].startswith("    2.0 s  ann began")


# --- real teams


def _log(played: Played[Any]) -> list[Event]:
    return [event for witness in played.environment.witnesses for commit in witness.commits for event in commit]


def test_the_story_of_a_real_loss_names_what_was_lost_by_whom_and_from_which_version():
    scene = overwritten()
    losses = 0
    for seed in range(1, 11):
        played = play(scene, drawn(seed).chooser(), seed)
        lines = [line for line in story(_log(played), about="notes") if "gone, which curator was never shown" in line]
        assert bool(lines) == (played.error is not None)
        if played.error is not None:
            losses += 1
            what = str(played.error).removeprefix("lost ")
            said = next(line for line in lines if f'"{what}"' in line.partition(": version ")[2])
            assert "curator rewrote notes: version " in said
            assert ", from version " in said
            assert f" by {what[1:4]} " in said
    assert losses > 5


@pytest.mark.parametrize("name", SCENES)
def test_every_teams_story_is_told_to_its_end(name: str):
    played = play(SCENES[name](), InOrder())
    lines = story(_log(played))
    assert "ended as" in lines[-1]
    assert not any("never" in line for line in lines)
    times = [float(line[:7]) for line in lines]
    assert times == sorted(times)
