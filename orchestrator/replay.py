"""What a store knows of a turn that was cut off: the answers of its model, and what came of their tool calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.edits import Shown
from orchestrator.ports import Effect, ModelResponse, Reader, TurnRecord
from orchestrator.tools import ToolContext


class RecordedStep(NamedTuple):
    """A step whose answer is known, so that its model is not asked again."""

    response: ModelResponse
    #: What the model was shown, by the key of the block, and by its label.
    shown: Mapping[str, Shown]
    texts: Mapping[str, str]
    #: What came of its tool calls, as far as they were answered, by their number.
    effects: Mapping[int, Effect]


def recorded_steps(rows: Reader, turn: TurnRecord) -> list[RecordedStep]:
    """The steps of the turn that have an answer, in order."""
    steps: list[RecordedStep] = []
    while (entry := rows.journal(turn.id, len(steps))) is not None:
        shown = {key: Shown(version, _text(rows, key, version)) for key, version in entry.shown.items()}
        labels = {key: block.label for key in shown if (block := rows.block(key)) is not None}
        texts = {label: shown[key].value for key, label in labels.items()}
        keys = [
            ToolContext(turn.agent, turn.run, turn.id, len(steps), number, texts).key
            for number in range(len(entry.response.tool_calls))
        ]
        effects = {number: effect for number, key in enumerate(keys) if (effect := rows.effect(key)) is not None}
        steps.append(RecordedStep(entry.response, shown, texts, effects))
    return steps


def _text(rows: Reader, key: str, version: int) -> str:
    """The text of a version; the history of a block has all of them."""
    return next(revision.value for revision in rows.revisions(key, version - 1) if revision.version == version)
