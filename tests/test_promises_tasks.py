"""P3: faults that are planted into who holds what, and who has a turn when: each is found, and told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from handing import joined, pass_on
from planting import (
    QUEUE,
    changed,
    crew,
    followed,
    found,
    of,
    open_tasks,
    pair,
    promises,
    put_back,
    relogged,
    returned,
    reworded,
    seen,
    take,
    told,
    version,
    without,
    worked,
)

from orchestrator import Agent, Block, Change, ModelError, Orchestrator, Team, Wake
from orchestrator.events import ChangeRefused, HandedOver, RunEnded, TurnEnded, TurnStarted
from orchestrator.testing import History, Say, call, edit, simulated_time
from patterns import supervise, task_queue
from patterns.tasks import Queue


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


# --- held by one


async def test_two_workers_with_one_task_are_told():
    history = await worked()
    assert [row.value for row in history.revisions[QUEUE]] == [
        "one:\ntwo:",
        "one:bob\ntwo:",
        "one:bob\ntwo:eve",
        "one done\ntwo:eve",
        "one done\ntwo done",
    ]

    wrong = reworded(history, QUEUE, {3: "one:eve\ntwo:"})

    where = "version 3 of block 'queue' (claim by engine in turn-3)"
    assert told("P3", wrong) == [
        f"{where} is not what claim= makes of version 2 for eve",
        f"{where} takes from bob what it holds in its turn",
    ]


async def test_a_claim_that_is_made_for_somebody_else_is_told():
    history = await worked()

    wrong = reworded(history, QUEUE, {2: "one:eve\ntwo:"})

    where = "version 2 of block 'queue' (claim by engine in turn-2)"
    assert told("P3", wrong)[0] == f"{where} is not what claim= makes of version 1 for bob"
    assert f"{where}, made for bob, lets eve hold something without a turn" in told("P3", wrong)


async def test_a_claim_that_was_made_of_an_outdated_text_has_lost_what_came_since():
    history = await returned()

    wrong = reworded(history, QUEUE, {3: "one:bob", 4: "one:", 5: "one:bob", 6: "one done"})

    assert found(wrong) == [
        (
            "P1",
            "version 3 of block 'queue' (claim by engine in turn-2) lost 'a note', which ann had added in version 2",
        )
    ]


async def test_a_task_that_is_taken_from_its_holder_is_told():
    history = await worked()

    wrong = reworded(history, QUEUE, {4: "one done\ntwo:"})

    assert told("P3", wrong) == [
        "version 4 of block 'queue' (replace by bob in turn-2) takes from eve what it holds in its turn"
    ]


async def test_what_the_owner_hands_out_or_takes_away_is_the_owners_business():
    async def acts(live: Orchestrator) -> None:
        await live.blocks.modify("queue", value="one:eve\ntwo:ann\nthree:bob")
        await live.blocks.modify("queue", value="nothing")
        await live.blocks.modify("queue", value="four:bob")
        await live.blocks.delete("queue")

    history = await seen(crew("one:bob\ntwo:eve"), {}, acts=acts)

    assert [row.operation for row in history.revisions[QUEUE]] == ["create", "modify", "modify", "modify"]


# --- from the claim to the end of the turn


async def test_a_claim_is_in_the_transaction_that_starts_the_turn():
    history = await returned()
    at = next(at for at, commit in enumerate(history.commits) if any(map(version(3, QUEUE), commit)))
    first, *rest = history.commits[at]

    before = relogged(history, [*history.commits[:at], [first], rest, *history.commits[at + 1 :]])
    after = relogged(history, [*history.commits[:at], rest, [first], *history.commits[at + 1 :]])

    where = "version 3 of block 'queue' (claim by engine in turn-2)"
    assert found(before) == [("P3", f"{where} is not in the transaction that starts turn-2")]
    assert found(after) == [("P3", "turn-2 of bob was started without a claim"), ("P6", RECLAIMED)]


RECLAIMED = "turn-2 of bob has another claim in the store than in the log"


async def test_who_fails_gives_back_what_it_holds():
    history = await returned()

    wrong = _unreleased(history)

    assert found(wrong) == [("P8", "turn-2 of bob ended as failed and still holds something in block 'queue'")]


async def test_who_is_done_holds_nothing_either():
    history = await returned()
    ends = {"status": "done", "error": None}

    wrong = changed(_unreleased(history), of(TurnEnded, turn="turn-2"), **ends)
    turns = tuple(turn.having(**ends) if turn.id == "turn-2" else turn for turn in wrong.turns)

    assert found(replace(wrong, turns=turns)) == [
        ("P3", "turn-2 of bob ended as done and still holds something in block 'queue'")
    ]


def _unreleased(history: History) -> History:
    """The history up to the end of turn-2, which gave nothing back, and of the run."""
    at = next(at for at, commit in enumerate(history.commits) if any(map(version(4, QUEUE), commit)))
    rows = history.revisions[QUEUE][:3]
    head = history.blocks[QUEUE].having(version=3, value=rows[-1].value, by="engine")
    return relogged(
        history,
        [*history.commits[:at], history.commits[at][1:], history.commits[-1]],
        revisions={QUEUE: rows},
        blocks={QUEUE: head},
        turns=history.turns[:2],
    )


async def test_a_release_that_the_block_refuses_is_told_when_it_happens_and_breaks_no_promise():
    def guard(change: Change) -> str | None:
        return "no way back" if change.new == "one:" else None

    history = await seen(crew("one:", guard=guard), {"ann": ["begin"], "bob": [ModelError("no answer")]}, "ann")

    assert any(isinstance(event, ChangeRefused) and event.operation == "release" for event in history.log)
    assert history.blocks[QUEUE].value == "one:bob"


@pytest.mark.parametrize("refusing", [{"first"}, {"first", "second"}])
async def test_of_several_blocks_each_gives_back_or_says_why_not(refusing: set[str]):
    def guard(change: Change) -> str | None:
        return "no way back" if change.label in refusing and change.old.endswith(":bob") else None

    first, second = (Block(label, "one:" if label == "first" else "two", guard=guard) for label in ("first", "second"))
    wakes = [Wake(second, when=lambda text: 0, claim=take, release=put_back)]
    wakes += [Wake(first, when=lambda text: text == "one:", claim=take, release=put_back)]
    by_hand = edit("memory_replace", "second", old_string="two", new_string="two:bob")
    team = Team("crew", [Agent("bob", blocks=[first, second], wakes_on=wakes), Agent("ann", blocks=[first, second])])

    history = await seen(team, {"ann": ["begin"], "bob": [by_hand, "done"]}, "ann")

    kept = {block.label for block in history.blocks.values() if block.value.endswith(":bob")}
    assert kept == refusing


async def test_functions_that_raise_tell_nothing():
    def bad(text: str, agent: str) -> str:
        raise ValueError("mistyped")

    history = await worked()
    queue = Block("queue", "one:\ntwo:")
    works = Wake(queue, when=open_tasks, claim=bad, release=bad)
    declared = Team("crew", [Agent(name, blocks=[queue], wakes_on=[works]) for name in ("bob", "eve")])

    assert told("P3", replace(history, team=declared)) == [
        "version 2 of block 'queue' (claim by engine in turn-2) is not what claim= makes of version 1 for bob",
        "version 3 of block 'queue' (claim by engine in turn-3) is not what claim= makes of version 2 for eve",
    ]


async def test_turns_before_another_declaration_are_not_asked_about():
    history = await returned()
    last = len(history.log) - 1

    wrong = reworded(history, QUEUE, {3: "a note\none:bob", 4: "a note\nnone:bob"})

    assert promises(wrong) == {"P3", "P8"}
    assert promises(replace(wrong, since=last)) == set()
    assert promises(replace(without(_unreleased(history), of(RunEnded)), since=last)) == {"P7"}


async def test_a_release_that_gives_back_something_else_is_told():
    history = await returned()

    wrong = reworded(history, QUEUE, {4: "a note\nnone:"})

    assert (
        "P3",
        "version 4 of block 'queue' (release by engine in turn-2) is not what release= makes of version 3 for bob",
    ) in found(wrong)


async def test_a_release_is_in_the_transaction_that_ends_the_turn():
    history = await returned()
    at = next(at for at, commit in enumerate(history.commits) if any(map(version(4, QUEUE), commit)))
    first, *rest = history.commits[at]

    apart = relogged(history, [*history.commits[:at], [first], rest, *history.commits[at + 1 :]])

    assert found(apart) == [
        (
            "P8",
            "version 4 of block 'queue' (release by engine in turn-2) is not in the transaction that ends the turn",
        )
    ]


# --- guards


async def test_who_finishes_a_task_that_it_does_not_hold_is_told():
    team = supervise(Agent("ann"), [Agent("bob"), Agent("eve")], tasks=task_queue("1. [open] Look.\n2. [open] See."))
    settle = call("settle_task", result="seen")
    script = {
        "ann": [Say("begun", after=1), Say("all done")],
        "bob": [_after(settle, 2), "done"],
        "eve": [_after(settle, 3), "done"],
    }
    history = await seen(team, script, "ann")
    key = "supervised:task_queue"
    texts = {row.version: row.value for row in history.revisions[key]}
    stolen = texts[4].replace("2. [claimed by eve] See.", "2. [done by bob] See.")
    assert Queue.parse(stolen).tasks[1].by == "bob"

    wrong = reworded(history, key, {4: stolen, 5: stolen})

    assert found(wrong)[0] == (
        "P3",
        "version 4 of block 'task_queue' (replace by bob in turn-2) was made, though its guard refuses it:"
        " task 2 is held by eve, not by you",
    )
    assert promises(wrong) >= {"P3"}


def _after(line: Say, seconds: float) -> Say:
    return Say(line.text, after=seconds, calls=line.calls)


async def test_a_guard_that_raises_has_allowed_nothing():
    history = await worked()

    def guard(change: Change) -> str | None:
        raise ValueError("mistyped")

    other = await worked()
    assert other.team is not None
    queue = Block("queue", "one:\ntwo:", guard=guard)
    declared = Team("crew", [Agent("ann", blocks=[queue]), Agent("bob", blocks=[queue])])

    objections = [what for promise, what in found(replace(history, team=declared)) if promise == "P3"]

    assert objections[0] == (
        "version 2 of block 'queue' (claim by engine in turn-2) was made, though its guard refuses it:"
        " it raised ValueError: mistyped"
    )
    assert len(objections) == 4
    last = next(event.seq for event in history.log if version(4, QUEUE)(event))
    since = [what for promise, what in found(replace(history, team=declared, since=last)) if promise == "P3"]
    assert since == objections[3:], "what was written under another declaration is not asked about"
    assert found(replace(history, team=None)) == []


# --- who has a turn when


async def test_an_agent_has_one_turn_at_a_time():
    team = pair()
    history = await seen(team, {"ann": ["one", "two"]}, "ann", "ann")
    end = next(event for event in history.log if of(TurnEnded, turn="turn-1")(event))
    second = next(event for event in history.log if of(TurnStarted, turn="turn-2")(event))

    wrong = followed(without(history, lambda event: event == end), lambda event: event.type == "turn_started", second)
    doubled = followed(history, of(TurnStarted, turn="turn-1"), second, apart=True)

    assert ("P3", "ann started turn-2 while it had turn-1") in found(doubled)
    assert ("P3", "ann started turn-2 while it had turn-1") in found(wrong)


async def handed_over() -> History:
    script = {"ann": [call("pass_on", to="bob"), "later"], "bob": ["done", "more"]}
    team = joined("ann", "bob")
    assert pass_on.name == "pass_on"
    return await seen(team, {"ann": [script["ann"][0]], "bob": ["done"]}, "ann")


async def test_who_hands_over_never_has_a_turn_beside_the_other():
    history = await handed_over()
    start = next(event for event in history.log if of(TurnStarted, turn="turn-2")(event))

    wrong = followed(without(history, lambda event: event == start), of(TurnStarted, turn="turn-1"), start, apart=True)

    assert ("P3", "bob started turn-2 while ann, its partner in handoffs, had turn-1") in found(wrong)
    assert promises(wrong) == {"P3"}


async def test_note_handoff_and_end_are_in_one_transaction():
    history = await handed_over()
    at = next(at for at, commit in enumerate(history.commits) if any(map(of(HandedOver), commit)))
    note, answer, handoff, end = history.commits[at]
    assert [event.type for event in (note, answer, handoff, end)] == [
        "block_changed",
        "tool_answered",
        "handed_over",
        "turn_ended",
    ]

    def parted(*commits: Any) -> list[tuple[str, str]]:
        return found(relogged(history, [*history.commits[:at], *commits, *history.commits[at + 1 :]]))

    subject = "the handoff from ann to bob in turn-1"
    assert parted([note, answer, handoff], [end]) == [("P3", f"{subject} is not in the transaction that ends the turn")]
    assert parted([note, answer], [handoff, end]) == [
        ("P3", f"{subject} is not in the transaction of its note, version 2 of block 'note'")
    ]


async def test_a_note_that_changes_nothing_is_no_new_version():
    history = await handed_over()
    same = [event for event in history.log if event.type != "block_changed"]
    rows = history.revisions["joined:note"][:1]

    wrong = relogged(
        history,
        [[event.having(version=1) if event.type == "handed_over" else event for event in same]],
        revisions={"joined:note": rows},
        blocks={"joined:note": history.blocks["joined:note"].having(version=1, value="", by="owner")},
    )

    assert found(wrong) == []


async def test_a_tool_that_edits_by_hand_holds_something_until_its_turn_ends():
    mine = edit("memory_replace", "queue", old_string="one", new_string="one:bob")

    history = await seen(crew("one", when=lambda text: 0), {"bob": [mine, "done"]}, "bob")

    assert [row.operation for row in history.revisions[QUEUE]] == ["create", "replace", "release"]

    rows = history.revisions[QUEUE][:2]
    head = history.blocks[QUEUE].having(version=2, value="one:bob", by="bob")
    wrong = without(history, version(3, QUEUE), revisions={QUEUE: rows}, blocks={QUEUE: head})

    assert found(wrong) == [("P3", "turn-1 of bob ended as done and still holds something in block 'queue'")]
