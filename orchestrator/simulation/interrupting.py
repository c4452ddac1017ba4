"""Ctrl-C while schedules are played: it ends them, wherever it comes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class _Interruption:
    """Whether Ctrl-C came since somebody began to look out for it."""

    def __init__(self) -> None:
        self.came = False
        self.is_put_off = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """What the signal calls: as Python does by itself, at once, since a schedule may have no end."""
        self.came = True
        if not self.is_put_off:
            raise KeyboardInterrupt


_INTERRUPTION = _Interruption()


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, `heed` raises `KeyboardInterrupt` once Ctrl-C came, and so does the end.

    Nearly always it has been raised already. But what is raised in the middle of a finalizer is lost, and in the middle
    of a task's bookkeeping it comes out as some other error. Does nothing outside of the main thread, and where
    somebody else looks out for Ctrl-C.
    """
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    _INTERRUPTION.came = False
    signal.signal(signal.SIGINT, _INTERRUPTION)
    try:
        yield
        heed()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _INTERRUPTION.came = False


@contextmanager
def put_off() -> Iterator[None]:
    """Where much is finalized, Ctrl-C would be lost, and Python would say so: it raises at the end of this instead."""
    _INTERRUPTION.is_put_off = True
    try:
        yield
    finally:
        _INTERRUPTION.is_put_off = False
    heed()


def heed() -> None:
    """Raise `KeyboardInterrupt` if Ctrl-C came, whatever became of it."""
    if _INTERRUPTION.came:
        raise KeyboardInterrupt
