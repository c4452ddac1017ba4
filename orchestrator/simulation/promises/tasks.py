"""P3: what is held is held by one, from the claim to the end of the turn, and guards were asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.blocks import ENGINE, OWNER, Author, Change
from orchestrator.events import BlockChanged, BlockCreated, TurnEnded, TurnStarted
from orchestrator.simulation.promises.inserts import is_nothing_but_loss
from orchestrator.simulation.promises.lives import Lives, TurnLife, Write
from orchestrator.simulation.promises.pools import Pools
from orchestrator.simulation.promises.violation import Violation, named, written


def misheld(lives: Lives, declared: Pools) -> Iterator[Violation]:
    """What was taken from its holder, given to two, or kept after the turn; and what a guard refuses."""
    for write in lives.writes:
        if write.before is not None and write.event.seq > lives.history.since:
            yield from _guarded(write, write.before, declared)
            yield from _bookkeeping(lives, write, write.before, declared)
    for turn in lives.turns.values():
        yield from _claimed(lives, turn, declared)
    if declared.members:
        yield from _held(lives, declared)


# --- one change


def _guarded(write: Write, before: str, declared: Pools) -> Iterator[Violation]:
    event = write.event
    change = Change(event.label, before, event.value, Author(event.by, event.turn))
    if reason := declared.objection(event.key, change):
        yield Violation(
            "P3", f"{written(event)} was made, though its guard refuses it: {reason}", (event.seq,), event.key
        )


def _bookkeeping(lives: Lives, write: Write, before: str, declared: Pools) -> Iterator[Violation]:
    """A claim makes what `claim=` makes, for the agent whose turn starts; a release likewise."""
    event = write.event
    if event.by != ENGINE or event.operation not in ("claim", "release") or event.key not in declared.claims:
        return
    agent = lives.agent(event.turn)
    make = declared.claimed if event.operation == "claim" else declared.released
    texts = make(event.key, before, agent)
    if not texts or (event.value not in texts and not is_nothing_but_loss(event.value, texts[0])):
        what = f"{written(event)} is not what {event.operation}= makes of version {event.version - 1} for {agent}"
        yield Violation("P3", what, (event.seq,), event.key)


def _claimed(lives: Lives, turn: TurnLife, declared: Pools) -> Iterator[Violation]:
    """What a turn is to work on is taken in the transaction that starts it."""
    for claim in turn.claims:
        following = lives.next(lives.place(claim))
        if following is None or following.type != "turn_started" or following.turn != claim.turn:
            what = f"{written(claim)} is not in the transaction that starts {claim.turn}"
            yield Violation("P3", what, (claim.seq,), claim.key)
    for start in turn.started:
        if start.seq <= lives.history.since:
            continue
        calls = any(cause.kind == "call" and cause.wake in declared.claiming for cause in start.causes)
        if calls and not turn.claims:
            what = f"{start.turn} of {start.agent} was started without a claim"
            yield Violation("P3", what, (start.seq,))


# --- from claim to end


@dataclass(slots=True)
class _Shelf:
    """A block of which agents hold something."""

    #: Those that may hold something, in order.
    members: dict[str, None]
    #: Those that do; with whether it was taken in a turn of theirs, and not by the owner.
    held: dict[str, bool]


def _held(lives: Lives, declared: Pools) -> Iterator[Violation]:
    shelves = {key: _Shelf(dict(members), {}) for key, members in declared.members.items()}
    for place, event in enumerate(lives.log):
        if event.type == "block_created" or event.type == "block_changed":
            if (shelf := shelves.get(event.key)) is not None:
                yield from _changed(lives, declared, shelf, event)
        elif event.type == "block_deleted":
            if (shelf := shelves.get(event.key)) is not None:
                shelf.held.clear()
        elif event.type == "turn_ended":
            yield from _kept(lives, declared, shelves, event, place)


def _changed(lives: Lives, declared: Pools, shelf: _Shelf, event: BlockCreated | BlockChanged) -> Iterator[Violation]:
    by, turn, operation = (
        (OWNER, None, "") if event.type == "block_created" else (event.by, event.turn, event.operation)
    )
    agent = lives.agent(turn)
    if operation == "claim":  # also one that is not declared with the block any more
        shelf.members.setdefault(agent)
    now = declared.holders(event.key, event.value, shelf.members)
    is_looked_at = event.type == "block_changed" and event.seq > lives.history.since
    for name in [name for name in shelf.held if name not in now]:
        in_turn = shelf.held.pop(name)
        if in_turn and is_looked_at and by != OWNER and name != agent:
            assert event.type == "block_changed"
            what = f"{written(event)} takes from {name} what it holds in its turn"
            yield Violation("P3", what, (event.seq,), event.key)
    for name in shelf.members:
        if name in now and name not in shelf.held:
            shelf.held[name] = name == agent and event.seq > lives.history.since
            if by == ENGINE and name != agent and is_looked_at:
                assert event.type == "block_changed"
                what = f"{written(event)}, made for {agent or 'nobody'}, lets {name} hold something without a turn"
                yield Violation("P3", what, (event.seq,), event.key)


def _kept(
    lives: Lives, declared: Pools, shelves: dict[str, _Shelf], event: TurnEnded, place: int
) -> Iterator[Violation]:
    """At its end a turn has given back what its agent held, unless the block refused that, which is told."""
    if event.seq <= lives.history.since:
        return
    claimed = bool(lives.turns[event.turn].claims)
    for key, shelf in shelves.items():
        gives_back = claimed or event.agent not in declared.own or key in declared.own[event.agent]
        if event.agent not in shelf.held or not gives_back or _is_refused(lives, event, key, place):
            continue
        what = f"{event.turn} of {event.agent} ended as {event.status.replace('_', ' ')} and still holds something in"
        yield Violation("P3" if event.status == "done" else "P8", f"{what} {lives.name(key)}", (event.seq,), key)


def _is_refused(lives: Lives, event: TurnEnded, key: str, place: int) -> bool:
    while (last := lives.last(place)) is not None:
        if last.type == "change_refused" and last.turn == event.turn and last.operation == "release":
            if last.key == key:
                return True
        elif last.type != "block_changed" or last.operation != "release":
            return False
        place -= 1
    return False


# --- who has turns at the same time


def overlapping(lives: Lives, declared: Pools | None) -> Iterator[Violation]:
    """Two turns of one agent at the same time, or of two that hand control to one another."""
    running: dict[str, TurnStarted] = {}
    for event in lives.bounds:
        if event.type == "turn_started":
            other = running.get(event.agent)
            if other is not None and other.turn != event.turn:
                what = f"{event.agent} started {event.turn} while it had {other.turn}"
                yield Violation("P3", what, (other.seq, event.seq))
            partners = declared.partners.get(event.agent, ()) if declared is not None else ()
            for name in partners:
                if name in running and running[name].seq > lives.history.since:
                    what = f"{event.agent} started {event.turn} while {name}, its partner in handoffs, had"
                    yield Violation("P3", f"{what} {running[name].turn}", (running[name].seq, event.seq))
            running[event.agent] = event
        elif event.type == "turn_ended":
            running.pop(event.agent, None)


def handed(lives: Lives) -> Iterator[Violation]:
    """The note, the handoff and the end of the turn are one."""
    for event, place in lives.handed:
        subject = f"the handoff from {event.agent} to {event.to} in {event.turn}"
        end = place
        while (after := lives.next(end)) is not None and after.type in ("block_changed", "change_refused"):
            end += 1
        if after is None or after.type != "turn_ended" or after.turn != event.turn or after.status != "done":
            what = f"{subject} is not in the transaction that ends the turn"
            yield Violation("P3", what, (event.seq,), event.key)
        begin = place
        while (before := lives.last(begin)) is not None and before.type == "tool_answered":
            begin -= 1
        is_note = before is not None and before.type == "block_changed"
        writes = lives.writes_of.get(event.key, ())
        note = next((write.event for write in writes if write.event.version == event.version), None)
        # A note that changes nothing is no new version.
        if note is not None and note.turn == event.turn and not (is_note and before is note):
            where = f"version {note.version} of {named(event.key, event.label)}"
            what = f"{subject} is not in the transaction of its note, {where}"
            yield Violation("P3", what, (note.seq, event.seq), event.key)
