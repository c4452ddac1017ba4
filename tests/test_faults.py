"""What goes wrong in a schedule goes wrong as planned, to whom it was planned for, and stops when it is healed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, Final

import anyio
import pytest

from orchestrator import (
    Agent,
    Block,
    DeclarationError,
    Environment,
    ModelError,
    ModelRefused,
    ModelRequest,
    ModelResponse,
    ModelUnavailable,
    Orchestrator,
    RateLimited,
    Run,
    Team,
    Tool,
    ToolCall,
    ToolContext,
    ToolError,
    ToolMessage,
    Wake,
    tool,
)
from orchestrator.edits import Insert
from orchestrator.events import TurnEnded
from orchestrator.simulation.faults import Fault, Plan, SimulatedModel, simulated_team
from orchestrator.simulation.latency import LogNormal
from orchestrator.stores import MemoryStore
from orchestrator.testing import Faults, FunctionModel, Latency, Say, ScriptedModel, edit, simulated_time
from orchestrator.tools import BlockEdit, parse_arguments
from patterns.rehearsal import RehearsalModel
from patterns.task_queue import supervise
from patterns.teams import all_patterns_team, task_queue_team

SECOND: Final = Latency([LogNormal(1.0)])


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


def plan_of(seed: int = 0, **shares: Any) -> Plan:
    return Faults(**shares).drawn(Random(seed))


def simulated(model: Any, plan: Plan, latency: Latency = SECOND) -> SimulatedModel:
    return SimulatedModel(model, latency, plan, Environment())


def asked(agent: str = "ann", *tools: Tool) -> ModelRequest:
    return ModelRequest(agent, turn="turn", tools=tuple(each.spec for each in tools))


async def came_of(model: SimulatedModel, request: ModelRequest | None = None) -> ModelResponse | ModelError:
    try:
        return await model.respond(request or asked())
    except ModelError as error:
        return error


# --- what is planned


def test_by_default_nothing_goes_wrong_and_by_the_defaults_a_little_of_everything():
    assert Faults() == Faults.none()
    for name in ("model_errors", "model_timeouts", "malformed_answers", "slow_tools", "failing_tools"):
        assert getattr(Faults.none(), name) == 0 < getattr(Faults.default(), name) <= 0.1
    assert 0 < Faults.default().cancellations < 0.5
    assert 0 < Faults.default().kills < 0.5


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"model_errors": 1.1}, "faults: model_errors is 1.1; give a share, from 0 to 1"),
        ({"slow_tools": -0.1}, "slow_tools is -0.1; give a share"),
        ({"kills": math.nan}, "kills is nan; give a share"),
        ({"cancellations": True}, "cancellations is True; give a share"),
        ({"failing_tools": "1"}, "failing_tools is '1'; give a share"),
        ({"model_errors": 0.5, "model_timeouts": 0.4, "malformed_answers": 0.2}, "is more than all of them"),
        ({"slowest": 0}, "slowest is 0; give seconds, more than 0"),
        ({"steps": 0}, "steps is 0; give 1 or more"),
        ({"transactions": 1.5}, "transactions is 1.5; give a whole number, 1 or more"),
    ],
    ids=range(9),
)
def test_shares_that_are_none_are_refused(fields: dict[str, Any], why: str):
    with pytest.raises(DeclarationError, match=why):
        Faults(**fields)


def test_as_many_schedules_are_cancelled_and_killed_as_asked_somewhere_in_their_first_steps():
    random = Random(1)
    plans = [Faults(cancellations=0.2, kills=0.5, steps=30, transactions=4).drawn(random) for _ in range(2000)]

    cancelled = [plan.cancel_at for plan in plans if plan.cancel_at is not None]
    killed = [plan.kill_after for plan in plans if plan.kill_after is not None]
    assert len(cancelled) == pytest.approx(400, rel=0.15)
    assert len(killed) == pytest.approx(1000, rel=0.15)
    assert set(cancelled) == set(range(1, 31))
    assert set(killed) == {1, 2, 3, 4}
    assert len({plan.seed for plan in plans}) == 2000


def test_another_share_of_one_thing_leaves_the_rest_of_the_schedule_as_it_is():
    one, other = Random(5), Random(5)
    calm = Faults(cancellations=1).drawn(one)
    wild = Faults(cancellations=1, kills=1, model_errors=1, slow_tools=1).drawn(other)

    assert (calm.seed, calm.cancel_at) == (wild.seed, wild.cancel_at)
    assert (calm.kill_after, wild.kill_after is None) == (None, False)
    assert one.random() == other.random()
    for agent in ("ann", "ann", "bob"):
        rows = [plan.model_call(agent) for plan in (calm, wild)]
        assert len({(number, SECOND.scaled(3).draw(random), random.random()) for number, random in rows}) == 1


# --- models


async def test_a_model_answers_after_its_latency():
    model = simulated(FunctionModel(lambda request: f"hello {request.agent}"), plan_of())

    assert (await model.respond(asked("ann"))).text == "hello ann"
    assert anyio.current_time() == pytest.approx(1)
    assert (await model.respond(asked("bob"))).text == "hello bob"
    assert anyio.current_time() == pytest.approx(2)


async def test_each_agents_luck_and_times_are_its_own_whatever_the_others_do():
    latency = Latency.recorded()

    async def luck(order: str, seed: int = 0) -> dict[str, list[tuple[float, str]]]:
        found: dict[str, list[tuple[float, str]]] = {}
        model = simulated(
            FunctionModel(lambda request: "fine"), plan_of(seed, model_errors=0.3, malformed_answers=0.3), latency
        )
        for agent in order:
            began = anyio.current_time()
            outcome = await came_of(model, asked(agent))
            found.setdefault(agent, []).append((round(anyio.current_time() - began, 6), type(outcome).__name__))
        return found

    one, other = await luck("aabbbaabab"), await luck("bababbaaab")
    assert one == other
    assert one["a"] != one["b"]
    assert await luck("aaa", seed=1) != await luck("aaa")
    assert (await luck("aaa"))["a"] == one["a"][:3]


async def test_a_model_that_fails_fails_in_each_of_three_ways_and_is_not_asked():
    plan = plan_of(model_errors=1)
    model = simulated(ScriptedModel({}), plan)

    outcomes = [await came_of(model) for _ in range(60)]

    kinds = Counter(type(outcome) for outcome in outcomes)
    assert set(kinds) == {RateLimited, ModelUnavailable, ModelRefused}
    assert min(kinds.values()) > 8
    told = {RateLimited: (429, "rate_limited"), ModelUnavailable: (503, "unavailable"), ModelRefused: (400, "refused")}
    for number, (outcome, fault) in enumerate(zip(outcomes, plan.happened, strict=True), 1):
        assert (outcome.status, fault.kind) == told[type(outcome)]
        assert (fault.agent, fault.tool, fault.call) == ("ann", "", number)
        if isinstance(outcome, RateLimited):
            assert 1 <= outcome.retry_after <= 60
    assert anyio.current_time() == pytest.approx(60)  # they fail after their latency


async def test_about_as_many_calls_go_wrong_as_asked():
    plan = plan_of(model_errors=0.1, model_timeouts=0.05, malformed_answers=0.2)
    model = simulated(FunctionModel(lambda request: "fine"), plan, Latency.none())
    for _ in range(2000):
        await came_of(model)

    kinds = Counter(fault.kind for fault in plan.happened)
    assert kinds["timed_out"] == pytest.approx(100, rel=0.3)
    assert sum(kinds[kind] for kind in ("unavailable", "rate_limited", "refused")) == pytest.approx(200, rel=0.3)
    malformed = ("broken_arguments", "unknown_tool", "wrong_types")
    assert sum(kinds[kind] for kind in malformed) == pytest.approx(400, rel=0.3)
    assert min(kinds[kind] for kind in malformed) > 80


async def test_a_model_that_is_too_slow_lets_the_turn_time_out():
    store, team = MemoryStore(), Team("solo", [Agent("ann", timeout=50)])
    async with Orchestrator(team, store, model=simulated(ScriptedModel({}), plan_of(model_timeouts=1))) as live:
        run = await live.run("go")

    assert [event.status for event in await store.events() if isinstance(event, TurnEnded)] == ["timed_out"]
    assert "took more than 50 seconds" in str(run.error)
    assert anyio.current_time() == pytest.approx(50, abs=0.1)


async def test_a_model_that_is_too_slow_fails_at_once_where_nobody_has_set_a_deadline():
    outcome = await came_of(simulated(ScriptedModel({}), plan_of(model_timeouts=1)))

    assert str(outcome) == "model 'simulated' gave no answer: deadline exceeded"
    assert anyio.current_time() == pytest.approx(1)


async def test_a_model_call_is_where_others_may_go_first():
    pauses: list[float] = []

    class Pausing(Environment):
        async def pause(self) -> None:
            pauses.append(anyio.current_time())

    model = SimulatedModel(FunctionModel(lambda request: "fine"), SECOND, plan_of(), Pausing())
    await model.respond(asked())

    assert len(pauses) == 1


# --- malformed answers


@tool
async def measure(length: float, names: list[str], anything: Any = None) -> str:
    """Measure."""
    raise AssertionError("it was called with arguments that are wrong")


@tool
async def plain() -> str:
    """Do it."""
    raise AssertionError("it was called with arguments that are wrong")


@pytest.mark.parametrize("offered", [(measure,), (plain,), (measure, plain)], ids=["measure", "plain", "both"])
async def test_a_malformed_answer_is_a_call_that_cannot_be_made(offered: tuple[Tool, ...]):
    plan = plan_of(malformed_answers=1)
    model, by_name = simulated(ScriptedModel({}), plan, Latency.none()), {each.name: each for each in offered}
    context = ToolContext("ann", "run", "turn", 0, 0, {})

    for _ in range(200):
        (wrong,) = (await model.respond(asked("ann", *offered))).tool_calls
        match plan.happened[-1].kind:
            case "unknown_tool":
                assert wrong.name.removeprefix("functions.") in by_name
                assert wrong.name not in by_name
            case "broken_arguments":
                with pytest.raises(ToolError, match="its arguments are not valid JSON"):
                    parse_arguments(wrong.name, wrong.arguments)
            case "wrong_types":
                arguments = parse_arguments(wrong.name, wrong.arguments)
                assert set(arguments) > set(by_name[wrong.name].spec.parameters["properties"])
                with pytest.raises(ToolError, match=f"{wrong.name} was not called: .*unknown_argument: extra inputs"):
                    by_name[wrong.name].bind(arguments, context)
            case other:
                raise AssertionError(other)
    assert len({fault.kind for fault in plan.happened}) == 3


async def test_who_has_no_tools_calls_one_that_there_is_not():
    model = simulated(ScriptedModel({}), plan_of(malformed_answers=1))

    assert {(await model.respond(asked())).tool_calls[0].name for _ in range(20)} == {"functions.answer"}


async def test_an_agent_is_told_what_was_malformed_and_goes_on():
    plan = plan_of(malformed_answers=0.5)
    notes, kept = Block("notes"), MemoryStore()
    team = Team("solo", [Agent("ann", blocks=[notes], max_steps=200)])
    script = [*(edit("memory_insert", "notes", new_string=str(n)) for n in range(30)), "done"]
    with ScriptedModel({"ann": script}) as model:
        async with Orchestrator(team, kept, model=simulated(model, plan)) as live:
            run = await live.run("go")

    assert (run.status, run.output) == ("complete", "done")
    assert run.blocks["notes"].value.split("\n") == [str(n) for n in range(30)]
    answers = [message for message in await kept.read(lambda rows: rows.messages("ann")) if message.role == "tool"]
    refused = [answer for answer in answers if not answer.ok]
    assert len(refused) == len(plan.happened) > 10
    for problem in ("there is no tool 'functions.", "are not valid JSON", "extra inputs"):
        assert any(problem in answer.text for answer in refused)


# --- tools


class Desk:
    """What tools have done outside."""

    def __init__(self, clock: Callable[[], float] = anyio.current_time) -> None:
        self.clock = clock
        self.done: list[float] = []
        self.plan: Plan | None = None
        self.seen: list[list[str]] = []

    def act(self) -> str:
        self.done.append(self.clock())
        assert self.plan is not None
        self.seen.append(list(self.plan.running))
        return "done"

    @property
    def tools(self) -> list[Tool]:
        @tool
        async def send(context: ToolContext, text: str) -> str:
            """Send it."""
            return f"{self.act()}: {text} of {context.agent}"

        @tool
        def fetch(text: str) -> str:
            """Fetch it."""
            return f"{self.act()}: {text}"

        @tool
        async def put(text: str) -> BlockEdit:
            """Put it into the notes."""
            self.act()
            return BlockEdit("notes", Insert(text), "put")

        return [send, fetch, put]


def calling(name: str, text: str) -> Say:
    """A line that calls one of the tools."""
    return Say(calls=(ToolCall(name, {"text": text}),))


async def used(
    name: str, plan: Plan, *, times: int = 30, clock: Callable[[], float] = anyio.current_time
) -> tuple[Desk, Run, list[ToolMessage]]:
    """One agent calls one tool so many times, one after the other."""
    desk, store, environment = Desk(clock), MemoryStore(), Environment()
    desk.plan = plan
    team = Team("solo", [Agent("ann", blocks=[Block("notes")], tools=desk.tools, timeout=1e6)])
    script = {"ann": [*(calling(name, str(n)) for n in range(times)), "end"]}
    async with Orchestrator(
        simulated_team(team, plan, environment), store, model=ScriptedModel(script), environment=environment
    ) as live:
        run = await live.run("go")
    messages = await store.read(lambda rows: rows.messages("ann"))
    return desk, run, [message for message in messages if isinstance(message, ToolMessage)]


@pytest.mark.parametrize("slow", [0, 1])
@pytest.mark.parametrize("name", ["send", "fetch", "put"])
async def test_a_tool_that_fails_refuses_or_fails_before_its_effect_or_after_it(name: str, slow: int):
    plan = plan_of(failing_tools=0.6, slow_tools=slow)
    desk, run, answers = await used(name, plan)

    faults = {fault.call: fault for fault in plan.happened if fault.kind != "slow"}
    assert set(Counter(fault.kind for fault in faults.values())) == {"refused", "failed_before", "failed_after"}
    worked = []
    for number, answer in enumerate(answers, 1):
        kind = faults[number].kind if number in faults else ""
        assert answer.ok == (not kind)
        match kind:
            case "refused":
                assert answer.text == f"{name} is overloaded (simulated); try again later"
            case "failed_before" | "failed_after":
                assert answer.text == f"{name} failed: ConnectionError: the connection was lost (simulated)"
            case _:
                worked.append(number - 1)
                wanted = {"send": f"done: {number - 1} of ann", "fetch": f"done: {number - 1}", "put": "put"}
                assert answer.text == wanted[name]
    after = [number for number, fault in faults.items() if fault.kind == "failed_after"]
    assert len(desk.done) == len(worked) + len(after) < 30
    # What a tool returns has no effect before that.
    assert run.blocks["notes"].value == ("\n".join(map(str, worked)) if name == "put" else "")
    assert desk.seen == [[f"ann/{name}"]] * len(desk.done)
    assert plan.running == []


@pytest.mark.parametrize("name", ["send", "fetch", "put"])
async def test_a_slow_tool_takes_its_time_before_its_effect_or_after_it(name: str):
    plan = plan_of(slow_tools=0.5, slowest=10)
    desk, _, _ = await used(name, plan, times=40)

    slow = [fault for fault in plan.happened if fault.kind == "slow"]
    assert 8 < len(slow) < 32
    assert 1.5 * len(slow) < anyio.current_time() < 8.5 * len(slow)
    # The time between two effects is that of a wait after the first of them, or before the second.
    gaps = [later - earlier for earlier, later in zip(desk.done, desk.done[1:], strict=False)]
    assert max(gaps) < 20
    numbers = {fault.call for fault in slow}
    for number, gap in enumerate(gaps, 1):
        assert gap < 0.1 or {number, number + 1} & numbers
    assert any(gap > 0.1 and number + 1 not in numbers for number, gap in enumerate(gaps, 1)), "after the effect"
    assert any(gap > 0.1 and number not in numbers for number, gap in enumerate(gaps, 1)), "before the effect"


async def test_who_is_cancelled_while_a_tool_is_slow_leaves_none_running():
    plan = plan_of(slow_tools=1, slowest=1000)
    desk = Desk()
    desk.plan = plan
    team = simulated_team(Team("solo", [Agent("ann", tools=desk.tools)]), plan, Environment())
    running: list[list[str]] = []
    script = {"ann": [calling("fetch", "x"), calling("fetch", "y")]}
    async with Orchestrator(team, model=ScriptedModel(script)) as live:
        with anyio.move_on_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(live.run, "go")
                await anyio.sleep(4)
                running.append(list(plan.running))
                await anyio.sleep_forever()

    assert running == [["ann/fetch"]]
    assert plan.running == []


async def test_plain_tools_are_run_by_the_environment_as_before():
    class Watching(Environment):
        ran = 0

        async def run_tool(self, function: Callable[[], Any]) -> Any:
            self.ran += 1
            return await super().run_tool(function)

    for slow in (0, 1):
        plan, desk, environment = plan_of(slow_tools=slow), Desk(), Watching()
        desk.plan = plan
        team = simulated_team(Team("solo", [Agent("ann", tools=desk.tools)]), plan, environment)
        script = {"ann": [calling("fetch", "x"), calling("send", "x"), "end"]}
        async with Orchestrator(team, model=ScriptedModel(script), environment=environment) as live:
            await live.run("go")
        assert len(desk.done) == 2
        assert environment.ran == 1


# --- the same team


def test_the_simulated_team_is_the_same_but_for_what_its_tools_do():
    def search(query: str) -> str:
        """Search."""
        return query

    @tool
    async def send(context: ToolContext, text: str) -> str:
        """Send."""
        return text

    pool = Wake(Block("board", guard=lambda change: None), when=lambda text: text.count("open"))
    workers = [Agent(f"w{n}", blocks=[pool.block], wakes_on=[pool], tools=[search, send], timeout=7) for n in range(3)]
    team = Team("crew", [Agent("lead", blocks=[pool.block], max_steps=9), *workers], entry="w1")

    same = simulated_team(team, plan_of(), Environment())

    assert (same.name, same.entry, [agent.name for agent in same.members]) == ("crew", "w1", ["lead", "w0", "w1", "w2"])
    assert same.wakes == team.wakes
    assert [entry.members for entry in same.wakes] == [("w0", "w1", "w2")]
    assert same.blocks == team.blocks
    assert same.edges == team.edges
    for mine, theirs in zip(same.members, team.members, strict=True):
        assert (mine.attachments, mine.timeout, mine.max_steps) == (
            theirs.attachments,
            theirs.timeout,
            theirs.max_steps,
        )
        for wrapped, original in zip(mine.toolbox, theirs.toolbox, strict=True):
            fields = ("name", "description", "arguments", "context", "is_async")
            assert [getattr(wrapped, name) for name in fields] == [getattr(original, name) for name in fields]
            assert wrapped.spec == original.spec
            assert wrapped.spec is wrapped.spec  # made once: it takes longer than a simulated turn
    slow = simulated_team(team, plan_of(slow_tools=0.1), Environment())
    assert [wrapped.is_async for wrapped in slow.agent("w0").toolbox] == [True, True]


def test_a_team_that_was_declared_by_a_pattern_keeps_its_pool():
    team = all_patterns_team()

    same = simulated_team(team, Faults.default().drawn(Random(0)), Environment())

    assert same.wakes == team.wakes
    assert same.names == team.names


# --- healing


async def test_after_healing_nothing_fails_and_nothing_is_slow():
    plan = plan_of(model_errors=1, slow_tools=1, failing_tools=1, cancellations=1, kills=1)
    assert (plan.cancel_at is None, plan.kill_after is None) == (False, False)
    model, desk, environment = simulated(FunctionModel(lambda request: "fine"), plan), Desk(), Environment()
    desk.plan = plan
    team = simulated_team(Team("solo", [Agent("ann", tools=desk.tools)]), plan, environment)
    assert isinstance(await came_of(model), ModelError)
    with pytest.raises((ToolError, ConnectionError)):
        await team.agent("ann").toolbox[1](text="x")

    plan.heal()
    before = len(plan.happened), anyio.current_time()

    assert (plan.cancel_at, plan.kill_after, plan.is_healed) == (None, None, True)
    for _ in range(50):
        assert (await model.respond(asked())).text == "fine"
        assert await team.agent("ann").toolbox[1](text="x") == "done: x"
    assert (len(plan.happened), anyio.current_time()) == (before[0], pytest.approx(before[1] + 50))


async def test_what_had_begun_before_the_healing_does_not_fail_after_it():
    plan = plan_of(model_errors=1, slow_tools=1, failing_tools=1)
    model, desk = simulated(FunctionModel(lambda request: "fine"), plan, SECOND.scaled(100)), Desk()
    desk.plan = plan
    fetch = simulated_team(Team("solo", [Agent("ann", tools=desk.tools)]), plan, Environment()).agent("ann").toolbox[1]
    outcomes: list[Any] = []

    async def think() -> None:
        outcomes.append(await came_of(model))

    async def act() -> None:
        outcomes.append(await fetch(text="x"))

    plan._tool_calls["ann"] = next(n for n in range(100) if first_waits(plan, n))
    async with anyio.create_task_group() as group:
        group.start_soon(think)
        group.start_soon(act)
        await anyio.wait_all_tasks_blocked()
        plan.heal()

    assert outcomes == ["done: x", ModelResponse("fine")]
    assert [fault.kind for fault in plan.happened] == ["slow"]


def first_waits(plan: Plan, calls: int) -> bool:
    """Whether the tool call after so many begins with a wait."""
    fresh = Plan(plan.faults, plan.seed)
    fresh._tool_calls["ann"] = calls
    return fresh.tool_call("ann").before > 0


def test_what_went_wrong_is_told_in_a_line():
    assert str(Fault("rate_limited", "ann", "", 3)) == "ann: model call 3: rate limited"
    assert str(Fault("failed_after", "bob", "search", 1)) == "bob: tool 'search', in tool call 1: failed after"


# --- whole teams


async def rehearsed(make: Callable[[], Team], seed: int, faults: Faults) -> tuple[Plan, Run, Run]:
    """A run of a team of which everything may go wrong, and one after it is healed."""
    plan, environment = faults.drawn(Random(seed)), Environment()
    team = simulated_team(make(), plan, environment)
    model = simulated(RehearsalModel(), plan, Latency.recorded())
    async with Orchestrator(team, model=model, environment=environment) as live:
        with anyio.fail_after(100_000):
            faulty = await live.run("What is a block?\nWhat is a team?")
            plan.heal()
            return plan, faulty, await live.run("What is an edge?")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("make", [task_queue_team, all_patterns_team])
async def test_a_real_team_comes_to_an_end_and_answers_when_it_is_healed(make: Callable[[], Team], seed: int):
    plan, faulty, healed = await rehearsed(make, seed, Faults.default())

    assert faulty.status in ("complete", "failed")
    assert healed.status == "complete", healed.error
    assert healed.output.startswith("[rehearsal, no language model]")
    assert plan.running == []


async def test_the_same_seed_goes_wrong_in_the_same_way():
    wild = Faults(model_errors=0.1, malformed_answers=0.2, slow_tools=0.5, failing_tools=0.3)
    stories = []
    for seed in (1, 1, 2):
        plan, _, _ = await rehearsed(lambda: supervise(Agent("lead"), [Agent("ann")]), seed, wild)
        stories.append([str(fault) for fault in plan.happened])

    assert stories[0] == stories[1]
    assert stories[0] != stories[2]
    assert stories[0]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_it_works_on_any_event_loop_with_real_threads(anyio_backend: str):
    plan = plan_of(failing_tools=0.5)
    with anyio.fail_after(30):
        desk, run, answers = await used("fetch", plan, clock=lambda: 0.0)  # a thread has no event loop to ask

    assert run.status == "complete"
    assert len(answers) == 30
    assert len(desk.done) == 30 - sum(fault.kind != "failed_after" for fault in plan.happened)
