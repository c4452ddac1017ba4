"""Who takes the next turn of those who share the work: pools, claims, slots and fairness, as a table."""

from __future__ import annotations

import pytest

# A queue for the tests: each word is a task; "a" is open, "a:ann" is ann's, "A" is done.
from scheduler_table import Table, board, crew, open_tasks, put_back, queue_of, settle, take, why

from orchestrator import Agent, Block, Wake


def test_when_may_call_for_several_turns():
    table = board(when=len, members=5)
    table.run("r")
    table.begin()
    table.write("board", "xxx", "ann")
    assert list(table.begin()) == ["p1", "p2", "p3"]
    table.end("p1", "p2", "p3")
    assert table.begin() == {}


def test_a_pool_that_is_smaller_than_the_call_takes_several_rounds():
    table = board(when=len, members=2)
    table.run("r")
    table.begin()
    table.write("board", "xxx", "ann")
    assert list(table.begin()) == ["p1", "p2"]
    table.end("p1")
    assert list(table.begin()) == ["p1"]
    table.end("p1", "p2")
    assert table.begin() == {}


def test_a_pool_never_starts_more_than_the_text_calls_for():
    table = board(when=len, members=5)
    table.run("r")
    table.begin()
    table.write("board", "xx", "ann")
    table.begin()
    table.write("board", "xxx", "ann")
    assert list(table.begin()) == ["p3"], "two are at work"
    table.write("board", "x", "ann")
    table.end("p1", "p2")
    assert table.begin() == {}


# --- claims


def test_three_open_tasks_start_three_of_eight_workers():
    table = crew(8)
    table.run("r")
    table.begin()
    table.write("queue", "a b c", "lead")
    assert list(table.begin()) == ["w1", "w2", "w3"]
    assert queue_of(table) == "a:w1 b:w2 c:w3"
    table.end("lead")
    assert table.begin() == {}


def test_a_settled_task_starts_somebody_on_the_next():
    table = crew(2)
    table.run("r")
    table.begin()
    table.write("queue", "a b c d e f", "lead")
    assert list(table.begin()) == ["w1", "w2"]
    settle(table, "w2")
    assert list(table.begin()) == ["w2"]
    settle(table, "w2")
    settle(table, "w1")
    assert sorted(table.begin()) == ["w1", "w2"]
    settle(table, "w1")
    settle(table, "w2")
    assert len(table.begin()) == 1, "one task is left"


def test_a_task_that_was_given_back_starts_somebody_although_nobody_changed_the_text():
    table = crew(1)
    table.run("r")
    table.begin()
    table.write("queue", "a", "lead")
    table.begin()
    table.end("w1", status="failed")
    assert queue_of(table) == "a"
    assert list(table.begin()) == ["w1"]


def test_a_worker_with_a_message_waiting_is_not_taken():
    table = crew(2)
    table.run("r")
    table.begin()
    table.write("queue", "a", "lead")
    table.run("s", agent="w1")
    starts = table.begin()
    assert why(starts["w1"]) == ["s"]
    assert why(starts["w2"]) == ["queue 2 calls"]


def test_workers_are_taken_in_turn_the_one_that_is_idle_longest_first():
    table = crew(3)
    table.run("r")
    table.begin()
    table.write("queue", "a b", "lead")
    assert list(table.begin()) == ["w1", "w2"]
    settle(table, "w2")
    settle(table, "w1")
    took = []
    for task in "cdef":
        table.write("queue", task, "lead")
        (worker,) = table.begin()
        took.append(worker)
        settle(table, worker)
    assert took == ["w3", "w2", "w1", "w3"]


def test_a_refused_claim_is_tried_again_with_the_next_version_only():
    table = crew(2)
    table.run("r")
    table.begin()
    table.write("queue", "a", "lead")

    for worker in ("w1", "w2"):
        (start,) = [table.scheduler.next()]
        assert start.agent == worker, "the next one is asked"
        table.scheduler.withdraw(start, version=2, reason="locked")
    assert table.begin() == {}
    table.write("queue", "a b", "lead")
    assert sorted(table.begin()) == ["w1", "w2"]


def test_who_was_refused_is_asked_again_when_the_claim_of_another_has_made_a_new_version():
    table = crew(2)
    table.run("r")
    table.begin()
    table.write("queue", "a b", "lead")
    starts = table.hand_out()
    table.scheduler.withdraw(starts["w1"], version=2, reason="locked")
    assert table.hand_out() == {}
    table.start(starts["w2"])
    assert list(table.begin()) == ["w1"], "at once, not when the other one has ended its turn"


def test_a_claim_is_not_tried_again_before_the_version_that_refused_it_is_known():
    table = crew(1)
    table.run("r")
    table.begin()
    table.write("queue", "a", "lead")
    (start,) = table.hand_out().values()
    table.scheduler.withdraw(start, version=3, reason="w1 found nothing to take")
    assert table.begin() == {}, "what it is asked about is older than what it was refused for"
    table.write("queue", "a b", "lead")
    assert table.begin() == {}, "this is the version that refused it"
    table.write("queue", "a b c", "lead")
    assert list(table.begin()) == ["w1"]


# --- slots and fairness


def test_no_more_turns_than_slots():
    table = crew(8, slots=3)
    table.run("r")
    table.begin()
    table.write("queue", "a b c d", "lead")
    assert list(table.begin()) == ["w1", "w2"]
    table.end("lead")
    assert list(table.begin()) == ["w3"]


def test_a_turn_that_was_handed_out_takes_a_slot():
    table = crew(8, slots=2)
    table.run("r")
    table.begin()
    table.write("queue", "a b c d", "lead")
    assert list(table.hand_out()) == ["w1"]
    assert table.hand_out() == {}


def test_agents_take_turns_in_the_order_in_which_they_became_ready():
    table = Table(*(Agent(name) for name in ("ann", "bob", "cat")), slots=1)
    table.run("q", "ann")
    table.begin()
    for run, agent in (("r", "cat"), ("s", "ann"), ("t", "bob")):
        table.run(run, agent)
    order = []
    for agent in ("ann", "cat", "bob"):
        table.end(agent)
        order += table.begin()
    assert order == ["cat", "bob", "ann"], "ann became ready when its turn had ended"


def test_a_long_queue_does_not_starve_an_agent_that_a_change_wakes():
    notes = Block("notes")
    table = crew(2, Agent("bob", blocks=[notes], wakes_on=[notes]), slots=1)
    table.run("r")
    table.begin()
    table.write("queue", "a b c d e f", "lead")
    table.write("notes", "hello")
    table.end("lead")
    assert list(table.begin()) == ["w1"]
    settle(table, "w1")
    assert list(table.begin()) == ["bob"]


def test_two_queues_that_share_a_worker_are_served_in_turn():
    first, second = Block("first", "a b c d"), Block("second", "a b c d")
    wakes = [Wake(block, when=open_tasks, claim=take, release=put_back) for block in (first, second)]
    table = Table(Agent("lead"), Agent("w1", blocks=[first, second], wakes_on=wakes))
    table.run("r")
    served = []
    for _ in range(4):
        (cause,) = table.begin()["w1"].causes
        served.append(cause.label)
        table.write(cause.label, "a b c", "w1")
        table.end("w1")
    assert served == ["first", "second", "first", "second"]


def test_changes_that_wake_a_worker_do_not_keep_it_from_its_queue():
    notes = Block("notes")
    queue = Block("queue", "a b c")
    works = Wake(queue, when=open_tasks, claim=take, release=put_back)
    table = Table(Agent("lead", blocks=[notes]), Agent("w1", blocks=[notes, queue], wakes_on=[notes, works]))
    table.run("r")
    reasons = []
    for number in range(8):
        (cause,) = table.begin()["w1"].causes
        reasons.append(cause.label)
        table.write("notes", f"news {number}", "lead", "r")
        table.end("w1", shown={})
    assert all(set(reasons[n : n + 3]) == {"queue", "notes"} for n in range(6)), "each within three turns"


@pytest.mark.parametrize("slots", [1, 2, None])
def test_whoever_cannot_start_now_keeps_nobody_else_from_it(slots):
    notes = Block("notes")
    table = crew(1, Agent("bob", blocks=[notes], wakes_on=[notes]), slots=slots)
    table.run("r", turns=1)
    table.begin()
    table.write("notes", "hello", "lead", "r")
    table.run("s", agent="w1")
    table.end("lead")
    assert list(table.begin()) == ["w1"], "bob waits for a run that has nothing left to spend"
