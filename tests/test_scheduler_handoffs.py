"""Control that was handed over, as a table: who is next, for which runs, and who has to wait for whom."""

from __future__ import annotations

from typing import Any

from scheduler_table import Table, queue_of, take, why

from orchestrator import Agent, Block, Wake
from orchestrator.events import AgentDeleted, Cause, HandedOver, TurnStarted
from orchestrator.scheduler import Scheduler


def table_of(*names: str, slots: int | None = None, wakes: tuple[Wake, ...] = ()) -> Table:
    """Agents who hand control over to each other with a note."""
    note = Block("note")
    every = [Wake(note, handoffs=6), *wakes]
    return Table(*(Agent(name, blocks=[note], wakes_on=every) for name in names), slots=slots)


def chain(*extra: Agent) -> Table:
    """ann and bob are a pair, bob and cat are another."""
    one, two = Block("one"), Block("two")
    first, second = Wake(one, handoffs=6), Wake(two, handoffs=6)
    return Table(
        Agent("ann", blocks=[one], wakes_on=[first]),
        Agent("bob", blocks=[one, two], wakes_on=[first, second]),
        Agent("cat", blocks=[two], wakes_on=[second]),
        *extra,
    )


def test_a_handoff_starts_its_target_when_the_turn_has_ended_at_the_cost_of_the_same_runs():
    table = table_of("ann", "bob")
    table.run("r")
    table.begin()
    table.hand_over("ann", "bob", "note")
    assert table.begin() == {}, "the turn has not ended"
    table.end("ann")

    (start,) = table.begin().values()
    assert (start.agent, start.runs, start.claim) == ("bob", ("r",), None)
    assert start.causes == (Cause(kind="handoff", key="team:note", label="note", version=2, by="ann", wake=0),)
    assert table.begin() == {}
    table.end("bob")
    assert table.verdicts() == {"r": "complete"}


def test_a_handoff_for_which_nobody_can_pay_ends_its_run_as_out_of_budget():
    table = table_of("ann", "bob")
    table.run("r", turns=1)
    table.begin()
    table.hand_over("ann", "bob", "note")
    table.end("ann")

    assert table.verdicts() == {"r": "budget"}
    table.finish("r")
    table.run("s")
    assert list(table.begin()) == ["ann"], "what was handed over ended with its run"


def test_of_two_handoffs_with_one_note_the_one_for_the_runs_of_the_turn_is_answered():
    table = table_of("ann", "bob")
    table.run("r", turns=1)
    table.run("s")
    table.begin()
    table.hand_over("ann", "bob", "note")
    table.end("ann")
    table.begin()
    # Its note says nothing new, so that the block has the same version.
    event = table.log[-1 - [type(event) for event in table.log[::-1]].index(HandedOver)]
    turn = table.turns["ann"]
    table.observe(HandedOver, **{**event.model_dump(exclude={"seq", "at", "type"}), **_of(turn)})
    table.end("ann")

    assert {name: start.runs for name, start in table.begin().items()} == {"bob": ("s",)}
    table.end("bob")
    assert table.begin() == {}, "r has nothing left to pay with, and s was answered"
    assert table.verdicts() == {"r": "budget", "s": "complete"}


def _of(turn: TurnStarted) -> dict[str, Any]:
    return {"turn": turn.turn, "run": turn.run, "runs": turn.runs}


def test_while_others_are_at_work_a_run_with_a_handoff_that_waits_is_not_complete():
    table = table_of("ann", "bob", slots=1)
    table.run("r")
    table.begin()
    table.hand_over("ann", "bob", "note")
    table.run("s")
    table.end("ann")
    assert list(table.begin()) == ["bob"]
    table.end("bob")
    table.begin()
    assert table.verdicts() == {"r": "complete"}


def test_control_that_waits_behind_others_keeps_its_run_from_its_end():
    table = Table(*table_of("ann", "bob").team.members, Agent("cat"), slots=1)
    table.run("r")
    table.begin()
    table.run("s", agent="cat")
    table.hand_over("ann", "bob", "note")
    table.end("ann")
    assert list(table.begin()) == ["cat"]
    assert table.verdicts() == {}, "control waits for bob"
    table.end("cat")
    assert list(table.begin()) == ["bob"]
    assert table.verdicts() == {"s": "complete"}


def test_each_handoff_has_a_turn_of_its_own():
    table = table_of("ann", "bob", slots=1)
    for run in ("r", "s"):
        table.run(run)
    table.run("t", agent="bob")
    table.begin()
    table.hand_over("ann", "bob", "note")
    table.end("ann")
    # bob was in line before ann was free again
    assert why(table.begin()["bob"]) == ["ann hands over note 2"]
    table.end("bob")
    assert list(table.begin()) == ["ann"]
    table.hand_over("ann", "bob", "note")
    table.end("ann")
    start = table.begin()["bob"]
    assert (why(start), start.runs) == (["t"], ("t",)), "his message, after a handoff"
    table.end("bob")
    start = table.begin()["bob"]
    assert (why(start), start.runs) == (["ann hands over note 3"], ("s",))


def test_a_change_that_wakes_and_a_handoff_are_one_turn_paid_by_the_runs_that_were_handed_over():
    note = Block("note")
    table = Table(
        Agent("ann", blocks=[note]), Agent("bob", blocks=[note], wakes_on=[note, Wake(note, handoffs=6)]), Agent("cat")
    )
    table.run("q", agent="cat")
    table.write("note", "by the owner", runs="q")
    table.run("r")
    starts = table.hand_out()
    assert set(starts) == {"cat", "bob"}, "ann waits: bob was in line first"
    table.start(starts["bob"])
    table.end("bob")
    table.begin()
    table.write("note", "by the owner again", runs="q")
    table.hand_over("ann", "bob", "note")
    table.end("ann")

    start = table.begin()["bob"]
    assert why(start) == ["ann hands over note 4", "note 4 by ann"]
    assert start.runs == ("r", "q")


def test_a_turn_for_a_handoff_that_is_let_go_of_leaves_it_to_be_answered():
    table = table_of("ann", "bob")
    table.run("r")
    table.begin()
    table.hand_over("ann", "bob", "note")
    table.end("ann")
    (start,) = table.begin().values()
    table.end("bob", status="cancelled", cut_off=True)

    again = table.begin()["bob"]
    assert again == start
    table.end("bob", status="failed")
    assert table.begin() == {}, "a turn that failed has had it"


def test_a_handoff_that_was_answered_does_not_come_back_with_a_later_turn():
    table = table_of("ann", "bob")
    table.run("r")
    table.begin()
    table.run("s", agent="bob")
    table.hand_over("ann", "bob", "note")
    table.end("ann")
    assert why(table.begin()["bob"]) == ["ann hands over note 2"]
    table.end("bob")
    assert why(table.begin()["bob"]) == ["s"]
    table.end("bob", status="cancelled", cut_off=True)
    assert why(table.begin()["bob"]) == ["s"]
    table.end("bob")
    assert table.verdicts() == {"r": "complete", "s": "complete"}


def test_a_run_that_has_spent_all_waits_for_a_handoff_that_another_run_can_pay():
    table = Table(*table_of("ann", "bob").team.members, Agent("cat"), slots=1)
    table.run("r", turns=1)
    table.run("s", agent="cat")
    (start,) = table.hand_out().values()
    table.start(start._replace(runs=("r", "s")))
    table.hand_over("ann", "bob", "note")
    table.end("ann")
    assert list(table.begin()) == ["cat"]
    assert table.verdicts() == {}
    table.end("cat")
    assert table.begin()["bob"].runs == ("s", "r")


def test_of_several_runs_a_handoff_stays_for_those_that_go_on():
    table = table_of("ann", "bob", "cat")
    table.run("r", agent="cat")
    table.run("s", agent="cat")
    table.write("note", "x", runs="r s")
    (start,) = table.hand_out().values()
    table.start(start._replace(agent="cat", runs=("r", "s")))
    table.hand_over("cat", "bob", "note")
    table.finish("r")
    table.end("cat")
    start = table.begin()["bob"]
    assert start.runs == ("s",)
    table.finish("s")
    table.end("bob", status="cancelled", cut_off=True)
    table.run("t")
    assert list(table.begin()) == ["ann"], "its runs have ended, so nobody waits for it"


def test_a_handoff_for_runs_that_have_ended_or_to_somebody_who_is_gone_is_nothing():
    table = table_of("ann", "bob")
    table.run("r")
    table.begin()
    table.finish("r")
    table.hand_over("ann", "bob", "note")
    table.end("ann")
    table.run("s")
    assert list(table.begin()) == ["ann"]
    table.hand_over("ann", "eve", "note")
    table.end("ann")
    assert table.verdicts() == {"s": "complete"}


def test_an_agent_that_was_deleted_has_nothing_to_take():
    table = table_of("ann", "bob", slots=1)
    table.run("r")
    table.begin()
    table.hand_over("ann", "bob", "note")
    assert not table.scheduler.hold("bob"), "control waits for it"
    table.observe(AgentDeleted, agent="bob")
    table.end("ann")
    assert table.begin() == {}


def test_a_scheduler_that_reads_the_log_knows_who_is_next_also_when_wakes_are_declared_in_another_order():
    table = table_of("ann", "bob")
    table.run("r")
    table.begin()
    table.hand_over("ann", "bob", "note")
    table.end("ann")
    waiting = len(table.log)
    table.begin()

    note, other = Block("note"), Block("other")
    wakes = [Wake(other), Wake(note, handoffs=6)]
    blocks = [note, other]
    again = Table(*(Agent(name, blocks=blocks, wakes_on=wakes) for name in ("ann", "bob")))
    for count, expected in ((waiting, ["bob"]), (len(table.log), [])):
        rebuilt = Scheduler(again.team)
        for event in table.log[:count]:
            rebuilt.observe(event)
        starts = list(iter(rebuilt.next, None))
        assert [start.agent for start in starts] == expected
        assert [cause.wake for start in starts for cause in start.causes] == [1] * len(starts)


def test_what_was_cut_off_waits_for_its_run():
    table = table_of("ann", "bob")
    table.run("r")
    table.begin()
    table.hand_over("ann", "bob", "note")
    table.end("ann")
    reader = Scheduler(table.team)
    for event in table.log:
        reader.observe(event)
    reader.cut_off()
    assert reader.next() is None
    table.scheduler = reader
    table.run("s", agent="bob")
    assert why(table.begin()["bob"]) == ["s"], "a handoff whose run waits to be resumed holds up nobody"


# --- one at a time


def test_whoever_waits_for_a_partner_comes_before_those_who_would_keep_it_waiting():
    table = chain(Agent("dan"))
    table.run("r", agent="ann")
    assert list(table.begin()) == ["ann"]
    table.run("s", agent="bob")
    table.run("t", agent="cat")
    table.run("u", agent="dan")
    assert list(table.begin()) == ["dan"], "cat would keep bob waiting, who was first"
    table.end("ann")
    table.run("v", agent="ann")
    assert list(table.begin()) == ["bob"]
    table.end("bob")
    assert list(table.begin()) == ["cat", "ann"], "these two are no partners"


def test_one_who_cannot_start_for_want_of_money_keeps_nobody_waiting():
    table = chain()
    table.run("r", agent="ann")
    table.begin()
    table.run("s", agent="bob")
    table.run("t", agent="cat")
    table.scheduler.close("s")
    assert list(table.begin()) == ["cat"]


def test_of_a_pool_somebody_is_called_whose_partners_are_free():
    one, board = Block("one"), Block("board", "?")
    joined, pool = Wake(one, handoffs=6), Wake(board, when=lambda text: "?" in text)
    table = Table(
        Agent("ann", blocks=[one], wakes_on=[joined]),
        Agent("bob", blocks=[one, board], wakes_on=[joined, pool]),
        Agent("cat", blocks=[board], wakes_on=[pool]),
    )
    table.run("r", agent="ann")
    assert list(table.begin()) == ["ann", "cat"]


def test_of_a_pool_nobody_is_called_while_a_partner_is_at_work():
    one, queue = Block("one"), Block("queue", "a b")
    joined = Wake(one, handoffs=6)
    works = Wake(queue, when=lambda text: sum(word.islower() and ":" not in word for word in text.split()), claim=take)
    table = Table(*(Agent(name, blocks=[one, queue], wakes_on=[joined, works]) for name in ("ann", "bob")))
    table.run("r", agent="ann")
    assert list(table.begin()) == ["ann"]
    assert queue_of(table) == "a b"
    table.end("ann")
    assert list(table.begin()) == ["bob"]
    assert queue_of(table) == "a:bob b"


def test_a_block_that_calls_for_the_run_that_is_handed_over_is_answered_by_the_same_turn():
    note, board = Block("note"), Block("board")
    joined = Wake(note, handoffs=6)
    table = Table(
        Agent("ann", blocks=[note, board], wakes_on=[joined]),
        Agent("bob", blocks=[note, board], wakes_on=[joined, Wake(board, when=bool)]),
    )
    table.run("r")
    table.begin()
    table.write("board", "look", "ann")
    table.hand_over("ann", "bob", "note")
    table.end("ann")
    assert why(table.begin()["bob"]) == ["ann hands over note 2", "board 2 calls"]


def test_an_agent_that_is_being_deleted_keeps_its_partners_waiting_only_until_that_is_over():
    table = table_of("ann", "bob")
    assert table.scheduler.hold("bob")
    table.run("r")
    assert table.begin() == {}
    table.observe(AgentDeleted, agent="bob")
    table.scheduler.leave("bob")
    assert list(table.begin()) == ["ann"]


def test_who_writes_the_note_by_declaration_is_joined_and_a_reader_is_not():
    note = Block("note")
    table = Table(
        Agent("ann", blocks=[note], wakes_on=[Wake(note, handoffs=6)]),
        Agent("bob", blocks=[note.contributor()]),
        Agent("cat", blocks=[note.reader()]),
    )
    for agent in ("ann", "bob", "cat"):
        table.run(f"for-{agent}", agent=agent)
    assert list(table.begin()) == ["ann", "cat"]
