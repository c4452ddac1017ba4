"""Time that passes only when everybody waits."""

from __future__ import annotations

from typing import Any


def simulated_time() -> tuple[str, dict[str, Any]]:
    """A value for anyio's `anyio_backend` fixture: sleeping is not sleeping, and takes exactly as long as it says.

        pytestmark = pytest.mark.anyio

        @pytest.fixture
        def anyio_backend():
            return simulated_time()

    Needs `pip install "anyio[trio]"`, and the mark, or `anyio_mode = "auto"` in pytest's configuration.

    It is trio with a clock that jumps to the next deadline when every task waits. Plain tool functions
    are then called inline, not in a thread, since a thread would not hold the clock back.
    """
    from trio.testing import MockClock  # trio is only needed where time is simulated

    return "trio", {"clock": MockClock(autojump_threshold=0)}
