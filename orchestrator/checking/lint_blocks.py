"""What is wrong with single blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from orchestrator.blocks import Block
from orchestrator.checking.asked import Asked
from orchestrator.checking.findings import Finding
from orchestrator.checking.rules import found
from orchestrator.phrases import listed

#: A writer needs room for a few sentences: about so many characters of a block's limit.
ROOM: Final = 300


def lint_blocks(asked: Asked) -> Iterator[Finding]:
    """Blocks that nobody sees, that stay empty, that say nothing of themselves, are too small, or stand too early."""
    for key, block in asked.team.blocks.items():
        yield from _readers_and_writers(asked, key, block)
        yield from _description(asked, key, block)
        yield from _room(asked, key, block)
        yield from _placement(asked, key, block)


def _readers_and_writers(asked: Asked, key: str, block: Block) -> Iterator[Finding]:
    place = _place(asked, key)
    if not asked.team.holders[key]:
        yield found("L001", place, "no agent sees it: what moves there, only your program reads")
    if block.value:
        return
    if block.read_only:
        yield found("L003", place, "it is read-only and has no text, so agents see nothing in it until you write it")
    elif not asked.waking.writers[key] and key not in asked.waking.archives:
        yield found("L002", place, "it has no text, and no agent may write one")


def _description(asked: Asked, key: str, block: Block) -> Iterator[Finding]:
    readers = [name for name, _ in asked.team.holders[key]]
    if readers and not block.description.strip():
        yield found("L004", _place(asked, key), f"nothing tells {listed(readers)} what it is for")


def _room(asked: Asked, key: str, block: Block) -> Iterator[Finding]:
    writers = asked.waking.writers[key]
    if len(writers) < 2 or block.limit >= ROOM * len(writers):
        return
    if block.overflow is None and key not in asked.waking.full:
        each = block.limit // len(writers)
        reason = f"its {block.limit:,} characters are about {each:,} for each of its writers, {listed(writers)}"
        yield found("L005", _place(asked, key), reason)


def _placement(asked: Asked, key: str, block: Block) -> Iterator[Finding]:
    readers, writers = [name for name, _ in asked.team.holders[key]], asked.waking.writers[key]
    if block.placement == "system" and writers and len(readers) > 1:
        reason = f"it stands in the system text of {listed(readers)}, and {listed(writers)} may change it"
        yield found("L008", _place(asked, key), reason)


def _place(asked: Asked, key: str) -> str:
    return f"block {asked.team.names[key]!r}"
