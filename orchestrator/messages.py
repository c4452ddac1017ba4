"""What is said: by users, models and tools, and to a model in one request."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field


class ToolCall(BaseModel):
    """A model asks for a tool. `arguments` is an object, or the raw text that a provider sent."""

    model_config = ConfigDict(frozen=True)

    name: str
    arguments: dict[str, Any] | str = {}
    id: str | None = None

    def __init__(self, name: str, arguments: dict[str, Any] | str | None = None, id: str | None = None) -> None:
        super().__init__(name=name, arguments={} if arguments is None else arguments, id=id)


class Usage(BaseModel):
    """What model calls used, in tokens; `cost` in US dollars where the model's price is known."""

    model_config = ConfigDict(frozen=True)

    input_tokens: int = 0
    #: Those of the input tokens that the provider had cached.
    cached_tokens: int = 0
    output_tokens: int = 0
    #: How many model calls.
    calls: int = 0
    cost: float | None = None

    def __add__(self, other: Usage) -> Usage:
        known = [cost for cost in (self.cost, other.cost) if cost is not None]
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            calls=self.calls + other.calls,
            cost=sum(known) if known else None,
        )


class UserMessage(BaseModel):
    """What a person said, or why the agent was woken."""

    model_config = ConfigDict(frozen=True)

    role: Literal["user"] = "user"
    text: str


class AssistantMessage(BaseModel):
    """What the model answered."""

    model_config = ConfigDict(frozen=True)

    role: Literal["assistant"] = "assistant"
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


class ToolMessage(BaseModel):
    """What a tool answered to one call."""

    model_config = ConfigDict(frozen=True)

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
