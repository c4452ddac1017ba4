"""What a request would have cost: tokens, estimated by their length."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from math import ceil
from typing import Final

from orchestrator import AssistantMessage, ModelRequest, ModelResponse, ToolCall, Usage

#: Characters of our prompts to a token. Two tokenizers of large providers find 3.7 and 3.8.
_PER_TOKEN: Final = 4


def usage(request: ModelRequest, response: ModelResponse) -> Usage:
    """The tokens that a model would have read and written, at four characters each; none of them cached."""
    written = (response.text, *_calls(response.tool_calls))
    return Usage(input_tokens=_tokens(_read(request)), output_tokens=_tokens(written))


def _read(request: ModelRequest) -> Iterator[str]:
    for spec in request.tools:
        yield _as_json([spec.name, spec.description, spec.parameters])
    yield request.system
    for message in request.messages:
        yield message.text
        if isinstance(message, AssistantMessage):
            yield from _calls(message.tool_calls)
    yield request.tail


def _calls(calls: Iterable[ToolCall]) -> Iterator[str]:
    return (_as_json([call.name, call.arguments]) for call in calls)


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)  # a character is one, in any script


def _tokens(texts: Iterable[str]) -> int:
    return ceil(sum(map(len, texts)) / _PER_TOKEN)
