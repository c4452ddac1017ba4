"""A simulation in several processes: each plays some of the seeds, and their reports become one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import pairwise
from operator import or_
from pathlib import Path
from typing import Any, Final

import anyio
from anyio.abc import Process

import orchestrator
from orchestrator.cli.simulation_part import Part, Progress
from orchestrator.simulation.reports import SimulationReport

#: A process is worth its start for so many schedules, and more than so many are not started by themselves.
_WORTH: Final = 100
_MOST: Final = 4


class PartFailed(Exception):
    """A process could not play its schedules; what it said, and how it would have ended."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def processes_for(schedules: int) -> int:
    """How many processes are worth while."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, _MOST, schedules // _WORTH))


def parts(first: int, schedules: int, processes: int) -> list[Part]:
    """The seeds, from the first on, in as many rows of about the same length."""
    ends = [first + schedules * number // processes for number in range(processes + 1)]
    return [Part(begin, end - begin) for begin, end in pairwise(ends) if end > begin]


async def play_parts(words: Sequence[str], played: Sequence[Part], progress: Progress) -> SimulationReport:
    """Play the parts side by side, and put their reports together, in the order of the seeds.

    Args:
        words: what is typed after `orchestrator simulate`, but for the seeds.

    Raises:
        PartFailed: a process could not do it; the others are ended.
    """
    whole = _Whole(words, played, progress)
    async with anyio.create_task_group() as group:
        for number in range(len(played)):
            group.start_soon(whole.play, number, group.cancel_scope)
    if whole.failure is not None:
        raise whole.failure
    return reduce(or_, (whole.reports[number] for number in range(len(played))))


class _Whole:
    """What the processes have told so far."""

    def __init__(self, words: Sequence[str], played: Sequence[Part], progress: Progress) -> None:
        self._words = words
        self._parts = played
        self._progress = progress
        self._played = [0] * len(played)
        self._failed = [0] * len(played)
        self.reports: dict[int, SimulationReport] = {}
        self.failure: PartFailed | None = None

    async def play(self, number: int, all_parts: anyio.CancelScope) -> None:
        """See one process through; if it comes to nothing, neither do the others."""
        command = _command(self._words, self._parts[number])
        # A session of its own: Ctrl-C is for us, and we end it, also while it still loads what it needs.
        opened = await anyio.open_process(command, stdin=subprocess.DEVNULL, stderr=None, start_new_session=True)
        async with opened as process:
            await self._listen(number, process)
            code = await process.wait()
        if number not in self.reports and self.failure is None:
            self.failure = PartFailed(f"a process of the simulation ended with {code}, and without a report", 1)
        if self.failure is not None:
            all_parts.cancel()

    async def _listen(self, number: int, process: Process) -> None:
        assert process.stdout is not None, "it was asked for"
        rest = b""
        async for received in process.stdout:
            *lines, rest = (rest + received).split(b"\n")
            for line in lines:
                self._hear(number, line)

    def _hear(self, number: int, line: bytes) -> None:
        told = _read(line)
        if told is None:  # what a tool of the user's wrote past Python
            print(line.decode(errors="backslashreplace"), file=sys.stderr)
        elif "played" in told:
            self._played[number], self._failed[number] = told["played"], told["failed"]
            self._progress(sum(self._played), sum(self._failed))
        elif "report" in told:
            self.reports[number] = SimulationReport.model_validate(told["report"])
        elif self.failure is None:
            self.failure = PartFailed(told["problem"], told["code"])


def _read(line: bytes) -> dict[str, Any] | None:
    """The document in a line, if it is one of ours."""
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) and told.keys() & {"played", "report", "problem"} else None


def _command(words: Sequence[str], part: Part) -> list[str]:
    return [sys.executable, *_switches(), "-m", "orchestrator", "simulate", f"--part={part}", *words]


def _switches() -> Iterator[str]:
    """What keeps a file in the user's folder from being taken for a module; unless we are in that folder ourselves."""
    if Path(orchestrator.__file__).parent.parent != Path.cwd():
        yield "-P"
