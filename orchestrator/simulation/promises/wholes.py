"""P8: what belongs together was written together, and nothing is half done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from orchestrator.blocks import ENGINE
from orchestrator.escaping import unescape
from orchestrator.events import BlockChanged, ToolAnswered
from orchestrator.memory import memory_insert, memory_replace, memory_rethink
from orchestrator.simulation.promises.lives import Lives, TurnLife, Write, arguments_of
from orchestrator.simulation.promises.violation import Violation, is_agent, written


def halved(lives: Lives) -> Iterator[Violation]:
    """Changes without their answers, answers without their changes, calls answered twice or never."""
    for write in lives.writes:
        if is_agent(write.event.by):
            yield from _unanswered_change(lives, write)
        elif write.event.by == ENGINE:
            yield from _loose(lives, write)
    for turn in lives.turns.values():
        yield from _calls(lives, turn)


def _unanswered_change(lives: Lives, write: Write) -> Iterator[Violation]:
    event, answer = write.event, lives.next(write.place)
    if answer is None or answer.type != "tool_answered" or answer.turn != event.turn:
        what = f"{written(event)} is not in one transaction with the answer of its tool"
    elif not answer.ok:
        what = f"{written(event)} was made, and {answer.name} answered that it was not"
    else:
        return
    yield Violation("P8", what, (event.seq,), event.key)


def _loose(lives: Lives, write: Write) -> Iterator[Violation]:
    """What the engine writes is part of something: of an insertion, or of the end of a turn."""
    event, place = write.event, write.place
    if event.operation == "archive":
        following = lives.next(place)
        if _is_insertion(following, event) or _is_answer(following, event):
            return
        yield Violation("P8", f"{written(event)} is not in one transaction with an insertion", (event.seq,), event.key)
    elif event.operation == "release":
        following = lives.next(place)
        while following is not None and following.type in ("block_changed", "change_refused"):
            place += 1
            following = lives.next(place)
        if following is None or following.type != "turn_ended" or following.turn != event.turn:
            what = f"{written(event)} is not in the transaction that ends the turn"
            yield Violation("P8", what, (event.seq,), event.key)


def _is_insertion(following: object, archive: BlockChanged) -> bool:
    return (
        isinstance(following, BlockChanged)
        and following.turn == archive.turn
        and following.operation in ("insert", "archive")
    )


def _is_answer(following: object, archive: BlockChanged) -> bool:
    """The same line was inserted that had to leave: then there is no other text."""
    return isinstance(following, ToolAnswered) and following.turn == archive.turn and following.ok


def _calls(lives: Lives, turn: TurnLife) -> Iterator[Violation]:
    answered: dict[tuple[int, int], ToolAnswered] = {}
    for answer in turn.answers:
        key = (answer.step, answer.call)
        if key in answered:
            what = f"call {answer.call} of step {answer.step} in {answer.turn} of {answer.agent} was answered twice"
            yield Violation("P8", f"{what}: {answer.name}", (answered[key].seq, answer.seq))
        answered[key] = answer
        if answer.ok and _is_empty(lives, answer):
            what = f"{answer.name} in {answer.turn} of {answer.agent} was answered, and changed nothing"
            yield Violation("P8", what, (answer.seq,))
    if not turn.ended or turn.ended[0].status != "done":
        return
    for step in turn.steps:
        for number, call in enumerate(step.tool_calls):
            if (step.step, number) not in answered:
                what = f"{step.turn} of {step.agent} is done, and its call {number} of step {step.step} has no answer"
                yield Violation("P8", f"{what}: {call.name}", (step.seq, turn.ended[0].seq))


def _is_empty(lives: Lives, answer: ToolAnswered) -> bool:
    """Whether a memory tool says that it has changed a block, and there is no change beside the answer."""
    if answer.name not in _MEMORY:
        return False
    last = lives.last(lives.place(answer))
    if last is not None and last.type == "block_changed" and (last.turn, last.by) == (answer.turn, answer.agent):
        return False
    return not _changes_nothing(lives, answer)


_MEMORY: Final = frozenset({memory_insert.name, memory_replace.name, memory_rethink.name})


def _changes_nothing(lives: Lives, answer: ToolAnswered) -> bool:
    """Whether what was asked for leaves the block as it is."""
    call = lives.call_of(answer)
    if call is None:
        return False
    asked = {name: unescape(value) for name, value in arguments_of(call).items() if isinstance(value, str)}
    if call.name == memory_replace.name:
        return asked.get("old_string") == asked.get("new_string")
    keys = lives.labelled(asked.get("label"))
    texts = {key: _text_at(lives, key, answer.seq) for key in keys}
    if call.name == memory_rethink.name:
        return asked.get("new_memory") in texts.values()
    return any(_inserts_nothing(lives, key, text, asked.get("new_string", "")) for key, text in texts.items())


def _inserts_nothing(lives: Lives, key: str, text: str, inserted: str) -> bool:
    """Nothing is inserted where a line has begun; or, where a block overflows, what has to leave for it."""
    if not inserted and (not text or text.endswith("\n")):
        return True
    block = lives.history.blocks.get(key)
    return block is not None and block.overflow is not None and inserted in text


def _text_at(lives: Lives, key: str, seq: int) -> str:
    """The text of a block when an event was written."""
    told = [event for event in lives.blocks[key] if event.seq < seq]
    return "" if not told or told[-1].type == "block_deleted" else told[-1].value
