"""Whether what concurrent clients of one block were told can be true, judged by the versions that they were told.

Every write returns its version, so the order of the writes is known, and nothing has to be searched for: the check
takes as long as sorting the operations and reading their texts once.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, get_args

from orchestrator.errors import DeclarationError
from orchestrator.phrases import quoted

Kind = Literal["read", "insert", "replace", "rethink", "modify"]

#: "unknown": it was never told what became of it, as when its process was killed; it may have happened, or not.
Outcome = Literal["acknowledged", "refused", "unknown"]

#: So many ways in which operations of unknown outcome may have filled gaps are followed at a time.
_MOST_WAYS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What one client asked of the block, and what it was told.

    Times are of one clock for all clients: seconds, or numbers that only grow. A change that left the text as it was
    made no version: note it as a read. Insertions are at the end, or `at_top`.

    Args:
        begun: a moment at which nothing of it had happened.
        ended: a moment at which it was over. Of one of unknown outcome: when its process was gone, None if it may
            still happen.
        version: which version it made, or read.
        text: what it inserts, what it puts in the place of `old`, or the whole new text.
        value: the whole text that it was shown; None if it was shown none, or nobody looked.
    """

    client: str
    kind: Kind
    begun: float
    ended: float | None = None
    version: int | None = None
    text: str = ""
    old: str = ""
    value: str | None = None
    at_top: bool = False
    outcome: Outcome = "acknowledged"

    def __post_init__(self) -> None:
        where = f"operation of {self.client!r}"
        if self.kind not in get_args(Kind) or self.outcome not in get_args(Outcome):
            raise DeclarationError(where, f"is a {self.kind!r} that was {self.outcome!r}; there is no such")
        if self.outcome == "acknowledged" and self.ended is None:
            raise DeclarationError(where, "was acknowledged, so it has ended; say when")
        if self.ended is not None and self.ended < self.begun:
            raise DeclarationError(where, f"ended at {self.ended:g} and began at {self.begun:g}")
        if self.kind == "replace" and not self.old:
            raise DeclarationError(where, "replaces nothing; say what stood there in old=")

    @property
    def is_write(self) -> bool:
        """Whether it makes a version."""
        return self.kind != "read"

    def __str__(self) -> str:
        until = "and never heard of again" if self.ended is None else f"ended {self.ended:.15g}"
        what = f"{self.kind} of version {self.version}" if self.version is not None else self.kind
        return f"{self.client}'s {what} (begun {self.begun:.15g}, {until})"


class Contradiction(NamedTuple):
    """Operations that cannot all be true, and why, in one sentence."""

    #: "gap": nobody wrote a version that was seen, or has successors. "repeated": two wrote one version. "order":
    #: a version is not later than one that was there before its write began. "stale": a read shows less than was
    #: there before it began. "unfit": a write does not apply to the version before. "missing": a text lacks what an
    #: acknowledged write put there. "phantom": a text has what nobody put there. "changed": a text differs otherwise.
    #: "undecided": so much is unknown that the texts were not checked to the end.
    kind: Literal["gap", "repeated", "order", "stale", "unfit", "missing", "phantom", "changed", "undecided"]
    sentence: str
    operations: tuple[Operation, ...]


def check_history(operations: Iterable[Operation], initial: str = "", *, first_version: int = 1) -> list[Contradiction]:
    """What is not true of a history; an empty list if all of it can be.

    It can be if the writes make the versions after the first one, each once and without gaps; each applies to the text
    of the version before; every operation that began after another one had ended knows of it (a read shows at least
    that version, a write makes a greater one); and what was shown of a version is its text. Operations that were
    refused are left out. Those of unknown outcome stand in for missing versions where they fit, each at most once.

    Of the texts, only the first contradiction is told: what follows from a wrong text is wrong.

    Args:
        initial: the text of the block before the operations; and its version.
    """
    told = [operation for operation in operations if operation.outcome != "refused"]
    known = sorted((o for o in told if o.outcome == "acknowledged"), key=lambda operation: operation.begun)
    for operation in known:
        if operation.version is None:
            raise DeclarationError(f"operation of {operation.client!r}", "was acknowledged; say which version")
    writes, repeated = _by_version(known, first_version)
    moments = _Moments(known)
    unknown = [o for o in told if o.outcome == "unknown" and o.is_write]
    return [
        *repeated,
        *_out_of_order(known, moments),
        *_Texts(initial, first_version, writes, known, [_Candidate.of(o, moments) for o in unknown]).contradictions(),
    ]


def applied(text: str, operation: Operation) -> str | None:
    """The text after a write; None if it does not apply: what it replaces is not there, or more than once."""
    match operation.kind:
        case "insert" if not text:
            return operation.text
        case "insert" if operation.at_top:
            return f"{operation.text}\n{text}"
        case "insert":
            return text + operation.text if text.endswith("\n") else f"{text}\n{operation.text}"
        case "replace":
            at = text.find(operation.old)
            if at == -1 or text.find(operation.old, at + 1) != -1:
                return None
            return text[:at] + operation.text + text[at + len(operation.old) :]
        case _:
            return operation.text


def _version(operation: Operation) -> int:
    assert operation.version is not None, "those that were acknowledged have one"
    return operation.version


def _ended(operation: Operation) -> float:
    return math.inf if operation.ended is None else operation.ended


def _by_version(known: Iterable[Operation], first: int) -> tuple[dict[int, Operation], list[Contradiction]]:
    """The writes by their versions, and those that were given one that was there already."""
    writes: dict[int, Operation] = {}
    problems: list[Contradiction] = []
    for operation in known:
        if not operation.is_write:
            continue
        version = _version(operation)
        other = writes.setdefault(version, operation)
        if version <= first:
            sentence = f"{operation} made a version that the block had at the beginning"
            problems.append(Contradiction("repeated", sentence, (operation,)))
        elif other is not operation:
            sentence = f"two writes made version {version}: {other} and {operation}"
            problems.append(Contradiction("repeated", sentence, (other, operation)))
    return writes, problems


class _Moments:
    """Which versions were certainly there at a moment, and which came certainly after it."""

    def __init__(self, known: Sequence[Operation]) -> None:
        ending = sorted(known, key=_ended)
        self._ends = [_ended(operation) for operation in ending]
        self._latest = _running(ending, lambda new, best: _version(new) > _version(best))
        self._begins = [operation.begun for operation in known]
        self._earliest = _running(known[::-1], lambda new, best: _bound(new) < _bound(best))[::-1]

    def latest_before(self, moment: float) -> Operation | None:
        """Of the operations that had ended, the one with the greatest version."""
        at = bisect_left(self._ends, moment)
        return self._latest[at - 1] if at else None

    def most_after(self, moment: float) -> float:
        """The greatest version that can have been made by then, as those show that began later."""
        at = bisect_right(self._begins, moment)
        return _bound(self._earliest[at]) if at < len(self._earliest) else math.inf


def _bound(operation: Operation) -> int:
    """Whatever was over when it began has at most this version."""
    return _version(operation) - operation.is_write


def _running(operations: Iterable[Operation], is_better: Callable[[Operation, Operation], bool]) -> list[Operation]:
    """The best operation so far, after each of them."""
    found: list[Operation] = []
    for operation in operations:
        found.append(operation if not found or is_better(operation, found[-1]) else found[-1])
    return found


def _out_of_order(known: Iterable[Operation], moments: _Moments) -> Iterator[Contradiction]:
    """The operations that do not know of what had ended before they began."""
    for operation in known:
        before = moments.latest_before(operation.begun)
        if before is None or _version(before) <= _bound(operation):
            continue
        if not operation.is_write:
            sentence = f"{operation} is stale: {before} had ended before"
            yield Contradiction("stale", sentence, (before, operation))
        elif _version(before) == _version(operation) and not before.is_write:
            sentence = f"{before} had ended before the write began that made this version: {operation}"
            yield Contradiction("order", sentence, (before, operation))
        elif _version(before) > _version(operation):
            sentence = f"{operation} made no later version, although {before} had ended before"
            yield Contradiction("order", sentence, (before, operation))


class _Candidate(NamedTuple):
    """A write of unknown outcome, and between which versions it can have made its own."""

    operation: Operation
    after: int
    most: float

    @classmethod
    def of(cls, operation: Operation, moments: _Moments) -> _Candidate:
        before = moments.latest_before(operation.begun)
        after = 0 if before is None else _version(before)
        return cls(operation, after, moments.most_after(_ended(operation)))


@dataclass(slots=True)
class _Way:
    """A text that the block may have, and the operations of unknown outcome that have had their effect on it.

    Insertions are collected, and joined when somebody looks: a long history of them would be copied each time.
    """

    joined: str
    used: tuple[Operation, ...] = ()
    added: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        if self.added:
            self.joined = "".join((self.joined, *self.added))
            self.added.clear()
        return self.joined

    def apply(self, operation: Operation) -> bool:
        """Whether the write applies; if so, it has."""
        if operation.kind == "insert" and not operation.at_top and (self.joined or self.added):
            is_full_line = (self.added[-1] if self.added else self.joined).endswith("\n")
            if piece := operation.text if is_full_line else f"\n{operation.text}":
                self.added.append(piece)
            return True
        text = applied(self.text, operation)
        if text is not None:
            self.joined = text
        return text is not None


class _Texts:
    """Goes through the versions, and compares what was shown of each with what it must be."""

    def __init__(
        self,
        initial: str,
        first: int,
        writes: Mapping[int, Operation],
        known: Iterable[Operation],
        candidates: Sequence[_Candidate],
    ) -> None:
        self._first = first
        self._writes = writes
        self._candidates = candidates
        self._looks: dict[int, list[Operation]] = {}
        for operation in known:
            if not operation.is_write or _version(operation) > first:  # else it is told already
                self._looks.setdefault(_version(operation), []).append(operation)
        self._ways = [_Way(initial)]

    def contradictions(self) -> Iterator[Contradiction]:
        """The first contradiction, if there is one."""
        earliest = min(self._looks, default=self._first)
        if earliest < self._first:
            operation = self._looks[earliest][0]
            sentence = f"{operation} is older than version {self._first}, with which the block began"
            yield Contradiction("stale", sentence, (operation,))
            return
        for version in range(self._first, max(self._looks, default=self._first) + 1):
            problem = self._step(version) if version > self._first else None
            problem = problem or self._look(version)
            if problem is not None:
                yield problem
                return

    def _step(self, version: int) -> Contradiction | None:
        """The next version is made."""
        write = self._writes.get(version)
        if write is None:
            return self._fill(version)
        before = self._ways
        self._ways = [way for way in before if way.apply(write)]
        if self._ways:
            return None
        times = before[0].text.count(write.old)
        sentence = f"{write} replaced {quoted(write.old)}, which stood {times} times in version {version - 1}"
        return Contradiction("unfit", sentence, (write,))

    def _fill(self, version: int) -> Contradiction | None:
        """Nobody was told to have made this version: somebody of unknown outcome must have."""
        ways: dict[tuple[str, tuple[Operation, ...]], _Way] = {}
        fitting = [candidate.operation for candidate in self._candidates if candidate.after < version <= candidate.most]
        for way in self._ways:
            for operation in fitting:
                text = applied(way.text, operation) if _may_follow(operation, way.used) else None
                if text is not None:
                    used = (*way.used, operation)
                    ways[text, tuple(sorted(used, key=id))] = _Way(text, used)
        self._ways = list(ways.values())
        if not ways:
            return self._gap(version)
        if len(ways) > _MOST_WAYS:
            sentence = f"version {version} can have been made in more than {_MOST_WAYS:,} ways, by operations of "
            return Contradiction("undecided", f"{sentence}unknown outcome; later texts were not checked", ())
        return None

    def _gap(self, version: int) -> Contradiction:
        beside = [self._writes[place] for place in (version - 1, version + 1) if place in self._writes]
        seen = self._looks.get(version, [])[:1] or beside
        if not seen:
            later = next(place for place in sorted(self._looks) if place > version)
            seen = self._looks[later][:1]
        sentence = f"nobody can have written version {version}, but there is {' and '.join(map(str, seen))}"
        return Contradiction("gap", sentence, tuple(seen))

    def _look(self, version: int) -> Contradiction | None:
        """What was shown of this version is what it must be."""
        for operation in self._looks.get(version, []):
            if operation.value is None:
                continue
            ways = [way for way in self._ways if way.text == operation.value]
            if not ways:
                return self._differs(operation, operation.value, self._ways[0].text)
            self._ways = ways
        return None

    def _differs(self, operation: Operation, value: str, wanted: str) -> Contradiction:
        shown, due = Counter(value.split("\n")), Counter(wanted.split("\n"))
        for line in due - shown:
            author = self._author(line, _version(operation))
            if author is not None:
                sentence = f"{operation} lacks {quoted(line)}, which should be there since {author}"
                return Contradiction("missing", sentence, (author, operation))
        for line in shown - due:
            sentence = f"{operation} shows {quoted(line)}, which nobody had put there by then"
            return Contradiction("phantom", sentence, (operation,))
        sentence = f"{operation} shows {quoted(value)} in the place of {quoted(wanted)}"
        return Contradiction("changed", sentence, (operation,))

    def _author(self, line: str, version: int) -> Operation | None:
        """The last write up to a version that brought the line."""
        for place in range(version, self._first, -1):
            write = self._writes.get(place)
            if write is not None and line in write.text.split("\n"):
                return write
        return None


def _may_follow(operation: Operation, used: Iterable[Operation]) -> bool:
    """Whether it can have had its effect after those: it is none of them, and none began after it was over."""
    return all(other is not operation and other.begun <= _ended(operation) for other in used)
