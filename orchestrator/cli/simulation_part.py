"""A part of a simulation, played in a process of its own for the one that asked for the whole."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any, NamedTuple, TextIO

from orchestrator.cli.invariants import Invariants
from orchestrator.cli.simulation_words import Asked
from orchestrator.cli.stored import as_typed
from orchestrator.errors import DeclarationError, ModelNotFound, OrchestratorError
from orchestrator.simulation.reports import SimulationReport
from orchestrator.simulation.simulating import TeamGiven, simulate

#: Is told how many schedules have been played, and how many of them have failed.
Progress = Callable[[int, int], None]


class Part(NamedTuple):
    """Seeds that one process plays."""

    first: int
    schedules: int

    def __str__(self) -> str:
        return f"{self.first}+{self.schedules}"

    @classmethod
    def read(cls, text: str) -> Part:
        """What `str` wrote."""
        first, plus, schedules = text.partition("+")
        if not (plus and first.isdecimal() and schedules.isdecimal()):
            raise DeclarationError("--part", f"{text!r} is no part")
        return cls(int(first), int(schedules))


def play_part(asked: Asked, part: str) -> int:
    """Play it, and tell on stdout how far it has come, and the report, a line of JSON each time; the exit code.

    What the user's code prints goes to stderr. Where nobody listens any more, this process ends.
    """
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    to = sys.stdout
    with redirect_stdout(sys.stderr):
        try:
            report = played(
                asked, asked.loaded(), Part.read(part), lambda done, failed: _tell(to, played=done, failed=failed)
            )
        except (DeclarationError, ModelNotFound) as error:
            _tell(to, problem=as_typed(error) if isinstance(error, ModelNotFound) else str(error), code=2)
            return 2
        except OrchestratorError as error:
            _tell(to, problem=str(error), code=1)
            return 1
    _tell(to, report=report.model_dump(mode="json"))
    return 0


def _tell(to: TextIO, **document: Any) -> None:
    print(json.dumps(document), file=to, flush=True)


def played(asked: Asked, team: TeamGiven, part: Part, progress: Progress) -> SimulationReport:
    """Play schedules in this process.

    Raises:
        DeclarationError: also for a mistake in an invariant, after the schedule in which it showed.
    """
    invariants = Invariants(asked.invariants)

    def tell(done: int, failed: int) -> bool:
        if invariants.mistake is not None:
            raise invariants.mistake
        progress(done, failed)
        return False

    return simulate(
        team,
        asked.message,
        schedules=part.schedules,
        seed=part.first,
        faults=asked.drawn_faults,
        tell=tell,
        **asked.arguments(invariants),
    )
