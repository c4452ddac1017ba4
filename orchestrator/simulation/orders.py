"""Whether there is an order that explains what concurrent clients were told, when they were told no versions.

Found by search (Wing and Gong, with Lowe's memory of where the search has been), so only for short histories: up to
about fifty operations of four clients. Whoever knows versions uses `check_history`, which does not search.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from orchestrator.simulation.observed import Operation, applied


def linearizable(operations: Iterable[Operation], initial: str = "", *, limit: int = 200_000) -> bool | None:
    """Whether the operations can have taken effect one after another, each between its beginning and its end.

    Each applies to the text that those before it left, and shows the text that it was told: of a read the text it
    read, of a write the text after it. Versions are not looked at. A replacement that was refused did not apply; of
    other refusals nothing is known. An operation of unknown outcome may have happened, or not.

    None: undecided, after `limit` steps of the search.
    """
    search = _Search([o for o in operations if _matters(o)])
    places: list[tuple[int, str]] = [(0, initial)]
    been = set(places)
    for _ in range(limit):
        if not places:
            return False
        done, text = places.pop()
        if search.is_over(done):
            return True
        for place in search.steps(done, text):
            if place not in been:
                been.add(place)
                places.append(place)
    return None


def _matters(operation: Operation) -> bool:
    if operation.outcome == "refused":
        return operation.kind == "replace"
    return operation.outcome == "acknowledged" or operation.is_write


class _Search:
    """The operations, each with a bit in the set of those that have taken effect."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._operations = sorted(operations, key=lambda operation: operation.begun)
        must = (1 << at for at, operation in enumerate(self._operations) if operation.outcome != "unknown")
        self._must = sum(must)

    def is_over(self, done: int) -> bool:
        """Whether all have taken effect that must."""
        return done & self._must == self._must

    def steps(self, done: int, text: str) -> Iterator[tuple[int, str]]:
        """The places to which one more operation leads: one that began before any of the others was over."""
        left = [(at, operation) for at, operation in enumerate(self._operations) if not done >> at & 1]
        # One that may not have happened at all keeps nobody waiting.
        first_end = min((o.ended for _, o in left if o.outcome != "unknown" and o.ended is not None), default=None)
        for at, operation in left:
            if first_end is not None and operation.begun > first_end:
                return
            if operation.outcome == "unknown" and self._is_too_late(operation, done):
                continue
            after = _after(text, operation)
            if after is not None:
                yield done | 1 << at, after

    def _is_too_late(self, operation: Operation, done: int) -> bool:
        """Whether one has taken effect that began when this one was over."""
        ended = operation.ended
        return ended is not None and any(
            done >> at & 1 and other.begun > ended for at, other in enumerate(self._operations)
        )


def _after(text: str, operation: Operation) -> str | None:
    """The text after the operation; None if it was told something else than what it would be here."""
    if operation.outcome == "refused":
        return text if applied(text, operation) is None else None
    after = applied(text, operation) if operation.is_write else text
    return after if operation.value in (None, after) else None
