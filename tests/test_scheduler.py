"""Who takes the next turn, as a table: this has happened, so these may start. No event loop, no store."""

from __future__ import annotations

from scheduler_table import Table, board, pair, why

from orchestrator import Agent, Block, Wake
from orchestrator.events import (
    Cause,
)
from orchestrator.scheduler import Scheduler
from orchestrator.starts import Start


def test_a_message_starts_the_entry_and_nobody_else():
    table = pair()
    table.run("r")

    (start,) = table.hand_out().values()
    assert start == Start("ann", ("r",), (Cause(kind="message", run="r"),), None)


def test_nothing_starts_before_there_is_a_message():
    assert pair().hand_out() == {}


def test_a_message_may_be_for_another_agent():
    table = pair()
    table.run("r", agent="bob")
    assert list(table.begin()) == ["bob"]


def test_a_change_wakes_the_others_but_not_its_author():
    table = pair()
    table.run("r")
    table.begin()
    table.write("notes", "hello", "ann")
    starts = table.begin()
    table.end("ann")

    assert list(starts) == ["bob"]
    assert why(starts["bob"]) == ["notes 2 by ann"]
    assert starts["bob"].runs == ("r",)
    assert table.begin() == {}, "not its author, when its turn has ended either"


def test_by_names_whose_changes_wake():
    notes = Block("notes")
    ann, cat = Agent("ann", blocks=[notes]), Agent("cat", blocks=[notes])
    table = Table(ann, cat, Agent("bob", blocks=[notes], wakes_on=[Wake(notes, by=(cat,))]))
    table.run("r")
    table.run("s", agent="cat")
    table.begin()

    table.write("notes", "hello", "ann")
    assert table.begin() == {}
    table.write("notes", "hi", "cat")
    assert list(table.begin()) == ["bob"]


def test_changes_coalesce_into_one_turn_for_the_runs_of_all():
    notes, news = Block("notes"), Block("news")
    bob = Agent("bob", blocks=[notes, news], wakes_on=[notes, news])
    table = Table(bob, Agent("ann", blocks=[notes, news]), Agent("cat", blocks=[notes, news]))
    for run, agent in (("q", "bob"), ("r", "ann"), ("s", "cat")):
        table.run(run, agent)
    table.begin()
    for label, text, by in (("notes", "1", "ann"), ("notes", "2", "cat"), ("news", "3", "cat")):
        table.write(label, text, by)
    assert table.begin() == {}, "bob is busy"

    table.end("bob", shown={})
    starts = table.begin()
    assert why(starts["bob"]) == ["notes 3 by cat", "news 2 by cat"]
    assert starts["bob"].runs == ("r", "s")
    table.end("bob", "ann", "cat")
    assert table.begin() == {}


def test_a_message_and_changes_are_one_turn():
    table = pair()
    table.run("r")
    table.begin()
    table.write("notes", "hello", "ann")
    table.run("s", agent="bob")

    starts = table.begin()
    assert why(starts["bob"]) == ["s", "notes 2 by ann"]
    assert starts["bob"].runs == ("s", "r"), "the turn is charged to the run of the message"
    table.end("bob")
    assert table.begin() == {}


def test_a_change_that_the_last_step_has_shown_does_not_wake_again():
    table = pair()
    table.run("r")
    table.run("s", agent="bob")
    table.begin()
    table.write("notes", "hello", "ann")
    table.end("bob", shown={"notes": 2})
    assert table.begin() == {}


def test_a_change_after_the_last_step_wakes_again():
    table = pair()
    table.run("r")
    table.run("s", agent="bob")
    table.begin()
    table.write("notes", "hello", "ann")
    table.write("notes", "hello again", "ann")
    table.end("bob", shown={"notes": 2})
    assert why(table.begin()["bob"]) == ["notes 3 by ann"]


def test_claims_and_releases_wake_nobody():
    table = pair()
    table.run("r")
    table.begin()
    table.write("notes", "taken", "engine", "r", operation="claim")
    table.write("notes", "given back", "engine", "r", operation="release")
    table.end("ann")
    assert table.begin() == {}


def test_a_turn_that_failed_before_it_was_shown_anything_has_had_its_wake():
    table = pair()
    table.run("r")
    table.begin()
    table.write("notes", "hello", "ann")
    table.begin()
    table.end("bob", shown={}, status="failed")
    assert table.begin() == {}
    table.write("notes", "hello again", "ann")
    assert list(table.begin()) == ["bob"]


def test_an_agent_takes_one_turn_at_a_time():
    table = pair()
    table.run("r")
    table.begin()
    table.write("notes", "1", "ann")
    assert list(table.hand_out()) == ["bob"], "and is busy from here on"
    table.write("notes", "2", "ann")
    table.run("s", agent="bob")
    assert table.hand_out() == {}


def test_messages_queue_behind_each_other_with_a_turn_and_a_run_each():
    table = pair()
    for run in ("r", "s", "t"):
        table.run(run)
    for run in ("r", "s", "t"):
        (start,) = table.begin().values()
        assert (start.runs, why(start)) == ((run,), [run])
        table.end("ann")
        assert table.begin() == {} if run == "t" else True


def test_the_owners_change_waits_for_a_message_and_is_charged_to_its_run():
    table = pair()
    table.write("notes", "hello")
    assert table.begin() == {}
    table.run("r")
    starts = table.begin()
    assert why(starts["ann"]) == ["r", "notes 2 by owner"]
    assert why(starts["bob"]) == ["notes 2 by owner"]
    assert starts["bob"].runs == ("r",)


# --- blocks that call


def test_a_text_calls_once():
    table = board(when=lambda text: "?" in text)
    table.run("r")
    table.begin()
    table.write("board", "why?", "ann")

    assert why(table.begin()["p1"]) == ["board 2 calls"]
    table.end("p1")
    assert table.begin() == {}
    table.write("board", "why now?", "ann")
    assert list(table.begin()) == ["p1"]


def test_the_declared_text_calls_in_the_first_run():
    table = board(when=lambda text: "?" in text, text="why?")
    assert table.begin() == {}
    table.run("r")
    assert why(table.begin()["p1"]) == ["board 1 calls"]


def test_a_block_that_is_created_while_a_run_goes_may_call():
    table = board(when=lambda text: "?" in text, text="why?")
    table.scheduler = Scheduler(table.team)
    table.run("r")
    table.begin()
    table.create(table.team.key("board"))
    assert list(table.begin()) == ["p1"]


def test_own_writes_call():
    table = board(when=lambda text: "?" in text)
    table.run("r", agent="p1")
    table.begin()
    table.write("board", "why?", "p1")
    table.end("p1")
    assert why(table.begin()["p1"]) == ["board 2 calls"]


def test_a_call_is_not_answered_by_a_turn_that_was_not_shown_it():
    table = board(when=lambda text: "?" in text)
    table.run("r")
    table.begin()
    table.write("board", "why?", "ann")
    table.begin()
    table.write("board", "why not?", "ann")
    table.end("p1", shown={"board": 2})

    assert why(table.begin()["p1"]) == ["board 3 calls"]
    table.write("board", "and why here?", "ann")
    table.end("p1", shown={"board": 4})
    assert table.begin() == {}, "a later step of the turn was shown the last text"


def test_a_turn_that_failed_has_answered_the_call():
    table = board(when=lambda text: "?" in text)
    table.run("r")
    table.begin()
    table.write("board", "why?", "ann")
    table.begin()
    table.end("p1", shown={}, status="failed")
    assert table.begin() == {}


def test_claims_and_releases_do_not_call_again():
    table = board(when=lambda text: "?" in text)
    table.run("r")
    table.begin()
    table.write("board", "why?", "ann")
    table.begin()
    table.end("p1")
    table.write("board", "why? (taken)", "engine", "r", operation="claim")
    table.write("board", "why?", "engine", "r", operation="release")
    assert table.begin() == {}


def test_a_run_pays_for_no_call_that_came_after_its_own_was_answered():
    table = board(when=lambda text: "?" in text)
    table.run("r")
    table.begin()
    table.write("board", "why?", "ann", "r")
    table.begin()
    table.end("p1")
    table.write("board", "why not?", "owner", "s")
    table.run("s")
    assert table.begin()["p1"].runs == ("s",)
