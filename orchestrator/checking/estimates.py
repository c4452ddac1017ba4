"""How often a rewrite is refused because somebody else was faster: an estimate, with what it assumes."""

from __future__ import annotations

from functools import lru_cache
from math import erfc, exp, pi, sqrt
from typing import Final

#: How much model calls differ in length: the standard deviation of the logarithm of their time on the server, over 630
#: calls of four providers that are recorded in the test suites of pydantic-ai and crewAI; they are about log-normal.
SPREAD: Final = 1.16

#: What is said of the estimate.
ASSUMED: Final = "if all of them write with each model call, and their calls take as long as the rewriter's"

#: The integral is taken over so many standard deviations to both sides, in so many steps.
_WIDTH: Final = 8.0
_STEPS: Final = 800


@lru_cache
def refused(others: int, spread: float = SPREAD) -> float:
    """The share of rewrites before which at least one of so many other writers has written, since the rewriter was
    shown the block.

    Each of them, and the rewriter, makes one model call after the other and writes with each; calls take
    independent times T with ln T normal, of this standard deviation s (their median does not matter). When the
    rewriter's call begins, each other one is somewhere in a call of its own, so that its next write is more than t
    away with the probability r(t) = E[max(T - t, 0)] / E[T]. With t = the length of the rewriter's call, in standard
    deviations z of ln T,

        r(z) = N(s - z) - exp(s z - s²/2) N(-z)

    and the share is 1 - ∫ φ(z) r(z)ⁿ dz, where N and φ are the normal distribution and its density.
    """
    width = 2 * _WIDTH / _STEPS
    kept = 0.0
    for step in range(_STEPS + 1):
        z = -_WIDTH + step * width
        later = max(0.0, _normal(spread - z) - exp(spread * z - spread * spread / 2) * _normal(-z))
        kept += exp(-z * z / 2) / sqrt(2 * pi) * later**others * width
    return 1 - kept


def _normal(z: float) -> float:
    return erfc(-z / sqrt(2)) / 2
