"""Whoever is joined by handoffs acts one at a time, and nobody waits for ever."""

from __future__ import annotations

from random import Random
from typing import Any

import anyio
import pytest
from handing import events, joined, overlaps, pass_on, played

from orchestrator import (
    Agent,
    Block,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    Run,
    RunError,
    Team,
    ToolCall,
    Wake,
)
from orchestrator.events import (
    HandedOver,
    TurnEnded,
    TurnStarted,
)
from orchestrator.testing import FunctionModel, Say, ScriptedModel, call, edit, simulated_time


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


# --- one at a time


def row(pairs: int) -> tuple[Team, list[set[str]]]:
    """Agents of whom each neighbouring two are a pair with a note, and one more whom nobody hands anything."""
    notes = [Block(f"note-{number}", limit=100_000) for number in range(pairs)]
    names = [f"a{number}" for number in range(pairs + 1)]
    mine: dict[str, list[Block]] = {
        name: [*notes[max(0, number - 1) : number + 1]] for number, name in enumerate(names)
    }
    agents = [
        Agent(name, blocks=mine[name], wakes_on=[Wake(note, handoffs=20) for note in mine[name]], tools=[pass_on])
        for name in names
    ]
    return Team("chain", [*agents, Agent("free", blocks=[Block("mine")])]), [
        {names[number], names[number + 1]} for number in range(pairs)
    ]


@pytest.mark.parametrize("slots", [None, 2])
@pytest.mark.parametrize("pairs", [1, 3])
@pytest.mark.parametrize("seed", range(3))
async def test_partners_never_act_at_the_same_time(new_store, seed, pairs, slots):
    team, groups = row(pairs)
    store, random = new_store(), Random(seed)

    async def think(request: ModelRequest) -> ModelResponse:
        await anyio.sleep(random.random())
        if request.agent == "free" or random.random() < 0.3:
            return ModelResponse(f"done by {request.agent}")
        label = random.choice([label for label in request.blocks])
        calls = [ToolCall("pass_on", {"to": to, "label": label}) for to in random.sample(sorted(set.union(*groups)), 2)]
        return ModelResponse("", calls)

    live = Orchestrator(team, store, model=FunctionModel(think), max_concurrency=slots)
    runs: list[Run] = []

    async def ask(agent: str) -> None:
        runs.append(await live.agents.message(agent, "go"))

    with anyio.fail_after(10_000):
        async with live, anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(ask, f"a{number % (pairs + 1)}" if number % 5 else "free")

    assert await overlaps(store, groups) == []
    assert len(await events(store, HandedOver)) > 5
    assert {run.status for run in runs} == {"complete"}
    assert all(run.output.startswith("done by") for run in runs)
    assert await overlaps(store, [{agent.name for agent in team.members}]) != [], (
        "those who are no partners act together"
    )


async def test_who_waits_for_a_partner_is_not_kept_waiting_by_two_who_take_turns(new_store):
    team, _ = row(2)
    store = new_store()

    async def think(request: ModelRequest) -> str:
        await anyio.sleep(1 if request.agent == "a0" else 1.5)
        return "done"

    async with Orchestrator(team, store, model=FunctionModel(think)) as live, anyio.create_task_group() as group:
        for agent in ("a0", "a2", "a0", "a2", "a1", "a0", "a2", "a0", "a2"):
            group.start_soon(live.agents.message, agent, "go")
            await anyio.sleep(0.1)

    order = [event.agent for event in await events(store, TurnStarted)]
    assert order.index("a1") <= 4, f"a1 was in line before the others were asked again: {order}"


async def test_a_change_does_not_wake_a_partner_before_the_turn_has_ended(new_store):
    note = Block("note")
    wakes = [note, Wake(note, handoffs=1)]
    team = Team("pair", [Agent("ann", blocks=[note]), Agent("bob", blocks=[note], wakes_on=wakes)])
    script = {"ann": [edit("memory_insert", "note", new_string="x"), Say("done", after=5)], "bob": [Say("seen")]}
    store = new_store()
    run, _ = await played(team, store, script)

    assert await overlaps(store, [{"ann", "bob"}]) == []
    assert (run.status, len(run.turns)) == ("complete", 2)


async def test_messages_and_handoffs_to_one_agent_take_turns(new_store):
    team, store = joined("ann", "bob", handoffs=1), new_store()

    async def think(request: ModelRequest) -> ModelResponse:
        await anyio.sleep(1)
        if request.agent == "ann" and request.step == 0:
            return ModelResponse("", [ToolCall("pass_on", {"to": "bob"})])
        return ModelResponse(f"{request.agent} for {request.run}")

    async with Orchestrator(team, store, model=FunctionModel(think)) as live, anyio.create_task_group() as group:
        for agent in ("ann", "ann", "bob", "bob", "bob"):
            group.start_soon(live.agents.message, agent, "go")
            await anyio.sleep(0.1)

    kinds = [event.causes[0].kind for event in await events(store, TurnStarted) if event.agent == "bob"]
    assert kinds == ["handoff", "message", "handoff", "message", "message"]


async def test_two_runs_at_once_come_each_to_its_own_answer(new_store):
    team, store = joined("ann", "bob"), new_store()

    async def think(request: ModelRequest) -> ModelResponse:
        await anyio.sleep(1)
        if request.agent == "ann":
            return ModelResponse("", [ToolCall("pass_on", {"to": "bob", "say": request.run})])
        return ModelResponse(request.run)

    outputs: dict[str, str] = {}

    async with Orchestrator(team, store, model=FunctionModel(think)) as live, anyio.create_task_group() as group:

        async def ask() -> None:
            run = await live.run("go")
            outputs[run.id] = run.output

        for _ in range(10):
            group.start_soon(ask)

    assert len(outputs) == 10
    assert all(id == output for id, output in outputs.items())


# --- the owner


async def test_an_agent_that_control_waits_for_is_not_deleted_and_may_lose_sight_of_the_note(new_store):
    team, store = joined("ann", "bob") | Team("joined", [Agent("cat")]), new_store()
    script = {"ann": [call("pass_on", to="bob", after=1)], "cat": [Say("long", after=5)], "bob": [Say("done")]}
    with ScriptedModel(script) as model:
        live = Orchestrator(team, store, model=model, max_concurrency=1)
        async with live, anyio.create_task_group() as group:
            group.start_soon(live.run, "go")
            await anyio.sleep(0.5)
            group.start_soon(live.agents.message, "cat", "go")
            await anyio.sleep(1)
            assert [event.agent for event in await events(store, TurnStarted)] == ["ann", "cat"]
            with pytest.raises(RunError, match="at work"):
                await live.agents.delete("bob")
            await live.agents.blocks.detach("bob", "note")

    assert [event.agent for event in await events(store, TurnEnded)] == ["ann", "cat", "bob"]
    assert model.requests[-1].blocks == {}


async def test_a_deletion_that_crosses_a_handoff_is_refused_in_its_transaction(new_store):
    team, store = joined("ann", "bob"), new_store()
    with ScriptedModel({"ann": [call("pass_on", to="bob")], "bob": [Say("done")]}) as model:
        async with Orchestrator(team, store, model=model) as live:
            scheduler, refusals = live._activity.scheduler, []
            hand_over = live._activity.ledger.hand_over

            def crossing(tx: Any, *args: Any, **options: Any) -> Any:
                """bob is being deleted: nobody knows yet that control comes to him, but the store does."""
                assert scheduler.hold("bob")
                result = hand_over(tx, *args, **options)
                with pytest.raises(RunError) as refusal:
                    live.agents._office.ownership.delete_agent(tx, "bob")
                refusals.append(str(refusal.value))
                scheduler.release("bob")
                return result

            object.__setattr__(live._activity, "ledger", Crossing(live._activity.ledger, crossing))
            run = await live.run("go")

    assert run.output == "done"
    assert refusals == [f"agent 'bob' has to go on with '{run.id}', which was handed over to it"]


class Crossing:
    """A ledger with another way to hand over."""

    def __init__(self, ledger: Any, hand_over: Any) -> None:
        self._ledger = ledger
        self.hand_over = hand_over

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)
