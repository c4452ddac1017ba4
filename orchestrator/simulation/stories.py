"""A run as a story for a person: who was shown what, who wrote what, and whose text was lost to whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from orchestrator.blame import BlameLine
from orchestrator.blocks import ENGINE, OWNER
from orchestrator.events import (
    AgentCreated,
    AgentDeleted,
    AgentModified,
    BlockAttached,
    BlockChanged,
    BlockCreated,
    BlockDeleted,
    BlockDetached,
    BlockModified,
    Cause,
    ChangeRefused,
    Event,
    HandedOver,
    RunEnded,
    RunResumed,
    RunSettled,
    RunStarted,
    StepTaken,
    ToolAnswered,
    TurnEnded,
    TurnResumed,
    TurnStarted,
)
from orchestrator.messages import ToolCall
from orchestrator.naming import Named, Names
from orchestrator.phrases import brief
from orchestrator.simulation.environment import BEGINNING
from orchestrator.simulation.passages import Passage, Passages, in_marks, several

#: The longest reason.
_MOST_SAID: Final = 200

_VERBS: Final = {
    "insert": "inserted into",
    "replace": "replaced text in",
    "rethink": "rewrote",
    "claim": "claimed from",
    "release": "gave back to",
    "archive": "moved old lines into",
    "modify": "changed",
    "undo": "took back a change of",
}

_NOUNS: Final = {"insert": "insertion into", "replace": "replacement in", "rethink": "rewrite of"}

_ENDS: Final = {
    "done": "is done",
    "failed": "failed",
    "cancelled": "was cancelled",
    "timed_out": "was cut short: it took too long",
}


def story(events: Iterable[Event], *, about: str | None = None, began: float = BEGINNING) -> list[str]:
    """What happened, one line each, in the order of the log.

          2.1 s  curator was shown facts, version 7
          2.4 s  bob inserted into facts: version 8 (+ "MemGPT")
          4.0 s  curator rewrote facts: version 9, from version 7: "MemGPT" by bob is gone, which curator …

    A showing is told where it matters: the last one before a change, where somebody else wrote in between. It stands
    where the blocks were read; the log tells of it when the model has answered. Tools are told with what they answered,
    but for those whose change of a block says as much.

    Args:
        about: a block, by its name or its stored key: only what matters for it is told, and every showing before a
            change. `UnknownName` if the log tells of no such block.
        began: when the story begins, in Unix seconds.
    """
    log = sorted(events, key=lambda event: event.seq)
    names = _names(log)
    teller = _Teller(log, names, about if about is None or about in names.by_key else names.key(about))
    return [
        f"{line.at - began:7.1f} s  {line.text}" if line.at is not None else f"{'':11}{line.text}"
        for line in teller.lines()
    ]


class _Line(NamedTuple):
    #: Where it stands: at an event, or behind it.
    seq: int
    behind: bool
    at: float | None
    text: str


class _Showing(NamedTuple):
    """The blocks as a step was shown them, and when: not before this event."""

    shown: dict[str, int]
    seq: int
    at: float


@dataclass(slots=True, eq=False)
class _Turn:
    """What is known of a turn so far."""

    agent: str
    run: str
    #: Its last event: what it is shown next, it is shown after that.
    seq: int
    at: float
    showing: _Showing | None = None
    #: What its model has asked for and is not answered.
    calls: list[ToolCall] = field(default_factory=list)
    ended: bool = False

    def call_of(self, answer: ToolAnswered) -> ToolCall | None:
        return next((call for call in self.calls if call.name == answer.name), None)


class _Teller:
    """Goes through the log once, and knows at each event what was before."""

    def __init__(self, events: Sequence[Event], names: Names, about: str | None) -> None:
        self._events = events
        self._names = names
        self._about = about
        self._passages = Passages()
        self._turns: dict[str, _Turn] = {}
        #: When each version of a block came to be: the number of the event, and the time.
        self._made: dict[tuple[str, int], tuple[int, float]] = {}
        self._told: set[tuple[str, str, int]] = set()
        self._runs: dict[str, None] = {}
        #: The turns that tried to change the block that the story is about; and whose turn each is.
        self._matters: set[str | None] = set()
        self._agents: dict[str | None, str] = {}
        for event in events:
            if isinstance(event, BlockChanged | ChangeRefused | HandedOver) and event.key == about:
                self._matters.add(event.turn)
            elif isinstance(event, TurnStarted | TurnResumed):
                self._agents[event.turn] = event.agent
        #: The turn of which a change, a refusal or a handoff was told just now: its tool says the same.
        self._told_of: str | None = None

    def lines(self) -> list[_Line]:
        """The story, in order."""
        lines: list[_Line] = []
        for event in self._events:
            lines += self._tool(event)
            self._follow(event)
            lines += self._showing(event)
            lines += [_Line(event.seq, False, event.at, text) for text in self._texts(event)]
        lines.sort(key=lambda line: line[:2])
        lines += [_Line(0, False, None, text) for text in self._unended()]
        return lines or [_Line(0, False, None, "nothing happened")]

    # --- what is known

    def _follow(self, event: Event) -> None:
        match event:
            case TurnStarted() | TurnResumed():
                self._turns[event.turn] = _Turn(event.agent, event.run, event.seq, event.at)
            case StepTaken() if turn := self._turns.get(event.turn):
                turn.showing = self._showing_of(event.shown, turn)
                turn.seq, turn.at = event.seq, event.at
                turn.calls = list(event.tool_calls)
            case ToolAnswered() if turn := self._turns.get(event.turn):
                turn.seq, turn.at = event.seq, event.at
                if (call := turn.call_of(event)) is not None:
                    turn.calls.remove(call)
            case TurnEnded() if turn := self._turns.get(event.turn):
                turn.ended = True
            case BlockCreated() | BlockChanged():
                self._made[event.key, event.version] = (event.seq, event.at)
            case RunStarted() | RunResumed():
                self._runs[event.run] = None
            case RunEnded():
                self._runs.pop(event.run, None)

    def _showing_of(self, shown: dict[str, int], turn: _Turn) -> _Showing:
        """When the blocks were like that: after what the turn did before, and after they were written."""
        moments = [self._made.get(version, (0, 0.0)) for version in shown.items()]
        seq, at = max([(turn.seq, turn.at), *moments])
        return _Showing(shown, seq, at)

    def _unended(self) -> Iterator[str]:
        """Who had not come to an end when the log ended, and what each waits for."""
        for run in self._runs:
            yield f"{run} never ended"
        for id, turn in self._turns.items():
            if turn.ended:
                continue
            waits = f"an answer to {brief(turn.calls[0].name)}" if turn.calls else "an answer of its model"
            yield f"{turn.agent} still had {id}, and waited for {waits}"

    # --- what is told

    def _showing(self, event: Event) -> Iterator[_Line]:
        """What whoever changes a block, or tries to, was shown of it."""
        if not isinstance(event, BlockChanged | ChangeRefused) or not self._is_told(event.key) or event.key is None:
            return
        turn = self._turns.get(event.turn or "")
        version = None if turn is None else self._shown(event)
        if turn is None or turn.showing is None or version is None:
            return
        known = (event.turn or "", event.key, version)
        if known in self._told or not (self._about or self._is_behind(event, version)):
            return
        self._told.add(known)
        text = f"{turn.agent} was shown {self._name(event.key)}, version {version}"
        yield _Line(turn.showing.seq, True, turn.showing.at, text)

    def _shown(self, event: BlockChanged | ChangeRefused) -> int | None:
        """The version of the block that a change's author was shown last, if it is an agent in a turn."""
        turn = self._turns.get(event.turn or "")
        if turn is None or turn.showing is None or event.by != turn.agent or event.key is None:
            return None
        return turn.showing.shown.get(event.key)

    def _is_behind(self, event: BlockChanged | ChangeRefused, shown: int) -> bool:
        return isinstance(event, ChangeRefused) or event.version > shown + 1

    def _tool(self, event: Event) -> Iterator[_Line]:
        """That a tool was called, and what it answered, in one line where nothing else happened in between."""
        if self._about is not None or not isinstance(event, ToolAnswered | TurnEnded) or event.turn == self._told_of:
            return
        turn = self._turns.get(event.turn)
        if isinstance(event, TurnEnded):
            if turn is not None and turn.calls and event.status != "done":
                yield _Line(turn.seq, True, turn.at, f"{event.agent} called {_called(turn.calls[0])}")
            return
        call = None if turn is None else turn.call_of(event)
        if turn is not None and call is not None:
            called = f"{event.agent} called {_called(call)}"
            if event.ok and (event.seq, event.at) == (turn.seq + 1, turn.at):
                yield _Line(event.seq, False, event.at, f"{called}{_said(event.text)}")
                return
            yield _Line(turn.seq, True, turn.at, called)
        if call is not None or not event.ok:
            yield _Line(event.seq, False, event.at, _answered(event))

    def _is_told(self, key: str | None) -> bool:
        return self._about is None or key == self._about

    def _texts(self, event: Event) -> Iterator[str]:
        text = self._of_run(event) or self._of_turn(event) or self._of_block(event)
        if text is None and self._about is None:
            text = self._of_agent(event)
        if text:
            yield text
        self._told_of = event.turn if isinstance(event, BlockChanged | ChangeRefused | HandedOver) else None

    def _of_run(self, event: Event) -> str | None:
        match event:
            case RunStarted(agent=""):
                return f"{event.run} began, with a change by the owner"
            case RunStarted():
                return f"{event.run} began: {in_marks(event.text)} for {event.agent}"
            case RunResumed():
                return f"{event.run} went on, after it was cut off"
            case RunSettled():
                return f"{event.run} will end as {event.status}; sleeptime agents take their turns first"
            case RunEnded():
                return f"{event.run} ended as {event.status}{_said(event.error or event.output)}"
        return None

    def _of_turn(self, event: Event) -> str | None:
        if isinstance(event, HandedOver):
            return f"{event.agent} handed control over to {event.to}" if self._is_told(event.key) else None
        if not isinstance(event, TurnStarted | TurnResumed | TurnEnded):
            return None
        if self._about is not None and event.turn not in self._matters:
            return None
        match event:
            case TurnStarted():
                return f"{event.agent} began {event.turn}, woken by {self._causes(event.causes)}"
            case TurnResumed():
                return f"{event.agent} went on with {event.turn}, in attempt {event.attempt}"
            case _:
                return f"{event.agent}'s {event.turn} {_ENDS.get(event.status, event.status)}{_said(event.error or '')}"

    def _causes(self, causes: Sequence[Cause]) -> str:
        return " and ".join(map(self._cause, causes)) or "nothing that is known"

    def _cause(self, cause: Cause) -> str:
        name = self._name(cause.key) if cause.key is not None else ""
        return {
            "message": "a message",
            "change": f"{cause.by}'s change of {name} (version {cause.version})",
            "call": f"{name}, which called",
            "full": f"{name}, which is nearly full",
            "handoff": f"{cause.by}, who handed over",
            "every": "the turns of others",
            "idle": "the end of everybody's work",
        }[cause.kind]

    def _of_block(self, event: Event) -> str | None:
        match event:
            case BlockCreated() if self._is_told(event.key):
                self._passages.of(event)
                if self._about is None and not event.value:
                    return None
                return f"{self._name(event.key)} began at version {event.version}{_said(event.value)}"
            case BlockChanged():
                passage = self._passages.of(event)
                return self._change(event, passage) if self._is_told(event.key) else None
            case ChangeRefused() if self._is_told(event.key):
                name = brief(event.label) if event.key is None else self._name(event.key)
                what = _NOUNS.get(event.operation, f"{event.operation} of")
                return f"{_who(event.by)}'s {what} {name} was refused: {brief(event.reason, _MOST_SAID)}"
            case BlockModified() if self._is_told(event.key):
                read_only = " and is read-only" if event.read_only else ""
                return f"{self._name(event.key)} has a limit of {event.limit:,}{read_only}"
            case BlockDeleted() if self._is_told(event.key):
                return f"{self._name(event.key)} was deleted"
            case BlockDetached() if self._is_told(event.key):
                return f"{event.agent} no longer sees {self._name(event.key)}"
        return None

    def _change(self, event: BlockChanged, passage: Passage) -> str:
        verb = _VERBS.get(event.operation, f"made a change ({event.operation}) of")
        shown = self._shown(event)
        behind = f", from version {shown}" if shown is not None and self._is_behind(event, shown) else ""
        lost = [line for line in passage.removed if _was_never_shown(line, event, shown)]
        is_bookkeeping = event.operation in ("claim", "release")
        who = self._agents.get(event.turn, event.by) if is_bookkeeping else event.by
        seen = [line for line in passage.removed if line not in lost and not is_bookkeeping]
        signs = [f"{sign} {several(lines)}" for sign, lines in (("+", passage.added), ("-", seen)) if lines]
        differences = f" ({'; '.join(signs)})" if signs else ""
        text = f"{_who(who)} {verb} {self._name(event.key)}: version {event.version}{behind}{differences}"
        return f"{text}: {_losses(lost, event.by)}" if lost else text

    def _of_agent(self, event: Event) -> str | None:
        match event:
            case AgentCreated():
                return f"{event.agent} was made by the owner"
            case AgentModified():
                return f"{event.agent} was modified by the owner"
            case AgentDeleted():
                return f"{event.agent} was deleted by the owner"
        return None

    def _name(self, key: str) -> str:
        return self._names.by_key.get(key, key)


def _was_never_shown(line: BlameLine, event: BlockChanged, shown: int | None) -> bool:
    """Whether a change took away what its author cannot know of; a replacement has named what it replaces."""
    return shown is not None and line.version > shown and line.by != event.by and event.operation != "replace"


def _names(events: Iterable[Event]) -> Names:
    """What users call the blocks that the log tells of."""
    labels: dict[str, str] = {}
    seen_by: dict[str, dict[str, None]] = {}
    for event in events:
        match event:
            case BlockCreated() | BlockChanged() | BlockModified():
                labels.setdefault(event.key, event.label)
            case BlockAttached():
                seen_by.setdefault(event.key, {})[event.agent] = None
    return Names("the log", [Named(key, label, tuple(seen_by.get(key, ()))) for key, label in labels.items()])


def _losses(lines: Iterable[BlameLine], by: str) -> str:
    """Whose lines are gone without their remover's knowing."""
    lost: dict[str, list[BlameLine]] = {}
    for line in lines:
        lost.setdefault(line.by, []).append(line)
    return "; ".join(
        f"{several(theirs)} by {_who(author)} {'are' if len(theirs) > 1 else 'is'} gone, which {by} was never shown"
        for author, theirs in lost.items()
    )


def _called(call: ToolCall) -> str:
    """What a model has asked for."""
    given = call.arguments
    told = given if isinstance(given, str) else ", ".join(f"{name}={value!r}" for name, value in given.items())
    return f"{brief(call.name)}({brief(told)})"


def _answered(event: ToolAnswered) -> str:
    whose = f"{event.agent}'s {brief(event.name)}"
    return f"{whose} answered{_said(event.text)}" if event.ok else f"{whose} failed: {brief(event.text, _MOST_SAID)}"


def _who(name: str) -> str:
    return f"the {name}" if name in (OWNER, ENGINE) else name


def _said(text: str) -> str:
    return f": {in_marks(text)}" if text.strip() else ""
