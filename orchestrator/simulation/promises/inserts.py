"""P1: what was acknowledged stays, until somebody who was shown it, or named it, removes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from orchestrator.blocks import OWNER
from orchestrator.escaping import unescape
from orchestrator.events import BlockChanged, Event
from orchestrator.memory import memory_insert, memory_replace
from orchestrator.phrases import quoted
from orchestrator.simulation.promises.lives import Lives, Write, arguments_of
from orchestrator.simulation.promises.pools import Pools
from orchestrator.simulation.promises.violation import Violation, is_agent, written

_Lines = Counter[str]


def lost(lives: Lives, declared: Pools | None) -> Iterator[Violation]:
    """What was acknowledged and is not there."""
    yield from _acknowledged(lives)
    for write in lives.writes:
        if write.before is None or write.event.by == OWNER:
            continue
        for line in _lost_lines(lives, write, write.before, declared):
            yield _told(lives, write, line)
        if is_agent(write.event.by) and (text := _not_inserted(lives, write)):
            what = f"{written(write.event)} was acknowledged, and does not have the text {quoted(text)}"
            yield Violation("P1", what, (write.event.seq,), write.event.key)


# --- the log


def _acknowledged(lives: Lives) -> Iterator[Violation]:
    for place, event in enumerate(lives.log):
        if event.seq != place + 1:
            yield Violation("P1", f"the log has event {event.seq} in place {place + 1}", (event.seq,))
            break
    if lives.history.acknowledged is lives.log:
        return
    there = {event.seq: event for event in lives.log}
    for event in lives.history.acknowledged:
        stored = there.get(event.seq)
        if stored is event:
            continue
        if stored is None:
            yield Violation("P1", f"{_event(event)} was acknowledged, and is not in the log", (event.seq,))
        elif type(stored) is not type(event) or stored.__dict__ != event.__dict__:
            what = f"{_event(event)} was acknowledged, and the log has another event with its number: {_event(stored)}"
            yield Violation("P1", what, (event.seq,))


def _event(event: Event) -> str:
    subject = written(event) if event.type == "block_changed" else event.type.replace("_", " ")
    return f"event {event.seq} ({subject})"


# --- lines


def _lost_lines(lives: Lives, write: Write, before: str, declared: Pools | None) -> _Lines:
    """The lines that are gone with the write, and must not be."""
    event = write.event
    match event.operation:
        case "insert":
            return _by_insertion(lives, write, before)
        case "replace":
            return _by_replacing(lives, write, before)
        case "rethink":
            return _by_rewriting(lives, write, before)
        case "claim" | "release":
            return _by_bookkeeping(lives, write, before, declared)
    return _Lines()


def _by_insertion(lives: Lives, write: Write, before: str) -> _Lines:
    """All that stood there stays, or goes to an archive in the same transaction."""
    after, place = write.event.value, write.place
    group = [(before, after)]
    while (last := lives.last(place)) is not None and last.type == "block_changed" and last.operation == "archive":
        place -= 1
        if last.turn == write.event.turn:
            group.append((lives.text(last.key, last.version - 1), last.value))
    if len(group) == 1 and (not before or after.startswith(_ended(before)) or after.endswith(f"\n{before}")):
        return _Lines()
    gone: _Lines = _Lines()
    for old, _ in group:
        gone.update(_lines(old))
    for _, new in group:
        gone.subtract(_lines(new))
    return +gone


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


def _by_replacing(lives: Lives, write: Write, before: str) -> _Lines:
    """What stood there stays, but for the text that was named. A tool's own function names what it means."""
    named_text = _asked_for(lives, write, memory_replace.name)
    if named_text is None:
        return _Lines()
    old, new = named_text.get("old_string"), named_text.get("new_string")
    if not isinstance(old, str) or not isinstance(new, str):
        return _Lines()
    return _lines(before.replace(unescape(old), unescape(new), 1)) - _lines(write.event.value)


def _by_rewriting(lives: Lives, write: Write, before: str) -> _Lines:
    """What its author was shown may go, and what the author wrote since."""
    event = write.event
    if _last_write_wins(lives, event):
        return _Lines()
    gone = _lines(before) - _lines(event.value)
    if not gone:
        return gone
    step = lives.step_of(event.turn or "", event.seq)
    version = 0 if step is None else step.shown.get(event.key, 0)
    gone -= _lines(lives.text(event.key, version))
    for other in lives.writes_of[event.key] if gone else ():
        if other.place >= write.place:
            break
        if other.event.by == event.by and other.event.version > version:
            gone -= _lines(other.event.value) - _lines(other.before or "")
    return gone


def _last_write_wins(lives: Lives, event: BlockChanged) -> bool:
    """Whether the rewrite may overwrite what it was never shown. Of a block that is gone, and of what was written under
    another declaration, nobody knows it.
    """
    key, history = event.key, lives.history
    block = history.blocks.get(key)
    if block is None or event.seq <= history.since:
        return True
    declared = history.team.blocks.get(key) if history.team is not None else None
    return "last_write_wins" in (block.rethink, None if declared is None else declared.rethink)


def _by_bookkeeping(lives: Lives, write: Write, before: str, declared: Pools | None) -> _Lines:
    """Nothing goes but what the functions of the team's wakes take away; that they take the right thing is P3's."""
    event = write.event
    if declared is None or event.seq <= lives.history.since:
        return _Lines()
    make = declared.claimed if event.operation == "claim" else declared.released
    texts = make(event.key, before, lives.agent(event.turn))
    if not texts or event.value in texts:
        return _Lines()
    return _lines(texts[0]) - _lines(event.value) if is_nothing_but_loss(event.value, texts[0]) else _Lines()


def is_nothing_but_loss(text: str, meant: str) -> bool:
    """Whether the text is what was meant without some of its lines: it was made of an outdated one."""
    now, then = _lines(text), _lines(meant)
    return not now - then and bool(then - now)


def _lines(text: str) -> _Lines:
    """The lines of a text, those that say nothing left out."""
    lines = _Lines(text.split("\n"))
    for blank in [line for line in lines if not line.strip()]:
        del lines[blank]
    return lines


# --- calls


def _not_inserted(lives: Lives, write: Write) -> str | None:
    """The text that an agent was told is in the block, and is not."""
    if write.event.operation != "insert":
        return None
    text = (_asked_for(lives, write, memory_insert.name) or {}).get("new_string")
    return text if isinstance(text, str) and unescape(text) not in write.event.value else None


def _asked_for(lives: Lives, write: Write, tool: str) -> dict[str, object] | None:
    """The arguments of the call that made the change, if it was a call of this tool."""
    answer = lives.next(write.place)
    if answer is None or answer.type != "tool_answered" or answer.turn != write.event.turn or answer.name != tool:
        return None
    call = lives.call_of(answer)
    return None if call is None else arguments_of(call)


def _told(lives: Lives, write: Write, line: str) -> Violation:
    event = write.event
    author = lives.author(line, write)
    step = lives.step_of(event.turn or "", event.seq) if is_agent(event.by) else None
    shown = "" if step is None or event.operation != "rethink" else _shown(step.shown.get(event.key), event.by)
    what = f"{written(event)} lost {quoted(line)}, which {author.name} had added in version {author.version}{shown}"
    return Violation("P1", what, (event.seq,), event.key)


def _shown(version: int | None, agent: str) -> str:
    return f"; {agent} was never shown the block" if version is None else f"; {agent} was shown version {version}"
