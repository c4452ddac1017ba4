"""Work that nothing but its process can end if it hangs: it is done in a thread, and the test goes on."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

LONG = 30.0


def outcome(work: Callable[[], Awaitable[Any]], backend: str, options: Any = None) -> BaseException | None:
    """Run the work on an event loop of its own, and tell what it raised; fails if it does not end."""
    found: list[BaseException | None] = []

    def begin() -> None:
        try:
            anyio.run(work, backend=backend, backend_options=options)
        except BaseException as raised:
            found.append(raised)
        else:
            found.append(None)

    thread = threading.Thread(target=begin, daemon=True)
    thread.start()
    thread.join(LONG)
    assert found, "it hangs"
    return found[0]
