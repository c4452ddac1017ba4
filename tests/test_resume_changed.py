"""Runs that are resumed in a team, or beside other runs, that are not what they were when they were cut off."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest
from dying_store import DyingStore

from orchestrator import (
    Agent,
    Block,
    Budget,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    RunError,
    Team,
    ToolCall,
    Usage,
    Wake,
    tool,
)
from orchestrator.ports import Model
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel, simulated_time
from patterns import supervise
from patterns.tasks import Queue


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


def said(request: ModelRequest) -> str:
    return f"{request.agent} said"


def dies(store: DyingStore, agent: str, otherwise: Callable[[ModelRequest], Any] = said) -> Model:
    """The process ends when this agent is asked."""

    def answer(request: ModelRequest) -> Any:
        if request.agent == agent:
            raise store.kill()
        return otherwise(request)

    return FunctionModel(answer)


# --- agents that are no longer declared


def crew(*workers: str) -> Team:
    return supervise(Agent("lead"), [Agent(name) for name in workers])


def lead(request: ModelRequest) -> ModelResponse | str:
    if request.step == 0:
        return ModelResponse("", [ToolCall("add_tasks", {"tasks": ["one"]})])
    return "added"


def work(request: ModelRequest) -> ModelResponse | str:
    if request.agent != "lead" and request.step == 0:
        return ModelResponse("", [ToolCall("settle_task", {"result": "did it"})])
    return "all done"


async def test_the_task_of_a_worker_that_is_no_longer_declared_is_done_by_another():
    store = DyingStore()
    live = Orchestrator(crew("ann"), store, model=dies(store, "ann", lead))
    await store.killed_in(live, lambda: live.run("go"))

    with anyio.fail_after(60):
        async with Orchestrator(crew("bob"), store, model=FunctionModel(work)) as live:
            run = await live.resume(live.cut_off[0].id)

    (task,) = Queue.parse(run.blocks["task_queue"].value).tasks
    assert (run.status, run.error) == ("complete", None)
    assert (task.status, task.by, task.attempt) == ("done", "bob", 2)


async def test_the_task_of_an_agent_that_is_a_worker_no_longer_is_done_by_another():
    store = DyingStore()
    live = Orchestrator(crew("ann"), store, model=dies(store, "ann", lead))
    await store.killed_in(live, lambda: live.run("go"))

    with anyio.fail_after(60):
        team = crew("bob") | Team("others", [Agent("ann")])
        model = FunctionModel(lambda request: "on holiday" if request.agent == "ann" else work(request))
        async with Orchestrator(team, store, model=model) as live:
            run = await live.resume(live.cut_off[0].id)

    (task,) = Queue.parse(run.blocks["task_queue"].value).tasks
    assert run.status == "complete"
    assert (task.status, task.by, task.attempt) == ("done", "bob", 2)
    assert [(turn.agent, turn.claimed, turn.given_back) for turn in run.turns[1:3]] == [
        ("ann", True, True),
        ("bob", True, True),
    ]


async def test_a_message_to_an_agent_that_is_no_longer_declared_is_not_resumed_but_can_be_given_up():
    store = DyingStore()
    live = Orchestrator(Team("one", [Agent("ann")]), store, model=dies(store, "ann"))
    await store.killed_in(live, lambda: live.run("go"))

    with anyio.fail_after(60):
        async with Orchestrator(Team("one", [Agent("bob")]), store, model=FunctionModel(said)) as live:
            (old,) = live.cut_off
            with pytest.raises(RunError, match="'ann', who is not in the team any more; declare it again, or cancel"):
                await live.resume(old.id)
            assert live.cut_off == (old,)
            assert (await live.run("somebody else")).output == "bob said"
            assert (await live.cancel(old.id)).status == "cancelled"


async def test_a_message_to_an_agent_that_is_declared_again_is_answered():
    store = DyingStore()
    live = Orchestrator(Team("one", [Agent("ann")]), store, model=dies(store, "ann"))
    await store.killed_in(live, lambda: live.run("go"))

    with anyio.fail_after(60):
        async with Orchestrator(Team("one", [Agent("bob")]), store, model=FunctionModel(said)) as live:
            with pytest.raises(RunError, match="not in the team any more"):
                await live.resume(live.cut_off[0].id)
        async with Orchestrator(Team("one", [Agent("ann")]), store, model=FunctionModel(said)) as live:
            run = await live.resume(live.cut_off[0].id)

    assert (run.status, run.output) == ("complete", "ann said")


async def test_an_answered_message_is_resumed_though_its_agent_is_no_longer_declared():
    bell = Block("bell")
    ring = ModelResponse("", [ToolCall("memory_insert", {"label": "bell", "new_string": "ding"})])
    store = DyingStore()
    team = Team("pair", [Agent("ann", blocks=[bell]), Agent("bob", blocks=[bell], wakes_on=[bell])])
    model = dies(store, "bob", lambda request: "rung" if request.step else ring)
    live = Orchestrator(team, store, model=model)
    await store.killed_in(live, lambda: live.run("go"))

    team = Team("pair", [Agent("bob", blocks=[bell], wakes_on=[bell])])
    with anyio.fail_after(60):
        async with Orchestrator(team, store, model=FunctionModel(said)) as live:
            run = await live.resume(live.cut_off[0].id)

    assert run.status == "complete"
    assert [(turn.agent, turn.status) for turn in run.turns] == [("ann", "done"), ("bob", "done")]


# --- a turn that two runs share


def shared(bell: Block) -> Team:
    entry = Agent("entry", blocks=[bell], wakes_on=[bell])
    return Team("pair", [entry, Agent("ringer", blocks=[bell])])


async def cut_off_in_a_shared_turn(store: DyingStore) -> None:
    """The entry is asked a question, and the ringer's change is to be answered, in one turn that is cut off."""

    async def answer(request: ModelRequest) -> ModelResponse | str:
        if request.agent == "ringer" and request.step == 0:
            return ModelResponse("", [ToolCall("memory_insert", {"label": "bell", "new_string": "ding"})])
        await anyio.sleep(1)
        if request.agent == "entry" and request.messages[-1].text != "be busy":
            await anyio.sleep(1)
            raise store.kill()
        return "done"

    live = Orchestrator(shared(Block("bell")), store, model=FunctionModel(answer))

    async def rest() -> None:
        await anyio.sleep(0.1)
        async with anyio.create_task_group() as group:
            group.start_soon(live.run, "a question")
            group.start_soon(partial(live.run, "ring", agent="ringer"))

    await store.killed_in(live, lambda: live.run("be busy"), rest)
    runs = await store.read(lambda rows: {run.text: run.id for run in rows.runs()})
    (turn,) = await store.read(lambda rows: [turn for turn in rows.turns(runs["ring"]) if turn.agent == "entry"])
    assert set(turn.runs) == {runs["a question"], runs["ring"]}
    assert turn.status == "running"


@pytest.mark.parametrize("first", ["ring", "a question"])
async def test_of_two_runs_that_share_a_turn_one_is_cancelled_and_the_other_is_answered(first: str):
    store = DyingStore()
    await cut_off_in_a_shared_turn(store)

    async def answer(request: ModelRequest) -> str:
        await anyio.sleep(1)
        return f"{request.agent} answered"

    with anyio.fail_after(60):
        async with Orchestrator(shared(Block("bell")), store, model=FunctionModel(answer)) as live:
            runs = {run.text: run.id for run in live.cut_off}
            assert set(runs) == {"a question", "ring"}
            with anyio.move_on_after(0.5) as impatience:
                await live.resume(runs.pop(first))
            assert impatience.cancelled_caught
            ((_, other),) = runs.items()
            run = await live.resume(other)
            assert live.cut_off == ()

    assert run.status == "complete"
    assert run.output == ("entry answered" if first == "ring" else "done")
    assert run.turns[-1].agent == "entry"
    assert run.turns[-1].status == "done"


class Endless:
    """Thinks until it is cancelled."""

    def __init__(self) -> None:
        self.thinking, self.cancelled = anyio.Event(), anyio.Event()

    async def respond(self, request: ModelRequest) -> ModelResponse:
        self.thinking.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.cancelled.set()
        raise AssertionError


@pytest.mark.parametrize("first", ["ring", "a question"])
async def test_a_turn_that_two_resumed_runs_share_is_cancelled_with_the_last_of_them(first: str):
    store = DyingStore()
    await cut_off_in_a_shared_turn(store)
    model = Endless()

    with anyio.fail_after(60):
        live = Orchestrator(shared(Block("bell")), store, model=model)
        async with live, anyio.create_task_group() as group:
            runs = {run.text: run.id for run in live.cut_off}
            group.start_soon(live.resume, runs[first])
            await model.thinking.wait()
            group.start_soon(live.resume, runs["ring" if first != "ring" else "a question"])
            await anyio.wait_all_tasks_blocked()
            assert (await live.cancel(runs["ring"])).status == "cancelled"
            assert not model.cancelled.is_set(), "the other run waits for it"
            assert (await live.cancel(runs["a question"])).status == "cancelled"
            assert model.cancelled.is_set()


@pytest.mark.parametrize("last", ["ring", "a question"])
async def test_a_shared_turn_is_cancelled_also_when_its_runs_are_given_up_and_cancelled_at_once(last: str):
    store = DyingStore()
    await cut_off_in_a_shared_turn(store)
    model = Endless()

    with anyio.fail_after(60):
        live = Orchestrator(shared(Block("bell")), store, model=model)
        async with live, anyio.create_task_group() as group:
            runs = {run.text: run.id for run in live.cut_off}
            group.start_soon(live.resume, runs[last])
            await model.thinking.wait()
            store.wait = 1
            group.start_soon(live.cancel, runs["ring" if last != "ring" else "a question"])
            await anyio.sleep(0.5)  # when this one is found, that one is being given up
            await live.cancel(runs[last])
            assert model.cancelled.is_set()


# --- wakes


@pytest.mark.parametrize("flipped", [False, True])
async def test_wakes_that_are_declared_in_another_order_call_each_agent_once(flipped: bool):
    def team(flipped: bool) -> Team:
        work = Block("work", "12")
        ones = Agent("ones", blocks=[work], wakes_on=[Wake(work, when=lambda text: text.count("1"))])
        twos = Agent("twos", blocks=[work], wakes_on=[Wake(work, when=lambda text: text.count("2"))])
        both = (twos, ones) if flipped else (ones, twos)
        return Team("crew", [Agent("lead", blocks=[work]), *both], entry="lead")

    store = DyingStore()
    live = Orchestrator(team(False), store, model=dies(store, "ones"), max_concurrency=1)
    await store.killed_in(live, lambda: live.run("go"))

    asked: list[str] = []
    model = FunctionModel(lambda request: asked.append(request.agent) or "looked")
    with anyio.fail_after(60):
        async with Orchestrator(team(flipped), store, model=model, max_concurrency=1) as live:
            run = await live.resume(live.cut_off[0].id)

    assert (run.status, run.error) == ("complete", None)
    assert sorted(asked) == ["ones", "twos"]


# --- what it costs


@tool
async def look() -> str:
    """Look."""
    return "seen"


async def test_what_a_turn_that_was_let_go_of_has_cost_is_in_the_cost_of_its_run():
    store = DyingStore()
    team = Team("pair", [Agent("ann", tools=[look]), Agent("bob")])

    def spend(request: ModelRequest) -> ModelResponse:
        if request.step:
            raise store.kill()
        return ModelResponse("", [ToolCall("look")], Usage(input_tokens=1000, cost=0.5))

    live = Orchestrator(team, store, model=FunctionModel(spend))
    await store.killed_in(live, lambda: live.run("go"))

    model = FunctionModel(lambda request: ModelResponse("ok", (), Usage(input_tokens=10, cost=0.25)))
    with anyio.fail_after(60):
        async with Orchestrator(team, store, model=model) as live:
            (old,) = live.cut_off
            await live.run("something else", agent="bob")
            run = await live.resume(old.id)

    assert [turn.status for turn in run.turns] == ["cancelled", "done"]
    assert (run.cost, run.usage.input_tokens, run.usage.calls) == (0.75, 1010, 2)


async def test_changes_that_nobody_can_pay_for_do_not_pile_up():
    notes = Block("notes", limit=100_000)
    team = Team("pair", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes], wakes_on=[notes])])
    note = ModelResponse("", [ToolCall("memory_insert", {"label": "notes", "new_string": "noted"})])
    model = FunctionModel(lambda request: note if request.step < 20 else "done")
    with anyio.fail_after(60):
        async with Orchestrator(team, MemoryStore(), model=model) as live:
            run = await live.run("go", budget=Budget(turns=1))
            (waiting,) = live._activity.scheduler._board.desks["bob"].writes.values()

    assert (run.status, len(run.turns)) == ("budget", 1)
    assert run.blocks["notes"].value.count("noted") == 20
    assert [write.version for write in waiting] == [run.blocks["notes"].version], "the last one tells of all"
