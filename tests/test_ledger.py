"""The fence and the keys: whoever lost a turn writes nothing, and no effect happens twice."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import Agent, Block, BlockEdit, Environment, Insert, Team, ToolCall, ToolContext, TurnLost
from orchestrator.declaring import declare
from orchestrator.edits import Shown
from orchestrator.events import BlockChanged, Cause, ToolAnswered, event_from_json, event_to_json
from orchestrator.ledger import End, Ledger
from orchestrator.outcomes import Outcome
from orchestrator.ports import Effect, ModelResponse, RunRecord, TurnRecord
from orchestrator.roster import Roster
from orchestrator.starts import Start
from orchestrator.stores import MemoryStore

TEAM = Team("solo", [Agent("ann", blocks=[Block("notes")])])
CALL = ToolCall("memory_insert", {"label": "notes"}, "call-1")


class Opened:
    """A team with one turn under way."""

    def __init__(self) -> None:
        self.ledger = Ledger(Roster(TEAM), Environment())
        self.store = MemoryStore()
        self.turn: TurnRecord

    async def open(self) -> Opened:
        start = Start("ann", ("run-1",), (Cause(kind="message", run="run-1"),), None)

        def work(tx: Any) -> TurnRecord:
            declare(tx, self.ledger.changes)
            self.ledger.start_run(tx, RunRecord(id="run-1", agent="ann", text="go", max_turns=10))
            return self.ledger.start_turn(tx, start, "turn-1")

        self.turn = (await self.store.transact(work)).result
        return self

    async def answer(self, text: str, turn: TurnRecord | None = None, number: int = 0) -> str:
        context = ToolContext("ann", "run-1", "turn-1", 0, number, {})
        edit = BlockEdit("notes", Insert(text))
        done = await self.store.transact(
            lambda tx: self.ledger.record_answer(tx, turn or self.turn, CALL, context, edit, {})
        )
        return done.result.text

    async def value(self) -> str:
        block = await self.store.read(lambda rows: rows.block("solo:ann/notes"))
        assert block is not None
        return block.value


async def test_an_effect_with_a_key_that_was_seen_happens_once_and_has_the_same_answer():
    opened = await Opened().open()
    first = await opened.answer("a line")
    second = await opened.answer("a line")

    assert first == second == "Done: notes is at version 2, 6 of 20,000 characters."
    assert await opened.value() == "a line"
    events = await opened.store.events()
    assert len([event for event in events if isinstance(event, BlockChanged)]) == 1
    assert len([event for event in events if isinstance(event, ToolAnswered)]) == 1


async def test_a_turn_that_has_ended_writes_nothing_more():
    opened = await Opened().open()
    await opened.store.transact(lambda tx: opened.ledger.end_turn(tx, opened.turn, End("failed", error="gone")))
    before = await opened.store.events()

    works = [
        lambda tx: opened.ledger.record_step(tx, opened.turn, 0, ModelResponse("late"), {}),
        lambda tx: opened.ledger.end_turn(tx, opened.turn, End("done", "late")),
    ]
    for work in works:
        with pytest.raises(TurnLost, match="has ended: failed"):
            await opened.store.transact(work)
    with pytest.raises(TurnLost, match="has ended: failed"):
        await opened.answer("late")

    assert await opened.store.events() == before
    assert await opened.value() == ""


async def test_a_worker_that_was_thought_dead_writes_nothing_once_another_has_its_turn():
    opened = await Opened().open()
    taken_over = opened.turn.model_copy(update={"attempt": 2})
    await opened.store.transact(lambda tx: tx.put_turn(taken_over))

    with pytest.raises(TurnLost, match="is in attempt 2; this was attempt 1"):
        await opened.answer("by the dead one")
    await opened.answer("by the living one", taken_over)

    assert await opened.value() == "by the living one"


async def test_a_turn_that_is_not_in_the_store_writes_nothing():
    opened = await Opened().open()
    with pytest.raises(TurnLost, match="is not in the store"):
        await opened.answer("a line", opened.turn.model_copy(update={"id": "turn-9"}))


async def test_an_answer_without_an_edit_is_recorded_as_it_is():
    opened = await Opened().open()
    context = ToolContext("ann", "run-1", "turn-1", 0, 0, {})
    effect = Effect(text="sunny", ok=True)
    shown = {"solo:ann/notes": Shown(1, "")}
    done = await opened.store.transact(
        lambda tx: opened.ledger.record_answer(tx, opened.turn, CALL, context, effect, shown)
    )

    assert (done.result.call, done.result.text, done.result.ok) == ("call-1", "sunny", True)
    assert await opened.store.read(lambda rows: rows.effect("run-1/turn-1/0/0")) == effect


async def test_a_run_ends_once():
    opened = await Opened().open()

    def end(tx: Any, status: Any) -> RunRecord:
        return opened.ledger.end_run(tx, tx.run("run-1"), Outcome(status, "out", None))

    await opened.store.transact(lambda tx: end(tx, "complete"))
    seen = len(await opened.store.events())
    again = await opened.store.transact(lambda tx: end(tx, "failed"))

    assert again.result.status == "complete"
    assert len(await opened.store.events()) == seen


async def test_every_event_comes_back_from_its_json():
    opened = await Opened().open()
    await opened.store.transact(
        lambda tx: opened.ledger.record_step(
            tx, opened.turn, 0, ModelResponse("hm", [CALL, ToolCall("raw", "{half", "c2")]), {"solo:ann/notes": 1}
        )
    )
    await opened.answer("ünï 𝄞\nx")
    await opened.answer("again", number=1)
    await opened.store.transact(lambda tx: opened.ledger.end_turn(tx, opened.turn, End("done", "bye")))
    await opened.store.transact(lambda tx: opened.ledger.end_run(tx, tx.run("run-1"), Outcome("complete", "bye", None)))

    events = await opened.store.events()
    assert {event.type for event in events} >= {
        "block_created",
        "block_attached",
        "run_started",
        "turn_started",
        "step_taken",
        "block_changed",
        "tool_answered",
        "turn_ended",
        "run_ended",
    }
    assert [event_from_json(event_to_json(event)) for event in events] == events
