"""What a store tells of runs and blocks without being opened, also while somebody else writes to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from orchestrator.blocks import BlockState, Revision
from orchestrator.errors import UnknownName
from orchestrator.events import ChangeRefused, Event, RunEnded, StepTaken
from orchestrator.messages import Usage
from orchestrator.ports import Reader, RunRecord, Store, TurnRecord
from orchestrator.runs import names_of

WHERE: Final = "the store"

_BATCH: Final = 1000

#: So many candidates are listed.
_MOST: Final = 10


class ListedRun(NamedTuple):
    """A run, and how many turns are charged to it."""

    record: RunRecord
    turns: int


class StoredRun(NamedTuple):
    """A run with all that was done for it."""

    record: RunRecord
    #: The turns that work for it, whichever run is charged, in the order in which they started. Of one that has not
    #: ended, steps and usage are those so far.
    turns: tuple[TurnRecord, ...]
    #: The changes that its turns were refused.
    refused: tuple[ChangeRefused, ...]
    #: What blocks are called, by key.
    names: Mapping[str, str]

    @property
    def usage(self) -> Usage:
        """What the turns used that are charged to it."""
        return sum((turn.usage for turn in self.turns if turn.run == self.record.id), Usage())


class SeenBlock(NamedTuple):
    """A block as it is now, what it is called, and who sees it with which grant."""

    name: str
    state: BlockState
    agents: Mapping[str, str]


class BlockHistory(NamedTuple):
    """The versions of a block, oldest first."""

    name: str
    key: str
    revisions: tuple[Revision, ...]


# --- runs


def list_runs(rows: Reader) -> list[ListedRun]:
    """The runs, in the order in which they were opened."""
    return [ListedRun(run, sum(turn.run == run.id for turn in rows.turns(run.id))) for run in rows.runs()]


def run_called(rows: Reader, part: str) -> RunRecord:
    """The one run whose id begins so, with `run-` or without, or ends so; `UnknownName` lists the candidates.

    Ids of runs that were opened one after another begin alike, and differ in their ends.
    """
    part = part.removeprefix("…")  # as a narrow table has it
    if (exact := rows.run(part)) is not None:
        return exact
    runs = list(rows.runs())
    found = [run for run in runs if part and (run.id.startswith((part, f"run-{part}")) or run.id.endswith(part))]
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownName(WHERE, f"has several runs whose id begins or ends with {part!r}: {_listed(found)}")
    raise UnknownName(WHERE, f"has no run whose id begins or ends with {part!r}; it has: {_listed(runs)}")


def _listed(runs: list[RunRecord]) -> str:
    """The ids, the latest ones first."""
    ids = [run.id for run in reversed(runs)]
    more = f" and {len(ids) - _MOST:,} older ones" if len(ids) > _MOST else ""
    return f"{', '.join(ids[:_MOST]) or 'none'}{more}"


async def find_run(store: Store, part: str) -> StoredRun:
    """The run whose id begins or ends so, with its turns and the changes that were refused."""

    def work(rows: Reader) -> StoredRun:
        record = run_called(rows, part)
        return StoredRun(record, tuple(rows.turns(record.id)), (), names(rows))

    found = await store.read(work)
    told = await _told_of(store, found)
    return found._replace(
        turns=tuple(_so_far(turn, told) if turn.status == "running" else turn for turn in found.turns),
        refused=tuple(event for event in told if isinstance(event, ChangeRefused)),
    )


async def _told_of(store: Store, run: StoredRun) -> list[StepTaken | ChangeRefused]:
    """What the log tells of the turns of a run."""
    turns = {turn.id for turn in run.turns}
    found: list[StepTaken | ChangeRefused] = []
    after = 0
    while events := await store.events(after, _BATCH):
        for event in events:
            if isinstance(event, StepTaken | ChangeRefused) and event.turn in turns:
                found.append(event)
            if isinstance(event, RunEnded) and event.run == run.record.id:
                return found
        after = events[-1].seq
    return found


def _so_far(turn: TurnRecord, steps: list[StepTaken | ChangeRefused]) -> TurnRecord:
    mine = [step.usage for step in steps if isinstance(step, StepTaken) and step.turn == turn.id]
    usage = sum(mine, Usage()).model_copy(update={"calls": len(mine)})
    return turn.model_copy(update={"steps": len(mine), "usage": usage})


# --- blocks


def list_blocks(rows: Reader) -> list[SeenBlock]:
    """The blocks, in the order of their creation."""
    called, seen_by = names(rows), _seen_by(rows)
    return [SeenBlock(called[block.key], block, seen_by.get(block.key, {})) for block in rows.blocks()]


def _seen_by(rows: Reader) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for agent in rows.agents():
        for attached in agent.attached:
            found.setdefault(attached.key, {})[agent.name] = str(attached.grant)
    return found


def key_called(rows: Reader, name: str) -> str:
    """The key of the block called `label`, `agent/label`, or by its id.

    `UnknownName` or `AmbiguousLabel` lists the names there are.
    """
    return name if rows.block(name) is not None else names_of(rows, WHERE).key(name)


def find_block(rows: Reader, name: str) -> SeenBlock:
    """The block of that name as it is now."""
    key = key_called(rows, name)
    (found,) = [block for block in list_blocks(rows) if block.state.key == key]
    return found


def find_history(rows: Reader, name: str) -> BlockHistory:
    """The history of the block of that name; of one that was deleted, by its id."""
    left = () if rows.block(name) is not None else tuple(rows.revisions(name))
    key = name if left else key_called(rows, name)
    revisions = left or tuple(rows.revisions(key))
    return BlockHistory(names(rows).get(key, key), key, revisions[::-1])


def find_revision(history: BlockHistory, version: int) -> Revision:
    """A version of the block; `UnknownName` says which there are."""
    for revision in history.revisions:
        if revision.version == version:
            return revision
    problem = f"has no version {version}; it has 1 to {history.revisions[-1].version}"
    raise UnknownName(f"block {history.name!r}", problem)


# --- the log


async def last_event(store: Store) -> int:
    """The number of the last event; the log has no gaps, so a few looks are enough to find it."""
    behind, beyond = 0, 1
    while await store.events(beyond - 1, 1):
        behind, beyond = beyond, beyond * 2
    while beyond - behind > 1:
        middle = (behind + beyond) // 2
        if await store.events(middle - 1, 1):
            behind = middle
        else:
            beyond = middle
    return behind


def names(rows: Reader) -> Mapping[str, str]:
    """What the blocks are called now, by key."""
    return names_of(rows, WHERE).by_key


def changes_names(event: Event) -> bool:
    """Whether blocks may be called something else after the event."""
    return event.type in ("block_created", "block_attached", "block_detached", "block_deleted", "agent_deleted")
