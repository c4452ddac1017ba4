"""A crash parts no note from its handoff, and control stays where it was."""

from __future__ import annotations

from typing import Any

import pytest
from dying_store import DyingStore
from handing import events, joined, overlaps

from orchestrator import (
    Agent,
    Block,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    RunError,
    Store,
    StoreError,
    Team,
    ToolCall,
    ToolContext,
    tool,
)
from orchestrator.events import (
    BlockChanged,
    HandedOver,
    TurnEnded,
)
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel, Say, ScriptedModel, call

# --- crashes


class MortalStore(MemoryStore):
    """Dies after so many transactions: what was committed stays, and nothing more is."""

    def __init__(self, lives: int) -> None:
        super().__init__()
        self.lives = lives

    async def transact(self, work: Any) -> Any:
        if self.lives == 0:
            raise StoreError("the process was killed")
        self.lives -= 1
        return await super().transact(work)


async def assert_together(store: Store) -> None:
    """Each handoff has one note, by the same turn, which has ended; and nobody else wrote."""
    handed = await events(store, HandedOver)
    notes = [(event.turn, event.key, event.version) for event in await events(store, BlockChanged)]
    assert notes == [(event.turn, event.key, event.version) for event in handed]
    ends = [event.turn for event in await events(store, TurnEnded)]
    assert all(ends.count(event.turn) == 1 for event in handed)


def to_and_fro(request: ModelRequest) -> ModelResponse:
    """Control passes four times; each step has another call beside it, and one that comes to nothing."""
    STEPS.add(request.step)
    count = len(request.blocks["note"].splitlines())
    if count == 4:
        return ModelResponse(f"done by {request.agent}")
    to = {"ann": "bob", "bob": "ann"}[request.agent]
    calls = [{"to": "eve"}, {"to": to, "say": str(count)}, {"to": to, "say": "twice"}]
    return ModelResponse("", [*(ToolCall("pass_on", arguments) for arguments in calls), ToolCall("ring")])


RUNG: list[str] = []
STEPS: set[int] = set()


@tool
async def ring(context: ToolContext) -> str:
    """Ring a bell."""
    RUNG.append(context.key)
    return "rung"


async def test_a_run_that_is_cut_off_after_any_transaction_is_completed_by_whoever_has_control():
    team = joined("ann", "bob")
    team = team | Team("joined", [Agent(name, tools=[ring]) for name in ("ann", "bob")])
    for lives in range(1, 100):
        RUNG.clear()
        store = MortalStore(lives)
        try:
            async with Orchestrator(team, store, model=FunctionModel(to_and_fro)) as live:
                await live.run("go")
        except (StoreError, RunError):
            pass
        await store.close()
        store.lives = -1
        await assert_together(store)
        async with Orchestrator(team, store, model=FunctionModel(to_and_fro)) as live:
            cut_off = live.cut_off
            for record in cut_off:
                run = await live.resume(record.id)
                assert (run.status, run.output) == ("complete", "done by ann")
                assert run.blocks["note"].value == "ann: 0\nbob: 1\nann: 2\nbob: 3"
                assert [turn.handed_to for turn in run.turns] == ["bob", "ann", "bob", "ann", None]
        await assert_together(store)
        assert await overlaps(store, [{"ann", "bob"}]) == []
        assert len(RUNG) - len(set(RUNG)) <= 1
        assert not STEPS - {0}, "nobody is asked again after a handoff"
        if not cut_off and lives > 4:
            break
    else:
        raise AssertionError("the run never came to its end")
    assert lives > 15


async def cut_off_after_the_handoff(store: DyingStore, team: Team, **options: Any) -> None:
    """ann has handed control over to bob, who was asked and died."""
    script = {"ann": [call("pass_on", to="bob")], "bob": [lambda request: (_ for _ in ()).throw(store.kill())]}
    live = Orchestrator(team, store, model=ScriptedModel(script))
    await store.killed_in(live, lambda: live.run("go"))


async def test_control_waits_for_whoever_resumes_and_a_turn_that_is_let_go_of_gives_it_back():
    team, store = joined("ann", "bob"), DyingStore()
    await cut_off_after_the_handoff(store, team)
    with ScriptedModel({"ann": [Say("hello")], "bob": [Say("done")]}) as model:
        async with Orchestrator(team, store, model=model) as live:
            (old,) = live.cut_off
            other = await live.run("hello?")  # lets go of bob's turn
            assert (other.output, len(other.turns)) == ("hello", 1)
            with pytest.raises(RunError, match="at work, was cut off at it, or has a message"):
                await live.agents.delete("bob")
            run = await live.resume(old.id)

    assert (run.status, run.output) == ("complete", "done")
    assert [(turn.agent, turn.status) for turn in run.turns] == [("ann", "done"), ("bob", "cancelled"), ("bob", "done")]
    assert [turn.causes[0].kind for turn in run.turns] == ["message", "handoff", "handoff"]
    assert run.turns[1].causes == run.turns[2].causes


async def test_control_that_waited_is_dropped_with_its_run():
    team, store = joined("ann", "bob"), DyingStore()
    await cut_off_after_the_handoff(store, team)
    with ScriptedModel({"ann": [Say("hello"), Say("hello again")]}) as model:
        async with Orchestrator(team, store, model=model) as live:
            (old,) = live.cut_off
            await live.run("hello?")
            assert (await live.cancel(old.id)).status == "cancelled"
            assert (await live.run("hello?")).output == "hello again", "bob was not asked"
            await live.agents.delete("bob")


async def test_control_that_went_to_an_agent_that_is_not_declared_any_more_is_not_lost():
    team, store = joined("ann", "bob"), DyingStore()
    await cut_off_after_the_handoff(store, team)
    note = Block("note", limit=1000)
    alone = Team("joined", [Agent("ann", blocks=[note]), Agent("cat", blocks=[note])])
    async with Orchestrator(alone, store, model=ScriptedModel({})) as live:
        (old,) = live.cut_off
        with pytest.raises(RunError, match="was handed over to agent 'bob', who is not in the team any more"):
            await live.resume(old.id)
        assert [record.id for record in live.cut_off] == [old.id]
    async with Orchestrator(joined("eve", "ann", "bob"), store, model=ScriptedModel({"bob": [Say("done")]})) as live:
        assert (await live.resume(old.id)).output == "done"
