"""How much of what a model is sent it was sent before: the part of each prompt that a provider may have cached.

A provider's cache holds beginnings. So of each request that part counts which begins as the same agent's previous
request began. Tokens are counted in words and signs, which needs no provider's tokenizer and no network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from orchestrator.messages import AssistantMessage, Message, ToolMessage
from orchestrator.ports import Model, ModelRequest, ModelResponse

_TOKEN: Final = re.compile(r"\w+|[^\w\s]")


@dataclass(slots=True)
class Prefixes:
    """What was sent, in tokens; and how much of it stood, word for word, at the same place of the request before."""

    requests: int = 0
    tokens: int = 0
    same: int = 0
    #: The same without tools and system text, which hardly ever change: messages and tail only.
    said: int = 0
    said_same: int = 0

    @property
    def share(self) -> float:
        """Of all tokens, those in an unchanged prefix: 0 to 1."""
        return self.same / self.tokens if self.tokens else 0.0

    @property
    def said_share(self) -> float:
        """Of the tokens of messages and tails, those in an unchanged prefix: 0 to 1."""
        return self.said_same / self.said if self.said else 0.0


class PrefixMeter:
    """A model that counts what it is sent, and lets another one answer.

    Args:
        model: who answers.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._last: dict[str, list[str]] = {}
        self.counted = Prefixes()

    async def respond(self, request: ModelRequest) -> ModelResponse:
        """Compare the request with the one before it, of the same agent; an agent's first one is all new."""
        head = tokens("\n".join(_head(request)))
        sent = head + tokens("\n".join(_rest(request)))
        same = shared(self._last.get(request.agent, []), sent)
        self._last[request.agent] = sent
        counted = self.counted
        counted.requests += 1
        counted.tokens += len(sent)
        counted.same += same
        counted.said += len(sent) - len(head)
        counted.said_same += max(0, same - len(head))
        return await self._model.respond(request)


def tokens(text: str) -> list[str]:
    """The words and signs of a text."""
    return _TOKEN.findall(text)


def shared(before: list[str], now: list[str]) -> int:
    """How many tokens both begin with."""
    for at, (old, new) in enumerate(zip(before, now, strict=False)):
        if old != new:
            return at
    return min(len(before), len(now))


def _head(request: ModelRequest) -> Iterator[str]:
    """What comes before the messages: tools and system text."""
    for spec in request.tools:
        yield json.dumps([spec.name, spec.description, spec.parameters])
    yield request.system


def _rest(request: ModelRequest) -> Iterator[str]:
    """The messages as they are sent, and the tail after them."""
    for message in request.messages:
        yield from _message(message)
    yield request.tail


def _message(message: Message) -> Iterator[str]:
    yield message.role
    if isinstance(message, ToolMessage):
        yield message.call
    yield message.text
    if isinstance(message, AssistantMessage):
        for call in message.tool_calls:
            yield json.dumps([call.id, call.name, call.arguments])
