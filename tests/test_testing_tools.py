"""The test tools are strict, and time passes only when everybody waits."""

from __future__ import annotations

import re
import threading
from typing import Any

import anyio
import pytest

from orchestrator import Agent, Block, Environment, ModelRequest, ModelResponse, Orchestrator, Team, ToolMessage, tool
from orchestrator.testing import FunctionModel, Say, ScriptedModel, call, edit, simulated_time, together

TEAM = Team("solo", [Agent("ann", blocks=[Block("notes")])])


async def follow(script: dict[str, Any]) -> None:
    """Run the team by the script."""
    with ScriptedModel(script) as model:
        async with Orchestrator(TEAM, model=model) as live:
            await live.run("go")


async def test_a_script_that_is_followed_to_its_end_says_nothing():
    with ScriptedModel({"ann": ["plain text"]}) as model:
        async with Orchestrator(TEAM, model=model) as live:
            assert (await live.run("go")).output == "plain text"
    assert model.unspoken == {}


async def test_a_call_too_many_fails_the_test():
    with pytest.raises(AssertionError, match="'ann' was asked at step 1 of a turn, and has no more lines"):
        await follow({"ann": [edit("memory_insert", "notes", new_string="x")]})


async def test_an_agent_that_is_not_in_the_script_fails_the_test():
    with pytest.raises(AssertionError, match="'ann' was asked at step 0 of a turn, and has no lines in the script"):
        await follow({})


async def test_lines_left_unspoken_fail_the_test():
    with pytest.raises(AssertionError, match="'ann' left 1 of its lines unspoken; 'bob' left 2 of its lines unspoken"):
        await follow({"ann": ["one", "two"], "bob": ["x", "y"]})


async def test_what_failed_first_is_not_hidden_by_the_script():
    with pytest.raises(ZeroDivisionError), ScriptedModel({"ann": ["never spoken"]}):
        _ = 1 / 0


async def test_lines_may_be_texts_answers_functions_and_errors():
    script: dict[str, list[Any]] = {
        "ann": [
            together(edit("memory_insert", "notes", new_string="a"), Say("and"), call("memory_insert", text="b")),
            lambda request: edit("memory_insert", "notes", new_string=f"step {request.step}"),
            ModelResponse("first"),
            KeyError("second"),
        ]
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(TEAM, model=model) as live:
            first = await live.run("go")
            second = await live.run("go")

    assert (first.output, first.blocks["notes"].value) == ("first", "a\nstep 1")
    assert first.turns[0].steps == 3
    assert [m.ok for m in model.requests[1].messages if isinstance(m, ToolMessage)] == [True, False]
    assert second.status == "failed"
    assert "KeyError: 'second'" in str(second.error)


async def test_a_function_model_may_be_async_and_answer_with_text():
    async def slowly(request: ModelRequest) -> str:
        return f"{request.agent} heard {request.messages[-1].text}"

    async with Orchestrator(TEAM, model=FunctionModel(slowly)) as live:
        assert (await live.run("it")).output == "ann heard it"


@pytest.mark.parametrize("anyio_backend", [simulated_time()])
async def test_in_simulated_time_an_hour_takes_no_time_and_a_plain_tool_does_not_let_it_pass():
    threads: set[int] = set()

    @tool
    def look_up() -> str:
        """Block the thread."""
        threads.add(threading.get_ident())
        return "found"

    team = Team("solo", [Agent("ann", tools=[look_up], timeout=7200)])
    with ScriptedModel({"ann": [call("look_up", after=3600), Say("done", after=0.5)]}) as model:
        async with Orchestrator(team, model=model) as live:
            run = await live.run("go")

    assert (run.status, anyio.current_time()) == ("complete", 3600.5)
    assert threads == {threading.get_ident()}


async def test_in_real_time_a_plain_tool_runs_in_a_thread_of_its_own():
    threads: set[int] = set()

    @tool
    def look_up() -> str:
        """Block the thread."""
        threads.add(threading.get_ident())
        return "found"

    with ScriptedModel({"ann": [call("look_up"), Say("done")]}) as model:
        async with Orchestrator(Team("solo", [Agent("ann", tools=[look_up])]), model=model) as live:
            await live.run("go")

    assert len(threads) == 1
    assert are_others(threads)


def are_others(threads: set[int]) -> bool:
    """Whether none of them is the thread of the test."""
    return threading.get_ident() not in threads


def test_an_environment_with_a_seed_repeats_its_randomness_and_never_its_ids():
    first, second = Environment(seed=7), Environment(seed=7)

    assert [first.random.random() for _ in range(3)] == [second.random.random() for _ in range(3)]
    ids = {first.new_id("turn") for _ in range(1000)} | {second.new_id("turn") for _ in range(1000)}
    assert len(ids) == 2000
    assert all(re.fullmatch("turn-[0-9a-f]{20}", id) for id in ids)


def test_later_ids_stand_behind_earlier_ones():
    class Clock(Environment):
        time = 1.5

        def now(self) -> float:
            self.time *= 10
            return self.time

    clock = Clock()
    ids = [clock.new_id("turn") for _ in range(9)]
    assert ids == sorted(ids)
    assert [id[:16] for id in ids[:2]] == ["turn-00000003a98", "turn-000000249f0"]


async def test_an_environment_that_is_handed_in_decides_ids_and_times():
    class Counting(Environment):
        count = 0

        def now(self) -> float:
            return 1000.0 + self.count

        def new_id(self, kind: str) -> str:
            self.count += 1
            return f"{kind}-{self.count}"

    with ScriptedModel({"ann": ["done"]}) as model:
        async with Orchestrator(TEAM, model=model, environment=Counting()) as live:
            run = await live.run("go")
            async with live.watch(after=0) as events:
                times = {event.at async for event in events_until_end(events)}

    assert (run.id, run.turns[0].id) == ("run-1", "turn-2")
    assert times == {1000.0, 1001.0, 1002.0}


async def events_until_end(events: Any) -> Any:
    async for event in events:
        yield event
        if event.type == "run_ended":
            return
