"""How runs begin, go on beside each other, and end."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from orchestrator import (
    Agent,
    Block,
    Budget,
    DeclarationError,
    ModelError,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    RunError,
    StoreError,
    Stuck,
    Team,
    ToolCall,
    ToolContext,
    TurnFailed,
    Usage,
    Wake,
    run_sync,
    tool,
)
from orchestrator.events import BlockChanged, ChangeRefused, RunEnded, TurnEnded, TurnStarted
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel, Say, ScriptedModel, call, edit, simulated_time


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


SOLO = Team("solo", [Agent("ann", blocks=[Block("notes")])])


def ping_pong() -> Team:
    """Two agents that wake each other for ever."""
    ball = Block("ball", limit=100_000)
    return Team("rally", [Agent(name, blocks=[ball], wakes_on=[ball]) for name in ("ann", "bob")])


def hit(request: ModelRequest) -> ModelResponse:
    """Each turn writes once, and so wakes the other one."""
    calls = [ToolCall("memory_insert", {"label": "ball", "new_string": request.agent})] if request.step == 0 else []
    return ModelResponse("hit", calls, Usage(input_tokens=3, cost=0.01))


async def test_a_run_has_what_came_of_the_message():
    script = {"ann": [edit("memory_insert", "notes", new_string="x"), Say("done", usage=Usage(output_tokens=2))]}
    with ScriptedModel(script) as model:
        async with Orchestrator(SOLO, model=model) as live:
            run = await live.run("hello")

    assert (run.status, run.output, run.error) == ("complete", "done", None)
    assert run.blocks["notes"].value == "x"
    assert [(turn.agent, turn.status, turn.steps, turn.text) for turn in run.turns] == [("ann", "done", 2, "done")]
    assert run.usage == Usage(output_tokens=2, calls=2)
    assert run.cost is None
    assert [message.text for message in model.requests[0].messages] == ["hello"]


async def test_an_agent_remembers_its_earlier_turns():
    with ScriptedModel({"ann": [Say("first"), Say("second")]}) as model:
        async with Orchestrator(SOLO, model=model) as live:
            await live.run("one")
            await live.run("two")

    assert [message.text for message in model.requests[1].messages] == ["one", "first", "two"]


async def test_messages_to_one_agent_queue_and_each_is_answered():
    def answer(request: ModelRequest) -> str:
        return f"re: {request.messages[-1].text}"

    async def slowly(request: ModelRequest) -> str:
        await anyio.sleep(1)
        return answer(request)

    store, outputs = MemoryStore(), {}
    async with Orchestrator(SOLO, store, model=FunctionModel(slowly)) as live:

        async def ask(text: str) -> None:
            outputs[text] = (await live.run(text)).output

        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(ask, f"question {number}")
        assert anyio.current_time() == 5, "one turn at a time"

    assert outputs == {f"question {n}": f"re: question {n}" for n in range(5)}


async def test_a_message_can_go_to_another_agent_than_the_entry():
    team = Team("pair", [Agent("ann"), Agent("bob")])
    with ScriptedModel({"bob": [Say("here")]}) as model:
        async with Orchestrator(team, model=model) as live:
            assert (await live.run("hello", agent="bob")).output == "here"
            with pytest.raises(DeclarationError, match="has no agent 'eve'"):
                await live.run("hello", agent="eve")


async def test_the_budget_of_turns_is_exact_and_the_run_says_so():
    async with Orchestrator(ping_pong(), model=FunctionModel(hit)) as live:
        run = await live.run("go", budget=Budget(turns=7))

    assert run.status == "budget"
    assert len(run.turns) == 7
    assert run.blocks["ball"].version == 8


async def test_a_budget_of_dollars_ends_a_run_when_it_is_spent():
    async with Orchestrator(ping_pong(), model=FunctionModel(hit)) as live:
        run = await live.run("go", budget=Budget(usd=0.085))

    assert run.status == "budget"
    assert len(run.turns) == 5, "each turn makes two calls of one cent"
    assert run.cost == pytest.approx(0.10)


async def test_a_budget_of_seconds_cancels_what_is_under_way():
    store = MemoryStore()

    async def hang(request: ModelRequest) -> str:
        await anyio.sleep_forever()
        raise AssertionError

    async with Orchestrator(SOLO, store, model=FunctionModel(hang)) as live:
        run = await live.run("go", budget=Budget(seconds=3))
        assert anyio.current_time() == 3

    assert run.status == "budget"
    assert [turn.status for turn in run.turns] == ["cancelled"]
    assert [event.status for event in await store.events() if isinstance(event, RunEnded)] == ["budget"]


async def test_what_a_spent_run_left_undone_waits_for_the_next_one():
    async with Orchestrator(ping_pong(), model=FunctionModel(hit)) as live:
        first = await live.run("go", budget=Budget(turns=3))
        second = await live.run("again", budget=Budget(turns=3))

    assert [turn.agent for turn in first.turns] == ["ann", "bob", "ann"]
    woken = next(turn for turn in second.turns if turn.agent == "bob")
    assert [cause.by for cause in woken.causes] == ["ann"]
    assert second.status == "budget"


async def test_a_turn_that_takes_too_long_is_timed_out_and_the_run_fails():
    team = Team("slow", [Agent("ann", timeout=2)])
    with ScriptedModel({"ann": [Say("late", after=10)]}) as model:
        async with Orchestrator(team, model=model) as live:
            run = await live.run("go")
            assert anyio.current_time() == 2

    assert run.status == "failed"
    assert isinstance(run.error, TurnFailed)
    assert str(run.error) == "the last turn of 'ann' timed out: took more than 2 seconds"


async def test_a_turn_that_wants_too_many_steps_fails_with_what_it_did_kept():
    team = Team("loop", [Agent("ann", blocks=[Block("notes")], max_steps=3)])
    script = {"ann": [edit("memory_insert", "notes", new_string="x")] * 3}
    with ScriptedModel(script) as model:
        async with Orchestrator(team, model=model) as live:
            run = await live.run("go")

    assert run.status == "failed"
    assert "wanted more than 3 steps" in str(run.error)
    assert run.blocks["notes"].value == "x\nx\nx"


async def test_a_models_failure_is_the_runs_error_with_its_cause():
    failure = ModelError("rate limited")
    with ScriptedModel({"ann": [failure]}) as model:
        async with Orchestrator(SOLO, model=model) as live:
            run = await live.run("go")
            assert live._activity._failures == {}, "what went wrong in runs that are over is let go of"

    assert run.status == "failed"
    assert str(run.error) == "the last turn of 'ann' failed: rate limited"
    assert run.error is not None
    assert run.error.__cause__ is failure
    assert run.output == ""


async def test_a_failure_of_a_woken_agent_fails_the_run_but_not_the_others():
    notes = Block("notes")
    team = Team(
        "trio",
        [
            Agent("ann", blocks=[notes]),
            *(Agent(n, blocks=[notes], wakes_on=[Wake(notes, by=["ann"])]) for n in ("bob", "cat")),
        ],
    )
    script: dict[str, list[Any]] = {
        "ann": [edit("memory_insert", "notes", new_string="x"), Say("answer")],
        "bob": [ZeroDivisionError("oops")],
        "cat": [edit("memory_insert", "notes", new_string="y", after=5), Say("added")],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(team, model=model) as live:
            run = await live.run("go")

    assert run.status == "failed"
    assert str(run.error) == "the last turn of 'bob' failed: ZeroDivisionError: oops"
    assert run.output == "answer"
    assert run.blocks["notes"].value == "x\ny"


async def test_a_later_turn_makes_an_earlier_failure_good():
    notes = Block("notes", "0")
    team = Team("pair", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes], wakes_on=[notes])])
    script: dict[str, list[Any]] = {
        "ann": [
            edit("memory_insert", "notes", new_string="1"),
            edit("memory_insert", "notes", new_string="2", after=9),
            Say("ok"),
        ],
        "bob": [ModelError("away"), Say("seen")],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(team, model=model) as live:
            run = await live.run("go")

    assert run.status == "complete"
    assert [turn.status for turn in run.turns if turn.agent == "bob"] == ["failed", "done"]


async def test_a_call_that_nobody_can_answer_ends_the_run_as_stuck_and_says_who_waits():
    work = Block("work", "todo")
    pool = Wake(work, when=lambda text: "todo" in text, claim=lambda text, agent: None)
    team = Team("idle", [Agent("ann"), Agent("bob", blocks=[work], wakes_on=[pool])])
    with ScriptedModel({"ann": [Say("hm")]}) as model:
        async with Orchestrator(team, model=model) as live:
            run = await live.run("go")

    assert run.status == "failed"
    assert isinstance(run.error, Stuck)
    assert [(w.block, w.agents) for w in run.error.waiting] == [("work", ("bob",))]
    assert "block 'work' calls for bob: none of them can take anything from it" in str(run.error)


@pytest.mark.parametrize("broken", ["when", "claim"])
async def test_a_wakes_function_that_raises_fails_the_run_with_its_reason(broken: str):
    def bad(*args: str) -> Any:
        raise ValueError("mistyped")

    good: dict[str, Any] = {"when": lambda text: 1, "claim": lambda text, agent: "taken"}
    work = Block("work", "todo")
    team = Team("bad", [Agent("ann"), Agent("bob", blocks=[work], wakes_on=[Wake(work, **{**good, broken: bad})])])
    with ScriptedModel({"ann": [Say("hm")]}) as model:
        async with Orchestrator(team, model=model) as live:
            run = await live.run("go")

    assert run.status == "failed"
    assert f"{broken}= raised ValueError: mistyped" in str(run.error)


async def test_a_release_that_raises_is_told_and_the_turn_ends_all_the_same():
    def bad(text: str, agent: str) -> str:
        raise ValueError("mistyped")

    store, work = MemoryStore(), Block("work", "todo")
    wake = Wake(work, when=lambda text: text == "todo", claim=lambda text, agent: "taken", release=bad)
    team = Team("bad", [Agent("ann"), Agent("bob", blocks=[work], wakes_on=[wake])])
    with ScriptedModel({"ann": [Say("hm")], "bob": [Say("done")]}) as model:
        async with Orchestrator(team, store, model=model) as live:
            run = await live.run("go")

    assert run.status == "complete"
    refused = [event for event in await store.events() if isinstance(event, ChangeRefused)]
    assert [(event.code, event.reason) for event in refused] == [
        ("release_failed", "release= raised ValueError: mistyped")
    ]


async def test_cancelling_a_run_cancels_its_turns_and_leaves_the_others_alone():
    store = MemoryStore()
    team = Team("pair", [Agent("ann"), Agent("bob")])

    async def wait(request: ModelRequest) -> str:
        await anyio.sleep(5)
        return "done"

    async with Orchestrator(team, store, model=FunctionModel(wait)) as live:
        with anyio.move_on_after(1) as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(live.run, "for ann")
        assert scope.cancelled_caught
        run = await live.run("for bob", agent="bob")

    assert run.status == "complete"
    events = await store.events()
    assert [(event.agent, event.status) for event in events if isinstance(event, TurnEnded)] == [
        ("ann", "cancelled"),
        ("bob", "done"),
    ]
    assert [event.status for event in events if isinstance(event, RunEnded)] == ["cancelled", "complete"]


async def test_leaving_the_orchestrator_ends_every_turn_and_every_run():
    store = MemoryStore()

    async def hang(request: ModelRequest) -> str:
        await anyio.sleep_forever()
        raise AssertionError

    async def ask(live: Orchestrator) -> None:
        run = await live.run("go")
        assert run.status == "cancelled"

    async with anyio.create_task_group() as group, Orchestrator(SOLO, store, model=FunctionModel(hang)) as live:
        group.start_soon(ask, live)
        await anyio.sleep(1)

    events = await store.events()
    started = [event.turn for event in events if isinstance(event, TurnStarted)]
    assert [event.turn for event in events if isinstance(event, TurnEnded)] == started
    assert [event.status for event in events if isinstance(event, RunEnded)] == ["cancelled"]


async def test_the_callers_own_error_comes_out_as_it_is():
    with pytest.raises(KeyError, match="mine"):
        async with Orchestrator(SOLO, model=FunctionModel(lambda request: "x")):
            raise KeyError("mine")


async def test_a_tool_is_not_left_running_when_its_turn_is_cancelled():
    running = 0

    @tool
    async def wait_long(context: ToolContext) -> str:
        """Wait."""
        nonlocal running
        running += 1
        try:
            await anyio.sleep_forever()
        finally:
            running -= 1
        return "never"

    team = Team("one", [Agent("ann", tools=[wait_long], timeout=3)])
    with ScriptedModel({"ann": [call("wait_long")]}) as model:
        async with Orchestrator(team, model=model) as live:
            run = await live.run("go")

    assert running == 0
    assert run.status == "failed"


async def test_no_more_turns_run_at_once_than_there_are_slots():
    bell, at_once, most = Block("bell"), 0, 0
    team = Team(
        "many",
        [
            Agent("a", blocks=[bell]),
            *(Agent(f"b{n}", blocks=[bell], wakes_on=[Wake(bell, by=["a"])]) for n in range(9)),
        ],
    )

    async def think(request: ModelRequest) -> ModelResponse:
        nonlocal at_once, most
        if request.agent == "a":
            return hit_bell(request)
        at_once += 1
        most = max(most, at_once)
        await anyio.sleep(1)
        at_once -= 1
        return ModelResponse("done")

    async with Orchestrator(team, model=FunctionModel(think), max_concurrency=3) as live:
        run = await live.run("go")

    assert most == 3
    assert len(run.turns) == 10


async def test_a_watcher_sees_every_change_of_its_block_in_order_and_can_begin_anywhere():
    script = {"ann": [*(edit("memory_insert", "notes", new_string=f"{n}", after=1) for n in range(5)), Say("done")]}
    with ScriptedModel(script) as model:
        async with Orchestrator(SOLO, model=model) as live:
            seen: list[tuple[int, int]] = []

            async def watch() -> None:
                async with live.watch(block="notes") as changes:
                    async for change in changes:
                        assert isinstance(change, BlockChanged)
                        seen.append((change.version, change.seq))

            async with anyio.create_task_group() as group:
                group.start_soon(watch)
                await anyio.sleep(0.5)
                run = await live.run("go")
                await anyio.sleep(1)
                group.cancel_scope.cancel()

            assert [version for version, _ in seen] == [2, 3, 4, 5, 6]
            again = []
            async with live.watch(run=run.id, after=seen[2][1]) as events:
                async for event in events:
                    again.append(event)
                    if isinstance(event, RunEnded):
                        break
            assert [event.seq for event in again if isinstance(event, BlockChanged)] == [seq for _, seq in seen[3:]]


async def test_to_watch_a_run_that_does_not_exist_is_refused_and_not_waited_for():
    async with Orchestrator(Team("solo", [Agent("ann")]), model=ScriptedModel({})) as live:
        with anyio.fail_after(5), pytest.raises(RunError, match="there is no run 'nope' in the store"):
            async with live.watch(run="nope"):
                pass


async def test_a_slow_watcher_is_not_waited_for_and_misses_nothing():
    script = {"ann": [*(edit("memory_insert", "notes", new_string="x") for _ in range(600)), Say("done")]}
    team = Team("solo", [Agent("ann", blocks=[Block("notes")], max_steps=1000)])
    versions: list[int] = []
    with ScriptedModel(script) as model:
        async with anyio.create_task_group() as group, Orchestrator(team, model=model) as live:

            async def watch() -> None:
                async with live.watch(block="notes", after=0) as changes:
                    async for change in changes:
                        assert isinstance(change, BlockChanged)
                        versions.append(change.version)
                        await anyio.sleep(1)

            group.start_soon(watch)
            await live.run("go")
            assert anyio.current_time() < 1, "the run did not wait"

    assert versions == list(range(2, 602)), "the watcher read on after the orchestrator was left"


async def test_watching_a_block_that_is_not_there_says_which_there_are():
    async with Orchestrator(SOLO, model=FunctionModel(lambda request: "x")) as live:
        with pytest.raises(DeclarationError, match=r"has no block 'diary'; it has: notes"):
            live.watch(block="diary")


@pytest.mark.parametrize("message", [3, "a\0b", "half \ud800"])
async def test_a_message_must_be_text_that_can_be_stored(message: Any):
    async with Orchestrator(SOLO, model=FunctionModel(lambda request: "x")) as live:
        with pytest.raises(RunError, match="must be text"):
            await live.run(message)


async def test_an_orchestrator_is_used_once_and_while_it_is_open():
    live = Orchestrator(SOLO, model=FunctionModel(lambda request: "x"))
    with pytest.raises(RunError, match="is not open"):
        await live.run("too early")
    async with live:
        with pytest.raises(RunError, match="was opened before"):
            await live.__aenter__()
    with pytest.raises(RunError, match="is not open"):
        await live.run("too late")


async def test_run_sync_is_refused_inside_an_event_loop():
    with pytest.raises(RunError, match="inside an event loop"):
        run_sync(SOLO, "go", model=FunctionModel(lambda request: "x"))


async def test_a_store_that_was_used_before_keeps_its_text_and_takes_the_new_declaration():
    store = MemoryStore()
    for limit, expected in ((100, "a"), (50, "a\na")):
        team = Team("solo", [Agent("ann", blocks=[Block("notes", "", f"limit {limit}", limit=limit)])])
        with ScriptedModel({"ann": [edit("memory_insert", "notes", new_string="a"), Say("ok")]}) as model:
            async with Orchestrator(team, store, model=model) as live:
                run = await live.run("go")
        assert run.blocks["notes"].value == expected
        assert (run.blocks["notes"].limit, run.blocks["notes"].description) == (limit, f"limit {limit}")

    tight = Team("solo", [Agent("ann", blocks=[Block("notes", limit=2)])])
    with pytest.raises(DeclarationError, match="is stored with 3 characters and declared with a limit of 2"):
        async with Orchestrator(tight, store, model=FunctionModel(lambda request: "x")):
            pass


def hit_bell(request: ModelRequest) -> ModelResponse:
    """Ring the bell, once."""
    go = ToolCall("memory_insert", {"label": "bell", "new_string": "go"})
    return ModelResponse("rung", [go] if request.step == 0 else [])


async def test_an_own_block_that_becomes_shared_keeps_its_text_and_its_history():
    store = MemoryStore()
    own = Team("t", [Agent("ann", blocks=[Block("notes", "old")]), Agent("bob")])
    with ScriptedModel({"ann": [edit("memory_insert", "notes", new_string="learned"), Say("ok")]}) as model:
        async with Orchestrator(own, store, model=model) as live:
            await live.run("go")

    notes = Block("notes", "as declared")
    shared = Team("t", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes], wakes_on=[notes])])
    script = {"ann": [edit("memory_insert", "notes", new_string="more"), Say("ok")], "bob": [Say("seen")]}
    with ScriptedModel(script) as model:
        async with Orchestrator(shared, store, model=model) as live:
            run = await live.run("go")

    assert (run.blocks["notes"].value, run.blocks["notes"].version) == ("old\nlearned\nmore", 3)
    history = await store.read(lambda rows: list(rows.revisions(shared.key("notes"))))
    assert [(revision.version, revision.operation, revision.by) for revision in history] == [
        (3, "insert", "ann"),
        (2, "insert", "ann"),
        (1, "create", "owner"),
    ]


async def test_an_own_block_that_becomes_shared_must_fit_the_new_limit():
    store = MemoryStore()
    tight = Block("notes", limit=5)
    other = Team("t", [Agent("ann", blocks=[Block("notes", "123456")])])
    async with Orchestrator(other, store, model=FunctionModel(lambda request: "x")):
        pass
    with pytest.raises(DeclarationError, match="is stored with 6 characters and declared with a limit of 5"):
        await Orchestrator(
            Team("t", [Agent("ann", blocks=[tight]), Agent("bob", blocks=[tight])]),
            store,
            model=FunctionModel(lambda request: "x"),
        ).__aenter__()


class FailingStore(MemoryStore):
    """Fails at its n-th transaction; and for ever after that, unless it recovers."""

    def __init__(self, working: int, recovers: bool) -> None:
        super().__init__()
        self._left = working
        self._recovers = recovers

    async def transact(self, work: Any) -> Any:
        self._left -= 1
        if self._left == -1 or (self._left < 0 and not self._recovers):
            raise StoreError("the disk is full")
        return await super().transact(work)


@pytest.mark.parametrize("recovers", [False, True])
async def test_a_store_that_fails_at_any_transaction_ends_everything_with_its_error(recovers: bool):
    def think(request: ModelRequest) -> ModelResponse:
        calls = [ToolCall("memory_insert", {"label": "notes", "new_string": "x"})] if request.step == 0 else []
        return ModelResponse("done", calls)

    # Declaring, then the starts of run and turn, two steps, an answer, and the end of the run.
    for working in range(7):
        store = FailingStore(working, recovers)
        with anyio.fail_after(5):
            told = await ending(store, think)
        assert told == "the disk is full" or (recovers and told == "the last turn of 'ann' failed: the disk is full")
        events = await store.events()
        if recovers:
            started = {event.turn for event in events if isinstance(event, TurnStarted)}
            assert {event.turn for event in events if isinstance(event, TurnEnded)} == started

    async with Orchestrator(SOLO, FailingStore(7, recovers), model=FunctionModel(think)) as live:
        assert (await live.run("go")).status == "complete"


async def ending(store: MemoryStore, think: Any) -> str:
    """What a run on the store ends with."""
    try:
        async with Orchestrator(SOLO, store, model=FunctionModel(think)) as live:
            return str((await live.run("go")).error)
    except StoreError as error:
        return str(error)


async def test_a_store_holds_one_team():
    store = MemoryStore()
    async with Orchestrator(Team("t", [Agent("ann", blocks=[Block("notes")])]), store, model=ScriptedModel({})):
        pass

    other = Orchestrator(Team("u", [Agent("ann")]), store, model=ScriptedModel({}))
    with pytest.raises(StoreError, match="holds the team 't'; give team 'u' a store of its own"):
        await other.__aenter__()
    async with Orchestrator(Team("t", [Agent("bob")]), store, model=ScriptedModel({})):
        pass
