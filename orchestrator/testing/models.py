"""Models that say what a test wants them to say."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.lowlevel

from orchestrator.errors import DeclarationError
from orchestrator.messages import ToolCall, Usage
from orchestrator.ports import ModelRequest, ModelResponse


@dataclass(frozen=True, slots=True)
class Say:
    """A line of a script: a text, which ends the turn. The answer comes `after` so many seconds."""

    text: str = ""
    after: float = field(default=0, kw_only=True)
    usage: Usage = field(default=Usage(), kw_only=True)
    calls: tuple[ToolCall, ...] = field(default=(), kw_only=True)


#: What an agent's model does when it is asked: say something, call tools, raise, or decide by the request.
Line = Say | str | ModelResponse | BaseException | Callable[[ModelRequest], "ModelResponse | str"]


def call(name: str, *, after: float = 0, text: str = "", **arguments: Any) -> Say:
    """A line that calls one tool."""
    return Say(text, after=after, calls=(ToolCall(name, arguments),))


def edit(tool: str, label: str, *, after: float = 0, **arguments: Any) -> Say:
    """A line that calls one memory tool: `edit("memory_insert", "notes", new_string="…")`."""
    return call(tool, after=after, label=label, **arguments)


def together(*lines: Say, after: float = 0) -> Say:
    """One line that makes the calls of several, in order, in one answer."""
    return Say(
        "\n".join(line.text for line in lines if line.text),
        after=after,
        calls=tuple(call for line in lines for call in line.calls),
    )


class ScriptedModel:
    """Speaks the lines that a script gives each agent, and is strict about it.

    Used as a context manager it raises `AssertionError` at the end if it was asked once too often, or
    if lines were left unspoken. `requests` are the requests it was asked, in order. A script of its own is
    typed `dict[str, list[Line]]`.
    """

    def __init__(self, script: Mapping[str, Iterable[Line]]) -> None:
        for agent, lines in script.items():
            if isinstance(lines, str):
                raise DeclarationError(f"the script of {agent!r}", "is one text; give a list of lines")
        self._script: dict[str, tuple[Line, ...]] = {agent: tuple(lines) for agent, lines in script.items()}
        self._lines: dict[str, list[Line]] = {agent: list(lines) for agent, lines in self._script.items()}
        self._complaints: list[str] = []
        self.requests: list[ModelRequest] = []

    async def respond(self, request: ModelRequest) -> ModelResponse:
        """Speak the agent's next line."""
        self.requests.append(request)
        lines = self._lines.get(request.agent)
        if not lines:
            there_was = "has no more lines" if lines is not None else "has no lines in the script"
            complaint = f"{request.agent!r} was asked at step {request.step} of a turn, and {there_was}"
            self._complaints.append(complaint)
            raise AssertionError(complaint)
        return await _spoken(lines.pop(0), request)

    def anew(self) -> ScriptedModel:
        """A model with the same script, of which nothing was spoken yet; lines that are functions are the same ones."""
        return ScriptedModel(self._script)

    @property
    def unspoken(self) -> dict[str, int]:
        """How many lines each agent has left, if any."""
        return {agent: len(lines) for agent, lines in self._lines.items() if lines}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:  # what failed first says more
            return
        complaints = [
            *self._complaints,
            *(f"{agent!r} left {count} of its lines unspoken" for agent, count in self.unspoken.items()),
        ]
        if complaints:
            raise AssertionError("the run did not follow the script: " + "; ".join(complaints))


class FunctionModel:
    """Answers with what a function of the request returns; the function may be async."""

    def __init__(
        self, function: Callable[[ModelRequest], ModelResponse | str | Awaitable[ModelResponse | str]]
    ) -> None:
        self._function = function

    async def respond(self, request: ModelRequest) -> ModelResponse:
        """Call the function. There is a checkpoint before it, as with any real model."""
        await anyio.lowlevel.checkpoint()
        answer = self._function(request)
        if inspect.isawaitable(answer):
            answer = await answer
        return ModelResponse(answer) if isinstance(answer, str) else answer


async def _spoken(line: Line, request: ModelRequest) -> ModelResponse:
    await anyio.sleep(line.after if isinstance(line, Say) else 0)
    if isinstance(line, BaseException):
        raise line
    if callable(line):
        line = line(request)
    if isinstance(line, str):
        line = Say(line)
    if isinstance(line, Say):
        return ModelResponse(line.text, line.calls, line.usage)
    return line
