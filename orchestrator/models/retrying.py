"""Trying again, when that may help.

A loop of our own: how long to wait is the provider's to say, the clock and the randomness are the environment's,
and what was tried has to be told. What a library for retrying would add is the `while`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import anyio

from orchestrator.environment import Environment
from orchestrator.models.failures import Failure

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How often to try, and how long to wait in between, in seconds."""

    attempts: int = 4
    #: The longest first wait; each next one may be twice as long, up to `longest`. Jitter shortens it by up to half.
    first: float = 1.0
    longest: float = 30.0
    #: When a provider asks for a longer wait than this, it is not waited for.
    most_asked: float = 60.0


class GivenUp(NamedTuple):
    """What all attempts came to."""

    failure: Failure
    attempts: int
    seconds: float


async def persist(
    attempt: Callable[[], Awaitable[_T | Failure]], patience: Patience, environment: Environment
) -> _T | GivenUp:
    """Attempt until there is something else than a failure, or one that trying again does not mend.

    A wait that the provider asks for is kept to; one of more than `patience.most_asked` seconds is not begun.
    """
    began = anyio.current_time()
    number = 1
    while True:
        outcome = await attempt()
        if not isinstance(outcome, Failure):
            return outcome
        asked = outcome.retry_after or 0.0
        if not outcome.may_pass or number >= patience.attempts or asked > patience.most_asked:
            return GivenUp(outcome, number, anyio.current_time() - began)
        own = min(patience.longest, patience.first * 2 ** (number - 1))
        # Not only what was asked: all who were refused at the same time were asked the same.
        await anyio.sleep(asked + own * environment.random.uniform(0.5, 1.0))
        number += 1
