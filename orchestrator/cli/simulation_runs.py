"""A simulation of many schedules, or a search through all: played, shown, saved, and told."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio

from orchestrator.cli.invariants import Invariants
from orchestrator.cli.lines import as_ascii
from orchestrator.cli.simulation_lines import Kept, Told, fields, lines
from orchestrator.cli.simulation_part import Part, played
from orchestrator.cli.simulation_processes import PartFailed, parts, play_parts, processes_for
from orchestrator.cli.simulation_words import Asked
from orchestrator.cli.terminal import announce, fail, is_terminal
from orchestrator.errors import DeclarationError
from orchestrator.simulation.reports import Failure, SimulationReport
from orchestrator.simulation.searching import exhaust
from orchestrator.simulation.tokens import FOLDER, Token

if TYPE_CHECKING:
    from orchestrator.cli.simulation_view import Bar

#: How a token names the folder that its team was typed in, seen from where the token is.
ORIGIN: Final = "folder"


class Wish(NamedTuple):
    """What is simulated, and what is to become of the result."""

    asked: Asked
    save: Path | None
    as_json: bool


def sampled(wish: Wish, seed: int, schedules: int, processes: int | None) -> Told:
    """Schedules of so many seeds."""
    asked, team = wish.asked, wish.asked.loaded()
    announce(team(), "" if asked.answers else asked.model)
    rows = parts(seed, schedules, processes or processes_for(schedules))
    begun = perf_counter()
    with _bar(schedules, wish) as bar:
        report = played(asked, team, rows[0], bar) if len(rows) == 1 else _in_processes(asked, rows, bar)
    return _told(wish, report, perf_counter() - begun)


def _in_processes(asked: Asked, rows: Sequence[Part], bar: Bar | _Silent) -> SimulationReport:
    try:
        return anyio.run(partial(play_parts, asked.words(), rows, bar))
    except PartFailed as error:
        fail(str(error), error.code)


def searched(wish: Wish, switches: int, most: int) -> Told:
    """Every schedule with few switches."""
    asked, team = wish.asked, wish.asked.loaded()
    invariants = Invariants(asked.invariants)
    announce(team(), "" if asked.answers else asked.model)
    begun = perf_counter()
    with _bar(None, wish) as bar:

        def tell(done: int, failed: int) -> bool:
            if invariants.mistake is not None:
                raise invariants.mistake
            bar(done, failed)
            return False

        arguments = asked.arguments(invariants)
        report = exhaust(team, asked.message, switches=switches, most=most, tell=tell, **arguments)
    return _told(wish, report, perf_counter() - begun)


class _Silent(nullcontext[None]):
    """A bar that nobody looks at."""

    def __enter__(self) -> _Silent:  # type: ignore[override]
        return self

    def __call__(self, played: int, failed: int) -> None:
        pass


def _bar(total: int | None, wish: Wish) -> Bar | _Silent:
    if wish.as_json or not is_terminal():
        return _Silent()
    from orchestrator.cli.simulation_view import Bar  # rich is needed nowhere else

    return Bar(total)


def _told(wish: Wish, report: SimulationReport, seconds: float) -> Told:
    kept = _kept(wish, report.failures)
    if wish.as_json:
        return Told(as_ascii(fields(report, wish.asked, kept, seconds)), report.passed)
    return Told("\n".join(lines(report, wish.asked, kept, seconds)), report.passed)


def _kept(wish: Wish, failures: Sequence[Failure]) -> list[Kept]:
    """Save the failures, each in a file named by its seed."""
    if wish.as_json and wish.save is None:
        return []
    folder = wish.save or FOLDER
    names: set[str] = set()
    kept: list[Kept] = []
    for failure in failures:
        name, number = str(failure.seed), 1
        while name in names:  # another way to fail, of the same seed
            number += 1
            name = f"{failure.seed}-{number}"
        names.add(name)
        path = folder / f"{name}.json"
        try:
            kept.append(Kept(str(_token(wish.asked, failure, folder).save(path))))
        except DeclarationError as error:  # what was found is told all the same
            kept.append(Kept(None, str(error)))
    return kept


def _token(asked: Asked, failure: Failure, folder: Path) -> Token:
    options = asked.options()
    origin = Path(os.path.relpath(Path.cwd(), folder.resolve()))
    if set(origin.parts) <= {".."}:  # below: they can be moved together, and no other folder is named
        options[ORIGIN] = origin.as_posix()
    return Token(
        team=asked.team,
        message=asked.message,
        options=options,
        schedule=failure.schedule,
        promise=failure.flaw.kind,
        sentence=failure.flaw.what,
        block=failure.flaw.block,
        of=failure.flaw.of,
        digest=failure.digest,
    )
