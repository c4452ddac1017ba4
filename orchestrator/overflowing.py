"""What leaves a block when an insertion does not fit into it: its oldest lines, and no more of them than needed."""

from __future__ import annotations

from typing import NamedTuple


class Insertion(NamedTuple):
    """A text that is put between the lines of a block."""

    above: list[str]
    text: str
    below: list[str]
    #: It is put on top, as are all others: the oldest lines stand at the bottom.
    at_top: bool = False

    @property
    def joined(self) -> str:
        """The block with all of it."""
        return "\n".join([*self.above, self.text, *self.below])


class Fitted(NamedTuple):
    """A block with an insertion, and the lines that had to leave it for that, in the order in which they stood."""

    text: str
    moved: tuple[str, ...]


def fitted(insertion: Insertion, limit: int) -> Fitted | None:
    """The insertion, made to fit; None if its own text is too long. That never leaves the block, not even in part.

    The oldest lines are those at the top; where the insertion is put on top, those at the bottom.
    """
    above, text, below, at_top = insertion
    oldest = below[::-1] if at_top else [*above, *below]
    excess = len(text) + sum(len(line) + 1 for line in oldest) - limit
    count = 0
    while excess > 0 and count < len(oldest):
        excess -= len(oldest[count]) + 1
        count += 1
    if excess > 0:
        return None
    if at_top:
        left = len(below) - count
        return Fitted("\n".join([text, *below[:left]]), tuple(below[left:]))
    left_below = below[max(0, count - len(above)) :]
    return Fitted("\n".join([*above[count:], text, *left_below]), tuple(oldest[:count]))
