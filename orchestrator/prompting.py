"""What a model will read: system text, tail, and the sentences that the engine itself says.

Templates are ours (`prompts/`), or those of a user who replaces ours; names and block texts are only ever
their variables, escaped, so no text can close its element, open another one, or be run as a template.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from orchestrator.blocks import BlockState
from orchestrator.errors import BlockError, Fresh, OutdatedRewrite, Since
from orchestrator.escaping import escape
from orchestrator.events import Cause
from orchestrator.templates import Templates

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
    #: Of a block that is nearly full, how full it is.
    size: str = ""
    limit: str = ""


def _cause(kind: str, label: str | None = None, by: str | None = None, size: str = "") -> _Reason:
    return _Reason(kind, label, by, 2 if label else 0, size, "100" if size else "")


_CAUSES: Final = (
    _cause("change", "notes", "ann"),
    _cause("handoff", "notes", "ann"),
    _cause("full", "notes", size="90"),
    _cause("full", "notes"),
    _cause("call", "notes"),
    _cause("every"),
    _cause("idle"),
)

#: What templates are given that are rendered while a team runs: a user's are tried with it when they are read.
_SAMPLES: Final[Mapping[str, Sequence[Mapping[str, object]]]] = {
    "system": [{"instructions": ("Be ann.",), "blocks": blocks} for blocks in ("", "<memory_blocks>")],
    "blocks": [
        {
            "shared": shared,
            "blocks": [_View("notes", "What we know.", "a line", 6, 100, read_only=not shared)._asdict()],
        }
        for shared in (False, True)
    ],
    "wake": [
        *({"claimed": "", "causes": (cause,)} for cause in _CAUSES),
        {"claimed": "1. [claimed by ann] Look.", "causes": (_cause("call", "notes"),)},
    ],
    "refusal": [
        {"error": "it is full", "fresh": None, "added": [], "removed": []},
        {"error": "too late", "fresh": Fresh("a", 2, "bob"), "added": [("bob", "a")], "removed": ["b"]},
    ],
    "change": [
        {"label": "notes", "version": 2, "size": "6", "limit": "100", "moved": moved, "archive": archive}
        for moved, archive in ((0, ""), (2, "older"))
    ],
}

_templates: Final = Templates(_SAMPLES)


def system_text(instructions: tuple[str, ...], blocks: Iterable[BlockState]) -> str:
    """What a model reads first: instructions and the blocks that seldom change."""
    return _system(instructions, tuple(_view(block) for block in blocks if block.placement == "system"))


def tail_text(blocks: Iterable[BlockState]) -> str:
    """What a model reads last: the shared blocks, which others may change at any time; "" without any."""
    return _memory_blocks(tuple(_view(block) for block in blocks if block.placement == "tail"), shared=True)


def wake_text(
    causes: Sequence[Cause], before: str = "", after: str = "", nearly_full: Mapping[str, BlockState] | None = None
) -> str:
    """Why an agent was woken; and, if something was claimed for it, the lines that this changed.

    Args:
        nearly_full: by key, as they are now, the blocks in which room is to be made.
    """
    old = set(before.split("\n")) if after else set()
    claimed = "\n".join(line for line in after.split("\n") if line not in old)
    return _wake(tuple(_reason(cause, (nearly_full or {}).get(cause.key or "")) for cause in causes), claimed)


def _reason(cause: Cause, block: BlockState | None) -> _Reason:
    if block is None:
        return _Reason(cause.kind, cause.label, cause.by, cause.version)
    size, limit = f"{len(block.value):,}", f"{block.limit:,}"
    return _Reason(cause.kind, block.label, cause.by, block.version, size, limit)


def refusal_text(error: BlockError) -> str:
    """The answer to a change that was not made; with the fresh text where the next attempt needs it."""
    fresh = error.fresh if error.code in _NEEDS_TEXT else None
    if fresh is not None:
        fresh = Fresh(escape(fresh.value), fresh.version, fresh.by)
    since = error.since if isinstance(error, OutdatedRewrite) else Since()
    added = [(by, escape(line)) for by, line in since.added]
    removed = [escape(line) for line in since.removed]
    return _templates.take("refusal").render(error=escape(str(error)), fresh=fresh, added=added, removed=removed)


def change_text(block: BlockState, moved: int = 0, archive: str = "") -> str:
    """The answer to a change that was made, for which so many lines moved to the archive."""
    size, limit = f"{len(block.value):,}", f"{block.limit:,}"
    template = _templates.take("change")
    known = {"label": block.label, "version": block.version, "size": size, "limit": limit}
    return template.render(**known, moved=moved, archive=archive)


def prompt(name: str, **variables: object) -> str:
    """The text of a template of `prompts/`; a variable that the template names and that is not given raises.

    Variables are put in as they are: `escape` what others wrote.
    """
    return _templates.take(name).render(**variables).strip()


def use_prompts(folder: str | Path | None) -> None:
    """Let the templates of a folder replace those of the same names that come with the package; None: none of them.

    It holds for every team of this process, from the next text on. Call it before teams are declared: patterns put
    instructions and descriptions into agents and blocks then. The variable `ORCHESTRATOR_PROMPTS` does the same
    without code, and `orchestrator prompts copy FOLDER` makes copies to edit.

    `DeclarationError`, and nothing is changed: there is no such folder; or a template of it has a name that none of
    the package has, is none, uses a variable that the package's does not use, or fails when it is tried.
    """
    _templates.use(None if folder is None else Path(folder))
    for rendered in (_system, _wake, _memory_blocks):
        rendered.cache_clear()


def load_prompts() -> None:
    """Load the templates that the environment asks for, so that what is wrong with them is said before a turn is."""
    _templates.load()


def _view(block: BlockState) -> _View:
    return _View(block.label, block.description, block.value, len(block.value), block.limit, block.read_only)


@lru_cache(maxsize=256)
def _wake(causes: tuple[_Reason, ...], claimed: str) -> str:
    return _templates.take("wake").render(causes=causes, claimed=escape(claimed)).strip()


@lru_cache(maxsize=256)
def _system(instructions: tuple[str, ...], blocks: tuple[_View, ...]) -> str:
    return _templates.take("system").render(instructions=instructions, blocks=_memory_blocks(blocks, shared=False))


@lru_cache(maxsize=256)
def _memory_blocks(blocks: tuple[_View, ...], *, shared: bool) -> str:
    if not blocks:
        return ""
    # As dictionaries: the sandbox looks twice at every attribute of anything else.
    shown = [view._asdict() | {"description": escape(view.description), "value": escape(view.value)} for view in blocks]
    return _templates.take("blocks").render(shared=shared, blocks=shown)
