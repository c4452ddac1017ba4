"""Text for a terminal or a pipe: events as lines, a run as a line or a JSON document."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from traceback import format_tb
from typing import Final

from orchestrator.errors import OrchestratorError
from orchestrator.events import (
    BlockChanged,
    Cause,
    ChangeRefused,
    Event,
    RunStarted,
    ToolAnswered,
    TurnEnded,
    TurnStarted,
)
from orchestrator.runs import Run
from orchestrator.team import Team

#: Is told each event, in order.
Show = Callable[[Event], None]

#: What a terminal would obey rather than show: controls but for tab and newline, marks that turn the
#: direction of writing, separators that look like a new line, and halves of surrogate pairs.
_UNSEEN: Final = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

#: Of a text from elsewhere, a line shows so many characters.
_MOST: Final = 100


def visible(text: str) -> str:
    """The text with what a terminal would obey written out, as in `\\x1b`; lines stay lines."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text.replace("\r\n", "\n"))


def brief(text: str) -> str:
    """The beginning of a text, in one line."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= _MOST else f"{line[: _MOST - 1]}…"


class Lines:
    """Prints a line for each event worth telling."""

    def __init__(self, team: Team) -> None:
        self._names = team.names

    def __call__(self, event: Event) -> None:
        line = self.line(event)
        if line is not None:
            print(line, flush=True)  # as it happens, also into a pipe

    def line(self, event: Event) -> str | None:
        """The event as a line; None for what other events tell as well."""
        match event:
            case RunStarted(agent=""):
                return f"{event.run}: a change by the owner"
            case RunStarted():
                return f"{event.run}: message for {event.agent}: {brief(event.text)}"
            case TurnStarted():
                return f"{event.agent} woken by {' and '.join(map(self._cause, event.causes))}"
            case ToolAnswered():
                in_vain = "" if event.ok else " without success"
                return f"{event.agent} called {brief(event.name)}{in_vain}: {brief(event.text)}"
            case BlockChanged():
                name = self._names.get(event.key, event.label)
                return f"{name} changed to version {event.version}: {change(event)}, {filled(event)}"
            case ChangeRefused():
                return f"{event.operation} of {brief(event.label)} by {event.by} refused: {brief(event.reason)}"
            case TurnEnded():
                said = brief(event.error or event.text)
                return f"{event.agent} {ending(event)}{f': {said}' if said else ''}"
            case _:
                return None

    def _cause(self, cause: Cause) -> str:
        if cause.kind == "message" or cause.key is None:
            return "the message"
        if cause.kind == "call":
            return f"{self._names.get(cause.key, cause.label)}, which calls for a turn"
        return f"{self._names.get(cause.key, cause.label)}, changed by {cause.by} (version {cause.version})"


def change(event: BlockChanged) -> str:
    """What was done to the block, by whom."""
    return f"{event.operation} by {event.by}"


def filled(event: BlockChanged) -> str:
    """How much of its limit the block has used."""
    return f"{len(event.value):,} of {event.limit:,} characters"


def ending(event: TurnEnded) -> str:
    """How a turn ended."""
    return f"{event.status.replace('_', ' ')} after {_count(event.steps, 'step')}"


def summary(run: Run, seconds: float) -> str:
    """What the run came to, in one line; what is not known is left out."""
    usage = run.usage
    parts = [_count(len(run.turns), "turn"), _count(usage.calls, "model call")]
    if tokens := usage.input_tokens + usage.output_tokens:
        parts.append(_count(tokens, "token"))
    if run.cost is not None:
        parts.append(f"${run.cost:.4f}")
    return f"run {run.status}: {', '.join(parts)}, {seconds:.1f} s"


def failure(run: Run) -> str:
    """Why a run is not complete; what a model or tool of the user's raised, with the place where it did."""
    if run.error is None:
        return f"the {run.status} is spent after {_count(len(run.turns), 'turn')}; see --max-turns and --timeout"
    cause = run.error.__cause__
    if cause is None or isinstance(cause, OrchestratorError):
        return str(run.error)
    frames = "".join(format_tb(cause.__traceback__)[-3:])
    return f"{run.error}\n{frames}".rstrip()


def document(run: Run) -> str:
    """The run as JSON, in ASCII, so that no encoding and no terminal can change what it says."""
    turn_fields = {"id", "agent", "status", "steps", "text", "error", "usage"}
    block_fields = {"value", "version", "limit", "by", "read_only", "description", "tags"}
    return json.dumps(
        {
            "status": run.status,
            "output": run.output,
            "error": None if run.error is None else str(run.error),
            "run": run.id,
            "turns": [turn.model_dump(mode="json", include=turn_fields) for turn in run.turns],
            "usage": run.usage.model_dump(mode="json"),
            "cost": run.cost,
            "blocks": {name: block.model_dump(mode="json", include=block_fields) for name, block in run.blocks.items()},
        },
        indent=2,
    )


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
