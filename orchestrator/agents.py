"""Who acts: a name, instructions, blocks, tools, and what wakes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.blocks import ENGINE, OWNER, Attachment, Block
from orchestrator.checks import check_amount, check_count, check_name, unusable
from orchestrator.errors import DeclarationError
from orchestrator.ports import Model
from orchestrator.tools import Tool, as_tool
from orchestrator.wakes import Wake

#: The tools that an agent has by its grants; no other tool may have one of these names.
MEMORY_TOOLS: Final = ("memory_insert", "memory_replace", "memory_rethink")

#: What bounds a turn by default: model calls, and seconds.
_STEPS: Final = 50
_SECONDS: Final = 600.0


@dataclass(frozen=True, eq=False, slots=True)
class Agent:
    """A name, instructions, a model, blocks that it always sees, tools, and what wakes it.

    Args:
        name: unique in its team; letters, digits, `_`, `.`, `-`, at most 64.
        instructions: what the agent is to do; several parts are shown one below the other.
        model: the name of a model, or a `Model`. The orchestrator's `model=` overrides it.
        blocks: `Block` objects, plain or as `.reader()`, `.contributor()` or `.curator()`.
        wakes_on: blocks or `Wake` objects; a message always wakes.
        tools: functions or `Tool` objects, besides the memory tools that the grants give.
        max_steps: the most model calls in one turn; a turn that wants more fails.
        timeout: the most seconds that a turn may take.
    """

    name: str
    instructions: str | Iterable[str] = ""
    model: str | Model | None = field(default=None, kw_only=True)
    blocks: tuple[Attachment, ...] | Iterable[Block | Attachment] = field(default=(), kw_only=True)
    wakes_on: tuple[Wake, ...] | Iterable[Block | Wake] = field(default=(), kw_only=True)
    tools: tuple[Tool, ...] | Iterable[Tool | Callable[..., Any]] = field(default=(), kw_only=True)
    max_steps: int = field(default=_STEPS, kw_only=True)
    timeout: float = field(default=_SECONDS, kw_only=True)

    def __post_init__(self) -> None:
        check_name("an agent", "name", self.name)
        where = f"agent {self.name!r}"
        if self.name in (OWNER, ENGINE):
            raise DeclarationError(where, "has a name that history keeps for the owner and the engine")
        given: Any = self.instructions
        parts = (given,) if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
        if not all(isinstance(part, str) for part in parts):
            raise DeclarationError(where, "instructions are not text")
        for part in parts:
            if problem := unusable(part):
                raise DeclarationError(where, f"instructions cannot hold {problem}")
        put = object.__setattr__
        put(self, "instructions", tuple(part for part in parts if part))
        put(self, "blocks", tuple(_attachment(where, block) for block in _several(where, "blocks", self.blocks)))
        put(self, "wakes_on", tuple(_wake(where, wake) for wake in _several(where, "wakes_on", self.wakes_on)))
        put(self, "tools", tuple(_tool(where, function) for function in _several(where, "tools", self.tools)))
        self._check_model(where)
        check_count(where, "max_steps", self.max_steps)
        check_amount(where, "timeout", self.timeout, "seconds")
        self._check_unique(where)

    def _check_model(self, where: str) -> None:
        if self.model is None or (isinstance(self.model, str) and self.model):
            return
        if isinstance(self.model, type):
            raise DeclarationError(where, f"model is the class {self.model.__name__}; give an object of it")
        if isinstance(self.model, str) or not hasattr(self.model, "respond"):
            raise DeclarationError(where, f"model is {self.model!r}; give a name or an object with respond()")

    def _check_unique(self, where: str) -> None:
        labels: set[str] = set()
        for attachment in self.attachments:
            if attachment.block.label in labels:
                raise DeclarationError(where, f"has two blocks labelled {attachment.block.label!r}")
            labels.add(attachment.block.label)
        blocks = {id(attachment.block) for attachment in self.attachments}
        for wake in self.wakes:
            if wake.block is not None and id(wake.block) not in blocks:
                raise DeclarationError(
                    where, f"is woken by block {wake.block.label!r}, which it cannot see; add it to blocks"
                )
        names: set[str] = set()
        for tool in self.toolbox:
            if tool.name in MEMORY_TOOLS:
                raise DeclarationError(where, f"has a tool called {tool.name!r}, as a memory tool is; rename it")
            if tool.name in names:
                raise DeclarationError(where, f"has two tools called {tool.name!r}")
            names.add(tool.name)

    # What was given, in the form that __post_init__ brought it into.

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The blocks with their grants."""
        return self.blocks  # type: ignore[return-value]  # normalised in __post_init__

    @property
    def wakes(self) -> tuple[Wake, ...]:
        """What wakes the agent, besides messages."""
        return self.wakes_on  # type: ignore[return-value]  # normalised in __post_init__

    @property
    def toolbox(self) -> tuple[Tool, ...]:
        """The tools it was given."""
        return self.tools  # type: ignore[return-value]  # normalised in __post_init__

    @property
    def instruction_parts(self) -> tuple[str, ...]:
        """The instructions, part by part."""
        return self.instructions  # type: ignore[return-value]  # normalised in __post_init__

    def merged(self, other: Agent) -> Agent:
        """This agent with what the other one of the same name adds; what contradicts raises."""
        where = f"agent {self.name!r}"
        if self.model is not None and other.model is not None and self.model != other.model:
            raise DeclarationError(where, f"has model {self.model!r} in one team and {other.model!r} in the other")
        attachments = {id(attachment.block): attachment for attachment in self.attachments}
        for attachment in other.attachments:
            mine = attachments.setdefault(id(attachment.block), attachment)
            if mine.grant != attachment.grant:
                raise DeclarationError(
                    where,
                    f"is granted {mine.grant} on block {mine.block.label!r} in one team"
                    f" and {attachment.grant} in the other",
                )
        return Agent(
            self.name,
            tuple(dict.fromkeys((*self.instruction_parts, *other.instruction_parts))),
            model=self.model if self.model is not None else other.model,
            blocks=attachments.values(),
            wakes_on=_united((*self.wakes, *other.wakes)),
            tools={tool.function: tool for tool in (*self.toolbox, *other.toolbox)}.values(),
            max_steps=_agreed(where, "max_steps", self.max_steps, other.max_steps, _STEPS),
            timeout=_agreed(where, "timeout", self.timeout, other.timeout, _SECONDS),
        )


def _agreed(where: str, what: str, mine: Any, others: Any, default: Any) -> Any:
    """What was asked for: a default gives way; two different wishes contradict."""
    if mine == others or others == default:
        return mine
    if mine == default:
        return others
    raise DeclarationError(where, f"has {what} {mine!r} in one team and {others!r} in the other")


def _united(wakes: Iterable[Wake]) -> Iterable[Wake]:
    """Each wake once; two that say the same are one, those with functions are pools of their own."""
    return {wake if wake.when else wake.meaning: wake for wake in wakes}.values()


def _several(where: str, what: str, given: object) -> Iterable[Any]:
    if isinstance(given, Block | Attachment | Wake | Tool | str) or not isinstance(given, Iterable):
        raise DeclarationError(where, f"{what} is a {type(given).__name__}; give a list")
    return given


def _attachment(where: str, given: object) -> Attachment:
    if isinstance(given, Block | Attachment):
        return Attachment.of(given)
    raise DeclarationError(where, f"has a {type(given).__name__} among its blocks; give Block objects")


def _tool(where: str, given: object) -> Tool:
    if isinstance(given, Tool):
        return given
    if not callable(given):
        raise DeclarationError(where, f"has {given!r} among its tools; give functions or Tool objects")
    return as_tool(given)


def _wake(where: str, given: object) -> Wake:
    if isinstance(given, Block):
        return Wake(given)
    if isinstance(given, Wake):
        return given
    raise DeclarationError(where, f"has a {type(given).__name__} in wakes_on; give Block or Wake objects")
