"""A request as chat completions have it, from which litellm makes every other form; and an answer from there.

What stands here holds for all providers at once: no empty texts, no call without an answer, arguments that are
JSON objects. Some providers would let more pass; what one of them refuses would fail in every turn from then on,
since the history is sent again each time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn

from orchestrator.messages import AssistantMessage, Message, ToolCall, ToolMessage, Usage, UserMessage
from orchestrator.models.failures import Failure
from orchestrator.ports import ModelRequest, ModelResponse

_Wire = dict[str, Any]

#: Marks where a provider's cache may end, for those who want to be told.
_BREAKPOINT: Final = {"cache_control": {"type": "ephemeral"}}

#: The result of a call whose turn ended before the tool ran; providers want one for each call.
_NOT_RUN: Final = "This call was not made: the turn ended before."

#: Of arguments that are no JSON object, that many characters go back to the model.
_MOST_RAW: Final = 2000


def messages_to_wire(request: ModelRequest, *, breakpoints: bool) -> list[_Wire]:
    """System text, history, and last the tail, as a user's content after all tool results.

    With `breakpoints`, the cache is told to end after the system text, and before the tail, which is then a
    message of its own; litellm puts it into that of the results, for providers that want this.
    """
    wire = list(_history(request.messages))
    if breakpoints and wire and wire[-1]["role"] != "assistant":
        wire[-1] |= _BREAKPOINT
    if request.tail.strip():
        wire.append(_user(request.tail))
    if not breakpoints:
        wire = _joined(wire)
    if request.system.strip():
        wire.insert(0, {"role": "system", "content": request.system} | (_BREAKPOINT if breakpoints else {}))
    if all(message["role"] == "system" for message in wire):
        wire.append(_user(""))  # a request has at least one message
    return wire


def tools_to_wire(request: ModelRequest) -> list[_Wire]:
    """The tools on offer, as functions; and those that the history calls, which some providers want to know."""
    wire = [_function(spec.name, spec.description, spec.parameters) for spec in request.tools]
    if wire:
        return wire
    called = (
        call.name
        for message in request.messages
        if isinstance(message, AssistantMessage)
        for call in message.tool_calls
    )
    nothing: _Wire = {"type": "object", "properties": {}}
    names = dict.fromkeys(_name(name) for name in called)
    return [_function(name, "Not on offer any more: do not call it.", nothing) for name in names]


def response_from_wire(answer: Any) -> ModelResponse | Failure:
    """What litellm understood of an answer. Arguments stay as they were sent; reasoning is not kept."""
    choice: Any = next(iter(answer.choices or ()), None)
    message = getattr(choice, "message", None)
    if message is None:
        return Failure("unavailable", "the answer holds no choice", may_pass=True)
    text = _text(message.content)
    calls = [
        ToolCall(clean(call.function.name or ""), clean(call.function.arguments or ""), call.id or None)
        for call in message.tool_calls or ()
    ]
    usage = _usage(answer)
    if not text.strip() and not calls:
        if choice.finish_reason == "length":
            limit = (
                f"it was cut off after {usage.output_tokens:,} tokens, before it said anything; allow more max_tokens"
            )
            return Failure("refused", limit)
        if choice.finish_reason == "content_filter":
            return Failure("content", "the answer was withheld by the provider's content filter")
    return ModelResponse(text, calls, usage)


# --- what is sent


def _history(messages: Sequence[Message]) -> Iterable[_Wire]:
    for place, message in enumerate(messages):
        if isinstance(message, UserMessage):
            yield _user(message.text)
        elif isinstance(message, AssistantMessage):
            yield from _assistant(message, messages[place + 1 :])
        # Results stand directly after their calls, and come from there.


def _joined(wire: Iterable[_Wire]) -> list[_Wire]:
    """With what a user says in one message: some models' templates want user and assistant to alternate."""
    joined: list[_Wire] = []
    for message in wire:
        if joined and message["role"] == joined[-1]["role"] == "user":
            joined[-1] = _user(f"{joined[-1]['content']}\n\n{message['content']}")
        else:
            joined.append(message)
    return joined


def _user(text: str) -> _Wire:
    return {"role": "user", "content": text if text.strip() else "(no text)"}


def _assistant(message: AssistantMessage, later: Sequence[Message]) -> Iterable[_Wire]:
    """What the model said, and the result of each of its calls."""
    if not message.tool_calls:
        if message.text.strip():
            yield {"role": "assistant", "content": message.text}
        return
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": _name(call.name), "arguments": _arguments(call.arguments)},
        }
        for call in message.tool_calls
    ]
    yield {"role": "assistant", "content": message.text if message.text.strip() else None, "tool_calls": calls}
    results = {result.call: result.text for result in _results(later)}
    for call in message.tool_calls:
        yield {"role": "tool", "tool_call_id": call.id, "content": results.get(call.id or "", _NOT_RUN)}


def _results(later: Sequence[Message]) -> Iterable[ToolMessage]:
    for message in later:
        if not isinstance(message, ToolMessage):
            return
        yield message


def _name(name: str) -> str:
    """A tool's name as providers accept it: a model may have made one up that they do not."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "unnamed"


def _arguments(arguments: dict[str, Any] | str) -> str:
    """A JSON object as it came; what is none, inside of one."""
    if not isinstance(arguments, str):
        return json.dumps(arguments, ensure_ascii=False)
    try:
        parsed = json.loads(arguments or "{}", parse_constant=_no_constant)
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, dict):
        return arguments or "{}"
    return json.dumps({"not_a_json_object": arguments[:_MOST_RAW]}, ensure_ascii=False)


def _no_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number in JSON")


def _function(name: str, description: str, parameters: _Wire) -> _Wire:
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


# --- what came


def clean(text: str) -> str:
    """The text, with what can be neither stored nor sent again written out."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


def _text(content: Any) -> str:
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        content = "".join(part for part in parts if isinstance(part, str))
    return clean(content) if isinstance(content, str) else ""


def _usage(answer: Any) -> Usage:
    usage = getattr(answer, "usage", None)
    details = getattr(usage, "prompt_tokens_details", None)
    read, written = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    return Usage(
        input_tokens=read,
        # of all input tokens, also for those providers that count them apart: litellm adds them up
        cached_tokens=min(read, _count(details, "cached_tokens")),
        output_tokens=written,
        # Without tokens there is no knowing what it cost.
        cost=_cost(answer) if read or written else None,
    )


def _count(holder: Any, name: str) -> int:
    value = getattr(holder, name, None)
    return value if isinstance(value, int) and value > 0 else 0


def _cost(answer: Any) -> float | None:
    """By litellm's own price list, which is not asked for over the network."""
    hidden = getattr(answer, "_hidden_params", None)
    cost = hidden.get("response_cost") if isinstance(hidden, dict) else None
    return float(cost) if isinstance(cost, int | float) and 0 <= cost < float("inf") else None
