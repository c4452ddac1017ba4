"""Think times: how long a model lets its agent wait, fixed or drawn, and how long it has."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import anyio

from orchestrator.environment import Environment
from orchestrator.errors import DeclarationError
from orchestrator.models import Models
from orchestrator.ports import ModelRequest, ModelResponse

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 -- the type only

_SECONDS: Final = {"ms": 0.001, "s": 1.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ms|s)")
_FORMS: Final = "50ms, 0.2s, uniform:20ms..80ms, exponential:50ms (its mean) or lognormal:50ms,0.5 (median and sigma)"


@dataclass(frozen=True, slots=True)
class Think:
    """A distribution of think times, in seconds.

    `first` and `second` are: fixed, the time; uniform, least and most; exponential, the mean; lognormal, the
    median and the standard deviation of the logarithm.
    """

    kind: Literal["fixed", "uniform", "exponential", "lognormal"]
    first: float
    second: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Think:
        """What was typed: `50ms`, `uniform:20ms..80ms` and so on; `DeclarationError` lists the forms."""
        kind, colon, rest = text.strip().partition(":")
        match kind:
            case "uniform":
                least, _, most = rest.partition("..")
                think = cls(kind, _duration(text, least), _duration(text, most))
                if think.first > think.second:
                    raise DeclarationError("--think", f"{text!r} begins after it ends")
                return think
            case "exponential":
                return cls(kind, _more_than_nothing(text, rest))
            case "lognormal":
                median, _, sigma = rest.partition(",")
                if not re.fullmatch(r"\s*(\d+(\.\d+)?|\.\d+)\s*", sigma):
                    raise _not_understood(text)
                return cls(kind, _more_than_nothing(text, median), float(sigma))
            case _ if colon:
                raise _not_understood(text)
            case _:
                return cls("fixed", _duration(text, kind))

    def __str__(self) -> str:
        match self.kind:
            case "uniform":
                return f"uniform:{self.first:g}s..{self.second:g}s"
            case "lognormal":
                return f"lognormal:{self.first:g}s,{self.second:g}"
            case "exponential":
                return f"exponential:{self.first:g}s"
            case _:
                return f"{self.first:g}s"


class Draws:
    """Think times for agents. Each agent draws from a row of its own, so that who asks first changes nothing.

    Args:
        seed: the same seed and agent, the same row.
    """

    def __init__(self, think: Think, seed: str) -> None:
        self._think = think
        self._seed = seed
        self._rows: dict[str, Random] = {}

    def next(self, agent: str) -> float:
        """How long the agent's model thinks now, in seconds."""
        if agent not in self._rows:
            self._rows[agent] = Environment.seeded(f"{self._seed}/{agent}")
        random, first, second = self._rows[agent], self._think.first, self._think.second
        match self._think.kind:
            case "uniform":
                return random.uniform(first, second)
            case "exponential":
                return random.expovariate(1 / first)
            case "lognormal":
                return random.lognormvariate(math.log(first), second)
            case _:
                return first


class Thought(NamedTuple):
    """A model call: when it was asked for, by the clock of the log, and the seconds that it thought."""

    asked: float
    seconds: float


class ThinkingModel:
    """Asks each agent's own model after a think time, and keeps what each call of a turn took.

    `thoughts` has them by turn and step. A think time counts as it was drawn: that an event loop wakes late is
    not the model's doing.

    Args:
        models: who answers for which agent.
        draws: the think times before each answer; None for none but the model's own.
        environment: whose clock says when a call was asked for; the orchestrator's, so that it is the log's.
    """

    def __init__(self, models: Models, draws: Draws | None, environment: Environment) -> None:
        self._models = models
        self._draws = draws
        self._environment = environment
        self.thoughts: dict[tuple[str, int], Thought] = {}

    async def respond(self, request: ModelRequest) -> ModelResponse:
        """Think, then let the model answer."""
        asked, began = self._environment.now(), anyio.current_time()
        thought: float | None = None
        try:
            drawn = 0.0
            if self._draws is not None:
                drawn = self._draws.next(request.agent)
                await anyio.sleep(drawn)
            passed = anyio.current_time()
            answer = await self._models.of(request.agent).respond(request)
            thought = drawn + anyio.current_time() - passed
            return answer
        finally:  # also of a call that failed, or was cancelled
            seconds = anyio.current_time() - began if thought is None else thought
            self.thoughts[request.turn, request.step] = Thought(asked, seconds)


def _duration(typed: str, text: str) -> float:
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise _not_understood(typed)
    return float(found[1]) * _SECONDS[found[2]]


def _more_than_nothing(typed: str, text: str) -> float:
    seconds = _duration(typed, text)
    if not seconds:
        raise DeclarationError("--think", f"{typed!r} is no distribution; for no think time at all: 0s")
    return seconds


def _not_understood(typed: str) -> DeclarationError:
    return DeclarationError("--think", f"{typed!r} is no think time; write {_FORMS}")
