"""What is wrong with what came of a schedule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.records import Record
from orchestrator.simulation.escapes import EscapedSimulation
from orchestrator.simulation.history import History
from orchestrator.simulation.loop import ScheduleStuck
from orchestrator.simulation.playing import Played
from orchestrator.simulation.promises import violations


class Flaw(Record):
    """Why a schedule has failed."""

    #: The promise that was not kept, "P1" to "P9"; "invariant": one of the user's own; "outcome": the run came to
    #: something else than in the plainest schedule; "escape"; "error": what nobody expected was raised.
    kind: str
    #: In one sentence.
    what: str
    #: The block that it is about, by stored key.
    block: str | None = None
    #: The invariant that does not hold, or the type of the error. Such flaws are one, whatever their words are.
    of: str = ""


def flaws_of(played: Played[Any]) -> list[Flaw]:
    """What is wrong, the promises first; but before all else what left the simulation, also if that was hidden."""
    escapes = [Flaw(kind="escape", what=str(escape)) for escape in played.environment.escapes]
    return [*escapes, *_broken(played), *_ended(played)]


def _broken(played: Played[Any]) -> Iterator[Flaw]:
    for history in played.histories:
        yield from promised(history)
    for name in played.left_over:
        yield Flaw(kind="P8", what=f"task {name!r} goes on after the team was closed")


def promised(history: History) -> Iterator[Flaw]:
    """The promises that a history does not keep."""
    for violation in violations(history):
        yield Flaw(kind=violation.promise, what=violation.what, block=violation.block)


def _ended(played: Played[Any]) -> Iterator[Flaw]:
    """What ended it, if that was not its end."""
    error = played.error
    if error is None or isinstance(error, EscapedSimulation):
        return
    if isinstance(error, ScheduleStuck):
        yield Flaw(kind="P7", what=str(error))
    elif isinstance(error, AssertionError):
        yield Flaw(kind="invariant", what=asserted(error))
    else:
        yield Flaw(kind="error", what=told(error), of=type(error).__name__)


def told(error: BaseException) -> str:
    """The error, in a line."""
    first = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def asserted(error: AssertionError) -> str:
    """What a failed assertion says: its message, or else its line."""
    if str(error):
        return str(error).partition("\n")[0]
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an assertion failed"
    code = trace.tb_frame.f_code
    return f"an assertion failed in {code.co_name}, line {trace.tb_lineno}"
