"""How long models take to answer: distributions that were fitted to recorded calls of real providers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from orchestrator.checks import check_amount
from orchestrator.errors import DeclarationError

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 -- the type only

#: Where no other bound is given, an answer takes at most so many seconds; the longest recorded one took 92.5.
_MOST: Final = 120.0

#: A wider distribution than this is none of times.
_MOST_SIGMA: Final = 10


class LogNormal(NamedTuple):
    """Times whose logarithm is normal. `sigma` is the standard deviation of that; 0 is always the median."""

    #: In seconds.
    median: float
    sigma: float = 0.0
    #: Its share among several, in relation to the others'.
    weight: float = 1.0


class Fit(NamedTuple):
    """What was fitted to the recorded calls of one provider, or of all."""

    #: How many calls.
    calls: int
    parts: tuple[LogNormal, ...]
    #: The greatest distance between the recorded and the fitted distribution (Kolmogorov-Smirnov).
    distance: float


# Source: the server's own milliseconds (openai-processing-ms, server-timing and the like) of 630 calls in the recorded
# HTTP cassettes of pydantic/pydantic-ai @ 4fda3898 and crewAIInc/crewAI @ f4731f50 (MIT), by provider.
#
# Each by greatest likelihood: one log-normal, or a mixture of two (expectation-maximisation) where the Bayesian
# information criterion prefers it and there are at least 100 calls to tell two from one. It does for OpenAI (1344
# against 1386: short answers of one model, long ones of many) and for all together (1989 against 1991), where a single
# log-normal would make the slowest answers too quick (p99 22 s; recorded are 31 s). It does not for Gemini (361 against
# 351) and Anthropic. Of Groq there are too few calls to trust more than the median.
#
# With as many calls, the distance of a right distribution is below 1.36 / sqrt(calls) in 95 of 100 cases: 0.054 for
# all, then 0.065, 0.117, 0.205 and 0.340 in the order below. tests/test_latency.py fits them again.

#: Calls of all providers. Seconds at p5, p50, p90, p99: recorded 0.28, 1.37, 6.90, 31.1; fitted 0.26, 1.29, 6.96, 30.0.
ALL: Final = Fit(630, (LogNormal(0.883, 0.688, 0.361), LogNormal(1.909, 1.279, 0.639)), 0.023)

#: Providers, by the word that models' names begin with.
PROVIDERS: Final[Mapping[str, Fit]] = MappingProxyType(
    {
        "openai": Fit(435, (LogNormal(0.587, 0.449, 0.361), LogNormal(2.104, 1.205, 0.639)), 0.031),
        "gemini": Fit(135, (LogNormal(2.186, 0.856),), 0.077),
        "anthropic": Fit(44, (LogNormal(2.039, 0.694),), 0.081),
        "groq": Fit(16, (LogNormal(0.175, 1.382),), 0.188),
    }
)


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a model takes to answer, in seconds: a log-normal distribution, or several mixed, within bounds.

        Latency.recorded("anthropic").scaled(0.5)   # half as long as recorded
        Latency([LogNormal(2.0)])                   # always two seconds

    Args:
        parts: none for no time at all.
        least: what is drawn below it is it.
        most: what is drawn above it is it.
    """

    parts: tuple[LogNormal, ...] | Iterable[LogNormal] = ()
    least: float = field(default=0.0, kw_only=True)
    most: float = field(default=_MOST, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.parts, Iterable):
            raise DeclarationError("a latency", f"has {self.parts!r} as its parts; give a list of LogNormal")
        object.__setattr__(self, "parts", tuple(self.parts))
        if not all(isinstance(part, LogNormal) for part in self.parts):
            raise DeclarationError("a latency", f"has {self.parts!r} as its parts; give a list of LogNormal")
        for median, sigma, weight in self.mixed:
            check_amount("a latency", "the median of a part", median, "seconds")
            check_amount("a latency", "the weight of a part", weight, "its share")
            if not 0 <= sigma <= _MOST_SIGMA:
                raise DeclarationError("a latency", f"the sigma of a part is {sigma!r}; give 0 to {_MOST_SIGMA}")
        if not 0 <= self.least <= self.most < math.inf:
            bounds = f"is between {self.least!r} and {self.most!r} seconds"
            raise DeclarationError("a latency", f"{bounds}; give bounds of 0 or more, the least first")

    @classmethod
    def recorded(cls, provider: str | None = None) -> Latency:
        """What calls of one provider have taken, or those of all together; `DeclarationError` lists those known."""
        if provider is None:
            return cls(ALL.parts)
        if provider not in PROVIDERS:
            known = ", ".join(PROVIDERS)
            raise DeclarationError("a latency", f"no calls of {provider!r} are recorded; there are some of {known}")
        return cls(PROVIDERS[provider].parts)

    @classmethod
    def none(cls) -> Latency:
        """No time at all."""
        return cls()

    @property
    def mixed(self) -> tuple[LogNormal, ...]:
        """The parts."""
        return self.parts  # type: ignore[return-value]  # normalised in __post_init__

    def scaled(self, factor: float) -> Latency:
        """The same, with everything `factor` times as long, bounds included."""
        check_amount("a latency", "its factor", factor, "how many times as long")
        parts = tuple(part._replace(median=part.median * factor) for part in self.mixed)
        return replace(self, parts=parts, least=self.least * factor, most=self.most * factor)

    def draw(self, random: Random) -> float:
        """How long one answer takes. Rounded to microseconds, so that it is the same with every machine's logarithm."""
        if not self.parts:
            return self.least
        part = random.choices(self.mixed, [part.weight for part in self.mixed])[0]
        drawn = random.lognormvariate(math.log(part.median), part.sigma)
        return min(max(round(drawn, 6), self.least), self.most)
