"""What a log has to look like, besides P1 to P8: who is woken, what a step is shown, whose turn is next, who pays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from orchestrator.events import BlockChanged, TurnEnded, TurnStarted
from orchestrator.team import WakeEntry
from orchestrator.testing import History

#: What is wrong with a log, each in one sentence.
LogCheck = Callable[[History], Iterator[str]]


def unwoken(history: History) -> Iterator[str]:
    """Changes that an agent is woken by, and was never shown, though the run that they belong to is complete."""
    assert history.team is not None
    complete = {run.id for run in history.runs if run.status == "complete"}
    for entry in history.team.wakes:
        wake, called = entry.wake, entry.wake.when
        if wake.full is not None or wake.handoffs is not None or wake.is_sleeptime:
            continue
        changes = [change for change in _changes(history, entry.key) if complete.issuperset(change.runs)]
        if called is not None:
            yield from _uncalled(history, entry, changes)
            continue
        for member in entry.members:
            for change in changes:
                is_meant = change.by != member and change.by in (wake.authors or (change.by,))
                if is_meant and change.version > _seen(history, member, change.key):
                    yield f"{member} was not woken by version {change.version} of {change.label}, by {change.by}"


def _uncalled(history: History, entry: WakeEntry, changes: Sequence[BlockChanged]) -> Iterator[str]:
    """What a block calls for in the end, and nobody has come for."""
    assert entry.wake.when is not None
    block = history.blocks[entry.key]
    if not changes or any(run.status != "complete" for run in history.runs) or not entry.wake.when(block.value):
        return
    last = max(change.version for change in changes)
    if entry.wake.claim is not None or all(_seen(history, name, entry.key) < last for name in entry.members):
        yield f"nobody of {', '.join(entry.members)} came for what version {last} of {block.label} calls for"


def _changes(history: History, key: str) -> list[BlockChanged]:
    changes = (event for event in history.log if isinstance(event, BlockChanged) and event.key == key)
    return [change for change in changes if change.operation not in ("claim", "release")]


def _seen(history: History, agent: str, key: str) -> int:
    """The last version of the block that the agent was shown in a turn, or woken by."""
    seen = 0
    for event in history.log:
        if isinstance(event, TurnEnded) and event.agent == agent:
            seen = max(seen, event.shown.get(key, 0))
        elif isinstance(event, TurnStarted) and event.agent == agent:
            seen = max([seen, *(cause.version for cause in event.causes if cause.key == key)])
    return seen


def stale(history: History) -> Iterator[str]:
    """Steps that were shown an older version than there was when the event of their turn before them was written."""
    versions: dict[str, int] = {}
    known: dict[str, dict[str, int]] = {}
    for event in history.log:
        if event.type in ("block_created", "block_changed"):
            versions[event.key] = event.version
        elif event.type == "step_taken":
            for key, version in known[event.turn].items():
                if key in event.shown and event.shown[key] < version:
                    there = f"when version {version} was there"
                    yield f"step {event.step} of {event.agent} was shown version {event.shown[key]} of {key} {there}"
        if event.type in ("turn_started", "turn_resumed", "step_taken", "tool_answered"):
            known[event.turn] = dict(versions)


def unfair(history: History) -> Iterator[str]:
    """Turns of pool members of which another had been free for longer."""
    assert history.team is not None
    for entry in history.team.wakes:
        if entry.wake.claim is None:
            continue
        free = dict.fromkeys(entry.members)
        for event in history.log:
            if event.type == "turn_started" and event.agent in free:
                first = next(iter(free))
                if first != event.agent:
                    yield f"{event.agent} started {event.turn} though {first} had been free for longer"
                del free[event.agent]
            elif event.type == "turn_ended" and event.agent in entry.members:
                free.setdefault(event.agent)


def overspent(history: History) -> Iterator[str]:
    """Runs that were charged for more turns than their budget has."""
    turns = Counter(event.run for event in history.log if event.type == "turn_started")
    for event in history.log:
        if event.type == "run_started" and turns[event.run] > event.max_turns:
            yield f"{event.run} has a budget of {event.max_turns} turns, and took {turns[event.run]}"


def left_behind(history: History) -> Iterator[str]:
    """Turns that had not ended when the team was closed in order; they were let go of when it was opened again.

    Only where no process was lost.
    """
    for event in history.log:
        if event.type == "turn_ended" and event.cut_off:
            yield f"{event.turn} of {event.agent} was left behind when the team was closed"


LOG_CHECKS: tuple[LogCheck, ...] = (unwoken, stale, unfair, overspent, left_behind)
