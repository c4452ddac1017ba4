"""Ctrl-C while schedules are played."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import ExitStack

import anyio
import pytest

from orchestrator.simulation.choosers import InOrder
from orchestrator.simulation.environment import SimulatedEnvironment
from orchestrator.simulation.escapes import guarded
from orchestrator.simulation.interrupting import heed, interruptible, put_off
from orchestrator.simulation.playing import play


@pytest.fixture(autouse=True)
def quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told what was lost."""
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: None)


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


class Finalized:
    """What is raised while it is finalized is lost."""

    def __del__(self) -> None:
        press()
        signal.getsignal(signal.SIGINT)  # a line of Python after it: signals are handled between lines


def test_ctrl_c_that_was_lost_ends_the_schedule():
    went_on: list[float] = []

    async def scene(environment: SimulatedEnvironment) -> None:
        Finalized()
        await anyio.sleep(1)
        went_on.append(anyio.current_time())

    with pytest.raises(KeyboardInterrupt), guarded():
        play(scene, InOrder())
    assert went_on == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    heed()  # it is over


def test_ctrl_c_that_became_another_error_ends_the_schedule():
    async def scene(environment: SimulatedEnvironment) -> None:
        try:
            press()
            await anyio.sleep(1)
        except KeyboardInterrupt:
            raise RuntimeError("a cancel scope that is not the current one") from None

    with pytest.raises(KeyboardInterrupt), guarded():
        play(scene, InOrder())


def test_ctrl_c_between_schedules_is_heeded_by_the_next_and_at_the_end():
    async def scene(environment: SimulatedEnvironment) -> None:
        await anyio.sleep(1)

    looking_out = ExitStack()
    looking_out.enter_context(interruptible())
    Finalized()
    with pytest.raises(KeyboardInterrupt):
        play(scene, InOrder())
    with pytest.raises(KeyboardInterrupt):
        heed()
    with pytest.raises(KeyboardInterrupt), interruptible():  # the one outside counts
        press()
    with pytest.raises(KeyboardInterrupt):
        looking_out.close()
    with pytest.raises(KeyboardInterrupt), interruptible():
        Finalized()
    with interruptible():
        assert play(scene, InOrder()).seconds == 1


def test_where_much_is_finalized_ctrl_c_is_put_off():
    went_on: list[str] = []

    def collected() -> None:
        with put_off():
            press()
            went_on.append("to the end")
        went_on.append("further")

    with pytest.raises(KeyboardInterrupt), interruptible():
        collected()
    assert went_on == ["to the end"]


def test_who_has_a_handler_of_their_own_keeps_it():
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        with guarded():
            press()
            assert play(_nothing, InOrder()).error is None
    finally:
        signal.signal(signal.SIGINT, before)
    assert pressed == [signal.SIGINT]


async def _nothing(environment: SimulatedEnvironment) -> None:
    """What is played."""


def test_in_another_thread_nobody_looks_out_for_it():
    seen: list[object] = []

    def elsewhere() -> None:
        with guarded():
            seen.append(signal.getsignal(signal.SIGINT))
            seen.append(play(_nothing, InOrder()).error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler, None]
