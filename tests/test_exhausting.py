"""Every schedule of something small, as far as so many switches go."""

from __future__ import annotations

from math import factorial

import anyio
import anyio.lowlevel
import pytest
from planted_bugs import each, last_text, tools_in_turn
from played_teams import calls

from orchestrator import Agent, Block, ModelRequest, ModelResponse, Orchestrator, Team, ToolContext, tool
from orchestrator.simulation.choosers import FIRST, Chooser
from orchestrator.simulation.environment import SimulatedEnvironment
from orchestrator.simulation.exhausting import Exhausted, every_schedule
from orchestrator.simulation.playing import Played, Scene, play
from orchestrator.testing import FunctionModel


def crowd(tasks: int, steps: int) -> Scene[None]:
    """So many tasks, each of so many steps."""

    async def scene(environment: SimulatedEnvironment) -> None:
        async def go() -> None:
            for _ in range(steps - 1):
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            for _ in range(tasks):
                group.start_soon(go)

    return scene


@pytest.mark.parametrize(("tasks", "steps"), [(1, 5), (2, 1), (2, 2), (2, 3), (2, 4), (3, 2)])
def test_all_orders_of_steps_are_played_and_each_of_them_once(tasks: int, steps: int):
    search = every_schedule(lambda chooser: play(crowd(tasks, steps), chooser), switches=100)
    traces = [played.trace for played in search]
    orders = factorial(tasks * steps) // factorial(steps) ** tasks
    assert len(traces) == len(set(traces)) == orders
    assert search.exhausted == Exhausted(orders, orders, complete=True, total=True)


@pytest.mark.parametrize(("switches", "schedules"), [(0, 1), (1, 4), (2, 6), (3, 6)])
def test_schedules_with_more_switches_are_not_played(switches: int, schedules: int):
    search = every_schedule(lambda chooser: play(crowd(2, 2), chooser), switches)
    assert max(len(played.choices) for played in search) <= switches
    assert search.exhausted == Exhausted(schedules, schedules, complete=True, total=switches >= 2)


def test_the_schedules_with_the_fewest_switches_come_first():
    played = list(every_schedule(lambda chooser: play(crowd(2, 4), chooser), switches=3))
    switches = [len(one.choices) for one in played]
    assert switches == sorted(switches)
    assert (switches[0], switches[-1]) == (0, 3)
    assert all(choice != FIRST and not choice.warp for one in played for choice in one.choices.values())


def test_a_search_that_is_cut_short_or_left_says_that_it_is_not_complete():
    search = every_schedule(lambda chooser: play(crowd(2, 4), chooser), switches=4, most=7)
    assert len(list(search)) == 7
    assert search.exhausted == Exhausted(7, 7, complete=False, total=False)

    left = every_schedule(lambda chooser: play(crowd(2, 4), chooser))
    assert left.exhausted == Exhausted(0, 0, complete=False, total=False)
    next(left)
    assert left.exhausted == Exhausted(1, 1, complete=False, total=False)


def test_as_many_schedules_as_are_allowed_may_be_all_there_are():
    search = every_schedule(lambda chooser: play(crowd(2, 2), chooser), switches=2, most=6)
    assert len(list(search)) == 6
    assert search.exhausted == Exhausted(6, 6, complete=True, total=True)


def test_schedules_that_come_to_the_same_are_counted_once():
    def always_the_same(chooser: Chooser) -> Played[None]:
        played = play(crowd(2, 2), chooser)
        return Played(None, None, played.environment, (0,), played.choices, played.options, 0.0, ())

    search = every_schedule(always_the_same, switches=1)
    list(search)
    assert search.exhausted == Exhausted(schedules=4, distinct=1, complete=True, total=False)


# --- teams


async def _ask(team: Team, answer: FunctionModel) -> None:
    async with Orchestrator(team, model=answer) as live, anyio.create_task_group() as group:
        for agent in team.members:
            group.start_soon(lambda name=agent.name: live.run("go", agent=name))


def _read_then_modify() -> Scene[None]:
    """Two agents with a tool that reads, lets others go on, and writes back."""

    async def scene(environment: SimulatedEnvironment) -> None:
        text = ""

        @tool
        async def add(context: ToolContext) -> str:
            """Add a line."""
            nonlocal text
            read = text
            await anyio.lowlevel.checkpoint()
            text = read + f"<{context.agent}>"
            return "added"

        await _ask(each([add], ("ann", "bob")), FunctionModel(tools_in_turn("add")))
        assert text.count("<") == 2, f"lost a line: {text}"

    return scene


def test_the_update_that_two_agents_lose_is_found():
    search = every_schedule(lambda chooser: play(_read_then_modify(), chooser))
    found = next(played for played in search if played.error)
    assert str(found.error).startswith("lost a line: ")
    assert len(found.choices) <= 1


def test_what_two_agents_insert_is_there_in_every_schedule():
    notes = Block("notes", limit=2000)
    team = Team("two", [Agent(name, blocks=[notes]) for name in ("ann", "bob")])

    def insert(request: ModelRequest) -> ModelResponse | str:
        return calls("memory_insert", label="notes", new_string=request.agent) if request.step == 0 else "done"

    async def scene(environment: SimulatedEnvironment) -> str:
        await _ask(team, FunctionModel(insert))
        return last_text(environment)

    search = every_schedule(lambda chooser: play(scene, chooser), switches=1)
    played = list(search)
    assert [one.error for one in played if one.error] == []
    assert {one.result for one in played} == {"ann\nbob", "bob\nann"}
    assert search.exhausted.complete
    assert search.exhausted.schedules == search.exhausted.distinct == len(played) > 20
