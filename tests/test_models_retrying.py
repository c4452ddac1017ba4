"""Trying again: how often, how long in between, and what is told."""

from __future__ import annotations

import math
from typing import Any

import anyio
import pytest

from orchestrator import Environment
from orchestrator.models.failures import Failure
from orchestrator.models.retrying import GivenUp, Patience, persist
from orchestrator.testing import simulated_time

PASSING = Failure("unavailable", "busy", 503, None, True)
FINAL = Failure("refused", "no", 400)


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


class Attempts:
    """Comes to one outcome after the other; each takes a second."""

    def __init__(self, *outcomes: Failure | str) -> None:
        self.outcomes = list(outcomes)
        self.at: list[float] = []

    async def __call__(self) -> Failure | str:
        self.at.append(anyio.current_time())
        await anyio.sleep(1)
        return self.outcomes.pop(0)

    @property
    def waits(self) -> list[float]:
        return [later - earlier - 1 for earlier, later in zip(self.at, self.at[1:], strict=False)]


async def test_an_answer_after_failures_that_passed_is_the_answer():
    attempts = Attempts(PASSING, PASSING, "yes")

    assert await persist(attempts, Patience(), Environment()) == "yes"
    assert len(attempts.at) == 3


async def test_what_does_not_pass_is_not_tried_again():
    attempts = Attempts(FINAL)

    assert await persist(attempts, Patience(), Environment()) == GivenUp(FINAL, 1, 1.0)


async def test_it_gives_up_after_so_many_attempts_and_says_how_long_it_took():
    attempts = Attempts(PASSING, PASSING, PASSING)

    failure, count, seconds = await persist(attempts, Patience(attempts=3), Environment())  # type: ignore[misc]

    assert (failure, count) == (PASSING, 3)
    assert math.isclose(seconds, 3 + sum(attempts.waits))


async def test_waits_grow_up_to_a_bound_and_differ_by_the_environments_randomness():
    patience = Patience(attempts=7, first=1, longest=8)
    waits = []
    for seed in (1, 1, 2):
        attempts = Attempts(*[PASSING] * 7)
        await persist(attempts, patience, Environment(seed=seed))
        waits.append(attempts.waits)

    for own, wait in zip((1, 2, 4, 8, 8, 8), waits[0], strict=True):
        assert own / 2 - 1e-9 <= wait <= own + 1e-9
    assert waits[0] == pytest.approx(waits[1])
    assert waits[0] != pytest.approx(waits[2])


async def test_a_pause_that_is_asked_for_is_kept():
    asked = PASSING._replace(retry_after=20.0)
    attempts = Attempts(asked, "yes")

    assert await persist(attempts, Patience(), Environment()) == "yes"
    assert 20.5 - 1e-9 <= attempts.waits[0] <= 21 + 1e-9


async def test_a_pause_beyond_the_bound_is_not_begun():
    asked = PASSING._replace(retry_after=61.0)

    assert await persist(Attempts(asked), Patience(), Environment()) == GivenUp(asked, 1, 1.0)


async def test_a_cancelled_wait_makes_no_other_attempt():
    attempts = Attempts(PASSING._replace(retry_after=50.0), "never")

    with anyio.move_on_after(10):
        await persist(attempts, Patience(), Environment())
    await anyio.sleep(100)

    assert len(attempts.at) == 1
