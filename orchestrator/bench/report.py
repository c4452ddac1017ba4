"""What was measured, as values with one JSON form."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.bench.measuring import Spread, Took, over


@dataclass(frozen=True, slots=True)
class Timed:
    """A workload beside a bare task group that does the same waiting, both as medians of interleaved repeats."""

    workload: str
    store: str
    what: str
    turns: int
    seconds: float
    #: CPU time of the whole process for each turn, in microseconds.
    cpu_us_per_turn: float
    bare_seconds: float
    #: Seconds with us for each second of the bare task group.
    ratio: float

    @classmethod
    def of(cls, workload: str, store: str, what: str, ours: Took, bare: Took) -> Timed:
        """From the medians of both."""
        ratio = ours.seconds / bare.seconds
        return cls(workload, store, what, ours.count, ours.seconds, ours.cpu / ours.count * 1e6, bare.seconds, ratio)

    @property
    def turns_per_second(self) -> float:
        """How many turns ended in a second."""
        return self.turns / self.seconds


@dataclass(frozen=True, slots=True)
class Gain:
    """What committing together gains: the same work, and the same with one transaction in each commit."""

    workload: str
    store: str
    what: str
    per_second: float
    alone_per_second: float

    @property
    def ratio(self) -> float:
        """How many times faster."""
        return self.per_second / self.alone_per_second


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent to models for one placement of a hot block, in words and signs, and how much of it was known."""

    workload: str
    placement: str
    what: str
    requests: int
    tokens: int
    #: Of all tokens, and of those of messages and tail alone, the share in an unchanged prefix: 0 to 1.
    share: float
    said_share: float


Finding = Timed | Gain | Sent


@dataclass(frozen=True, slots=True)
class Refusals:
    """The edits that agents tried on a block, and how many of them were refused."""

    block: str
    edits: int
    refused: int

    @property
    def share(self) -> float:
        """0 to 1."""
        return self.refused / self.edits


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of a team under load. Seconds are real ones or, where time is simulated, virtual ones."""

    team: str
    messages: int
    repeats: int
    simulated: bool
    #: How the runs ended, counted; and why the first one that is not complete is not.
    statuses: Mapping[str, int]
    failure: str | None
    turns: int
    seconds: float
    #: All think times together: what it takes one after another.
    thought: float
    #: The longest chain of think times; or, where there is a limit, what that many places must take at least.
    ideal: float
    turn: Spread | None
    message: Spread | None
    #: From when a turn could have begun to its first model request.
    wait: Spread | None
    refusals: tuple[Refusals, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every run is."""
        return set(self.statuses) == {"complete"}

    @property
    def turns_per_second(self) -> float | None:
        """None where no time passed."""
        return over(self.turns, self.seconds)

    @property
    def speed_up(self) -> float | None:
        """Against one turn after another; None where no time passed."""
        return over(self.thought, self.seconds)

    @property
    def against_ideal(self) -> float | None:
        """Seconds for each second of the ideal: 1 at best. None where nobody thought."""
        return over(self.seconds, self.ideal)


def suite_document(findings: list[Finding], *, quick: bool) -> str:
    """What the built-in workloads came to, as JSON."""
    timed = [_with(found, "turns_per_second") for found in findings if isinstance(found, Timed)]
    gains = [_with(found, "ratio") for found in findings if isinstance(found, Gain)]
    sent = [_with(found) for found in findings if isinstance(found, Sent)]
    where = {"python": platform.python_version(), "system": platform.system(), "machine": platform.machine()}
    return _json({"quick": quick, **where, "timed": timed, "gains": gains, "prompts": sent})


def measured_document(measured: Measured, options: Mapping[str, object]) -> str:
    """What a team came to under load, with the options that asked for it, as JSON."""
    document = _with(measured, "turns_per_second", "speed_up", "against_ideal")
    document["refusals"] = [_with(refusals, "share") for refusals in measured.refusals]
    return _json({"options": dict(options), **document})


def _with(value: Any, *properties: str) -> dict[str, Any]:
    return asdict(value) | {name: getattr(value, name) for name in properties}


def _json(document: Mapping[str, object]) -> str:
    """In ASCII, so that no encoding and no terminal can change what it says; figures with six digits."""
    return json.dumps(_rounded(document), indent=2)


def _rounded(value: object) -> object:
    match value:
        case float():
            return float(f"{value:.6g}")
        case Mapping():
            return {name: _rounded(part) for name, part in value.items()}
        case list() | tuple():
            return [_rounded(part) for part in value]
        case _:
            return value
