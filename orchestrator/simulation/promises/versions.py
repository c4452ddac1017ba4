"""P2: the versions of a block are 1, 2, 3, …, and block, history and log say the same of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.blocks import Revision
from orchestrator.events import BlockChanged, BlockCreated
from orchestrator.simulation.promises.lives import Lives
from orchestrator.simulation.promises.violation import Violation, named, written


def disagreeing(lives: Lives) -> Iterator[Violation]:
    """Versions that are missing, twice there, out of order, or told in two ways."""
    for key in dict.fromkeys([*lives.history.blocks, *lives.history.revisions, *lives.blocks]):
        revisions = lives.history.revisions.get(key, ())
        yield from _in_history(lives, key, revisions)
        yield from _in_log(lives, key, revisions)
        yield from _head(lives, key, revisions)


def _in_history(lives: Lives, key: str, revisions: Sequence[Revision]) -> Iterator[Violation]:
    last = 0
    for revision in revisions:
        if revision.version != last + 1:
            what = f"the history of {lives.name(key)} has version {revision.version} after version {last}"
            yield Violation("P2", what, (), key)
        last = revision.version


def _in_log(lives: Lives, key: str, revisions: Sequence[Revision]) -> Iterator[Violation]:
    by_version = {revision.version: revision for revision in revisions}
    last, is_there = 0, False
    for event in lives.blocks.get(key, ()):
        if event.type == "block_deleted":
            if not is_there:
                yield Violation("P2", f"{lives.name(key)} was deleted while it was not there", (event.seq,), key)
            is_there = False
            continue
        created = event.type == "block_created"
        if created == is_there:
            what = "created while it was there" if created else "changed while it was not there"
            yield Violation("P2", f"{lives.name(key)} was {what}", (event.seq,), key)
        # One that is created may go on with the history of an own block that is shared from now on.
        elif event.version != last + 1 and not (created and last == 0):
            what = f"the log has version {event.version} of {lives.name(key)} after version {last}"
            yield Violation("P2", what, (event.seq,), key)
        is_there, last = True, event.version
        yield from _one(event, by_version.get(event.version))
    if last != (known := max(by_version, default=0)):
        what = f"{lives.name(key)} has version {last} by the log, and version {known} by its history"
        yield Violation("P2", what, (), key)


def _one(event: BlockCreated | BlockChanged, revision: Revision | None) -> Iterator[Violation]:
    if revision is None:
        yield Violation("P2", f"{_subject(event)} is not in the history of the block", (event.seq,), event.key)
        return
    differing = ["text"] if revision.value != event.value else []
    if event.type == "block_changed":
        differing += ["author"] if revision.by != event.by else []
        differing += ["operation"] if revision.operation != event.operation else []
        differing += ["turn"] if revision.turn != event.turn else []
    if differing:
        what = f"{_subject(event)} has another {' and '.join(differing)} in the history of the block"
        yield Violation("P2", what, (event.seq,), event.key)


def _subject(event: BlockCreated | BlockChanged) -> str:
    return (
        written(event)
        if event.type == "block_changed"
        else f"version {event.version} of {named(event.key, event.label)}"
    )


def _head(lives: Lives, key: str, revisions: Sequence[Revision]) -> Iterator[Violation]:
    head, told = lives.history.blocks.get(key), lives.blocks.get(key)
    is_there = told is not None and told[-1].type != "block_deleted"
    if (head is not None) != is_there:
        what = f"{lives.name(key)} is {'' if head else 'not '}there, and by the log it is{' not' if head else ''}"
        yield Violation("P2", what, (), key)
    if head is None or not revisions:
        return
    last = revisions[-1]
    if (head.version, head.value, head.by) != (last.version, last.value, last.by):
        differing = "text" if head.value != last.value else "version" if head.version != last.version else "author"
        what = (
            f"{lives.name(key)} stands at version {head.version}, with another {differing} than version {last.version}"
        )
        yield Violation("P2", f"{what} of its history, by {last.by}", (), key)
