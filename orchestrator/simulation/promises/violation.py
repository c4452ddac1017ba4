"""A promise that was not kept, and the words in which that is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from orchestrator.blocks import ENGINE, OWNER
from orchestrator.events import BlockChanged
from orchestrator.records import Record

Promise = Literal["P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8"]


class Violation(Record):
    """A promise that was not kept."""

    promise: Promise
    #: In one sentence: which agents, block, versions and turn.
    what: str
    #: The numbers of the events that show it.
    events: tuple[int, ...] = ()
    #: The block that it is about, by stored key.
    block: str | None = None

    def __init__(self, promise: Promise, what: str, events: Iterable[int] = (), block: str | None = None) -> None:
        super().__init__(promise=promise, what=what, events=tuple(events), block=block)


def named(key: str, label: str = "") -> str:
    """A block as a reader knows it: by its label, with the agent whose own it is."""
    name = key.partition(":")[2] or key
    return f"block {label if label and not name.endswith(f'/{label}') else name!r}"


def written(event: BlockChanged) -> str:
    """The change of a block, as the subject of a sentence."""
    turn = f" in {event.turn}" if event.turn else ""
    return f"version {event.version} of {named(event.key, event.label)} ({event.operation} by {event.by}{turn})"


def is_agent(name: str) -> bool:
    """Whether whoever wrote something is an agent."""
    return name not in (OWNER, ENGINE)
