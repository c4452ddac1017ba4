"""What a model will read: system text, tail, and the sentences that the engine itself says.

Templates are ours (`prompts/`); names and block texts are only ever their variables, escaped, so no
text can close its element, open another one, or be run as a template.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from orchestrator.blocks import BlockState
from orchestrator.errors import BlockError, Fresh, OutdatedRewrite, Since
from orchestrator.escaping import escape
from orchestrator.events import Cause
from orchestrator.resources import shipped

if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.sandbox import ImmutableSandboxedEnvironment

_FIRST: Final = "These are your memory blocks."
_LAST: Final = "These are the memory blocks that you share with others, as they are now."

#: Refusals whose next attempt needs the text as it is now.
_NEEDS_TEXT: Final = frozenset({"not_found", "not_unique", "line_moved", "changed", "guarded"})


class _View(NamedTuple):
    """A block as the template wants it. Hashable, so that what did not change is rendered once."""

    label: str
    description: str
    value: str
    size: int
    limit: int
    read_only: bool


class _Reason(NamedTuple):
    """What a template tells of a cause. Hashable, as above."""

    kind: str
    label: str | None
    by: str | None
    version: int


def system_text(instructions: tuple[str, ...], blocks: Iterable[BlockState]) -> str:
    """What a model reads first: instructions and the blocks that seldom change."""
    return _system(instructions, tuple(_view(block) for block in blocks if block.placement == "system"))


def tail_text(blocks: Iterable[BlockState]) -> str:
    """What a model reads last: the shared blocks, which others may change at any time; "" without any."""
    return _memory_blocks(_LAST, tuple(_view(block) for block in blocks if block.placement == "tail"))


def wake_text(causes: Sequence[Cause], before: str = "", after: str = "") -> str:
    """Why an agent was woken; and, if something was claimed for it, the lines that this changed."""
    old = set(before.split("\n")) if after else set()
    claimed = "\n".join(line for line in after.split("\n") if line not in old)
    return _wake(tuple(_Reason(cause.kind, cause.label, cause.by, cause.version) for cause in causes), claimed)


def refusal_text(error: BlockError) -> str:
    """The answer to a change that was not made; with the fresh text where the next attempt needs it."""
    fresh = error.fresh if error.code in _NEEDS_TEXT else None
    if fresh is not None:
        fresh = Fresh(escape(fresh.value), fresh.version, fresh.by)
    since = error.since if isinstance(error, OutdatedRewrite) else Since()
    added = [(by, escape(line)) for by, line in since.added]
    removed = [escape(line) for line in since.removed]
    return _template("refusal").render(error=escape(str(error)), fresh=fresh, added=added, removed=removed)


def change_text(block: BlockState) -> str:
    """The answer to a change that was made."""
    return f"Done: {block.label} is at version {block.version}, {len(block.value):,} of {block.limit:,} characters."


def prompt(name: str, **variables: object) -> str:
    """The text of a template of `prompts/`; a variable that the template names and that is not given raises.

    Variables are put in as they are: `escape` what others wrote.
    """
    return _template(name).render(**variables).strip()


def _view(block: BlockState) -> _View:
    return _View(block.label, block.description, block.value, len(block.value), block.limit, block.read_only)


@lru_cache(maxsize=256)
def _wake(causes: tuple[_Reason, ...], claimed: str) -> str:
    return _template("wake").render(causes=causes, claimed=escape(claimed)).strip()


@lru_cache(maxsize=256)
def _system(instructions: tuple[str, ...], blocks: tuple[_View, ...]) -> str:
    return _template("system").render(instructions=instructions, blocks=_memory_blocks(_FIRST, blocks))


@lru_cache(maxsize=256)
def _memory_blocks(intro: str, blocks: tuple[_View, ...]) -> str:
    if not blocks:
        return ""
    shown = [view._replace(description=escape(view.description), value=escape(view.value)) for view in blocks]
    return _template("blocks").render(intro=intro, blocks=shown)


@cache
def _template(name: str) -> Template:
    return _environment().get_template(f"{name}.jinja")


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    from jinja2 import FileSystemLoader, StrictUndefined  # not needed to declare a team
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(shipped("prompts")),
        undefined=StrictUndefined,
        autoescape=False,  # our own escaping: HTML's would show models &#39; for an apostrophe
        keep_trailing_newline=False,
    )
    environment.globals.clear()
    return environment
