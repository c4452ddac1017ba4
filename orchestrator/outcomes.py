"""What runs come to: status and output, and what their callers are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from orchestrator.errors import RunError, TurnFailed
from orchestrator.events import RunStatus
from orchestrator.handoffs import output_of
from orchestrator.messages import Usage
from orchestrator.ports import Reader, RunRecord, TurnRecord
from orchestrator.runs import Run, blocks_of


class Ending(NamedTuple):
    """A run is to end as this: at once, or after a round of the sleeptime agents."""

    run: str
    status: RunStatus
    error: RunError | None = None
    then_round: bool = False


class Outcome(NamedTuple):
    """What a run comes to."""

    status: RunStatus
    output: str
    error: RunError | None


def come_to(
    record: RunRecord, turns: Sequence[TurnRecord], ending: Ending, entry: str, failures: Mapping[str, Exception]
) -> Outcome:
    """What the run comes to if it ends now. Turns that only tidy up change nothing of it.

    Args:
        entry: who answers, if the run is no message to somebody.
        failures: what made turns fail, by turn.
    """
    turns = [turn for turn in turns if not turn.is_tidying]
    status, error = ending.status, ending.error
    if status == "complete":
        error = error or _failed(turns, failures)
        status = "failed" if error else "complete"
    return Outcome(status, output_of(turns, record.agent or entry), error)


def _failed(turns: Sequence[TurnRecord], failures: Mapping[str, Exception]) -> TurnFailed | None:
    """The failure that nobody made good: an agent's last turn, unless its task went back to others."""
    last = {turn.agent: turn for turn in turns}
    for turn in last.values():
        if turn.status in ("failed", "timed_out") and not (turn.claimed and turn.given_back):
            failure = TurnFailed(turn.agent, turn.status.replace("_", " "), turn.error or "")
            failure.__cause__ = failures.get(turn.id)
            return failure
    return None


def told(rows: Reader, record: RunRecord, turns: Sequence[TurnRecord], error: RunError | None = None) -> Run:
    """What a run came to, with the blocks as they are now."""
    if record.error is None:
        error = None
    elif error is None:  # it had ended before, from outside or by itself
        error = RunError(record.error)
    charged = tuple(turn for turn in turns if turn.run == record.id)
    return Run(
        id=record.id,
        status=record.status,
        output=record.output,
        blocks=blocks_of(rows, f"run {record.id!r}"),
        turns=charged,
        usage=sum((turn.usage for turn in charged), Usage()),
        error=error,
    )
