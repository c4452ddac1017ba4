"""Changes of a block as values, and the one function that applies them.

A store calls `apply` inside its transaction, with the block as stored at that moment. So an insert is
never lost, a replace is a compare-and-swap, and a rewrite cannot destroy what its author was never shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.blocks import Author, BlockState, Change, Grant, Guard, Revision
from orchestrator.checks import FAILURES, unusable
from orchestrator.errors import (
    Fresh,
    Guarded,
    LineMoved,
    NotGranted,
    OutdatedRewrite,
    OverLimit,
    ReadOnly,
    Since,
    TextNotFound,
    TextNotUnique,
    UnusableText,
)


@dataclass(frozen=True, slots=True)
class Insert:
    """Add lines: at the end (-1), at the top (0), or after line k as it was shown.

    At the end and at the top it never conflicts with anybody.
    """

    text: str
    line: int = -1


@dataclass(frozen=True, slots=True)
class Replace:
    """Put `new` where `old` stands, which must be in exactly one place."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Rethink:
    """Rewrite the whole block."""

    text: str


@dataclass(frozen=True, slots=True)
class Update:
    """A pure function from the text as stored to the text as it shall be, or None to leave it.

    It runs inside the transaction, so it decides on the truth and cannot lose anything it does not mean to.
    It may run more than once, and needs the grant to replace. It may raise a `ToolError` to refuse.
    """

    function: Callable[[str], str | None]


Edit = Insert | Replace | Rethink | Update


class Shown(NamedTuple):
    """What the author was looking at when deciding: the version and its text."""

    version: int
    value: str


#: The revisions after a version, newest first; asked for only when a rule needs them.
History = Callable[[int], Iterable[Revision]]


def operation(edit: Edit) -> str:
    """The word for an edit in history and events."""
    match edit:
        case Insert():
            return "insert"
        case Rethink():
            return "rethink"
        case _:
            return "replace"


def apply(
    block: BlockState,
    edit: Edit,
    author: Author,
    *,
    grant: Grant,
    shown: Shown | None,
    history: History,
    guard: Guard | None = None,
) -> str:
    """The text of the block after the edit, or a `BlockError` that says why there is none.

    Grants, read-only and the rethink rule bind agents; the limit and the guard bind everybody
    (a guard sees the author and may let the owner and the engine mend).
    """
    fresh = Fresh(block.value, block.version, block.by)
    if author.is_agent:
        _check_allowed(block, edit, grant, fresh)
    text = _changed(block, edit, author, shown or Shown(block.version, block.value), history, fresh)
    if text == block.value:
        return text
    if problem := unusable(text):
        raise UnusableText(block.label, problem, fresh)
    if len(text) > block.limit:
        raise OverLimit(block.label, len(text), block.limit, fresh)
    if guard is not None and (reason := _asked(guard, Change(block.label, block.value, text, author))):
        raise Guarded(block.label, reason, fresh)
    return text


def _asked(guard: Guard, change: Change) -> str | None:
    """What the guard says; one that fails has not allowed the change."""
    try:
        return guard(change)
    except FAILURES as error:  # a user's function: its failure must not end the turn
        return f"its guard failed: {type(error).__name__}: {error}"


def _check_allowed(block: BlockState, edit: Edit, grant: Grant, fresh: Fresh) -> None:
    needed = {"insert": Grant.INSERT, "replace": Grant.REPLACE, "rethink": Grant.RETHINK}[operation(edit)]
    if block.read_only:
        raise ReadOnly(block.label, fresh)
    if grant < needed:
        raise NotGranted(block.label, str(needed), str(grant), fresh)


def _changed(block: BlockState, edit: Edit, author: Author, shown: Shown, history: History, fresh: Fresh) -> str:
    match edit:
        case Insert(text, line):
            return _inserted(block, text, line, shown, fresh)
        case Replace(old, new):
            return _replaced(block, old, new, history, fresh)
        case Rethink(text):
            _check_unchanged(block, author, shown, history, fresh)
            return text
        case Update(function):
            text_or_none = function(block.value)
            return block.value if text_or_none is None else text_or_none


def _inserted(block: BlockState, text: str, line: int, shown: Shown, fresh: Fresh) -> str:
    value = block.value
    if not value:
        lines: list[str] = []
    else:
        lines = value.split("\n")
    if line == -1:
        if not value or value.endswith("\n"):
            return value + text
        return f"{value}\n{text}"
    at = 0 if line == 0 else _line_as_shown(block.label, line, lines, shown, fresh)
    return "\n".join([*lines[:at], text, *lines[at:]])


def _line_as_shown(label: str, line: int, now: list[str], shown: Shown, fresh: Fresh) -> int:
    """Where the line that the author meant stands now, counted from 1.

    What stands above it, or below it, is as it was shown: then it is clear. Otherwise the line
    must be in one place only, then and now.
    """
    then = shown.value.split("\n") if shown.value else []
    if not 1 <= line <= len(then):
        lines = f"has lines 1 to {len(then)}" if then else "is empty"
        raise LineMoved(label, line, f"the block you were shown {lines}; -1 is the end and 0 the top", fresh)
    if now[:line] == then[:line]:
        return line
    below = len(then) - line
    at = len(now) - below
    if at > 0 and now[at - 1 :] == then[line - 1 :]:
        return at
    meant = then[line - 1]
    if now.count(meant) == then.count(meant) == 1:
        return now.index(meant) + 1
    raise LineMoved(label, line, f"{fresh.by} changed the block and the line is no longer clearly there", fresh)


def _replaced(block: BlockState, old: str, new: str, history: History, fresh: Fresh) -> str:
    first = block.value.find(old)
    if not old:
        raise TextNotUnique(block.label, old, (), fresh)
    if first == -1:
        raise TextNotFound(block.label, old, _remover(old, block, history), fresh)
    if block.value.find(old, first + 1) != -1:
        raise TextNotUnique(block.label, old, _lines_with(block.value, old), fresh)
    return block.value[:first] + new + block.value[first + len(old) :]


def _remover(old: str, block: BlockState, history: History) -> str | None:
    """Who wrote the first version without the text, after the last one with it."""
    by = block.by
    for revision in history(0):
        if old in revision.value:
            return by
        by = revision.by
    return None


def _lines_with(value: str, text: str) -> list[int]:
    """The numbers of the lines, from 1, in which the text begins; each line once."""
    lines: list[int] = []
    at = value.find(text)
    while at != -1:
        line = value.count("\n", 0, at) + 1
        if line not in lines:
            lines.append(line)
        at = value.find(text, at + 1)
    return lines


def _check_unchanged(block: BlockState, author: Author, shown: Shown, history: History, fresh: Fresh) -> None:
    if not author.is_agent or block.rethink == "last_write_wins" or shown.version == block.version:
        return
    revisions = list(history(shown.version))
    for revision in revisions:
        if revision.by != author.name:
            raise OutdatedRewrite(block.label, shown.version, revision.by, fresh, _since(shown, revisions))


def _since(shown: Shown, revisions: Iterable[Revision]) -> Since:
    """What the revisions, newest first, have added to the text that was shown, and removed from it."""
    before, now = Counter(shown.value.split("\n")), Counter[str]()
    wrote: dict[str, str] = {}
    last = before
    for revision in reversed(list(revisions)):
        now = Counter(revision.value.split("\n"))
        wrote |= dict.fromkeys(now - last, revision.by)
        last = now
    added = tuple((wrote[line], line) for line in (now - before).elements() if line)
    return Since(added, tuple(line for line in (before - now).elements() if line))
