"""The supervisor and its workers: every task is done once, by the one who holds it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest

from orchestrator import (
    Agent,
    Budget,
    ModelError,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    Team,
    ToolCall,
)
from orchestrator.events import BlockChanged, ChangeRefused, TurnEnded
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel, Say, ScriptedModel, call, edit, simulated_time, together
from patterns import supervise, task_queue
from patterns.tasks import Queue


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


def crew(count: int, **options: Any) -> Team:
    return supervise(Agent("lead"), [Agent(f"worker-{n}", **options) for n in range(1, count + 1)])


def add(*titles: Any) -> Say:
    return call("add_tasks", tasks=list(titles))


def adds(request: ModelRequest) -> bool:
    """Whether it is for the lead to fill the queue."""
    return not request.blocks["task_queue"]


def held(request: ModelRequest) -> int:
    """The number of the task that the agent holds."""
    (task,) = Queue.parse(request.blocks["task_queue"]).held_by(request.agent)
    return task.number


async def test_workers_do_the_tasks_side_by_side_and_the_lead_answers():
    script = {
        "lead": [add("count the apples", "count the pears"), Say("started"), Say("4 apples, 3 pears")],
        "worker-1": [call("settle_task", result="4", after=10), Say("done")],
        "worker-2": [call("settle_task", result="3", after=10), Say("done")],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(crew(2), model=model) as live:
            run = await live.run("How much fruit is there?")

    assert run.status == "complete"
    assert run.output == "4 apples, 3 pears"
    assert run.blocks["task_queue"].value == (
        "1. [done by worker-1] count the apples\n   4\n2. [done by worker-2] count the pears\n   3"
    )
    assert anyio.current_time() == 10


async def test_three_open_tasks_start_three_of_eight_workers():
    asked: Counter[str] = Counter()

    def think(request: ModelRequest) -> ModelResponse:
        asked[request.agent] += request.step == 0
        if request.agent == "lead":
            return ModelResponse("", [ToolCall("add_tasks", {"tasks": ["a", "b", "c"]})] if adds(request) else [])
        return ModelResponse("", [ToolCall("settle_task", {"result": "ok"})] if request.step == 0 else [])

    async with Orchestrator(crew(8), model=FunctionModel(think)) as live:
        run = await live.run("go")

    assert asked == {"lead": 2, "worker-1": 1, "worker-2": 1, "worker-3": 1}
    assert run.status == "complete"


async def test_a_task_waits_for_those_it_comes_after():
    order: list[tuple[float, int]] = []

    async def think(request: ModelRequest) -> ModelResponse:
        if request.agent == "lead":
            tasks = [{"title": "first"}, {"title": "second"}, {"title": "join", "after": [1, 2]}]
            return ModelResponse("", [ToolCall("add_tasks", {"tasks": tasks})] if adds(request) else [])
        if request.step == 1:
            return ModelResponse("")
        order.append((anyio.current_time(), held(request)))
        await anyio.sleep(held(request))
        return ModelResponse("", [ToolCall("settle_task", {"result": "ok"})])

    async with Orchestrator(crew(8), model=FunctionModel(think)) as live:
        run = await live.run("go")

    assert sorted(order) == [(0, 1), (0, 2), (2, 3)]
    assert run.status == "complete"


async def test_the_lead_is_woken_when_nothing_more_can_start_after_a_failure():
    script = {
        "lead": [
            call("add_tasks", tasks=[{"title": "dig"}, {"title": "build", "after": [1]}]),
            Say("started"),
            lambda request: f"build never started: {Queue.parse(request.blocks['task_queue']).tasks[1].status}",
        ],
        "worker-1": [call("settle_task", result="rock", failed=True), Say("done")],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(crew(2), model=model) as live:
            run = await live.run("go")

    assert run.output == "build never started: open"
    assert run.blocks["task_queue"].value == "1. [failed by worker-1] dig\n   rock\n2. [open] (after 1) build"


async def test_sixty_four_tasks_are_each_done_once_by_workers_that_fail_hang_and_are_cancelled(new_store):
    store, trouble = new_store(), Counter[str]()

    async def think(request: ModelRequest) -> ModelResponse:
        if request.agent == "lead":
            tasks = [f"task {n}" for n in range(1, 65)]
            return ModelResponse("all settled", [ToolCall("add_tasks", {"tasks": tasks})] if adds(request) else [])
        if request.step == 1:
            return ModelResponse("done")
        (task,) = Queue.parse(request.blocks["task_queue"]).held_by(request.agent)
        await anyio.sleep(1 + task.number % 5)
        kind = task.number % 4 if task.attempt == 1 else 3
        if kind == 0:
            trouble["failed"] += 1
            raise ModelError("the model is away")
        if kind == 1:
            trouble["hung"] += 1
            await anyio.sleep_forever()
        if kind == 2:
            trouble["left"] += 1
            return ModelResponse("I would rather not.")
        return ModelResponse("", [ToolCall("settle_task", {"result": f"result {task.number}"})])

    async with Orchestrator(crew(8, timeout=30), store, model=FunctionModel(think)) as live:
        first = await live.run("go", budget=Budget(seconds=40.5))
        assert first.status == "budget"
        cancelled = [turn for turn in first.turns if turn.status == "cancelled"]
        assert len(cancelled) == 8, "every worker was cancelled between claim and settling"
        assert "claimed" not in first.blocks["task_queue"].value
        second = await live.run("go on")

    assert (second.status, second.output) == ("complete", "all settled")
    assert anyio.current_time() < 600, "their own timeout has ended the turns that hung"
    tasks = Queue.parse(second.blocks["task_queue"].value).tasks
    assert [(task.number, task.status) for task in tasks] == [(n, "done") for n in range(1, 65)]
    assert all(task.body == (f"result {task.number}",) for task in tasks)
    events = await store.events(limit=10_000)
    changes = [event for event in events if isinstance(event, BlockChanged)]
    assert settlements(changes) == {n: 1 for n in range(1, 65)}
    ended = Counter(event.status for event in events if isinstance(event, TurnEnded) and event.agent != "lead")
    assert (ended["failed"], ended["cancelled"]) == (trouble["failed"], 8)
    assert min(trouble["failed"], trouble["left"], ended["timed_out"]) >= 10, "each kind of trouble was met often"
    given_back = ended["failed"] + ended["timed_out"] + ended["cancelled"] + trouble["left"]
    assert sum(task.attempt - 1 for task in tasks) == given_back
    counted = Counter(change.operation for change in changes)
    assert counted == {"replace": 65, "claim": 64 + given_back, "release": given_back}


async def test_tasks_of_cancelled_workers_go_back_to_the_queue():
    store, claimed = MemoryStore(), anyio.Event()

    async def think(request: ModelRequest) -> ModelResponse:
        if request.agent == "lead":
            return ModelResponse("", [ToolCall("add_tasks", {"tasks": ["a", "b"]})] if request.step == 0 else [])
        if "worker-2" in request.blocks["task_queue"]:
            claimed.set()
        await anyio.sleep_forever()
        raise AssertionError

    async with Orchestrator(crew(2), store, model=FunctionModel(think)) as live:
        async with anyio.create_task_group() as group:
            group.start_soon(live.run, "go")
            await claimed.wait()
            group.cancel_scope.cancel()

        block = await store.read(lambda rows: rows.block("supervised:task_queue"))
        assert block is not None
        assert block.value == "1. [open, try 2] a\n2. [open, try 2] b"
    ended = [event for event in await store.events() if isinstance(event, TurnEnded)]
    assert sorted((event.agent, event.status) for event in ended) == [
        ("lead", "done"),
        ("worker-1", "cancelled"),
        ("worker-2", "cancelled"),
    ]


async def test_a_task_that_is_given_back_three_times_is_marked_failed_and_the_run_ends():
    turns = 0

    def think(request: ModelRequest) -> ModelResponse | str:
        nonlocal turns
        if request.agent == "lead":
            return ModelResponse(
                "nobody did it", [ToolCall("add_tasks", {"tasks": ["move the moon"]})] if adds(request) else []
            )
        turns += 1
        return "I would rather not."

    async with Orchestrator(crew(2), model=FunctionModel(think)) as live:
        run = await live.run("go")

    assert turns == 3
    assert run.blocks["task_queue"].value == "1. [failed, try 3] move the moon"
    assert run.status == "complete"
    assert run.output == "nobody did it"


async def test_a_failed_workers_run_is_complete_when_another_did_its_task():
    script = {
        "lead": [add("a"), Say("started"), Say("answered")],
        "worker-1": [ModelError("away")],
        "worker-2": [call("settle_task", result="ok"), Say("done")],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(crew(2), model=model) as live:
            run = await live.run("go")

    assert run.status == "complete"
    assert run.blocks["task_queue"].value == "1. [done by worker-2, try 2] a\n   ok"
    assert [(turn.agent, turn.status) for turn in run.turns] == [
        ("lead", "done"),
        ("worker-1", "failed"),
        ("worker-2", "done"),
        ("lead", "done"),
    ]


DISOBEDIENCE = [
    ("[claimed by worker-1]", "[done by worker-2]", "task 1 is held by worker-1, not by you"),
    ("[claimed by worker-1]", "[claimed by worker-2]", "task 1 is held by worker-1, not by you"),
    ("[claimed by worker-1]", "[open]", "task 1 is held by worker-1, not by you"),
    ("[claimed by worker-2] b", "[claimed by worker-2] something else", "change nothing else of it"),
    ("[claimed by worker-2]", "[done by worker-1]", "change nothing else of it"),
    ("[claimed by worker-2]", "[open]", "change nothing else of it"),
    ("3. [open] (after 1) c", "3. [done by worker-2] (after 1) c", "task 3 is open"),
    ("3. [open] (after 1) c", "3. [claimed by worker-2] (after 1) c", "task 3 is open"),
    ("3. [open] (after 1) c", "3. [open] (after 3) c", "cannot come after 3"),
    ("3. [open] (after 1) c", "3. [open, try 2] (after 1) c", "task 3 is open"),
    ("\n3. [open] (after 1) c", "", "task 3 would be gone"),
    ("3. [open]", "2. [open]", "two tasks would have the number 2"),
    ("3. [open] (after 1) c", "3. [open] (after 1) c\n4. [done by worker-2] d", "a new task is open"),
    ("3. [open] (after 1) c", "3. [open] (after 1) c\n4. [open] (after 9) d", "cannot come after 9"),
    ("3. [open] (after 1) c", "3. [open] (after 1) c\n- buy milk", "is not understood"),
    ("3. [open] (after 1) c", "4. [claimed by worker-2] d", "task 3 would be gone"),
]


@pytest.mark.parametrize(("old", "new", "reason"), DISOBEDIENCE)
async def test_an_agent_with_bare_memory_tools_cannot_break_the_rules_of_the_queue(old: str, new: str, reason: str):
    store = MemoryStore()
    tasks = [{"title": "a"}, {"title": "b"}, {"title": "c", "after": [1]}]
    script: dict[str, list[Any]] = {
        "lead": [call("add_tasks", tasks=tasks), Say("started"), Say("answered")],
        "worker-1": [call("settle_task", result="ok", after=9), Say("done")],
        "worker-2": [
            edit("memory_replace", "task_queue", old_string=old, new_string=new, after=1),
            call("settle_task", result="ok"),
            Say("done"),
            call("settle_task", result="ok"),  # task 3, once worker-1 has done what it comes after
            Say("done"),
        ],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(crew(2), store, model=model) as live:
            run = await live.run("go")

    refused = [event for event in await store.events() if isinstance(event, ChangeRefused)]
    assert [(event.by, event.code) for event in refused] == [("worker-2", "guarded")]
    assert reason in refused[0].reason
    assert [task.by for task in Queue.parse(run.blocks["task_queue"].value).tasks] == [
        "worker-1",
        "worker-2",
        "worker-2",
    ]


async def test_the_tools_of_the_queue_keep_its_rules_too():
    store = MemoryStore()
    script: dict[str, list[Any]] = {
        "lead": [
            together(
                add(),
                add("  "),
                add("(after 1) trick"),
                call("add_tasks", tasks=[{"title": "a", "after": [7]}]),
                call("add_tasks", tasks=[{"title": "a", "after": [1]}]),
                call("settle_task", result="I am the lead"),
            ),
            add({"title": "a"}, "  b &lt;c>\n d "),
            Say("started"),
            Say("answered"),
        ],
        "worker-1": [together(*[call("settle_task", result="one\ntwo")] * 2), Say("done")],
        "worker-2": [call("settle_task", result=""), Say("done")],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(crew(2), store, model=model) as live:
            run = await live.run("go")

    assert run.blocks["task_queue"].value == "1. [done by worker-1] a\n   one\n   two\n2. [done by worker-2] b <c> d"
    refused = [event for event in await store.events() if isinstance(event, ChangeRefused)]
    assert [(event.by, event.code) for event in refused] == [
        ("lead", "guarded"),
        ("lead", "guarded"),
        ("worker-1", "tool_refused"),
    ]


async def test_a_run_whose_queue_is_full_fails_and_says_what_waits():
    tasks = task_queue("1. [open] a", limit=12)
    team = supervise(Agent("lead"), [Agent("worker-1")], tasks=tasks)
    script = {"lead": [Say("nothing to add")]}
    with ScriptedModel(script) as model:
        async with Orchestrator(team, model=model) as live:
            run = await live.run("go", budget=Budget(turns=10))

    assert run.status == "failed"
    assert "block 'task_queue' calls for worker-1" in str(run.error)
    assert "its limit is 12" in str(run.error)
    assert len(run.turns) == 1


async def test_a_second_run_finds_the_queue_as_the_first_one_left_it():
    store = MemoryStore()
    first = {"lead": [add("a"), Say("started"), Say("first")], "worker-1": [call("settle_task", result="ok"), Say()]}
    second = {"lead": [add("b"), Say("started"), Say("second")], "worker-1": [call("settle_task", result="ok"), Say()]}
    for script, output in ((first, "first"), (second, "second")):
        with ScriptedModel(script) as model:
            async with Orchestrator(crew(1), store, model=model) as live:
                assert (await live.run("go")).output == output

    block = await store.read(lambda rows: rows.block("supervised:task_queue"))
    assert block is not None
    assert block.value == "1. [done by worker-1] a\n   ok\n2. [done by worker-1] b\n   ok"


def settlements(changes: list[BlockChanged]) -> dict[int, int]:
    """How often each task became done."""
    counts: Counter[int] = Counter()
    done: set[int] = set()
    for change in changes:
        now = {task.number for task in Queue.parse(change.value).tasks if task.status == "done"}
        counts.update(now - done)
        done = now
    return dict(counts)
