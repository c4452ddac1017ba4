"""The lines of a picture."""

from __future__ import annotations

from typing import Literal, NamedTuple

from orchestrator.drawing.geometry import Point

Kind = Literal["plain", "wakes", "handoff", "overflow", "entry"]


class Wire(NamedTuple):
    """A line with or without heads.

    A link's has four points: it leaves the agent, runs below its label, bends between the second and the third, and
    ends at the block. All others are straight from point to point.
    """

    kind: Kind
    points: tuple[Point, ...]
    head_at_start: bool
    head_at_end: bool
    #: What it says in full.
    title: str = ""

    @property
    def bends(self) -> bool:
        """Whether it is a curve between the second point and the third."""
        return self.kind in ("plain", "wakes", "handoff") and len(self.points) == 4
