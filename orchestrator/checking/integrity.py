"""Whether block, history and log agree, as they must whatever happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.blocks import BlockState, Revision
from orchestrator.checking.findings import Finding
from orchestrator.checking.past import Past
from orchestrator.checking.rules import found
from orchestrator.phrases import counted, listed


def check_log(past: Past) -> Iterator[Finding]:
    """What the log alone tells."""
    for before, after in past.gaps:
        yield found("D004", "the log", f"event {after:,} follows event {before:,}")
    for id, times in past.ends.items():
        if times > 1:
            yield found("D005", f"{id.partition('-')[0]} {id!r}", f"it has ended {times} times")
    for key, version in past.repeated:
        yield found("D003", f"block {key!r}", f"the log tells more than once how version {version:,} came about")


def check_block(
    name: str, key: str, head: BlockState | None, revisions: Sequence[Revision], past: Past, known: int
) -> Iterator[Finding]:
    """What a block, its history, oldest first, and the log tell together.

    Args:
        head: the block as it is; None if it was deleted.
        known: the latest version of the log that the history must have.
    """
    place = f"block {name!r}"
    versions = [revision.version for revision in revisions]
    if versions != list(range(1, len(versions) + 1)):
        yield found("D001", place, _told_gaps(versions))
    if head is not None:
        yield from _check_head(place, head, revisions)
    yield from _check_told(place, key, revisions, past, known)


def _told_gaps(versions: Sequence[int]) -> str:
    wanted = range(1, max(versions) + 1)
    missing = [f"{version:,}" for version in sorted(set(wanted) - set(versions))]
    if missing:
        return f"{counted(len(missing), 'version')} of {max(versions):,} {_be(missing)} missing: {listed(missing)}"
    return f"it has versions {listed(map(str, versions))}, in this order"


def _be(things: Sequence[object]) -> str:
    return "is" if len(things) == 1 else "are"


def _check_head(place: str, head: BlockState, revisions: Sequence[Revision]) -> Iterator[Finding]:
    last = revisions[-1] if revisions else None
    if last is None:
        yield found("D002", place, f"it is at version {head.version:,}, and has no history")
    elif last.version != head.version:
        yield found("D002", place, f"it is at version {head.version:,}, and its history ends with {last.version:,}")
    elif (last.value, last.by) != (head.value, head.by):
        what = "text" if last.value != head.value else "author"
        yield found("D002", place, f"it has another {what} than version {last.version:,} of its history")
    if len(head.value) > head.limit:
        yield found("D006", place, f"it has {len(head.value):,} characters, and its limit is {head.limit:,}")


def _check_told(place: str, key: str, revisions: Sequence[Revision], past: Past, known: int) -> Iterator[Finding]:
    told, began = past.versions.get(key, {}), past.began.get(key, 0)
    for revision in revisions:
        version = told.get(revision.version)
        if version is None:
            if revision.version >= began:  # else it is of the block that this one was before
                yield found("D003", place, f"the log does not tell of version {revision.version:,}")
        elif version.digest != hash(revision.value):
            yield found("D003", place, f"version {revision.version:,} has another text in the log than in the history")
        elif version.by and (version.operation, version.by, version.turn) != (
            revision.operation,
            revision.by,
            revision.turn,
        ):
            theirs, ours = f"{version.operation} by {version.by}", f"{revision.operation} by {revision.by}"
            reason = f"version {revision.version:,} is {theirs} in the log, and {ours} in the history"
            yield found("D003", place, reason)
    there = {revision.version for revision in revisions}
    for number in sorted(set(told) - there):
        if number <= known:
            yield found("D003", place, f"the log tells of version {number:,}, which is not in the history")
