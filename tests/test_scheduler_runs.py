"""When runs come to an end, and who pays: budgets and verdicts, as a table."""

from __future__ import annotations

import pytest
from scheduler_table import Table, board, crew, open_tasks, pair, put_back, queue_of, settle, take, why

from orchestrator import Agent, Block, Wake
from orchestrator.errors import Waiting
from orchestrator.verdicts import Verdict

# --- complete


def test_a_run_is_complete_when_nobody_is_awake():
    table = pair()
    table.run("r")
    table.begin()
    table.write("notes", "hello", "ann")
    table.begin()
    assert table.verdicts() == {}, "two are at work"
    table.end("ann")
    assert table.verdicts() == {}, "one is at work"
    table.end("bob")
    assert table.verdicts() == {"r": "complete"}


def test_a_turn_that_was_handed_out_keeps_its_run_going():
    table = pair()
    table.run("r")
    table.hand_out()
    assert table.verdicts() == {}


def test_each_verdict_is_told_once():
    table = pair()
    table.run("r")
    table.begin()
    table.end("ann")
    assert table.verdicts() == {"r": "complete"}
    assert table.verdicts() == {}
    table.finish("r")
    assert table.verdicts() == {}


def test_runs_come_to_an_end_one_by_one():
    table = pair()
    table.run("r")
    table.run("s", agent="bob")
    table.begin()
    table.end("bob")
    assert table.verdicts() == {"s": "complete"}
    table.finish("s")
    table.end("ann")
    assert table.verdicts() == {"r": "complete"}


def test_a_message_behind_another_keeps_its_run_going():
    table = pair()
    table.run("r")
    table.run("s")
    table.begin()
    assert table.verdicts() == {}
    table.end("ann")
    table.begin()
    assert table.verdicts() == {"r": "complete"}


def test_runs_that_share_a_call_both_wait_for_the_answer_and_the_oldest_pays():
    notes = Block("notes")
    ann, cat = Agent("ann", blocks=[notes]), Agent("cat", blocks=[notes])
    table = Table(ann, cat, Agent("bob", blocks=[notes], wakes_on=[notes]))
    table.run("q", agent="bob")
    table.run("r", agent="cat", turns=2)
    table.run("s", agent="ann", turns=2)
    table.begin()
    table.write("notes", "1", "ann")
    table.write("notes", "2", "cat")
    table.end("bob", shown={})
    (start,) = table.begin().values()
    assert (start.agent, start.runs) == ("bob", ("r", "s")), "by age, not by who wrote first"
    table.end("ann", "cat")
    assert table.verdicts() == {"q": "complete"}
    table.write("notes", "3", "owner", "s")
    table.end("bob", shown={"notes": 3})
    assert table.begin()["bob"].runs == ("s",), "which has not paid for the turn that it shared"
    table.end("bob")
    assert table.verdicts() == {"r": "complete", "s": "complete"}


def test_whoever_can_pays_for_a_shared_call():
    table = pair()
    table.run("q", agent="bob")
    table.run("r", turns=1)
    table.run("s")
    table.begin()
    table.write("notes", "1", "ann", "r")
    table.write("notes", "2", "ann", "s")
    table.end("bob", shown={})
    assert table.begin()["bob"].runs == ("s", "r")


# --- budgets


def test_a_run_never_gets_more_turns_than_its_budget_however_many_are_handed_out_at_once():
    table = crew(8)
    table.run("r", turns=4)
    table.begin()
    table.write("queue", "a b c d e f", "lead")
    assert list(table.hand_out()) == ["w1", "w2", "w3"]


def test_a_run_that_has_spent_its_turns_is_over_when_those_that_started_have_ended():
    table = crew(8)
    table.run("r", turns=2)
    table.begin()
    table.write("queue", "a b", "lead")
    table.begin()
    table.end("lead")
    assert table.verdicts() == {}
    settle(table, "w1")
    assert table.verdicts() == {"r": "budget"}


def test_a_run_that_has_spent_all_and_needs_nothing_more_is_complete():
    table = pair()
    table.run("r", turns=1, usd=0.5)
    table.begin()
    table.end("ann", cost=0.5)
    assert table.verdicts() == {"r": "complete"}


def test_a_run_that_has_spent_its_dollars_starts_nothing_more():
    table = pair()
    table.run("r", usd=1.0)
    table.begin()
    table.write("notes", "hello", "ann")
    table.begin()
    table.write("notes", "hello again", "ann")
    table.end("ann", cost=0.6)
    assert table.verdicts() == {}
    table.end("bob", shown={"notes": 2}, cost=0.4)
    assert table.verdicts() == {"r": "budget"}


def test_what_a_spent_run_leaves_undone_waits_for_the_next_and_is_charged_to_it():
    table = pair()
    table.run("r", turns=1)
    table.begin()
    table.write("notes", "hello", "ann")
    table.end("ann")
    assert table.verdicts() == {"r": "budget"}
    table.finish("r")
    assert table.begin() == {}

    table.run("s", turns=3)
    starts = table.begin()
    assert why(starts["bob"]) == ["notes 2 by ann"]
    assert starts["bob"].runs == ("s",)
    table.write("notes", "hello you", "bob")
    table.end("ann", "bob", shown={"notes": 2})
    assert list(table.begin()) == ["ann"]
    table.end("ann")
    assert table.verdicts() == {"s": "complete"}


def test_what_a_spent_run_leaves_undone_is_charged_to_a_run_that_still_goes():
    notes = Block("notes")
    bob = Agent("bob", blocks=[notes], wakes_on=[notes])
    table = Table(Agent("ann", blocks=[notes]), bob, Agent("cat"))
    table.run("r", turns=1)
    table.run("s", agent="cat")
    table.begin()
    table.write("notes", "hello", "ann")
    table.end("ann")
    assert table.verdicts() == {"r": "budget"}
    table.finish("r")
    assert table.begin()["bob"].runs == ("s",)
    table.end("cat")
    assert table.verdicts() == {}, "s waits for what it has inherited"
    table.end("bob")
    assert table.verdicts() == {"s": "complete"}


def test_the_message_comes_before_what_others_have_left_undone():
    table = pair()
    table.write("notes", "hello", "ann")
    assert table.begin() == {}
    table.run("r", turns=1)
    assert list(table.begin()) == ["ann"], "bob comes next, but that was the last turn"


def test_a_claim_that_was_refused_is_not_charged():
    notes = Block("notes")
    table = crew(1, Agent("bob", blocks=[notes], wakes_on=[notes]))
    table.run("r", turns=2)
    table.begin()
    table.write("queue", "a", "lead")
    (start,) = table.hand_out().values()
    table.write("notes", "hello", "lead")
    assert table.hand_out() == {}, "all turns are handed out"
    table.scheduler.withdraw(start, version=2, reason="locked")
    assert list(table.begin()) == ["bob"], "who was waiting for a turn to be left"


# --- closing


def test_nothing_more_starts_for_a_run_that_is_closed():
    table = pair()
    table.run("r")
    table.begin()
    table.write("notes", "hello", "ann")
    table.run("s", agent="bob")
    table.scheduler.close("r")
    table.scheduler.close("s")
    assert table.begin() == {}
    table.end("ann")
    assert table.verdicts() == {}, "whoever closes a run ends it"


def test_a_closed_run_makes_way_for_the_message_behind_it():
    table = pair()
    table.run("q")
    table.begin()
    table.run("r")
    table.run("s")
    table.scheduler.close("r")
    table.finish("r")
    table.end("ann")
    assert table.begin()["ann"].runs == ("s",)


def test_a_run_that_was_closed_does_not_pay_for_what_it_shares():
    table = pair()
    table.run("q", agent="bob")
    table.run("r")
    table.run("s")
    table.begin()
    table.write("notes", "hello", "ann", "r s")
    table.scheduler.close("r")
    table.end("bob", shown={})
    assert table.begin()["bob"].runs[0] == "s"


def test_closing_a_run_that_is_not_there_does_nothing():
    pair().scheduler.close("r")


# --- stuck


def told(table: Table) -> list[Verdict]:
    assert table.hand_out() == {}
    return table.scheduler.verdicts()


def test_a_run_is_stuck_when_a_call_can_be_answered_by_nobody():
    queue = Block("queue")
    works = Wake(queue, when=open_tasks, claim=lambda text, agent: None)
    table = Table(Agent("lead", blocks=[queue]), *(Agent(n, blocks=[queue], wakes_on=[works]) for n in ("w1", "w2")))
    table.run("r")
    table.begin()
    table.write("queue", "a", "lead")
    assert told(table) == [], "the lead is at work, and may yet change that"
    table.end("lead")
    waiting = Waiting("queue", ("w1", "w2"), "none of them can take anything from it")
    assert told(table) == [Verdict("r", "stuck", (waiting,))]


def test_a_run_whose_claims_were_refused_is_stuck_with_the_reasons():
    table = crew(2)
    table.run("r")
    table.begin()
    table.write("queue", "a", "lead")
    table.end("lead")
    for reason in ("too long", "guarded"):
        table.scheduler.withdraw(table.scheduler.next(), version=2, reason=reason)
    assert told(table) == [Verdict("r", "stuck", (Waiting("queue", ("w1", "w2"), "guarded; too long"),))]


def refuses_question_marks(text: str) -> bool:
    if "?" in text:
        raise ValueError("what a question")
    return False


def test_when_that_raises_ends_the_run_as_stuck_with_the_reason():
    table = board(when=refuses_question_marks)
    table.run("r")
    table.begin()
    table.write("board", "why?", "ann")
    table.end("ann")
    (verdict,) = told(table)
    assert verdict == Verdict("r", "stuck", (Waiting("board", ("p1",), "when= raised ValueError: what a question"),))


def test_when_that_raises_on_what_its_own_turn_has_written_is_told_as_well():
    def when(text):
        return refuses_question_marks(text) or "go" in text

    table = board(when)
    table.run("r")
    table.begin()
    table.write("board", "go", "ann")
    table.end("ann")
    table.begin()
    table.write("board", "why?", "p1")
    table.end("p1")
    assert table.verdicts() == {"r": "stuck"}


def test_a_text_that_when_understands_again_lets_the_run_go_on():
    table = board(when=lambda text: int(text or 0), members=2)
    table.run("r")
    table.begin()
    table.write("board", "many", "ann")
    assert table.begin() == {}
    table.write("board", "2", "ann")
    assert list(table.begin()) == ["p1", "p2"]


def test_a_claim_that_raises_starts_nobody_and_ends_the_run_as_stuck_with_the_reason():
    def claim(text: str, agent: str) -> str | None:
        if agent == "w1":
            raise ValueError("what a task")
        return take(text, agent)

    queue = Block("queue")
    works = Wake(queue, when=open_tasks, claim=claim, release=put_back)
    table = Table(Agent("lead", blocks=[queue]), *(Agent(n, blocks=[queue], wakes_on=[works]) for n in ("w1", "w2")))
    table.run("r")
    table.begin()
    table.write("queue", "a", "lead")
    table.end("lead")
    waiting = Waiting("queue", ("w1", "w2"), "claim= raised ValueError: what a task")
    assert told(table) == [Verdict("r", "stuck", (waiting,))]


def test_a_run_is_not_stuck_while_another_is_being_closed():
    table = board(when=refuses_question_marks)
    table.run("r")
    table.run("s")
    table.begin()
    table.write("board", "why?", "ann")
    table.scheduler.close("s")
    table.end("ann")
    assert told(table) == []
    table.finish("s")
    assert table.verdicts() == {"r": "stuck"}


@pytest.mark.parametrize("stuck_first", [True, False])
def test_a_run_is_not_stuck_before_what_a_spent_one_leaves_undone_was_tried(stuck_first):
    board, notes = Block("board"), Block("notes")
    called = Agent("p1", blocks=[board], wakes_on=[Wake(board, when=refuses_question_marks)])
    mender = Agent("bob", blocks=[board, notes], wakes_on=[notes])
    table = Table(Agent("ann", blocks=[board, notes]), Agent("cat", blocks=[board, notes]), called, mender)
    table.run("stuck", agent="ann")
    table.run("spent", agent="cat", turns=1)
    table.begin()
    table.write("board", "why?", "ann")
    table.write("notes", "mend the board", "cat")
    table.end(*(("ann", "cat") if stuck_first else ("cat", "ann")))
    assert table.verdicts() == {"spent": "budget"}
    table.finish("spent")
    assert table.begin()["bob"].runs == ("stuck",)
    table.write("board", "because", "bob")
    table.end("bob")
    assert table.verdicts() == {"stuck": "complete"}


def test_the_next_run_inherits_what_a_stuck_one_was_waiting_for():
    table = crew(1)
    table.run("r")
    table.begin()
    table.write("queue", "a", "lead")
    table.end("lead")
    table.scheduler.withdraw(table.scheduler.next(), version=2, reason="locked")
    assert table.verdicts() == {"r": "stuck"}
    table.finish("r")
    table.run("s")
    table.begin()
    table.write("queue", "a b", "lead")
    assert table.begin()["w1"].runs == ("s",)
    assert queue_of(table) == "a:w1 b"
