"""Whatever a model calls and a tool does: the turn goes on, the model is told why, and nothing is written."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest

from orchestrator import (
    Agent,
    Block,
    BlockEdit,
    Insert,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    Rethink,
    Team,
    ToolCall,
    ToolContext,
    ToolError,
    ToolMessage,
    Update,
    event_from_json,
    event_to_json,
    tool,
)
from orchestrator.blocks import unusable
from orchestrator.events import ChangeRefused
from orchestrator.memory import TOOLS
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel, ScriptedModel

RECORDED = Path(__file__).parent.parent.parent / "shared" / "data" / "tau_airline_scripts.json"
INSERT = '{"label": "notes", "new_string": "né\\n\\ud83d\\udc69", "insert_line": -1}'
NOTES = "one\ntwo\ntwo <3"


class Outcome(NamedTuple):
    run: Any
    answers: list[ToolMessage]
    events: list[Any]


BLOCKS = [
    Block("notes", NOTES, limit=40),
    Block("rules", "Be kind.", read_only=True),
    Block("plan", "Go.").reader(),
    Block("log", "Begun.").contributor(),
    Block("tidy", "A mess.").curator(),
    Block("tasks", "1 open", guard=lambda change: None if "open" in change.new else "a task cannot vanish"),
]


async def outcome(*calls: ToolCall, tools: Any = (), blocks: Any = BLOCKS) -> Outcome:
    """What comes of calls that ann makes in one answer."""
    store, team = MemoryStore(), Team("solo", [Agent("ann", blocks=blocks, tools=tools)])
    model = ScriptedModel({"ann": [ModelResponse("", calls), "done"]})
    with anyio.fail_after(5), model:
        async with Orchestrator(team, store, model=model) as live:
            run = await live.run("Do it.")
    answers = [message for message in model.requests[1].messages if isinstance(message, ToolMessage)]
    return Outcome(run, answers, await store.events(limit=100_000))


def assert_refused(came: Outcome, *words: str, code: str | None = None) -> None:
    """The turn is done, each call is answered with a refusal that has the words, and no block has changed."""
    run, answers, events = came
    assert (run.status, run.output, [turn.status for turn in run.turns]) == ("complete", "done", ["done"])
    assert answers
    for answer in answers:
        assert not answer.ok, answer.text
        assert [word for word in words if word not in answer.text] == [], answer.text
        assert len(answer.text) < 4000
        assert unusable(answer.text) is None
    assert [state.value for state in run.blocks.values()] == [NOTES, "Be kind.", "Go.", "Begun.", "A mess.", "1 open"]
    assert {state.version for state in run.blocks.values()} == {1}
    refusals = [(event.by, event.code) for event in events if isinstance(event, ChangeRefused)]
    assert refusals == ([("ann", code)] if code else [])
    assert [event_from_json(event_to_json(event)).seq for event in events] == list(range(1, len(events) + 1))


@tool
async def ping() -> str:
    """Answers."""
    return "pong"


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


async def test_a_set_is_told_in_an_order_that_is_the_same_in_every_process():
    @tool
    def names() -> set[str]:
        """Names."""
        return {"dave", "bob", "carol", "ann", "eve"}

    came = await outcome(ToolCall("names", {}), tools=[names])
    assert [answer.text for answer in came.answers] == ['["ann","bob","carol","dave","eve"]']


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(INSERT[:-1] + ", }", ["not valid JSON", "trailing comma", "object"], id="trailing comma"),
        pytest.param('{"label": ["notes",]}', ["not valid JSON", "trailing comma", "array"], id="in a list"),
        pytest.param('{"label": ', ["not valid JSON: Expecting value"], id="cut off"),
        pytest.param(INSERT.replace('"', "'"), ["not valid JSON"], id="single quotes"),
        pytest.param(INSERT.replace("-1", "NaN"), ["not valid JSON", "NaN"], id="NaN"),
        pytest.param(INSERT.replace("-1", "1e999"), ["insert_line", "number"], id="a number beyond all floats"),
        pytest.param(INSERT.replace("-1", "9" * 5000), ["not valid JSON", "integer"], id="a number of 5,000 digits"),
        pytest.param('{"label": "log", ' + INSERT[1:], ["not valid JSON", "twice", "'label'"], id="a name twice"),
        pytest.param(INSERT.replace("\\n", "\n"), ["not valid JSON", "control character"], id="a raw line end"),
        pytest.param("[" * 1000 + "]" * 1000, ["memory_insert was not called"], id="lists 1,000 deep"),
        pytest.param('{"a":' * 1000 + "1" + "}" * 1000, ["memory_insert was not called"], id="objects 1,000 deep"),
        pytest.param(INSERT.replace("né", "x" * 2_000_000), ["2,000,0", "shorten"], id="2 MB"),
        pytest.param(INSERT.replace("\\udc69", ""), ["half of a surrogate pair"], id="half a pair"),
        pytest.param(INSERT.replace("né", "\\u0000"), ["NUL"], id="an escaped NUL"),
        pytest.param(f"[{INSERT}]", ["not a JSON object", "list"], id="a list"),
        pytest.param(json.dumps(INSERT), ["not a JSON object", "str"], id="encoded twice"),
        pytest.param("7", ["not a JSON object", "int"], id="a number"),
        pytest.param("", ["label", "new_string", "field required"], id="nothing"),
        pytest.param("null", ["label", "field required"], id="null"),
        pytest.param({"label": "notes"}, ["new_string", "field required"], id="one is missing"),
        pytest.param({"label": "notes", "new_string": "x", "at": 1}, ["at", "not permitted"], id="one too many"),
        pytest.param({"label": "notes", "new_string": 5}, ["new_string", "string"], id="a number for text"),
        pytest.param({"label": "notes", "new_string": ["x"]}, ["new_string", "string"], id="a list for text"),
        pytest.param(
            {"label": "notes", "new_string": "\udc69"}, ["half of a surrogate pair"], id="half a pair, parsed"
        ),
        pytest.param({"label": "notes", "new_string": "a\0"}, ["NUL"], id="a NUL, parsed"),
        pytest.param(
            {"label": "notes", "new_string": nested(1000)}, ["memory_insert was not called"], id="1,000 deep, parsed"
        ),
        pytest.param({"label": "notes", "new_string": float("nan")}, ["NaN is not a number in JSON"], id="NaN, parsed"),
        pytest.param(json.dumps({f"x{n}": 1 for n in range(50_000)}), ["not permitted"], id="50,000 too many"),
    ],
)
async def test_arguments_that_do_not_fit_are_answered_with_what_is_wrong(arguments, words):
    assert_refused(await outcome(ToolCall("memory_insert", arguments)), *words)


async def test_a_call_that_was_cut_off_anywhere_is_not_made():
    raw = INSERT.encode()
    cut = [raw[:end].decode(errors="ignore") for end in range(len(raw))]

    came = await outcome(*(ToolCall("memory_insert", arguments) for arguments in cut))

    assert len(came.answers) == len(raw)
    assert_refused(came, "memory_insert was not called")


@pytest.mark.skipif(not RECORDED.exists(), reason=f"the recorded calls are not here: {RECORDED}")
async def test_of_recorded_calls_only_whole_ones_are_made():
    runs = json.loads(RECORDED.read_text())["runs"]
    recorded = [call for run in runs for event in run["events"] for call in event.get("calls", ())]
    longest = {name: arguments for name, arguments in sorted(recorded, key=lambda call: len(call[1]))}
    made: list[dict[str, Any]] = []

    async def take(**given: Any) -> None:
        """As recorded."""
        made.append(given)

    for name, arguments in longest.items():
        whole = json.loads(arguments)
        take.__name__, take.__annotations__ = name, dict.fromkeys(whole, Any)
        take.__signature__ = Signature([Parameter(parameter, Parameter.KEYWORD_ONLY) for parameter in whole])
        cut = [ToolCall(name, arguments[:end]) for end in range(1, len(arguments))]
        assert_refused(await outcome(*cut, tools=[take]), f"{name} was not called: its arguments are not valid JSON")
        assert made == []
        assert (await outcome(ToolCall(name, arguments), tools=[take])).answers[0].ok
        assert made.pop() == whole
    assert len(longest) > 10


@pytest.mark.parametrize(
    "name", ["memory_forget", "Memory_Insert", "PING", "", "memory_insert ", "</value>", "x" * 500]
)
async def test_of_an_unknown_tool_the_model_is_told_which_it_has(name):
    came = await outcome(ToolCall(name, {"label": "notes", "new_string": "x"}), tools=[ping])

    assert_refused(came, f"there is no tool {name!r}", "memory_insert", "memory_replace", "memory_rethink", "ping")


async def test_a_tool_that_its_grants_do_not_give_it_is_not_listed():
    answer = (await outcome(ToolCall("memory_forget"), blocks=[Block("notes")])).answers[0].text
    assert [tool.name for tool in TOOLS if tool.name in answer] == ["memory_insert", "memory_replace"]


@pytest.mark.parametrize(
    ("code", "name", "arguments", "words"),
    [
        ("unknown_label", "insert", {"label": "nots"}, ["'nots'", "notes, rules, plan, log, tidy, tasks"]),
        ("unknown_label", "insert", {"label": "Notes"}, ["'Notes'", "not attached to you"]),
        ("not_granted", "insert", {"label": "plan"}, ["does not grant you insert", "your grant is read"]),
        ("not_granted", "replace", {"label": "log", "old_string": "Begun."}, ["you replace", "grant is insert"]),
        ("not_granted", "rethink", {"label": "notes"}, ["does not grant you rethink", "your grant is replace"]),
        ("read_only", "insert", {"label": "rules"}, ["'rules' is read-only"]),
        ("read_only", "rethink", {"label": "rules"}, ["'rules' is read-only"]),
        ("over_limit", "insert", {"label": "notes", "text": "x" * 30}, ["would have 45", "limit is 40", "shorten"]),
        ("over_limit", "rethink", {"label": "tidy", "text": "x" * 20_001}, ["20,001", "limit is 20,000"]),
        ("guarded", "replace", {"label": "tasks", "old_string": "open"}, ["cannot vanish", "<value>\n1 open\n<"]),
        ("not_found", "replace", {"label": "notes", "old_string": "three"}, ["never stood there", "two &lt;3\n<"]),
        ("not_found", "replace", {"label": "notes", "old_string": "One"}, ["'One'", "at version 1", "by owner"]),
        ("not_unique", "replace", {"label": "notes", "old_string": "two"}, ["lines 2, 3", "more of the text"]),
        ("not_unique", "replace", {"label": "notes", "old_string": ""}, ["everywhere"]),
        ("line_moved", "insert", {"label": "notes", "insert_line": 4}, ["after line 4", "lines 1 to 3"]),
        ("line_moved", "insert", {"label": "notes", "insert_line": -2}, ["after line -2", "-1"]),
    ],
)
async def test_a_refused_edit_is_an_answer_with_its_reason_and_an_event_with_its_code(code, name, arguments, words):
    text = {"insert": "new_string", "replace": "new_string", "rethink": "new_memory"}[name]
    arguments = {text if key == "text" else key: value for key, value in ({"text": "x"} | arguments).items()}

    came = await outcome(ToolCall(f"memory_{name}", arguments))
    assert_refused(came, "Refused, nothing was changed", *words, code=code)


@pytest.mark.parametrize(
    ("code", "call", "words"),
    [
        ("changed", ("rethink", {"new_memory": "mine"}), ["by bob since you were shown version 1;", "on version 2"]),
        ("line_moved", ("insert", {"new_string": "x", "insert_line": 2}), ["bob changed the block", "after line 2"]),
        ("not_found", ("replace", {"old_string": "two", "new_string": "x"}), ["'two'", "bob changed it"]),
    ],
)
async def test_what_somebody_else_has_overtaken_is_refused_with_the_fresh_text(code, call, words):
    notes, store, answers = Block("notes", "one\ntwo"), MemoryStore(), []
    theirs = ToolCall("memory_rethink", {"label": "notes", "new_memory": "a < b"})
    mine = ToolCall(f"memory_{call[0]}", {"label": "notes", **call[1]})

    async def think(request: ModelRequest) -> ModelResponse:
        answers.extend(message for message in request.messages[-1:] if isinstance(message, ToolMessage))
        if request.step == 1:
            return ModelResponse("done")
        if request.agent == "ann":  # while she thinks, bob writes
            await live.run("Write.", agent="bob")
        return ModelResponse("", [mine if request.agent == "ann" else theirs])

    team = Team("pair", [Agent(name, blocks=[notes.curator()]) for name in ("ann", "bob")])
    with anyio.fail_after(5):
        async with Orchestrator(team, store, model=FunctionModel(think)) as live:
            run = await live.run("Do it.")

    assert [answer.ok for answer in answers] == [True, False]
    for word in (*words, "<value>\na &lt; b\n</value>"):
        assert word in answers[1].text
    assert (run.status, run.blocks["notes"].value, run.blocks["notes"].version) == ("complete", "a < b", 2)
    assert [event.code for event in await store.events() if isinstance(event, ChangeRefused)] == [code]


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def endless() -> None:
    endless()


def raised(error: BaseException) -> Callable[[], None]:
    def function() -> None:
        raise type(error)(*error.args)

    return function


def lookup_that(function: Callable[[], Any], kind: str) -> Callable[..., Any]:
    def lookup() -> Any:
        """Does it."""
        return function()

    async def lookup_async() -> Any:
        """Does it."""
        return function()

    lookup_async.__name__ = "lookup"
    return lookup if kind == "sync" else lookup_async


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize(
    ("function", "words"),
    [
        pytest.param(raised(ToolError("no seats left")), ["no seats left"], id="ToolError"),
        pytest.param(raised(ToolError("seat \ud83d")), ["seat"], id="ToolError with half a pair"),
        pytest.param(raised(ToolError("seat \0")), ["seat"], id="ToolError with a NUL"),
        pytest.param(raised(ValueError("no seats")), ["lookup failed: ValueError: no seats"], id="ValueError"),
        pytest.param(raised(ValueError("seat \ud83d")), ["lookup failed: ValueError: seat"], id="half a pair"),
        pytest.param(raised(Unprintable()), ["lookup failed: Unprintable"], id="an error without a text"),
        pytest.param(raised(ValueError("x" * 1_000_000)), ["lookup failed: ValueError: x"], id="a megabyte of text"),
        pytest.param(raised(StopIteration()), ["lookup failed", "StopIteration"], id="StopIteration"),
        pytest.param(raised(SystemExit(3)), ["lookup failed: SystemExit: 3"], id="SystemExit"),
        pytest.param(raised(GeneratorExit()), ["lookup failed: GeneratorExit"], id="GeneratorExit"),
        pytest.param(raised(MemoryError()), ["lookup failed: MemoryError"], id="MemoryError"),
        pytest.param(endless, ["lookup failed: RecursionError"], id="RecursionError"),
        pytest.param(
            raised(ExceptionGroup("g", [ValueError("no seats")])), ["lookup failed", "no seats"], id="a group"
        ),
        pytest.param(raised(BaseExceptionGroup("g", [SystemExit(3)])), ["lookup failed", "SystemExit"], id="exits"),
    ],
)
async def test_a_tool_that_fails_is_answered_with_what_it_raised(function, words, kind):
    assert_refused(await outcome(ToolCall("lookup"), tools=[lookup_that(function, kind)]), *words)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_tool_that_raises_cancelled_by_hand_cancels_nobody(kind):
    lookup = lookup_that(raised(asyncio.CancelledError()), kind)
    assert_refused(await outcome(ToolCall("lookup"), tools=[lookup]), "lookup failed", "cancelled")


def taken(text: str) -> str:
    raise ToolError(f"seat {text[:3]} is taken")


def broken(text: str) -> str:
    return {}[text]


@pytest.mark.parametrize(
    ("result", "code", "words"),
    [
        pytest.param(object(), None, ["lookup", "JSON"], id="an object"),
        pytest.param(b"\xff", None, ["lookup", "JSON"], id="bytes that are no text"),
        pytest.param("\ud83d", None, ["lookup", "half of a surrogate pair"], id="half a pair"),
        pytest.param({"seat": "\ud83d"}, None, ["lookup", "surrogate"], id="half a pair inside"),
        pytest.param("a\0b", None, ["lookup", "NUL"], id="a NUL"),
        pytest.param(BlockEdit("log", Insert("x"), "\ud83d"), None, ["lookup", "surrogate"], id="an edit's answer"),
        pytest.param(BlockEdit("log", "x"), None, ["lookup", "str"], id="text as an edit"),
        pytest.param(BlockEdit("nots", Insert("x")), "unknown_label", ["'nots'"], id="an unknown label"),
        pytest.param(BlockEdit("log", Update(str.upper)), "not_granted", ["replace"], id="an update"),
        pytest.param(BlockEdit("notes", Rethink("x")), "not_granted", ["rethink"], id="a rethink"),
        pytest.param(BlockEdit("tasks", Update(lambda text: "")), "guarded", ["cannot vanish"], id="a guarded block"),
        pytest.param(BlockEdit("notes", Update(taken)), "tool_refused", ["seat one is taken"], id="a refusal"),
        pytest.param(BlockEdit("notes", Update(broken)), "tool_failed", ["lookup", "KeyError"], id="a bug"),
        pytest.param(BlockEdit("notes", Update(len)), "tool_failed", ["lookup", "int"], id="a number as text"),
    ],
)
async def test_a_tool_that_returns_what_cannot_be_used_is_answered_with_why(result, code, words):
    lookup = lookup_that(lambda: result, "async")
    assert_refused(await outcome(ToolCall("lookup"), tools=[lookup]), *words, code=code)


async def test_a_tool_without_arguments_may_be_called_with_none():
    came = await outcome(*(ToolCall("ping", none) for none in ("", "  ", "{}", "null", {}, None)), tools=[ping])
    assert [answer.text for answer in came.answers] == ["pong"] * 6


async def test_calls_of_one_answer_apply_in_order_and_lines_are_those_that_were_shown():
    came = await outcome(
        ToolCall("memory_insert", {"label": "notes", "new_string": "&lt;top", "insert_line": 0}),
        ToolCall("memory_insert", INSERT.replace("-1", "1"), id="mine"),
        ToolCall("memory_replace", {"label": "notes", "old_string": "gone", "new_string": "x"}, id="mine"),
        ToolCall("memory_replace", {"label": "notes", "old_string": "two &lt;3", "new_string": "&lt;b&gt; &amp;amp;"}),
        ToolCall("memory_rethink", {"label": "tidy", "new_memory": "tidy"}),
        ToolCall("memory_rethink", {"label": "tidy", "new_memory": "1 &lt; 2"}),
    )

    assert came.run.blocks["notes"].value == "<top\none\nné\n👩\ntwo\n<b&gt; &amp;"
    assert (came.run.blocks["notes"].version, came.run.blocks["notes"].by) == (4, "ann")
    assert (came.run.blocks["tidy"].version, came.run.blocks["tidy"].value) == (3, "1 < 2")
    assert [answer.ok for answer in came.answers] == [True, True, False, True, True, True]
    assert came.answers[0].text == "Done: notes is at version 2, 19 of 40 characters."
    assert (came.answers[1].call, len({answer.call for answer in came.answers})) == ("mine", 6)


async def test_a_sync_tool_runs_in_a_worker_thread_and_an_async_one_does_not():
    seen: list[tuple[int, ToolContext]] = []

    def sync(city: str, context: ToolContext, days: int = 1) -> dict[str, int]:
        """Blocks."""
        seen.append((threading.get_ident(), context))
        return {city: days}

    async def direct(context: ToolContext) -> None:
        """Does not."""
        seen.append((threading.get_ident(), context))

    calls = ToolCall("sync", '{"city": "Rome"}'), ToolCall("direct"), ToolCall("sync", {"city": "Ulm", "days": 2})
    run, answers, _ = await outcome(*calls, tools=[sync, direct])

    assert [thread == threading.get_ident() for thread, _ in seen] == [False, True, False]
    assert [answer.text for answer in answers] == ['{"Rome":1}', "Done.", '{"Ulm":2}']
    for number, (_, context) in enumerate(seen):
        assert context.key == f"{run.id}/{run.turns[0].id}/0/{number}"
        assert (context.agent, context.call, context.blocks["notes"]) == ("ann", number, NOTES)


async def test_a_tools_edit_is_applied_with_the_grants_of_who_calls_it():
    @tool
    def shout() -> BlockEdit:
        """Rewrites."""
        return BlockEdit("notes", Update(str.upper), "shouted")

    for block, ok, value in [(Block("notes", "a").contributor(), False, "a"), (Block("notes", "a"), True, "A")]:
        run, answers, _ = await outcome(ToolCall("shout"), tools=[shout], blocks=[block])
        assert (run.blocks["notes"].value, answers[0].ok) == (value, ok)
        assert ("shouted" in answers[0].text, "does not grant you replace" in answers[0].text) == (ok, not ok)
