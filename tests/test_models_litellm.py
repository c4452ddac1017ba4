"""Models of providers, asked by litellm over real sockets, of a server that misbehaves."""

from __future__ import annotations

import traceback
from typing import Any

import anyio
import pytest
from provider_server import Answer, Call, Close, Hang, Provider, Raw, error

from orchestrator import (
    AssistantMessage,
    ContentRefused,
    ContextTooLong,
    DeclarationError,
    Environment,
    LiteLLMModel,
    ModelError,
    ModelNotFound,
    ModelRefused,
    ModelRequest,
    ModelUnavailable,
    RateLimited,
    ToolCall,
    ToolMessage,
    ToolSpec,
    UserMessage,
)

pytestmark = [
    # Of pydantic, about types of litellm's: at its import, and when a server sends what is not of the type.
    pytest.mark.filterwarnings("ignore:Item '.*' on TypedDict class:UserWarning"),
    pytest.mark.filterwarnings("ignore:(?s)Pydantic serializer warnings:UserWarning"),
]

WIRES = ("openai/gpt-5-mini", "anthropic/claude-haiku-4-5")
KEY = "canary-0123456789"
JSON = {"content-type": "application/json"}
REQUEST = ModelRequest("ann", system="You are Ann.", messages=(UserMessage(text="hi"),), tail="<memory_blocks/>")


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)


class Impatient(Environment):
    """Waits as little as jitter allows."""

    def __init__(self) -> None:
        super().__init__()
        self.random.uniform = lambda low, high: 0.0  # type: ignore[method-assign]


def model(name: str, provider: Provider, **options: Any) -> LiteLLMModel:
    base = provider.openai if name.startswith("openai/") else provider.url
    return LiteLLMModel(name, **{"environment": Impatient(), "timeout": 30, "api_base": base, **options})


async def failure(name: str, provider: Provider, **options: Any) -> ModelError:
    with anyio.fail_after(40), pytest.raises(ModelError) as raised:
        await model(name, provider, **options).respond(REQUEST)
    return raised.value


@pytest.mark.parametrize("name", WIRES)
async def test_an_answer_is_text_calls_tokens_and_cost(name):
    calls = (Call("memory_insert", '{"label": "x"}'), Call("search", '{"q": "y"}'))
    with Provider(Answer("Let me see.", calls, input_tokens=1000, cached_tokens=400, output_tokens=50)) as provider:
        response = await model(name, provider).respond(REQUEST)

    assert response.text == "Let me see."
    assert [(call.name, call.arguments) for call in response.tool_calls] == [
        ("memory_insert", '{"label": "x"}'),
        ("search", '{"q": "y"}'),
    ]
    assert len({call.id for call in response.tool_calls} - {None}) == 2
    usage = response.usage
    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens) == (1000, 400, 50)
    assert usage.cost is not None
    assert 0 < usage.cost < 0.01


async def test_a_price_that_nobody_knows_is_unknown():
    with Provider(Answer("yes")) as provider:
        response = await model("openai/no-such-model", provider).respond(REQUEST)

    assert response.text == "yes"
    assert response.usage.input_tokens == 11
    assert response.usage.cost is None


SPEC = ToolSpec("memory_insert", "Inserts.", {"type": "object", "properties": {"label": {"type": "string"}}})
HISTORY = ModelRequest(
    "ann",
    system="You are Ann.",
    messages=(
        UserMessage(text="hi"),
        AssistantMessage(
            tool_calls=(ToolCall("memory_insert", '{"label": "x"}', "c1"), ToolCall("memory_insert", '{"lab', "c2"))
        ),
        ToolMessage(call="c1", name="memory_insert", text="Done."),
        ToolMessage(call="c2", name="memory_insert", text="not valid JSON", ok=False),
    ),
    tail="<memory_blocks/>",
    tools=(SPEC,),
)


async def test_a_history_with_broken_calls_is_a_valid_request_for_openai():
    with Provider(Answer("yes")) as provider:
        await model(WIRES[0], provider, temperature=1).respond(HISTORY)

    (asked,) = provider.asked
    assert (asked.path, asked.headers["authorization"]) == ("/v1/chat/completions", f"Bearer {KEY}")
    roles = [message["role"] for message in asked.body["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "tool", "user"]
    arguments = [call["function"]["arguments"] for call in asked.body["messages"][2]["tool_calls"]]
    assert arguments == ['{"label": "x"}', '{"not_a_json_object": "{\\"lab"}']
    assert asked.body["messages"][-1]["content"] == "<memory_blocks/>"
    assert asked.body["tools"][0]["function"]["parameters"] == SPEC.parameters
    assert asked.body["temperature"] == 1
    assert "cache_control" not in str(asked.body)


async def test_for_anthropic_the_tail_is_in_the_message_of_the_results_after_the_breakpoint():
    with Provider(Answer("yes")) as provider:
        await model(WIRES[1], provider, max_tokens=77).respond(HISTORY)

    (asked,) = provider.asked
    assert (asked.path, asked.headers["x-api-key"]) == ("/v1/messages", KEY)
    assert asked.body["max_tokens"] == 77
    mark = {"type": "ephemeral"}
    assert asked.body["system"] == [{"type": "text", "text": "You are Ann.", "cache_control": mark}]
    said, called, results = asked.body["messages"]
    assert said == {"role": "user", "content": [{"type": "text", "text": "hi"}]}
    assert [part["input"] for part in called["content"]] == [{"label": "x"}, {"not_a_json_object": '{"lab'}]
    assert results == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": "Done."},
            {"type": "tool_result", "tool_use_id": "c2", "content": "not valid JSON", "cache_control": mark},
            {"type": "text", "text": "<memory_blocks/>"},
        ],
    }


@pytest.mark.parametrize("name", WIRES)
async def test_a_history_of_calls_can_be_sent_when_no_tool_is_on_offer_any_more(name):
    bare = ModelRequest("ann", messages=HISTORY.messages)
    with Provider(Answer("yes")) as provider:
        response = await model(name, provider).respond(bare)

    assert response.text == "yes"
    assert "memory_insert" in str(provider.asked[0].body["tools"])


@pytest.mark.parametrize(
    ("arguments", "understood"),
    [('{"a": ', '{"a": '), ("", ""), (None, ""), ({"a": 1}, '{"a": 1}'), ("[1]", "[1]"), ('{"a":  1}', '{"a":  1}')],
)
async def test_arguments_are_kept_as_they_were_sent(arguments, understood):
    with Provider(Answer(None, (Call("insert", arguments),))) as provider:
        response = await model(WIRES[0], provider).respond(REQUEST)

    assert response.tool_calls[0].arguments == understood


@pytest.mark.parametrize("name", WIRES)
@pytest.mark.parametrize(
    ("reply", "kind", "told"),
    [
        (error(400, "bad things"), ModelRefused, "bad things (status 400)"),
        (error(401, "who?"), ModelRefused, "who? (status 401). Check the key for"),
        (error(403, "not you"), ModelRefused, "not you (status 403). The key for"),
        (error(404, "no such model"), ModelRefused, "no such model (status 404). Check the name"),
        (error(413, "too big"), ModelRefused, "too big (status 413)"),
        (error(422, "odd"), ModelRefused, "odd (status 422)"),
        (error(429, "See your plan.", "insufficient_quota"), ModelRefused, "add credit"),
        (error(400, "m", "context_length_exceeded"), ContextTooLong, "Shorten its blocks"),
        (error(400, "prompt is too long: 9 tokens > 8 maximum"), ContextTooLong, "9 tokens > 8 maximum (status 400)"),
        (error(400, "m", "content_policy_violation"), ContentRefused, "m (status 400)"),
        (Answer(None, finish="content_filter"), ContentRefused, "withheld"),
        (Answer(None, finish="length", output_tokens=4096), ModelRefused, "cut off after 4,096 tokens"),
    ],
)
async def test_what_will_not_pass_is_not_tried_again(name, reply, kind, told):
    with Provider(reply) as provider:
        raised = await failure(name, provider)

    assert type(raised) is kind
    assert f"model {name!r} refused the request: " in str(raised)
    assert told in str(raised)
    assert raised.status == (reply.status if isinstance(reply, Raw) else None)
    assert len(provider.asked) == 1


@pytest.mark.parametrize("name", WIRES)
@pytest.mark.parametrize(
    ("reply", "status", "told"),
    [
        (error(408, "late"), 408, "late"),
        (error(409, "conflict"), 409, "conflict"),
        (error(425, "early"), 425, "early"),
        (error(500, "oops"), 500, "oops"),
        (
            Raw(502, b"<html><h1>Bad Gateway</h1></html>", {"content-type": "text/html"}),
            502,
            "Bad Gateway (status 502)",
        ),
        (error(503, "busy"), 503, "busy"),
        (error(529, "overloaded", "overloaded_error"), 529, "overloaded"),
        (Close(), None, "the connection failed"),
        (Close(after=5), None, "the connection failed"),
        (Raw(200, b"{nope", JSON), None, "the answer cannot be used"),
        (Raw(200, b"", JSON), None, "the answer cannot be used"),
        (Raw(200, b"<html>", {"content-type": "text/html"}), None, "the answer cannot be used"),
        (Raw(200, error(500, "inner").body, JSON), None, "the answer cannot be used"),
        (Answer("x", overlay={"usage": "many", "choices": "none"}), None, "the answer"),
    ],
)
async def test_what_may_pass_is_tried_again_and_then_told(name, reply, status, told):
    with Provider(reply) as provider:
        raised = await failure(name, provider, attempts=2)

    assert type(raised) is ModelUnavailable
    assert str(raised).startswith(f"model {name!r} gave no answer after 2 attempts in ")
    assert told in str(raised)
    assert (raised.status, raised.attempts) == (status, 2)
    assert len(provider.asked) == 2


async def test_an_answer_without_a_choice_is_asked_for_again():
    with Provider(Answer("x", overlay={"choices": []}), Answer("better")) as provider:
        response = await model(WIRES[0], provider).respond(REQUEST)

    assert response.text == "better"
    assert len(provider.asked) == 2


@pytest.mark.parametrize("name", WIRES)
async def test_an_answer_that_comes_at_the_third_attempt_is_the_answer(name):
    with Provider(error(503, "busy"), error(429, "slow", retry_after_ms="1"), Answer("at last")) as provider:
        with anyio.fail_after(40):
            response = await model(name, provider).respond(REQUEST)

    assert response.text == "at last"
    assert len(provider.asked) == 3


@pytest.mark.parametrize("name", WIRES)
@pytest.mark.parametrize("pause", ["120", "Wed, 21 Oct 2099 07:28:00 GMT"])
async def test_a_long_pause_that_is_asked_for_is_told_instead_of_waited_for(name, pause):
    with Provider(error(429, "slow down", retry_after=pause)) as provider:
        raised = await failure(name, provider)

    assert isinstance(raised, RateLimited)
    assert raised.retry_after is not None
    assert raised.retry_after >= 120
    assert "slow down; it asks for a pause of" in str(raised)
    assert (raised.status, raised.attempts, len(provider.asked)) == (429, 1, 1)


async def test_nobody_at_the_address_is_told_as_such():
    with Provider(Answer("x")) as provider:
        address = provider.url
    for name in WIRES:
        nobody = LiteLLMModel(name, api_base=address, attempts=1)
        with anyio.fail_after(40), pytest.raises(ModelUnavailable, match=r"connection failed: Cannot connect to host"):
            await nobody.respond(REQUEST)


@pytest.mark.parametrize("name", WIRES)
@pytest.mark.parametrize("reply", [Hang(), Raw(200, b" " * 1000, JSON, drip=0.02)])
async def test_an_attempt_ends_at_its_deadline_whatever_the_server_does(name, reply):
    with Provider(Answer("warm"), reply) as provider:
        await model(name, provider).respond(REQUEST)
        raised = await failure(name, provider, timeout=0.2, attempts=2)

        assert isinstance(raised, ModelUnavailable)
        assert "after 2 attempts in " in str(raised)
        assert "no answer within 0.2 s" in str(raised)
        assert len(provider.asked) == 3
        assert await anyio.to_thread.run_sync(provider.abandoned.wait, 10), "the request goes on"


@pytest.mark.parametrize("name", WIRES)
async def test_a_cancelled_call_leaves_no_request_behind(name):
    with Provider(Hang()) as provider:
        with anyio.fail_after(40):
            async with anyio.create_task_group() as group:
                group.start_soon(model(name, provider).respond, REQUEST)
                await anyio.to_thread.run_sync(provider.reached.wait, 30)
                group.cancel_scope.cancel()

        assert await anyio.to_thread.run_sync(provider.abandoned.wait, 10), "the request goes on"
    assert len(provider.asked) == 1


async def test_many_requests_at_once_get_their_own_answers():
    def decide(asked: Any) -> Answer:
        texts = str(asked.body["messages"])
        return Answer(next(f"answer {n}" for n in range(40) if f"'question {n}'" in texts))

    answers: dict[int, str] = {}
    with Provider(decide=decide) as provider:
        both = [model(name, provider) for name in WIRES]

        async def ask(number: int) -> None:
            request = ModelRequest("ann", messages=(UserMessage(text=f"question {number}"),))
            answers[number] = (await both[number % 2].respond(request)).text

        with anyio.fail_after(40):
            async with anyio.create_task_group() as group:
                for number in range(40):
                    group.start_soon(ask, number)

    assert answers == {number: f"answer {number}" for number in range(40)}


@pytest.mark.parametrize("name", WIRES)
async def test_a_key_that_the_server_repeats_is_in_no_error(name):
    by_hand, header = "by-hand-987654321", "header-55555555"
    echo = f"Incorrect API key provided: {KEY}, or {by_hand}, or {header}, or sk-proj-abcdefghijklmnop"
    with Provider(error(401, echo)) as provider:
        asked = model(name, provider, api_key=by_hand, extra_headers={"x-more": header})
        with pytest.raises(ModelRefused) as raised:
            await asked.respond(REQUEST)

    everything = "".join(traceback.format_exception(raised.value)) + repr(raised.value) + repr(asked)
    assert "Incorrect API key provided: [key], or [key], or [key], or [key]" in everything
    for key in (KEY, by_hand, header, "sk-proj"):
        assert key not in everything
    assert by_hand in str(dict(provider.asked[0].headers)), "it was sent"


@pytest.mark.parametrize(("name", "variable"), [(WIRES[0], "OPENAI_API_KEY"), (WIRES[1], "ANTHROPIC_API_KEY")])
async def test_a_missing_key_is_told_by_its_variable(name, variable, monkeypatch):
    monkeypatch.delenv(variable)
    with Provider(Answer("x")) as provider:
        raised = await failure(name, provider)

    assert isinstance(raised, ModelRefused)
    assert f"Not set in the environment: {variable}" in str(raised)
    assert provider.asked == []


async def test_a_provider_that_litellm_does_not_know_is_told_at_the_first_request(capfd):
    with pytest.raises(ModelNotFound, match="knows no provider 'opneai'; did you mean 'openai'") as raised:
        await LiteLLMModel("opneai/gpt-5-mini").respond(REQUEST)
    with pytest.raises(ModelNotFound, match=r"knows no provider 'qqqqqq'$"):
        await LiteLLMModel("qqqqqq/gpt-5-mini").respond(REQUEST)

    assert raised.value.__cause__ is None
    assert capfd.readouterr() == ("", "")


async def test_nothing_is_printed(capfd):
    with Provider(error(500, "oops"), Answer("x", finish="banana")) as provider:
        for name in WIRES:
            await model(name, provider).respond(REQUEST)

    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"timeout": 0}, "timeout is 0"),
        ({"attempts": 0}, "attempts is 0"),
        ({"messages": []}, "'messages' is not for you to give"),
        ({"stream": True}, "'stream' is not for you to give"),
    ],
)
def test_what_cannot_work_is_refused_at_once(options, problem):
    with pytest.raises(DeclarationError, match=problem):
        LiteLLMModel("openai/gpt-5-mini", **options)


@pytest.mark.parametrize("name", ["gpt-5-mini", "/gpt", "openai/", "/", ""])
def test_a_name_that_is_no_provider_and_model_is_refused_at_once(name):
    with pytest.raises(ModelNotFound, match="not of the form provider/model"):
        LiteLLMModel(name)
