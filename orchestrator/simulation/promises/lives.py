"""The log, sorted by what it tells of: the lives of blocks, turns and runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from orchestrator.blocks import OWNER
from orchestrator.errors import ToolError
from orchestrator.events import (
    BlockChanged,
    BlockCreated,
    BlockDeleted,
    ChangeRefused,
    Event,
    HandedOver,
    RunEnded,
    RunSettled,
    RunStarted,
    StepTaken,
    ToolAnswered,
    TurnEnded,
    TurnResumed,
    TurnStarted,
)
from orchestrator.messages import ToolCall
from orchestrator.simulation.history import History
from orchestrator.simulation.promises.violation import named
from orchestrator.tools import parse_arguments


class Write(NamedTuple):
    """A new version of a block."""

    event: BlockChanged
    #: The text that stood there before; None where the log does not tell of the version before.
    before: str | None
    #: The place of the event in the log, from 0.
    place: int


class Author(NamedTuple):
    """Who brought a line into a block, at which version."""

    name: str
    version: int


@dataclass(slots=True)
class TurnLife:
    """What the log tells of a turn, in order."""

    #: Whose it is; "" if it never started.
    agent: str = ""
    started: list[TurnStarted] = field(default_factory=list)
    resumed: list[TurnResumed] = field(default_factory=list)
    steps: list[StepTaken] = field(default_factory=list)
    answers: list[ToolAnswered] = field(default_factory=list)
    ended: list[TurnEnded] = field(default_factory=list)
    #: The change of the block from which something was taken for it.
    claims: list[BlockChanged] = field(default_factory=list)
    #: What it did after its end, or before its start.
    untimely: list[Event] = field(default_factory=list)


@dataclass(slots=True)
class RunLife:
    """What the log tells of a run, in order."""

    started: list[RunStarted] = field(default_factory=list)
    settled: list[RunSettled] = field(default_factory=list)
    ended: list[RunEnded] = field(default_factory=list)


class Lives:
    """What a history tells of each block, turn and run."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.log = history.log
        self.writes: list[Write] = []
        self.writes_of: dict[str, list[Write]] = {}
        #: What concerns who has a turn, for which run.
        self.bounds: list[TurnStarted | TurnEnded | RunStarted | RunEnded] = []
        #: With their places in the log.
        self.handed: list[tuple[HandedOver, int]] = []
        #: By key and version.
        self.texts: dict[str, dict[int, str]] = {}
        #: What was told of the text of each block, by key.
        self.blocks: dict[str, list[BlockCreated | BlockChanged | BlockDeleted]] = {}
        self.turns: dict[str, TurnLife] = {}
        self.runs: dict[str, RunLife] = {}
        self._commits = {event.seq: at for at, commit in enumerate(history.commits) for event in commit}
        for place, event in enumerate(self.log):
            if (on := _HANDLERS.get(event.type)) is not None:
                on(self, event, place)

    def agent(self, turn: str | None) -> str:
        """Whose turn it is; "" if it never started, or is none."""
        life = self.turns.get(turn or "")
        return "" if life is None else life.agent

    def _turn(self, id: str) -> TurnLife:
        life = self.turns.get(id)
        if life is None:
            life = self.turns[id] = TurnLife()
        return life

    def _run(self, id: str) -> RunLife:
        life = self.runs.get(id)
        if life is None:
            life = self.runs[id] = RunLife()
        return life

    def next(self, place: int) -> Event | None:
        """The event after the one at this place, if both were written in one commit, as far as that is known."""
        if place + 1 >= len(self.log) or not self.is_one_commit(self.log[place], self.log[place + 1]):
            return None
        return self.log[place + 1]

    def last(self, place: int) -> Event | None:
        """The event before the one at this place, under the same condition."""
        if place == 0 or not self.is_one_commit(self.log[place - 1], self.log[place]):
            return None
        return self.log[place - 1]

    def is_one_commit(self, one: Event, other: Event) -> bool:
        """Whether the two may have been written in one commit: a commit that was acknowledged is known as a whole."""
        return self._commits.get(one.seq) == self._commits.get(other.seq)

    def place(self, event: Event) -> int:
        """Where the event stands in the log, from 0."""
        place = event.seq - 1
        is_there = 0 <= place < len(self.log) and self.log[place] is event
        return place if is_there else self.log.index(event)

    def step_of(self, turn: str, before: int) -> StepTaken | None:
        """The last step of the turn that was taken before the event of this number."""
        life = self.turns.get(turn)
        steps = [] if life is None else life.steps
        return next((step for step in reversed(steps) if step.seq < before), None)

    def call_of(self, answer: ToolAnswered) -> ToolCall | None:
        """What was asked for."""
        for step in self.turns[answer.turn].steps:
            if step.step == answer.step and answer.call < len(step.tool_calls):
                return step.tool_calls[answer.call]
        return None

    def text(self, key: str, version: int) -> str:
        """The text of a version, by the log or by the history of the block; "" if nobody knows it."""
        text = self.texts.get(key, {}).get(version)
        if text is None:
            rows = self.history.revisions.get(key, ())
            return next((row.value for row in rows if row.version == version), "")
        return text

    def name(self, key: str) -> str:
        """A block as a reader knows it."""
        head, told = self.history.blocks.get(key), self.blocks.get(key)
        return named(key, head.label if head is not None else told[0].label if told else "")

    def labelled(self, label: object) -> list[str]:
        """The keys of the blocks that have, or had, this label."""
        return [key for key, told in self.blocks.items() if told[0].label == label]

    def author(self, line: str, write: Write) -> Author:
        """Who had last brought the line into the block before it was removed from it."""
        key, found = write.event.key, Author(OWNER, 1)
        for other in self.writes_of[key]:
            if other.place >= write.place:
                break
            old = (other.before or "").split("\n")
            if other.event.value.split("\n").count(line) > old.count(line):
                found = Author(other.event.by, other.event.version)
        return found

    # --- events

    def _on_created(self, event: BlockCreated, place: int) -> None:
        self.blocks.setdefault(event.key, []).append(event)
        self.texts.setdefault(event.key, {})[event.version] = event.value

    def _on_changed(self, event: BlockChanged, place: int) -> None:
        self.blocks.setdefault(event.key, []).append(event)
        texts = self.texts.setdefault(event.key, {})
        write = Write(event, texts.get(event.version - 1), place)
        self.writes.append(write)
        self.writes_of.setdefault(event.key, []).append(write)
        texts.setdefault(event.version, event.value)
        if event.turn is None:
            return
        life = self._turn(event.turn)
        if event.operation == "claim" and not life.started:
            life.claims.append(event)
        elif life.ended or not life.started:
            life.untimely.append(event)

    def _on_deleted(self, event: BlockDeleted, place: int) -> None:
        self.blocks.setdefault(event.key, []).append(event)

    def _on_refused(self, event: ChangeRefused, place: int) -> None:
        if event.turn is not None:
            self._check_timely(self._turn(event.turn), event)

    def _on_turn_started(self, event: TurnStarted, place: int) -> None:
        life = self._turn(event.turn)
        life.agent = life.agent or event.agent
        life.started.append(event)
        self.bounds.append(event)

    def _on_turn_resumed(self, event: TurnResumed, place: int) -> None:
        life = self._turn(event.turn)
        life.resumed.append(event)
        self._check_timely(life, event)

    def _on_step(self, event: StepTaken, place: int) -> None:
        life = self._turn(event.turn)
        life.steps.append(event)
        self._check_timely(life, event)

    def _on_answer(self, event: ToolAnswered, place: int) -> None:
        life = self._turn(event.turn)
        life.answers.append(event)
        self._check_timely(life, event)

    def _on_handed_over(self, event: HandedOver, place: int) -> None:
        self.handed.append((event, place))
        self._check_timely(self._turn(event.turn), event)

    def _on_turn_ended(self, event: TurnEnded, place: int) -> None:
        self._turn(event.turn).ended.append(event)
        self.bounds.append(event)

    def _check_timely(self, life: TurnLife, event: Event) -> None:
        if life.ended or not life.started:
            life.untimely.append(event)

    def _on_run_started(self, event: RunStarted, place: int) -> None:
        self._run(event.run).started.append(event)
        self.bounds.append(event)

    def _on_run_settled(self, event: RunSettled, place: int) -> None:
        self._run(event.run).settled.append(event)

    def _on_run_ended(self, event: RunEnded, place: int) -> None:
        self._run(event.run).ended.append(event)
        self.bounds.append(event)


def arguments_of(call: ToolCall) -> dict[str, Any]:
    """The arguments of a call; none where nobody can read them."""
    if isinstance(call.arguments, dict):
        return call.arguments
    try:
        return parse_arguments(call.name, call.arguments)
    except ToolError:
        return {}


# By the type that an event names, so each function is given the kind that it takes.
_HANDLERS: Final[Mapping[str, Callable[[Lives, Any, int], None]]] = {
    "block_created": Lives._on_created,
    "block_changed": Lives._on_changed,
    "block_deleted": Lives._on_deleted,
    "change_refused": Lives._on_refused,
    "turn_started": Lives._on_turn_started,
    "turn_resumed": Lives._on_turn_resumed,
    "step_taken": Lives._on_step,
    "tool_answered": Lives._on_answer,
    "handed_over": Lives._on_handed_over,
    "turn_ended": Lives._on_turn_ended,
    "run_started": Lives._on_run_started,
    "run_settled": Lives._on_run_settled,
    "run_ended": Lives._on_run_ended,
}
