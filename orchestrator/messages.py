"""What is said: by users, models and tools, and to a model in one request."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from orchestrator.records import Record


class ToolCall(Record):
    """A model asks for a tool. `arguments` is an object, or the raw text that a provider sent."""

    name: str
    arguments: dict[str, Any] | str
    id: str | None = None

    def __init__(self, name: str, arguments: dict[str, Any] | str | None = None, id: str | None = None) -> None:
        super().__init__(name=name, arguments={} if arguments is None else arguments, id=id)


class Usage(Record):
    """What model calls used, in tokens; `cost` in US dollars where the model's price is known."""

    input_tokens: int = 0
    #: Those of the input tokens that the provider had cached.
    cached_tokens: int = 0
    output_tokens: int = 0
    #: How many model calls.
    calls: int = 0
    cost: float | None = None

    def __add__(self, other: Usage) -> Usage:
        known = [cost for cost in (self.cost, other.cost) if cost is not None]
        return Usage.made(
            input_tokens=self.input_tokens + other.input_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            calls=self.calls + other.calls,
            cost=sum(known) if known else None,
        )


class UserMessage(Record):
    """What a person said, or why the agent was woken."""

    role: Literal["user"] = "user"
    text: str


class AssistantMessage(Record):
    """What the model answered."""

    role: Literal["assistant"] = "assistant"
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


class ToolMessage(Record):
    """What a tool answered to one call."""

    role: Literal["tool"] = "tool"
    #: The id of the call that is answered.
    call: str
    name: str
    text: str
    #: False when the call was refused or the tool failed.
    ok: bool = True


Message = Annotated[UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class ToolSpec(NamedTuple):
    """A tool as a model sees it; `parameters` is a JSON Schema."""

    name: str
    description: str
    parameters: dict[str, Any]
