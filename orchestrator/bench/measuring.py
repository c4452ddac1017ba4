"""How long things take, and what many such figures come to."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import anyio


@dataclass(slots=True)
class Took:
    """What a piece of work took: seconds by the event loop's clock, and CPU seconds of the whole process."""

    seconds: float = 0.0
    cpu: float = 0.0
    #: How many turns, or other units of work, that was.
    count: int = 0


@dataclass(frozen=True, slots=True)
class Spread:
    """How figures are spread, in their own unit. `p95` is the smallest that at least 95 % of them do not exceed."""

    p50: float
    p95: float
    p99: float
    most: float

    @classmethod
    def of(cls, figures: Iterable[float]) -> Spread | None:
        """None of nothing."""
        ordered = sorted(figures)
        if not ordered:
            return None
        return cls(percentile(ordered, 50), percentile(ordered, 95), percentile(ordered, 99), ordered[-1])


def percentile(ordered: list[float], percent: float) -> float:
    """By nearest rank: of n figures in rising order, the one in place ceil(n * percent / 100), counted from 1.

    So it is always a figure that was measured; of few figures the high percentiles are all the greatest one.
    """
    return ordered[max(1, math.ceil(len(ordered) * percent / 100)) - 1]


@contextmanager
def stopwatch(count: int = 0) -> Iterator[Took]:
    """Measures what is inside of it. Garbage of what went before is collected first, and not charged to it."""
    gc.collect()
    took = Took(count=count)
    cpu, began = time.process_time(), anyio.current_time()
    yield took
    took.seconds = anyio.current_time() - began
    took.cpu = time.process_time() - cpu


def middle(repeats: list[Took]) -> Took:
    """The median of several repeats, figure by figure."""
    return Took(
        median(took.seconds for took in repeats),
        median(took.cpu for took in repeats),
        round(median(took.count for took in repeats)),
    )


def over(amount: float, by: float) -> float | None:
    """The quotient; None where there is none, as when simulated time did not pass."""
    return amount / by if by else None
