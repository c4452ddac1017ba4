"""The parts of the bench: percentiles, think times, chains of thinking, prefixes, and time that repeats itself."""

from __future__ import annotations

import subprocess
import sys
from statistics import mean, median

import anyio
import pytest

from orchestrator import Agent, DeclarationError, Environment, ModelRequest, ModelResponse, ToolCall
from orchestrator.bench import Think, baseline
from orchestrator.bench.chains import longest_chain, waits
from orchestrator.bench.measuring import Spread, Took, middle, over, percentile, stopwatch
from orchestrator.bench.prefixes import Prefixes, PrefixMeter, shared, tokens
from orchestrator.bench.thinking import Draws, ThinkingModel, Thought
from orchestrator.bench.virtual import run_virtually
from orchestrator.events import BlockChanged, BlockCreated, Cause, RunStarted, StepTaken, TurnEnded, TurnStarted
from orchestrator.messages import AssistantMessage, ToolMessage, ToolSpec, Usage, UserMessage
from orchestrator.models import Models
from orchestrator.testing import FunctionModel

# --- percentiles and stopwatches


def test_a_percentile_is_the_figure_in_its_rank() -> None:
    hundred = [float(number) for number in range(1, 101)]
    twenty = hundred[:20]

    assert [percentile(hundred, percent) for percent in (1, 50, 95, 99, 100)] == [1, 50, 95, 99, 100]
    assert [percentile(twenty, percent) for percent in (1, 50, 95, 99)] == [1, 10, 19, 20]
    assert percentile([7.0], 50) == percentile([7.0], 99) == 7


def test_a_spread_sorts_and_has_the_greatest_figure() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 3.0, 3.0, 3.0)
    assert Spread.of(iter([])) is None


def test_of_several_repeats_the_median_counts_figure_by_figure() -> None:
    repeats = [Took(1.0, 0.9, 10), Took(3.0, 0.1, 10), Took(2.0, 0.2, 10)]

    assert middle(repeats) == Took(2.0, 0.2, 10)


def test_there_is_no_rate_where_no_time_passed() -> None:
    assert over(6, 2.0) == 3
    assert over(6, 0.0) is None


# --- bare task groups


def test_a_bare_task_group_takes_as_long_as_its_waits() -> None:
    async def crowds(environment: Environment) -> list[float]:
        free = await baseline.crowd(10, 3, 0.25)
        five_at_once = await baseline.crowd(10, 3, 0.25, 5)
        at_once = await baseline.crowd(10, 3, 0)
        assert (free.count, five_at_once.count) == (10, 10)
        return [free.seconds, five_at_once.seconds, at_once.seconds]

    assert run_virtually(crowds, 0) == [0.75, 1.5, 0]


def test_the_bare_uneven_group_takes_as_long_as_its_longest_chain() -> None:
    async def uneven(environment: Environment) -> float:
        return (await baseline.uneven(0.25)).seconds

    assert run_virtually(uneven, 0) == 0.75


# --- think times


@pytest.mark.parametrize(
    ("typed", "think"),
    [
        ("50ms", Think("fixed", 0.05)),
        ("0.2s", Think("fixed", 0.2)),
        (" .5s ", Think("fixed", 0.5)),
        ("0s", Think("fixed", 0)),
        ("uniform:20ms..80ms", Think("uniform", 0.02, 0.08)),
        ("uniform:0s..0s", Think("uniform", 0, 0)),
        ("exponential:50ms", Think("exponential", 0.05)),
        ("lognormal:50ms,0.5", Think("lognormal", 0.05, 0.5)),
        ("lognormal:1s, 2", Think("lognormal", 1, 2)),
    ],
)
def test_a_think_time_is_what_was_typed(typed: str, think: Think) -> None:
    assert Think.parse(typed) == think
    assert Think.parse(str(think)) == think


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("", "'' is no think time; write 50ms, 0.2s, uniform:20ms..80ms"),
        ("50", "'50' is no think time"),
        ("-50ms", "is no think time"),
        ("50 minutes", "is no think time"),
        ("fixed:50ms", "is no think time"),
        ("gamma:1s", "is no think time"),
        ("uniform:20ms", "is no think time"),
        ("uniform:80ms..20ms", "'uniform:80ms..20ms' begins after it ends"),
        ("exponential:0ms", "is no distribution; for no think time at all: 0s"),
        ("lognormal:0ms,1", "is no distribution"),
        ("lognormal:50ms", "is no think time"),
        ("lognormal:50ms,-1", "is no think time"),
        ("lognormal:50ms,x", "is no think time"),
    ],
)
def test_what_is_no_think_time_is_answered_with_the_forms_there_are(typed: str, why: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        Think.parse(typed)

    assert refused.value.where == "--think"
    assert why in str(refused.value)


def drawn(typed: str, count: int = 1, seed: str = "0", agent: str = "ann") -> list[float]:
    draws = Draws(Think.parse(typed), seed)
    return [draws.next(agent) for _ in range(count)]


def test_draws_are_spread_as_asked() -> None:
    assert drawn("50ms", 3) == [0.05, 0.05, 0.05]
    uniform = drawn("uniform:20ms..80ms", 2000)
    assert 0.02 <= min(uniform) < 0.022
    assert 0.078 < max(uniform) <= 0.08
    assert mean(drawn("exponential:50ms", 2000)) == pytest.approx(0.05, rel=0.1)
    lognormal = drawn("lognormal:50ms,0.5", 2000)
    assert median(lognormal) == pytest.approx(0.05, rel=0.1)
    assert sorted(lognormal)[1682] / 0.05 == pytest.approx(1.65, rel=0.1)  # one sigma up: e ** 0.5


def test_each_agent_draws_from_a_row_of_its_own_whoever_asks_first() -> None:
    draws = Draws(Think.parse("uniform:0s..1s"), "0")
    mixed = [(name, draws.next(name)) for name in ("bob", "ann", "ann", "bob", "ann")]

    assert [time for name, time in mixed if name == "ann"] == drawn("uniform:0s..1s", 3)
    assert [time for name, time in mixed if name == "bob"] == drawn("uniform:0s..1s", 2, agent="bob")
    assert drawn("uniform:0s..1s", 3) != drawn("uniform:0s..1s", 3, seed="1")
    assert drawn("uniform:0s..1s") != drawn("uniform:0s..1s", agent="bob")


def request(agent: str = "ann", *, step: int = 0, **more: object) -> ModelRequest:
    return ModelRequest(agent, turn=f"turn of {agent}", step=step, **more)  # type: ignore[arg-type]


def test_a_model_thinks_as_long_as_drawn_and_then_as_long_as_it_takes() -> None:
    async def slow(request: ModelRequest) -> str:
        await anyio.sleep(2)
        return "slow"

    async def refuse(request: ModelRequest) -> str:
        await anyio.sleep(4)
        raise ValueError("no")

    async def main(environment: Environment) -> dict[tuple[str, int], Thought]:
        agents = [Agent("ann", model=FunctionModel(slow)), Agent("bob", model=FunctionModel(refuse))]
        models = Models(agents, None, environment)
        model = ThinkingModel(models, Draws(Think("fixed", 1), "0"), environment)
        own = ThinkingModel(models, None, environment)
        assert await model.respond(request()) == ModelResponse("slow")
        await own.respond(request(step=1))
        with pytest.raises(ValueError, match="no"):
            await model.respond(request("bob"))
        with anyio.move_on_after(0.5):
            await model.respond(request("bob", step=1))
        return model.thoughts | own.thoughts

    assert run_virtually(main, 0) == {
        ("turn of ann", 0): Thought(0, 3),
        ("turn of ann", 1): Thought(3, 2),
        ("turn of bob", 0): Thought(5, 5),
        ("turn of bob", 1): Thought(10, 0.5),
    }


# --- chains of thinking


def created(seq: int, label: str, at: float = 0) -> BlockCreated:
    return BlockCreated(seq=seq, at=at, key=f"t:{label}", label=label, agent=None, value="", limit=100, read_only=False)


def opened(seq: int, at: float = 0) -> RunStarted:
    return RunStarted(seq=seq, at=at, run="run", agent="ann", text="go", max_turns=9)


def started(seq: int, agent: str, turn: str, *causes: Cause, at: float = 0) -> TurnStarted:
    return TurnStarted(seq=seq, at=at, turn=turn, run="run", runs=("run",), agent=agent, attempt=1, causes=causes)


def stepped(seq: int, agent: str, turn: str, step: int) -> StepTaken:
    return StepTaken(
        seq=seq, at=0, turn=turn, run="run", agent=agent, step=step, shown={}, text="", tool_calls=(), usage=Usage()
    )


def changed(seq: int, label: str, version: int, turn: str | None, at: float = 0) -> BlockChanged:
    return BlockChanged(
        seq=seq,
        at=at,
        key=f"t:{label}",
        label=label,
        version=version,
        value="",
        limit=100,
        operation="insert",
        by="x",
        turn=turn,
        runs=(),
    )


def ended(seq: int, agent: str, turn: str, at: float = 0) -> TurnEnded:
    return TurnEnded(
        seq=seq,
        at=at,
        turn=turn,
        run="run",
        runs=("run",),
        agent=agent,
        status="done",
        text="",
        error=None,
        steps=1,
        usage=Usage(),
        shown={},
    )


MESSAGE = Cause(kind="message", run="run")


def change(label: str, version: int) -> Cause:
    return Cause(kind="change", key=f"t:{label}", label=label, version=version)


def test_the_longest_chain_goes_from_a_write_in_the_middle_of_a_turn_to_whom_it_woke() -> None:
    log = [
        created(1, "notes"),
        opened(2),
        started(3, "ann", "a1", MESSAGE),
        stepped(4, "ann", "a1", 0),
        changed(5, "notes", 2, "a1"),
        started(6, "bob", "b1", change("notes", 2)),
        stepped(7, "bob", "b1", 0),
        stepped(8, "ann", "a1", 1),
        ended(9, "ann", "a1"),
        ended(10, "bob", "b1"),
    ]
    thoughts = {("a1", 0): Thought(0, 1), ("a1", 1): Thought(0, 2), ("b1", 0): Thought(0, 4)}

    assert longest_chain(log, thoughts) == 5
    assert longest_chain(log, {**thoughts, ("a1", 1): Thought(0, 10)}) == 11
    assert longest_chain(log, {}) == 0


def test_a_turn_waits_for_the_last_turn_of_its_agent_and_for_the_last_of_its_causes() -> None:
    log = [
        opened(1),
        started(2, "ann", "a1", MESSAGE),
        started(3, "bob", "b1", MESSAGE),
        stepped(4, "bob", "b1", 0),
        changed(5, "notes", 2, "b1"),
        ended(6, "bob", "b1"),
        stepped(7, "ann", "a1", 0),
        ended(8, "ann", "a1"),
        started(9, "ann", "a2", MESSAGE, change("notes", 2), change("plans", 7)),
        stepped(10, "ann", "a2", 0),
        ended(11, "ann", "a2"),
    ]
    thoughts = {("a1", 0): Thought(0, 1), ("b1", 0): Thought(0, 5), ("a2", 0): Thought(0, 3)}

    assert longest_chain(log, thoughts) == 8
    assert longest_chain(log, {**thoughts, ("a1", 0): Thought(0, 6)}) == 9


def test_a_call_that_was_not_answered_counts_and_an_owners_write_takes_no_time() -> None:
    log = [
        changed(1, "notes", 2, None),
        started(2, "ann", "a1", change("notes", 2)),
        stepped(3, "ann", "a1", 0),
        ended(4, "ann", "a1"),
    ]

    assert longest_chain(log, {("a1", 0): Thought(0, 1), ("a1", 1): Thought(0, 2)}) == 3


def test_what_began_before_the_log_was_looked_at_is_left_out() -> None:
    log = [stepped(7, "ann", "a1", 0), changed(8, "notes", 2, "a1"), ended(9, "ann", "a1")]

    assert longest_chain(log, {("a1", 0): Thought(0, 1)}) == 0
    assert list(waits([started(1, "ann", "a1", change("notes", 2))], {("a1", 0): Thought(0, 1)})) == []


def test_a_turn_waits_from_its_first_cause_or_the_end_of_its_agents_last_turn_to_its_first_request() -> None:
    log = [
        created(1, "notes", at=10),
        opened(2, at=11),
        started(3, "ann", "a1", MESSAGE, at=12),
        changed(4, "notes", 2, "a1", at=14),
        started(5, "bob", "b1", change("notes", 2), at=15),
        started(6, "cy", "c1", change("notes", 1), MESSAGE, at=15),
        ended(7, "ann", "a1", at=20),
        started(8, "ann", "a2", MESSAGE, at=20),
        started(9, "dan", "never asked", MESSAGE, at=20),
    ]
    asked = {("a1", 0): 12.5, ("b1", 0): 16.0, ("c1", 0): 16.0, ("a2", 0): 20.25}
    thoughts = {turn: Thought(at, 1) for turn, at in asked.items()}

    assert list(waits(log, thoughts)) == [1.5, 2, 6, 0.25]


# --- prefixes


def test_tokens_are_words_and_signs() -> None:
    assert tokens("It isn't <value>\n- 42 per_cent;") == [
        *("It", "isn", "'", "t", "<", "value", ">", "-", "42", "per_cent", ";")
    ]


def test_what_two_prompts_share_is_what_both_begin_with() -> None:
    assert shared(["a", "b", "c"], ["a", "b", "d", "c"]) == 2
    assert shared(["a", "b"], ["a", "b", "c"]) == shared(["a", "b", "c"], ["a", "b"]) == 2
    assert shared([], ["a"]) == 0


async def test_of_each_request_that_counts_which_the_same_agents_request_before_began_with() -> None:
    meter = PrefixMeter(FunctionModel(lambda request: "answered"))
    tool = ToolSpec("look", "Look.", {})  # as JSON, in brackets: 13 tokens
    call = AssistantMessage(text="", tool_calls=(ToolCall("look", {"at": 1}, "id"),))
    said = (UserMessage(text="one two"),)

    answer = await meter.respond(request(system="you see", messages=said, tail="hot", tools=(tool,)))
    assert answer == ModelResponse("answered")
    head, first = 15, 15 + 4
    assert meter.counted == Prefixes(1, first, 0, 4, 0)

    longer = (*said, call, ToolMessage(call="id", name="look", text="seen"))
    await meter.respond(request("bob", system="you see"))  # another agent: nothing is known
    await meter.respond(request(system="you see", messages=longer, tail="hotter", tools=(tool,)))
    called, seen, tail = 1 + len(tokens('["id", "look", {"at": 1}]')), 3, 1
    second = head + 3 + called + seen + tail
    assert meter.counted == Prefixes(3, first + 2 + second, head + 3, 4 + 3 + called + seen + tail, 3)

    await meter.respond(request(system="you hear", messages=longer, tools=(tool,)))
    assert meter.counted.same == head + 3 + head - 1
    assert meter.counted.said_same == 3
    assert meter.counted.share == meter.counted.same / meter.counted.tokens


def test_of_nothing_there_is_no_share() -> None:
    assert (Prefixes().share, Prefixes().said_share) == (0, 0)


# --- time that repeats itself


def order(seed: int) -> list[int]:
    """In which order tasks go on that all wake at the same instant."""

    async def main(environment: Environment) -> list[int]:
        woken: list[int] = []

        async def sleeper(number: int) -> None:
            await anyio.sleep(1)
            woken.append(number)

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(sleeper, number)
        assert environment.now() == 1
        return woken

    return run_virtually(main, seed)


def test_with_the_same_seed_what_happens_at_one_instant_happens_in_the_same_order() -> None:
    from trio._core import _run

    before = (_run._r.getstate(), _run._ALLOW_DETERMINISTIC_SCHEDULING)
    first = order(1)

    assert sorted(first) == list(range(20))
    assert all(order(1) == first for _ in range(5))
    assert order(2) != first
    assert (_run._r.getstate(), _run._ALLOW_DETERMINISTIC_SCHEDULING) == before


def test_a_stopwatch_goes_by_the_clock_of_the_event_loop() -> None:
    async def main(environment: Environment) -> Took:
        with stopwatch(3) as took:
            await anyio.sleep(7)
        return took

    took = run_virtually(main, 0)

    assert (took.seconds, took.count) == (7, 3)
    assert took.cpu < 7


def test_without_trio_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ModuleNotFoundError("No module named 'trio'", name="trio")

    monkeypatch.setattr("orchestrator.bench.virtual.simulated_time", missing)

    with pytest.raises(DeclarationError, match=r'--simulated: needs trio; pip install "anyio\[trio\]"'):
        order(0)


def test_the_bench_is_loaded_by_its_command_only() -> None:
    code = "import orchestrator.cli, sys; print([name for name in sys.modules if 'orchestrator.bench' in name])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
