"""Virtual time that repeats itself: simulated time, a log that tells it, and tasks that take turns by a seed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import anyio

from orchestrator.environment import Environment
from orchestrator.errors import DeclarationError
from orchestrator.testing import simulated_time

_T = TypeVar("_T")


class VirtualEnvironment(Environment):
    """An environment in which it is as late as a simulated clock says.

    Args:
        clock: the one that the event loop goes by.
        seed: makes `random` repeat itself.
    """

    def __init__(self, clock: Any, seed: int) -> None:
        super().__init__(seed)
        self._clock = clock

    def now(self) -> float:
        """Virtual seconds since the beginning; also for those who ask from a thread."""
        now: float = self._clock.current_time()
        return now


def run_virtually(work: Callable[[Environment], Awaitable[_T]], seed: int) -> _T:
    """Run it in simulated time; the same seed and work, the same result.

    Raises `DeclarationError` where trio is not installed.
    """
    try:
        backend, options = simulated_time()
    except ModuleNotFoundError as missing:
        raise DeclarationError("--simulated", f'needs {missing.name}; pip install "anyio[trio]"') from missing
    environment = VirtualEnvironment(options["clock"], seed)
    with _same_order(seed):
        return anyio.run(work, environment, backend=backend, backend_options=options)


@contextmanager
def _same_order(seed: int) -> Iterator[None]:
    """Among tasks that can go on at the same instant, trio lets chance decide; here it is the seed's.

    There is no public way; these two names are trio's own for its plugin of Hypothesis, and for nothing else.
    """
    from trio._core import _run as trio_run  # only needed where time is simulated

    by_chance, before = trio_run._r.getstate(), trio_run._ALLOW_DETERMINISTIC_SCHEDULING
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # Final, but meant to be set
    trio_run._r.seed(seed)
    try:
        yield
    finally:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = before  # type: ignore[misc]
        trio_run._r.setstate(by_chance)
