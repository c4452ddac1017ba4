"""Text for a terminal or a pipe: events as lines, a run as a line or a JSON document."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from traceback import format_tb
from typing import Any

from orchestrator.blocks import BlockState
from orchestrator.errors import OrchestratorError
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
    ToolAnswered,
    TurnEnded,
    TurnResumed,
    TurnStarted,
    event_to_json,
)
from orchestrator.messages import Usage
from orchestrator.phrases import brief, counted, visible
from orchestrator.ports import TurnRecord
from orchestrator.runs import Run

#: Is told each event, in order.
Show = Callable[[Event], None]


def one_line(text: str) -> str:
    """The whole text, in one line: what would begin another is written out."""
    return visible(text).replace("\n", r"\n").replace("\t", r"\t")


class Lines:
    """Prints a line for each event worth telling.

    Args:
        names: what each block is called, by stored key.
        ends: tell the ends of runs, too, where nobody else does.
    """

    def __init__(self, names: Mapping[str, str], *, ends: bool = False) -> None:
        self.names = names
        self._ends = ends

    def __call__(self, event: Event) -> None:
        line = self.line(event)
        if line is not None:
            print(line, flush=True)  # as it happens, also into a pipe

    def line(self, event: Event) -> str | None:
        """The event as a line; None for what other events tell as well."""
        line = self._of_run(event) or self._of_turn(event) or self._of_block(event) or _of_team(event)
        return None if line is None else one_line(line)

    def _of_run(self, event: Event) -> str | None:
        match event:
            case RunStarted(agent="", text=""):
                return f"{event.run}: opened by a change of the owner's"
            case RunStarted():
                return f"{event.run}: message for {event.agent}: {brief(event.text)}"
            case RunResumed():
                return f"{event.run}: goes on where it was cut off"
            case RunSettled():
                return f"{event.run}: will end as {event.status}, after a round of the sleeptime agents"
            case RunEnded() if self._ends:
                said = brief(event.error or event.output)
                return f"{event.run}: {event.status}{f': {said}' if said else ''}"
            case _:
                return None

    def _of_turn(self, event: Event) -> str | None:
        match event:
            case TurnStarted():
                return f"{event.agent} woken by {self.causes(event.causes)}"
            case TurnResumed():
                return f"{event.agent} goes on with its turn, in attempt {event.attempt}"
            case ToolAnswered():
                in_vain = "" if event.ok else " without success"
                return f"{event.agent} called {brief(event.name)}{in_vain}: {brief(event.text)}"
            case HandedOver():
                return f"{event.agent} handed control over to {event.to}, with a note in {self._name(event)}"
            case TurnEnded():
                said = brief(event.error or event.text)
                return f"{event.agent} {ending(event)}{f': {said}' if said else ''}"
            case _:
                return None

    def _of_block(self, event: Event) -> str | None:
        match event:
            case BlockCreated():
                return f"{self._name(event)} created at version {event.version}, {filled(event)}"
            case BlockChanged():
                return f"{self._name(event)} changed to version {event.version}: {change(event)}, {filled(event)}"
            case ChangeRefused():
                return f"{event.operation} of {brief(event.label)} by {event.by} refused: {brief(event.reason)}"
            case BlockModified():
                read_only = ", read-only" if event.read_only else ""
                return f"{self._name(event)} modified: limit {event.limit:,}{read_only}"
            case BlockDeleted():
                return f"{event.key} deleted"
            case BlockAttached():
                return f"{event.agent} sees {self._name(event)}, and may {event.grant} it"
            case BlockDetached():
                return f"{event.agent} no longer sees {self._name(event)}"
            case _:
                return None

    def _name(
        self, event: BlockCreated | BlockChanged | BlockModified | BlockAttached | BlockDetached | HandedOver
    ) -> str:
        return self.names.get(event.key, event.label)

    def causes(self, causes: Iterable[Cause]) -> str:
        """Why a turn was started."""
        return " and ".join(map(self._cause, causes))

    def _cause(self, cause: Cause) -> str:
        if cause.counts_turns:
            return "turns of others" if cause.kind == "every" else "the end of everybody's work"
        if cause.kind == "message" or cause.key is None:
            return "the message"
        name = self.names.get(cause.key, cause.label or cause.key)
        if cause.kind == "call":
            return f"{name}, which calls for a turn"
        if cause.kind == "full":
            return f"{name}, which is nearly full"
        if cause.kind == "handoff":
            return f"{cause.by}, who handed control over with a note in {name} (version {cause.version})"
        return f"{name}, changed by {cause.by} (version {cause.version})"


def _of_team(event: Event) -> str | None:
    match event:
        case AgentCreated():
            return f"{event.agent} created by the owner"
        case AgentModified():
            return f"{event.agent} modified by the owner"
        case AgentDeleted():
            return f"{event.agent} deleted by the owner"
        case _:
            return None


def change(event: BlockChanged) -> str:
    """What was done to the block, by whom."""
    return f"{event.operation} by {event.by}"


def filled(block: BlockChanged | BlockCreated | BlockState) -> str:
    """How much of its limit the block has used."""
    return f"{len(block.value):,} of {block.limit:,} characters"


def ending(turn: TurnEnded | TurnRecord) -> str:
    """How a turn ended."""
    return f"{turn.status.replace('_', ' ')} after {counted(turn.steps, 'step')}"


def summary(run: Run, seconds: float) -> str:
    """What the run came to, in one line; what is not known is left out."""
    return f"run {run.status}: {counted(len(run.turns), 'turn')}, {spent(run.usage)}, {seconds:.1f} s"


def spent(usage: Usage) -> str:
    """What model calls used; what is not known is left out."""
    parts = [counted(usage.calls, "model call")]
    if tokens := usage.input_tokens + usage.output_tokens:
        parts.append(counted(tokens, "token"))
    if usage.cost is not None:
        parts.append(f"${usage.cost:.4f}")
    return ", ".join(parts)


def failure(run: Run) -> str:
    """Why a run is not complete; what a model or tool of the user's raised, with the place where it did."""
    if run.error is None:
        return f"the {run.status} is spent after {counted(len(run.turns), 'turn')}; see --max-turns and --timeout"
    cause = run.error.__cause__
    if cause is None or isinstance(cause, OrchestratorError):
        return str(run.error)
    frames = "".join(format_tb(cause.__traceback__)[-3:])
    return f"{run.error}\n{frames}".rstrip()


def document(run: Run) -> str:
    """The run as a JSON document."""
    return as_ascii(run_fields(run))


def run_fields(run: Run) -> dict[str, Any]:
    """What a document says of a run."""
    turn_fields = {"id", "agent", "status", "steps", "text", "error", "usage"}
    return {
        "status": run.status,
        "output": run.output,
        "error": None if run.error is None else str(run.error),
        "run": run.id,
        "turns": [turn.model_dump(mode="json", include=turn_fields) for turn in run.turns],
        "usage": run.usage.model_dump(mode="json"),
        "cost": run.cost,
        "blocks": {name: block_fields(block) for name, block in run.blocks.items()},
    }


def block_fields(block: BlockState) -> dict[str, Any]:
    """What a document says of a block."""
    fields = {"value", "version", "limit", "by", "read_only", "description", "tags"}
    return block.model_dump(mode="json", include=fields)


def as_ascii(document: object) -> str:
    """The document as JSON, in ASCII, so that no encoding and no terminal can change what it says."""
    return json.dumps(document, indent=2)


def event_as_ascii(event: Event) -> str:
    """`event_to_json`, in ASCII."""
    text = event_to_json(event)
    return text if text.isascii() else json.dumps(json.loads(text), separators=(",", ":"))
