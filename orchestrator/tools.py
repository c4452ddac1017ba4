"""What an agent can do: tools made from functions, and the answers to their calls."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Final, NamedTuple, NoReturn, get_type_hints, overload

import pydantic
import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, create_model

from orchestrator.blocks import Grant
from orchestrator.checks import unusable
from orchestrator.edits import Edit
from orchestrator.errors import DeclarationError, OrchestratorError, ToolError
from orchestrator.messages import ToolSpec

_TOOL_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")

#: Arguments longer than this are not parsed; no block and no sensible tool takes a text of this size.
_MOST_ARGUMENTS: Final = 1_000_000

#: The longest reason that a model is told.
_MOST_TOLD: Final = 2000

#: Of more misfits than this, the first ones are told.
_MOST_MISFITS: Final = 10


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may know about the call: give a parameter this type and it is filled in."""

    agent: str
    run: str
    turn: str
    step: int
    #: Which of the step's calls, from 0.
    call: int
    #: The blocks as the model was shown them, by label.
    blocks: Mapping[str, str]

    @property
    def key(self) -> str:
        """The same for every attempt at this call, and unique to it: hand it to services that take one."""
        return f"{self.run}/{self.turn}/{self.step}/{self.call}"


class BlockEdit(NamedTuple):
    """Returned by a tool: change this block of the calling agent, and answer with `answer`.

    The change and the answer are written in one transaction. Grants, limit and guard hold as for
    the memory tools; a refusal becomes the answer.
    """

    label: str
    edit: Edit
    answer: str = ""


class HandOff(NamedTuple):
    """Returned by a tool: hand control to another agent, with a note in a block that both see.

    The note is written, control passes and the turn ends, all in one transaction, after the other tool calls of the
    step have been made. Refused, as an answer to the model, where the note is refused, or where `to` has no
    `Wake(block, handoffs=…)` for this agent, or after as many handoffs as that allows.
    """

    to: str
    note: BlockEdit


class Calling(NamedTuple):
    """Whose code is called in a turn: a tool's, or the model's."""

    agent: str
    turn: str
    #: None: the model.
    tool: str | None = None


#: Set while a tool or a model is called, for those who want to know on whose behalf something happens.
CALLING: Final[ContextVar[Calling | None]] = ContextVar("calling", default=None)


@dataclass(frozen=True, eq=False, slots=True)
class Tool:
    """A function that a model may call, with what the model needs to know about it."""

    name: str
    description: str
    function: Callable[..., Any]
    arguments: type[BaseModel] = field(repr=False)
    #: The parameter that wants the `ToolContext`, if there is one.
    context: str | None = None
    #: A plain function may block, so it runs in a worker thread.
    is_async: bool = False
    #: The blocks without which it can do nothing, by label, and the least grants; for `check()`, nothing else.
    needs: Mapping[str, Grant] = field(default_factory=dict)
    #: The agent that it hands control over to, with a note in a block that it needs; for `check()`, too.
    hands_to: str = ""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, as a test of it would."""
        return self.function(*args, **kwargs)

    @property
    def spec(self) -> ToolSpec:
        """The tool as a model sees it."""
        schema = self.arguments.model_json_schema()
        schema.pop("title", None)
        for parameter in schema.get("properties", {}).values():
            parameter.pop("title", None)
        return ToolSpec(self.name, self.description, schema)

    def bind(self, arguments: Mapping[str, Any], context: ToolContext) -> Callable[[], Any]:
        """The call, ready to be made; a `ToolError` says which arguments do not fit."""
        try:
            checked = self.arguments.model_validate(dict(arguments))
        except pydantic.ValidationError as error:
            raise ToolError(f"{self.name} was not called: {_misfits(error)}") from None
        values = {field.alias or name: getattr(checked, name) for name, field in type(checked).model_fields.items()}
        if self.context is not None:
            values[self.context] = context
        return lambda: self.function(**values)


@overload
def tool(function: Callable[..., Any], /, *, needs: Mapping[str, Grant] = {}, hands_to: str = "") -> Tool: ...
@overload
def tool(*, needs: Mapping[str, Grant] = {}, hands_to: str = "") -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None, /, *, needs: Mapping[str, Grant] = {}, hands_to: str = ""
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a function: name, docstring and annotated parameters are what the model sees.

    An async function runs in the event loop, a plain one in a worker thread. What it returns is the
    answer: text as it is, anything else as JSON, a `BlockEdit` as a change of a block, a `HandOff`
    as the end of the turn. Raise `ToolError` to refuse.

        @tool
        async def lookup(city: Annotated[str, Field(description="in English")]) -> str:
            '''The weather in a city, now.'''

    Args:
        needs: the blocks without which it can do nothing, by label, with the least grants: then `check()` says which
            agent has the tool and not the block. The tool itself is the same.
        hands_to: the agent that it hands control over to, with a note in a block that it needs; for `check()`, too.
    """
    if not isinstance(needs, Mapping) or not all(isinstance(grant, Grant) for grant in needs.values()):
        raise DeclarationError("a tool", f"needs is {needs!r}; give labels of blocks, each with a Grant")
    if not isinstance(hands_to, str):
        raise DeclarationError("a tool", f"hands_to is {hands_to!r}; give the name of an agent")
    if function is None:
        return partial(_made, needs=needs, hands_to=hands_to)
    return _made(function, needs, hands_to)


def _made(function: Callable[..., Any], needs: Mapping[str, Grant], hands_to: str) -> Tool:
    name = getattr(function, "__name__", "")
    where = f"tool {name!r}" if name else f"a tool, {function!r},"
    if not callable(function) or not _TOOL_NAME.fullmatch(name):
        raise DeclarationError(where, "is not a function with a name made of letters, digits, '_' and '-'")
    if isinstance(function, type):
        raise DeclarationError(where, "is a class; give a function")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DeclarationError(where, "is a generator; return the answer instead")
    description = inspect.getdoc(function)
    if not description:
        raise DeclarationError(where, "has no docstring; models decide by it when to call the tool")
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception as error:
        raise DeclarationError(where, f"has an annotation that cannot be resolved: {error}") from error
    context: str | None = None
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if hints.get(parameter.name) is not ToolContext:
            # Its own name is the alias: pydantic wants some names for itself.
            fields[f"argument_{len(fields)}"] = _field(where, parameter, hints)
        elif context is None:
            context = parameter.name
        else:
            raise DeclarationError(where, f"wants two ToolContexts, {context!r} and {parameter.name!r}; one is enough")
    try:
        arguments = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
        arguments.model_json_schema()
    except (pydantic.errors.PydanticUserError, NameError, TypeError, ValueError) as error:
        raise DeclarationError(where, f"has parameters that JSON cannot express: {error}") from error
    is_async = inspect.iscoroutinefunction(function)
    return Tool(name, description, function, arguments, context, is_async, dict(needs), hands_to)


def _field(where: str, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Any:
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise DeclarationError(where, f"parameter {parameter.name!r} cannot be given by name")
    if parameter.name not in hints:
        raise DeclarationError(where, f"parameter {parameter.name!r} has no type; models need one")
    if parameter.name.startswith("_"):
        raise DeclarationError(where, f"parameter {parameter.name!r} begins with an underscore")
    default = ... if parameter.default is parameter.empty else parameter.default
    return (Annotated[hints[parameter.name], Field(alias=parameter.name)], default)


def as_tool(function: Tool | Callable[..., Any]) -> Tool:
    """A tool, whether it was given as one or as a function."""
    return function if isinstance(function, Tool) else tool(function)


def parse_arguments(name: str, arguments: dict[str, Any] | str) -> dict[str, Any]:
    """The arguments of a call as an object, or a `ToolError` that says what is wrong with them."""
    if not isinstance(arguments, str):
        _check_texts(name, arguments)
        return arguments
    if len(arguments) > _MOST_ARGUMENTS:
        raise ToolError(f"{name} was not called: its arguments have {len(arguments):,} characters; shorten them")
    if not arguments.strip():
        return {}
    try:
        parsed = json.loads(arguments, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ToolError(f"{name} was not called: its arguments are not valid JSON: {_why_no_json(error)}") from None
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        raise ToolError(f"{name} was not called: its arguments are not a JSON object, but {type(parsed).__name__}")
    _check_texts(name, parsed)
    return parsed


def _why_no_json(error: Exception) -> Exception:
    """The error; of a comma at the end, which models like to write, what Python says from 3.13 on, in all versions."""
    if isinstance(error, json.JSONDecodeError) and error.msg.startswith("Expecting"):
        before, after = error.doc[: error.pos].rstrip(), error.doc[error.pos : error.pos + 1]
        if before.endswith(",") and (closed := {"}": "object", "]": "array"}.get(after)):
            return json.JSONDecodeError(f"Illegal trailing comma before end of {closed}", error.doc, len(before) - 1)
    return error


def told(error: BaseException) -> str:
    """An error in one line; our own say enough without the name of their class."""
    if isinstance(error, BaseExceptionGroup):
        return f"{type(error).__name__}: {'; '.join(told(inner) for inner in error.exceptions)}"
    try:
        text = str(error)
    except Exception:  # a user's class
        text = ""
    return text if isinstance(error, OrchestratorError) else f"{type(error).__name__}: {text}".rstrip(": ")


def sayable(text: str) -> str:
    """A reason as it can be stored and sent; of a very long one the beginning."""
    text = text.encode(errors="backslashreplace").decode().replace("\0", "\\0")
    return text if len(text) <= _MOST_TOLD else f"{text[: _MOST_TOLD - 1]}…"


def storable(arguments: dict[str, Any] | str) -> dict[str, Any] | str:
    """The arguments as JSON gives them back; what JSON cannot hold becomes a text that is no object."""
    if isinstance(arguments, str):
        return arguments
    try:
        text = pydantic_core.to_json(arguments, inf_nan_mode="constants")
        stored: dict[str, Any] = _STORED.decode(text.decode())
        return stored
    except (ValueError, TypeError, RecursionError):  # NaN, half of a surrogate pair, an object, nested too deeply
        try:
            return json.dumps(arguments)
        except (ValueError, TypeError, RecursionError):
            return "arguments that JSON cannot hold"


def answer_text(name: str, result: object) -> str:
    """What a tool returned, as the text that the model is shown."""
    if result is None:
        return "Done."
    if inspect.iscoroutine(result):
        result.close()
        raise ToolError(f"{name} returned a coroutine, so it did nothing; its code forgot an `await`")
    if isinstance(result, set | frozenset):
        result = sorted(result, key=repr)  # its own order is another one in each process
    if not isinstance(result, str):
        try:
            result = pydantic.TypeAdapter(Any).dump_json(result).decode()
        except (pydantic.errors.PydanticSchemaGenerationError, ValueError) as error:
            raise ToolError(f"{name} returned what is neither text nor JSON: {error}") from error
    if problem := unusable(result):
        raise ToolError(f"{name} returned a text with {problem}")
    return result


def _check_texts(name: str, value: object) -> None:
    """Refuse texts that cannot be stored or sent; nested ones too, without recursion of our own."""
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, str):
            if problem := unusable(item):
                raise ToolError(f"{name} was not called: its arguments hold {problem}")
        elif isinstance(item, dict):
            rest.extend(item)
            rest.extend(item.values())
        elif isinstance(item, list):
            rest.extend(item)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} is given twice")
        found[name] = value
    return found


def _no_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number in JSON")


#: Made once: it takes longer than to read the arguments of a call.
_STORED: Final = json.JSONDecoder(parse_constant=_no_constant)


def _misfits(error: pydantic.ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, detail['loc'])) or 'arguments'}: {detail['msg'].lower()}"
        for detail in error.errors()[:_MOST_MISFITS]
    )
