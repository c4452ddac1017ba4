"""Who overwrote whom: rewrites that removed lines of others, and whether their authors had ever been shown them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from orchestrator.blame import BlameLine, blamed
from orchestrator.blocks import Revision
from orchestrator.checking.findings import Finding
from orchestrator.checking.past import Told
from orchestrator.checking.rules import found
from orchestrator.phrases import counted, listed, quoted
from orchestrator.records import Record

#: Operations that write a whole text.
_WHOLE: Final = ("rethink", "modify", "undo")

#: Of the lines of a rewrite, so many are quoted.
_MOST_LINES: Final = 3

#: Of a block, so many rewrites of the unseen are told each by itself.
_MOST: Final = 10


class GoneLine(NamedTuple):
    """A line that a rewrite removed, and who had written it in which version."""

    text: str
    by: str
    version: int


class Overwriting(Record):
    """A rewrite that undid what others had written."""

    block: str
    key: str
    version: int
    operation: str
    by: str
    turn: str | None
    #: When, in Unix seconds.
    at: float
    #: The latest version that its author had been shown; None where that is not known, as of the owner.
    shown: int | None
    #: Lines that its author had been shown, or where that is not known.
    removed: tuple[GoneLine, ...] = ()
    #: Lines that its author had never been shown.
    unseen: tuple[GoneLine, ...] = ()
    #: Lines that others had removed since, and that stand there again.
    brought_back: tuple[str, ...] = ()

    @property
    def is_blind(self) -> bool:
        """Whether it undid what its author did not know of."""
        return bool(self.unseen or self.brought_back)


def overwritings(name: str, key: str, revisions: Sequence[Revision], told: Mapping[int, Told]) -> Iterator[Overwriting]:
    """The rewrites in a history, oldest first, that undid what others had written."""
    if not any(revision.operation in _WHOLE for revision in revisions):
        return
    by_version = {revision.version: revision for revision in revisions}
    for (before, after), revision in zip(pairwise(blamed(revisions)), revisions[1:], strict=True):
        if revision.operation not in _WHOLE:
            continue
        known = told.get(revision.version)
        shown = None if known is None else known.shown
        gone = [line for line in _gone(before, after) if line.by != revision.by]
        unseen = [line for line in gone if shown is not None and line.version > shown]
        back = () if shown is None else _brought_back(shown, before, revision, by_version)
        if gone or back:
            yield Overwriting(
                block=name,
                key=key,
                version=revision.version,
                operation=revision.operation,
                by=revision.by,
                turn=revision.turn,
                at=revision.at,
                shown=shown,
                removed=_lines(line for line in gone if line not in unseen),
                unseen=_lines(unseen),
                brought_back=tuple(back),
            )


def _gone(before: Sequence[BlameLine], after: Iterable[BlameLine]) -> Iterator[BlameLine]:
    """The lines that do not stand there any more, not even elsewhere."""
    after = list(after)
    kept = {id(line) for line in after}
    missing = Counter(line.text for line in before) - Counter(line.text for line in after)
    for line in before:
        if id(line) not in kept and line.text.strip() and missing[line.text] > 0:
            missing[line.text] -= 1
            yield line


def _brought_back(
    shown: int, before: Sequence[BlameLine], revision: Revision, by_version: Mapping[int, Revision]
) -> list[str]:
    """Lines that others had removed since the version that was shown, and that the rewrite has again."""

    def lines(version: int) -> Counter[str]:
        return Counter(by_version[version].value.split("\n")) if version in by_version else Counter()

    there = Counter(line.text for line in before)
    again = (lines(revision.version) - there) & (lines(shown) - there)
    removed: Counter[str] = Counter()
    for version in range(shown + 1, revision.version) if again else ():
        if version in by_version and by_version[version].by != revision.by:
            removed.update(lines(version - 1) - lines(version))
    return [line for line in (again & removed).elements() if line.strip()]


def _lines(lines: Iterable[BlameLine]) -> tuple[GoneLine, ...]:
    return tuple(GoneLine(line.text, line.by, line.version) for line in lines)


# --- what is said of them


def blind_ones(found_ones: Sequence[Overwriting], latest: Mapping[str, int]) -> Iterator[Finding]:
    """Rewrites of what their authors were never shown, each by itself; of many of one block, the last ones.

    Args:
        latest: the version that each block has now, by key.
    """
    by_block: dict[str, list[Overwriting]] = {}
    for overwriting in found_ones:
        if overwriting.is_blind:
            by_block.setdefault(overwriting.key, []).append(overwriting)
    for key, blind in by_block.items():
        for overwriting in blind[-_MOST:]:
            yield found("D101", f"block {overwriting.block!r}", _told(overwriting), _mend(overwriting, latest.get(key)))
        if earlier := blind[:-_MOST]:
            versions = listed(f"{overwriting.version:,}" for overwriting in earlier)
            reason = f"{counted(len(earlier), 'earlier rewrite')} did the same: {versions}"
            yield found("D101", f"block {earlier[0].block!r}", reason)


def _told(overwriting: Overwriting) -> str:
    parts = []
    if overwriting.unseen:
        lines = counted(len(overwriting.unseen), "line")
        gone = [f"{quoted(line.text)} (by {line.by} in version {line.version:,})" for line in overwriting.unseen]
        parts.append(f"removed {lines} that {overwriting.by} had never been shown: {_few(gone)}")
    if overwriting.brought_back:
        back = [quoted(line) for line in overwriting.brought_back]
        parts.append(f"brought back what others had removed meanwhile: {_few(back)}")
    based = f"was based on version {overwriting.shown:,}"
    return f"version {overwriting.version:,}, a {overwriting.operation} by {overwriting.by}, {based} and " + (
        ", and ".join(parts)
    )


def _mend(overwriting: Overwriting, latest: int | None) -> str:
    name, before = overwriting.block, overwriting.version - 1
    look = f"orchestrator blocks show {name} --version {before} --store PATH has them"
    if latest is None:
        return f"{look}; the block itself was deleted"
    undo = f"await live.blocks.undo({name!r}, to={before})"
    since = "" if latest == overwriting.version else f" (it also takes back what came after version {before + 1:,})"
    return (
        f"{look}; write them back with: orchestrator blocks set {name}, or take the rewrite back: {undo}{since};"
        " then declare the block with rethink='if_unchanged'"
    )


def seen_ones(found_ones: Iterable[Overwriting]) -> Iterator[Finding]:
    """Rewrites that removed lines of others and knew it: for each block and author, how many lines of whom."""
    lines: dict[tuple[str, str], Counter[str]] = {}
    last: dict[tuple[str, str], Overwriting] = {}
    for overwriting in found_ones:
        if overwriting.removed:
            pair = overwriting.block, overwriting.by
            lines.setdefault(pair, Counter()).update(line.by for line in overwriting.removed)
            last[pair] = overwriting
    for (block, author), whose in lines.items():
        of_whom = listed(f"{counted(number, 'line')} of {other}" for other, number in whose.items())
        latest = last[block, author]
        reason = f"{author} rewrote it, and so removed {of_whom}; the last time in version {latest.version:,}"
        mend = f"see what was changed: orchestrator blocks history {block} --diff --store PATH"
        yield found("D102", f"block {block!r}", reason, mend)


def _few(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _MOST_LINES:,} more" if len(texts) > _MOST_LINES else ""
    return f"{', '.join(texts[:_MOST_LINES])}{more}"
