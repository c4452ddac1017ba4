"""What a log says about waiting: the longest chain of think times, and how long turns waited for their model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from orchestrator.bench.thinking import Thought
from orchestrator.events import (
    BlockChanged,
    BlockCreated,
    Cause,
    Event,
    RunStarted,
    StepTaken,
    TurnEnded,
    TurnStarted,
)

_Thoughts = Mapping[tuple[str, int], Thought]


def longest_chain(events: Iterable[Event], thoughts: _Thoughts) -> float:
    """The seconds that the runs must take, whoever runs them: think times that had to come one after the other.

    All messages come at 0. A turn begins with the last of what woke it: its message, or the writes that its causes
    name, each made when its writer had thought up to that step; and not before its agent's last turn has ended.
    Everything but thinking takes no time.
    """
    chain = _Chain(thoughts)
    for event in events:
        chain.observe(event)
    return chain.longest


class _Chain:
    """The times at which things would have happened if nothing but thinking took time."""

    def __init__(self, thoughts: _Thoughts) -> None:
        self._thoughts = thoughts
        self._turns: dict[str, float] = {}
        self._steps: dict[str, int] = {}
        self._written: dict[tuple[str | None, int], float] = {}
        self._free: dict[str, float] = {}
        self.longest = 0.0

    def observe(self, event: Event) -> None:
        match event:
            case BlockChanged():
                self._written[event.key, event.version] = self._turns.get(event.turn or "", 0.0)
            case TurnStarted():
                woken = (self._written.get((cause.key, cause.version), 0.0) for cause in event.causes)
                self._turns[event.turn] = max((self._free.get(event.agent, 0.0), *woken))
                self._steps[event.turn] = 0
            case StepTaken():
                self._think(event.turn)
            case TurnEnded() if event.turn in self._turns:
                self._think(event.turn)  # a last call that was not answered
                self._free[event.agent] = self._turns.pop(event.turn)
                self.longest = max(self.longest, self._free[event.agent])
            case _:
                pass

    def _think(self, turn: str) -> None:
        if turn in self._turns:
            thought = self._thoughts.get((turn, self._steps[turn]))
            self._steps[turn] += 1
            self._turns[turn] += thought.seconds if thought else 0.0


def waits(events: Iterable[Event], thoughts: _Thoughts) -> Iterator[float]:
    """Of each turn, the seconds from when it could have begun to its first model request.

    It could have begun when the first of its causes was in the log and its agent's last turn was ended. Waiting for
    one of `max_concurrency` places is counted.
    """
    happened: dict[tuple[str | None, int], float] = {}
    free: dict[str, float] = {}
    for event in events:
        match event:
            case RunStarted():
                happened[event.run, 0] = event.at
            case BlockCreated() | BlockChanged():
                happened[event.key, event.version] = event.at
            case TurnEnded():
                free[event.agent] = event.at
            case TurnStarted():
                first = thoughts.get((event.turn, 0))
                told = [at for cause in event.causes if (at := happened.get(_told_by(cause))) is not None]
                if first is not None and told:
                    yield max(0.0, first.asked - max(min(told), free.get(event.agent, 0.0)))
            case _:
                pass


def _told_by(cause: Cause) -> tuple[str | None, int]:
    return (cause.run, 0) if cause.kind == "message" else (cause.key, cause.version)
