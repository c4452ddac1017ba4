"""The fewest choices with which a schedule still fails: what is left is what it takes.

A step that is not chosen any more does not only lose its choice. A timer that fires first, and somebody who is held
back, take a step that is missing then; and who goes on instead may have less to do, or more. So all that was chosen
later would fall upon its neighbours. What comes later is therefore tried where it was, and moved to where it would be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from orchestrator.simulation.choosers import FIRST, Choice

#: Choices, each at its step, in the order of the steps.
_Row = tuple[tuple[int, Choice], ...]

#: How far choices are moved, in steps.
_NEAR: Final = (-1, 1, -2, 2, -3, 3)


def shrink(
    fails: Callable[[Mapping[int, Choice]], bool], choices: Mapping[int, Choice], most: int = 300
) -> dict[int, Choice]:
    """The fewest choices that could be found which still fail; the same for the same choices.

    Args:
        fails: plays the schedule with these choices, and says whether it fails as the first one did.
        most: so often `fails` is asked, at most.

    Raises:
        ValueError: the choices as they are given do not fail.
    """
    search = _Search(fails, most)
    row = tuple(sorted((step, choice) for step, choice in choices.items() if choice != FIRST))
    if not search.fails(row):
        raise ValueError("the schedule does not fail when it is played again, so there is nothing to shrink")
    if row and search.fails(()):
        return {}
    row = _as_far_as_needed(search, row)
    before: _Row | None = None
    while row != before:
        before = row
        row = _without_chunks(search, row)
        row = _simpler(search, row)
        if row == before:
            row = _with_one_moved(search, row)
    return dict(row)


class _Search:
    """Asks whether schedules fail: each of them once, and not too often."""

    def __init__(self, fails: Callable[[Mapping[int, Choice]], bool], most: int) -> None:
        self._fails = fails
        self._left = most
        self._known: dict[_Row, bool] = {}

    def fails(self, row: _Row) -> bool:
        """Whether the schedule fails; one that may not be asked for any more is taken to hold."""
        known = self._known.get(row)
        if known is None and self._left > 0:
            self._left -= 1
            known = self._known[row] = self._fails(dict(row))
        return bool(known)

    def first(self, rows: Iterator[_Row]) -> _Row | None:
        """The first of them that fails."""
        return next((row for row in rows if self.fails(row)), None)


def _as_far_as_needed(search: _Search, row: _Row) -> _Row:
    """Cut off what was chosen after the failure could not be averted any more: by halves, as if that were one step."""
    holds, fails = 0, len(row)
    while fails - holds > 1:
        middle = (holds + fails) // 2
        if search.fails(row[:middle]):
            fails = middle
        else:
            holds = middle
    return row[:fails]


def _without_chunks(search: _Search, row: _Row) -> _Row:
    """Leave out as much as possible at a time, the latest first."""
    size = max(1, len(row) // 2)
    while True:
        end, before = len(row), row
        while end > 0:
            start = max(0, end - size)
            row = search.first(_left_out(row, start, end)) or row
            end = min(start, len(row))
        if size == 1 and row == before:
            return row
        size = max(1, size // 2)


def _left_out(row: _Row, start: int, end: int) -> Iterator[_Row]:
    """The choices but for some in a row: with those that come later where they were, moved up, and a little aside."""
    head, chunk, tail = row[:start], row[start:end], row[end:]
    yield head + tail
    missing = sum(choice.warp or choice.stall > 0 for _, choice in chunk)
    moves = [-missing, *(by for by in _NEAR if by != -missing)] if len(chunk) == 1 else [-missing]
    last = head[-1][0] if head else 0
    for by in moves:
        if by and tail and tail[0][0] + by > last:
            yield head + tuple((step + by, choice) for step, choice in tail)


def _with_one_moved(search: _Search, row: _Row) -> _Row:
    """Leave one out, and move another one a little, so that it does what both did."""
    for out in range(len(row) - 1, -1, -1):
        less = row[:out] + row[out + 1 :]
        for place in range(len(less) - 1, -1, -1):
            moved = search.first(_moved(less, place))
            if moved is not None:
                return moved
    return row


def _moved(row: _Row, place: int) -> Iterator[_Row]:
    step, choice = row[place]
    taken = {other for other, _ in row}
    for by in _NEAR:
        if step + by > 0 and step + by not in taken:
            yield tuple(sorted((*row[:place], (step + by, choice), *row[place + 1 :])))


def _simpler(search: _Search, row: _Row) -> _Row:
    """Put something plainer in the place of each choice."""
    for place in range(len(row) - 1, -1, -1):
        step, choice = row[place]
        tried = ((*row[:place], (step, plainer), *row[place + 1 :]) for plainer in _plainer(choice))
        row = search.first(tried) or row
    return row


def _plainer(choice: Choice) -> Iterator[Choice]:
    """Choices that are easier to understand: nobody held back, or somebody who came earlier to be able to go on."""
    if choice.stall and choice.pick:
        yield choice._replace(stall=0.0)
    for pick in range(choice.pick):
        if pick or choice.stall:
            yield choice._replace(pick=pick)
