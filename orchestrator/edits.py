"""Changes of a block as values, and the one function that applies them.

A store calls `apply` inside its transaction, with the block as stored at that moment. So an insert is
never lost, a replace is a compare-and-swap, and a rewrite cannot destroy what its author was never shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

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
from orchestrator.overflowing import Fitted, Insertion, fitted


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


#: The author has not seen the block at all.
UNSEEN: Final = Shown(0, "")

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
) -> Fitted:
    """The text of the block after the edit, or a `BlockError` that says why there is none.

    Grants, read-only and the rethink rule bind agents; the limit and the guard bind everybody
    (a guard sees the author and may let the owner and the engine mend). Of a block that overflows, the lines that an
    insertion moves to its archive come beside the text: who writes the one has to write the other (`archived`).
    """
    fresh = Fresh(block.value, block.version, block.by)
    if author.is_agent:
        _check_allowed(block, edit, grant, fresh)
    shown = shown or Shown(block.version, block.value)
    changed = Fitted(_changed(block, edit, author, shown, history, fresh), ())
    if changed.text == block.value:
        return changed
    if problem := unusable(changed.text):
        raise UnusableText(block.label, problem, fresh)
    if len(changed.text) > block.limit:
        if block.overflow is None or not isinstance(edit, Insert):
            raise OverLimit(block.label, len(changed.text), block.limit, fresh)
        changed = _made_to_fit(block, _insertion(block, edit, shown, fresh), fresh)
    _check_guard(guard, block, changed.text, author, fresh)
    return changed


def archived(archive: BlockState, lines: Sequence[str], author: Author, guard: Guard | None = None) -> Fitted:
    """The archive with lines of another block at its end, or a `BlockError` that says why they do not go there.

    It overflows in its turn: then the oldest of all these lines come beside the text. At least the last one stays.
    """
    fresh = Fresh(archive.value, archive.version, archive.by)
    if archive.read_only:
        raise ReadOnly(archive.label, fresh)
    insertion = Insertion([*_full_lines(archive.value), *lines[:-1]], lines[-1], [])
    changed = Fitted(insertion.joined, ())
    if len(changed.text) > archive.limit:
        if archive.overflow is None:
            raise OverLimit(archive.label, len(changed.text), archive.limit, fresh)
        changed = _made_to_fit(archive, insertion, fresh)
    _check_guard(guard, archive, changed.text, author, fresh)
    return changed


def _made_to_fit(block: BlockState, insertion: Insertion, fresh: Fresh) -> Fitted:
    found = fitted(insertion, block.limit)
    if found is None:
        raise OverLimit(block.label, len(insertion.text), block.limit, fresh)
    return found


def _check_guard(guard: Guard | None, block: BlockState, text: str, author: Author, fresh: Fresh) -> None:
    if guard is not None and (reason := _asked(guard, Change(block.label, block.value, text, author))):
        raise Guarded(block.label, reason, fresh)


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
        case Insert(text, -1) if block.value:  # the usual one, without a look at the lines
            return block.value + text if block.value.endswith("\n") else f"{block.value}\n{text}"
        case Insert():
            return _insertion(block, edit, shown, fresh).joined
        case Replace(old, new):
            return _replaced(block, old, new, history, fresh)
        case Rethink(text):
            _check_unchanged(block, author, shown, history, fresh)
            return text
        case Update(function):
            text_or_none = function(block.value)
            return block.value if text_or_none is None else text_or_none


def _insertion(block: BlockState, edit: Insert, shown: Shown, fresh: Fresh) -> Insertion:
    if edit.line == -1:  # a newline at the end begins the line that is added
        return Insertion(_full_lines(block.value), edit.text, [])
    lines = _lines(block.value)
    at = 0 if edit.line == 0 else _line_as_shown(block.label, edit.line, lines, shown, fresh)
    return Insertion(lines[:at], edit.text, lines[at:], at_top=edit.line == 0)


def _lines(value: str) -> list[str]:
    return value.split("\n") if value else []


def _full_lines(value: str) -> list[str]:
    """The lines without the one that a newline at the end has begun."""
    lines = _lines(value)
    return lines[:-1] if lines and not lines[-1] else lines


def _line_as_shown(label: str, line: int, now: list[str], shown: Shown, fresh: Fresh) -> int:
    """Where the line that the author meant stands now, counted from 1.

    What stands above it, or below it, is as it was shown: then it is clear. Otherwise the line
    must be in one place only, then and now.
    """
    then = _lines(shown.value)
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
