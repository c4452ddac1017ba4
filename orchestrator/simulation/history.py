"""What a witness of a run saw, and what is in the store: all that the promises are looked for in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Final, NamedTuple

from orchestrator.blocks import BlockState, Revision
from orchestrator.errors import StoreError
from orchestrator.events import Event
from orchestrator.ports import AgentRecord, Reader, RunRecord, Store, TurnRecord
from orchestrator.team import Team

#: How many events are read at a time.
_PAGE: Final = 1000

#: How often a store is read again that is written to meanwhile.
_TRIES: Final = 100


@dataclass(frozen=True)
class History:
    """A used store, as of one moment.

    Args:
        team: the declaration that it was used with; without it, guards, wakes and handoffs are not looked at.
        acknowledged: what was promised to somebody: the events in the order in which their commits were acknowledged.
        log: what the store holds.
        blocks: the blocks that are there, by key.
        revisions: of these and of those that were deleted, by key, oldest first.
        commits: what is acknowledged, as it was committed, where that is known.
        since: the number of the last event that was written under another declaration than `team`.
        cut_off: the runs that were cut off with a process, and that nobody has taken up since.
    """

    team: Team | None
    acknowledged: tuple[Event, ...]
    log: tuple[Event, ...]
    blocks: Mapping[str, BlockState]
    revisions: Mapping[str, tuple[Revision, ...]]
    agents: tuple[AgentRecord, ...] = ()
    runs: tuple[RunRecord, ...] = ()
    turns: tuple[TurnRecord, ...] = ()
    commits: tuple[tuple[Event, ...], ...] = field(default=(), kw_only=True)
    since: int = field(default=0, kw_only=True)
    cut_off: frozenset[str] = field(default=frozenset(), kw_only=True)


async def read_history(
    store: Store,
    team: Team | None = None,
    acknowledged: Iterable[Event] | None = None,
    *,
    commits: Sequence[Sequence[Event]] | None = None,
    since: int = 0,
    cut_off: Iterable[str] = (),
) -> History:
    """Read all that a store holds, log and rows as of the same moment. It need not be open.

    `StoreError` if it is written to all the time. See `History` for the arguments.

    Args:
        acknowledged: by default all that the log holds.
        commits: the same with its boundaries; give one of the two.
    """
    log = await _later(store, 0)
    for _ in range(_TRIES):
        rows = await store.read(partial(_rows, log))
        later = await _later(store, log[-1].seq if log else 0)
        if not later:
            break
        log += later
    else:
        raise StoreError("the store is written to all the time; read it when nobody does")
    told = tuple(log)
    if commits is not None:
        acknowledged = chain.from_iterable(commits)
    return History(
        team,
        told if acknowledged is None else tuple(acknowledged),
        told,
        *rows,
        commits=tuple(map(tuple, commits or ())),
        since=since,
        cut_off=frozenset(cut_off),
    )


class _Rows(NamedTuple):
    blocks: dict[str, BlockState]
    revisions: dict[str, tuple[Revision, ...]]
    agents: tuple[AgentRecord, ...]
    runs: tuple[RunRecord, ...]
    turns: tuple[TurnRecord, ...]


def _rows(log: Iterable[Event], rows: Reader) -> _Rows:
    blocks = {block.key: block for block in rows.blocks()}
    told = (event.key for event in log if event.type == "block_created" or event.type == "block_changed")
    keys = dict.fromkeys([*blocks, *told])
    runs = tuple(rows.runs())
    turns = {turn.id: turn for run in runs for turn in rows.turns(run.id)}
    revisions = {key: tuple(rows.revisions(key))[::-1] for key in keys}
    return _Rows(blocks, revisions, tuple(rows.agents()), runs, tuple(turns.values()))


async def _later(store: Store, after: int) -> list[Event]:
    """The events with a greater number, page by page."""
    found: list[Event] = []
    while page := await store.events(after, _PAGE):
        found += page
        after = page[-1].seq
    return found
