"""What the log tells of a team, read once from its beginning, and kept small: no texts, but for reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from orchestrator.events import (
    BlockAttached,
    BlockChanged,
    BlockCreated,
    BlockDetached,
    ChangeRefused,
    Event,
    RunEnded,
    StepTaken,
    TurnEnded,
)

#: Codes of refusals that come of what somebody else wrote meanwhile.
_IN_THE_WAY: Final = ("changed", "not_found", "line_moved")

#: What a refusal can be of, when somebody else is in the way.
REWRITES: Final = ("replace", "rethink")


class Told(NamedTuple):
    """What the log tells of a version of a block."""

    operation: str
    by: str
    turn: str | None
    #: Stands for the text: equal for equal texts, in this process.
    digest: int
    #: The latest version that its author had been shown; None where it is not known, as of the owner.
    shown: int | None


@dataclass(slots=True)
class Tally:
    """What one author was refused of one block for one reason."""

    label: str
    times: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    last_reason: str = ""
    #: When, in Unix seconds.
    last_at: float = 0.0
    #: The author has not changed the block since; or, where it has no such block, any.
    is_open: bool = True


@dataclass(slots=True)
class Failing:
    """Turns of an agent that ended badly in one way."""

    times: int = 0
    last_run: str = ""


class Refusing(NamedTuple):
    """Who was refused, which block it meant (None: it has no such block; then by its label), and why."""

    by: str
    key: str | None
    label: str
    code: str


class Past:
    """Is told all events, in order."""

    def __init__(self) -> None:
        #: The number of the last event.
        self.last = 0
        #: Places in the log where numbers are left out: the event before, and the one after.
        self.gaps: list[tuple[int, int]] = []
        #: The version that each block had when it first came to be, by key: earlier ones were another block's.
        self.began: dict[str, int] = {}
        #: By key and version.
        self.versions: dict[str, dict[int, Told]] = {}
        #: Versions that were told of more than once, by key.
        self.repeated: list[tuple[str, int]] = []
        self.refused: dict[Refusing, Tally] = {}
        #: How often an author was refused because another one had written; and how often each tried, by block.
        self.in_the_way: Counter[tuple[str, str, str]] = Counter()
        self.tries: Counter[tuple[str, str]] = Counter()
        #: The latest version of each block that each agent was shown.
        self.shown: dict[str, dict[str, int]] = {}
        #: The labels of blocks from which agents were detached, by agent and key.
        self.detached: dict[tuple[str, str], str] = {}
        #: By agent, status and reason.
        self.failing: dict[tuple[str, str, str], Failing] = {}
        #: How often each turn, or run, has ended.
        self.ends: Counter[str] = Counter()
        self._latest: dict[str, int] = {}
        #: Refusals that are not made good yet, by author and block.
        self._open: dict[tuple[str, str | None], list[Tally]] = {}

    def observe(self, events: Iterable[Event]) -> None:
        """The next events."""
        for event in events:
            if event.seq != self.last + 1:
                self.gaps.append((self.last, event.seq))
            self.last = event.seq
            self._observe(event)

    def _observe(self, event: Event) -> None:
        match event:
            case StepTaken():
                self._see(event.agent, event.shown)
            case TurnEnded():
                self._end_turn(event)
            case RunEnded():
                self.ends[event.run] += 1
            case BlockCreated():
                self.began.setdefault(event.key, event.version)
                self._tell(event.key, event.version, Told("create", "", None, hash(event.value), None))
            case BlockChanged():
                self._change(event)
            case ChangeRefused():
                self._refuse(event)
            case BlockAttached():
                self.detached.pop((event.agent, event.key), None)
            case BlockDetached():
                self.detached[event.agent, event.key] = event.label
            case _:
                pass

    def _see(self, agent: str, shown: dict[str, int]) -> None:
        known = self.shown.setdefault(agent, {})
        for key, version in shown.items():
            known[key] = max(version, known.get(key, 0))

    def _tell(self, key: str, version: int, told: Told) -> None:
        versions = self.versions.setdefault(key, {})
        if version in versions:
            self.repeated.append((key, version))
        versions[version] = told
        self._latest[key] = max(version, self._latest.get(key, 0))

    def _end_turn(self, event: TurnEnded) -> None:
        self.ends[event.turn] += 1
        self._see(event.agent, event.shown)
        if event.status in ("failed", "timed_out"):
            failing = self.failing.setdefault((event.agent, event.status, event.error or ""), Failing())
            failing.times += 1
            failing.last_run = event.run

    def _change(self, event: BlockChanged) -> None:
        shown = None if event.turn is None else self.shown.get(event.by, {}).get(event.key)
        self._tell(event.key, event.version, Told(event.operation, event.by, event.turn, hash(event.value), shown))
        if event.operation in REWRITES:
            self.tries[event.key, event.by] += 1
        for key in (event.key, None):
            for tally in self._open.pop((event.by, key), ()):
                tally.is_open = False

    def _refuse(self, event: ChangeRefused) -> None:
        key = event.key or None
        refusing = Refusing(event.by, key, "" if key else event.label, event.code)
        tally = self.refused.setdefault(refusing, Tally(event.label))
        tally.times += 1
        tally.operations[event.operation] += 1
        tally.last_reason, tally.last_at, tally.is_open = event.reason, event.at, True
        self._open.setdefault((event.by, key), []).append(tally)
        if key is not None and event.operation in REWRITES:
            self.tries[key, event.by] += 1
        if key is not None and event.code in _IN_THE_WAY:
            for other in set(self._wrote_since(key, event.by)):
                if event.code != "not_found" or f"; {other} changed it" in event.reason:
                    self.in_the_way[key, event.by, other] += 1

    def _wrote_since(self, key: str, agent: str) -> Iterator[str]:
        """Who else has written since the agent was last shown the block."""
        versions, shown = self.versions.get(key, {}), self.shown.get(agent, {}).get(key, 0)
        for version in range(self._latest.get(key, 0), shown, -1):
            if version in versions and versions[version].by not in (agent, ""):
                yield versions[version].by
