"""A request as it is handed to litellm, and what is made of an answer."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator import AssistantMessage, ModelRequest, ModelResponse, ToolCall, ToolMessage, ToolSpec, UserMessage
from orchestrator.models.failures import Failure
from orchestrator.models.wire import messages_to_wire, response_from_wire, tools_to_wire


def sent(*messages: Any, breakpoints: bool = False, **options: Any) -> list[dict[str, Any]]:
    return messages_to_wire(ModelRequest("ann", messages=messages, **options), breakpoints=breakpoints)


def said(*calls: ToolCall, text: str = "") -> AssistantMessage:
    return AssistantMessage(text=text, tool_calls=calls)


def result(call: str, text: str = "Done.") -> ToolMessage:
    return ToolMessage(call=call, name="insert", text=text)


def test_system_text_comes_first_and_the_tail_after_all_results():
    wire = sent(
        UserMessage(text="hi"), said(ToolCall("insert", {"a": 1}, "c1"), text="ok"), result("c1"), system="S", tail="T"
    )

    call = {"id": "c1", "type": "function", "function": {"name": "insert", "arguments": '{"a": 1}'}}
    assert wire == [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "ok", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "Done."},
        {"role": "user", "content": "T"},
    ]


def test_the_cache_ends_after_the_system_text_and_before_the_tail():
    mark = {"type": "ephemeral"}
    wire = sent(UserMessage(text="hi"), UserMessage(text="there"), system="S", tail="T", breakpoints=True)
    assert [message.get("cache_control") for message in wire] == [mark, None, mark, None]

    ends_with_an_answer = sent(UserMessage(text="hi"), said(text="yes"), tail="T", breakpoints=True)
    assert [message.get("cache_control") for message in ends_with_an_answer] == [None, None, None]

    assert not any("cache_control" in message for message in sent(UserMessage(text="hi"), system="S", tail="T"))


def test_what_a_user_says_in_a_row_is_one_message_where_no_cache_ends_in_it():
    wire = sent(UserMessage(text="woken"), UserMessage(text="hi"), said(text="yes"), UserMessage(text="more"), tail="T")

    texts = [(message["role"], message["content"]) for message in wire]
    assert texts == [("user", "woken\n\nhi"), ("assistant", "yes"), ("user", "more\n\nT")]


def test_texts_that_are_empty_are_left_out_or_said_to_be_empty():
    wire = sent(
        UserMessage(text=" \n"), said(text=""), said(ToolCall("insert", {}, "c1"), text="\n"), system=" ", tail=""
    )

    assert [(message["role"], message["content"]) for message in wire] == [
        ("user", "(no text)"),
        ("assistant", None),
        ("tool", "This call was not made: the turn ended before."),
    ]


def test_a_request_has_at_least_one_message():
    assert sent(system="S") == [{"role": "system", "content": "S"}, {"role": "user", "content": "(no text)"}]
    assert sent(tail="T") == [{"role": "user", "content": "T"}]


def test_calls_that_an_earlier_turn_left_without_an_answer_get_one():
    calls = [ToolCall("insert", {}, "c1"), ToolCall("insert", {}, "c2")]
    wire = sent(said(*calls), result("c1", "first"), UserMessage(text="again"), said(*calls), result("c2", "second"))

    results = [message["content"] for message in wire if message["role"] == "tool"]
    not_made = "This call was not made: the turn ended before."
    assert results == ["first", not_made, not_made, "second"]
    assert [message["role"] for message in wire] == ["assistant", "tool", "tool", "user", "assistant", "tool", "tool"]


@pytest.mark.parametrize(
    ("arguments", "wire"),
    [
        ('{"a":  1}', '{"a":  1}'),
        ({"a": "ü"}, '{"a": "ü"}'),
        ("", "{}"),
        ('{"a": ', '{"not_a_json_object": "{\\"a\\": "}'),
        ("[1]", '{"not_a_json_object": "[1]"}'),
        ("null", '{"not_a_json_object": "null"}'),
        ('{"a": NaN}', '{"not_a_json_object": "{\\"a\\": NaN}"}'),
        ("x" * 5000, json.dumps({"not_a_json_object": "x" * 2000})),
        ("[" * 100_000, json.dumps({"not_a_json_object": "[" * 2000})),
    ],
)
def test_arguments_go_back_as_they_came_if_they_are_an_object(arguments, wire):
    message = sent(said(ToolCall("insert", arguments, "c1")))[0]

    assert message["tool_calls"][0]["function"]["arguments"] == wire


def test_names_that_a_model_made_up_cannot_spoil_later_requests():
    wire = sent(said(ToolCall("functions.insert now", {}, "c1"), ToolCall("", {}, "c2"), ToolCall("x" * 100, {}, "c3")))

    names = [call["function"]["name"] for call in wire[0]["tool_calls"]]
    assert names == ["functions_insert_now", "unnamed", "x" * 64]


def test_tools_are_functions():
    spec = ToolSpec("insert", "Inserts.", {"type": "object"})
    request = ModelRequest("ann", tools=(spec,), messages=(said(ToolCall("other", {}, "c1")),))

    function = {"name": "insert", "description": "Inserts.", "parameters": {"type": "object"}}
    assert tools_to_wire(request) == [{"type": "function", "function": function}]


def test_without_tools_those_of_the_history_are_named_for_providers_that_want_to_know_them():
    assert tools_to_wire(ModelRequest("ann", messages=(UserMessage(text="hi"),))) == []

    calls = (ToolCall("insert", {}, "c1"), ToolCall("insert", {}, "c2"), ToolCall("a b", {}, "c3"))
    tools = tools_to_wire(ModelRequest("ann", messages=(said(*calls),)))
    assert [tool["function"]["name"] for tool in tools] == ["insert", "a_b"]
    assert all("do not call" in tool["function"]["description"] for tool in tools)


# --- answers


def answer(content: Any = None, calls: Any = None, finish: str = "stop", cost: Any = None, **tokens: Any) -> Any:
    message = SimpleNamespace(content=content, tool_calls=calls)
    usage = SimpleNamespace(
        prompt_tokens=tokens.get("read"),
        completion_tokens=tokens.get("written"),
        prompt_tokens_details=SimpleNamespace(cached_tokens=tokens.get("cached")),
    )
    choice = SimpleNamespace(message=message, finish_reason=finish)
    return SimpleNamespace(choices=[choice], usage=usage, _hidden_params={"response_cost": cost})


def understood(*args: Any, **options: Any) -> ModelResponse:
    response = response_from_wire(answer(*args, **options))
    assert isinstance(response, ModelResponse)
    return response


def called(name: str | None, arguments: str | None, id: str | None = "c1") -> Any:
    return SimpleNamespace(id=id, function=SimpleNamespace(name=name, arguments=arguments))


def test_text_calls_and_usage_are_understood():
    response = understood(
        "hi", [called("insert", '{"a": '), called(None, None, None)], read=10, written=5, cached=4, cost=0.5
    )

    assert response.text == "hi"
    assert response.tool_calls == (ToolCall("insert", '{"a": ', "c1"), ToolCall("", "", None))
    usage = response.usage
    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.cost, usage.calls) == (10, 4, 5, 0.5, 0)


def test_content_in_parts_is_put_together():
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, "b", {"type": "text", "text": 3}, {"text": "c"}]

    assert understood(parts).text == "ac"
    assert understood(None).text == ""


def test_what_cannot_be_stored_is_written_out():
    response = understood("a\0b\ud800", [called("in\0sert", "\ud800")])

    assert response.text == "a\\0b\\ud800"
    assert response.tool_calls == (ToolCall("in\\0sert", "\\ud800", "c1"),)


@pytest.mark.parametrize("tokens", [{}, {"read": None}, {"read": "many", "written": -3, "cached": 2}])
def test_usage_that_is_missing_or_wrong_is_none_and_costs_nobody_knows_what(tokens):
    usage = understood("hi", cost=0.0, **tokens).usage

    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.cost) == (0, 0, 0, None)


@pytest.mark.parametrize(
    ("cost", "known"), [(None, None), (0.0, 0.0), (1, 1.0), (-1, None), (float("nan"), None), ("1", None)]
)
def test_a_cost_is_a_number_or_unknown(cost, known):
    assert understood("hi", read=1, cost=cost).usage.cost == known


def test_an_answer_without_hidden_parameters_or_usage_has_no_cost():
    bare = answer("hi")
    bare._hidden_params = None
    bare.usage = None

    response = response_from_wire(bare)

    assert isinstance(response, ModelResponse)
    assert response.usage.cost is None


@pytest.mark.parametrize("choices", [[], None, [SimpleNamespace(message=None)]])
def test_an_answer_without_a_choice_may_come_out_better_next_time(choices):
    failure = response_from_wire(SimpleNamespace(choices=choices))

    assert failure == Failure("unavailable", "the answer holds no choice", may_pass=True)


def test_a_text_that_was_cut_off_is_kept_but_nothing_at_all_is_a_failure():
    assert understood("half a sen", finish="length").text == "half a sen"
    assert understood(None, [called("insert", '{"a": ')], finish="length").tool_calls[0].arguments == '{"a": '

    failure = response_from_wire(answer("", finish="length", read=1, written=4096))
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.may_pass) == ("refused", False)
    assert "cut off after 4,096 tokens" in failure.reason


def test_a_withheld_answer_is_a_failure_and_a_silent_one_is_not():
    failure = response_from_wire(answer(None, finish="content_filter"))
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.may_pass) == ("content", False)

    assert understood(" ", finish="stop").text == " "
