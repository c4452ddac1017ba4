"""Every async test runs on asyncio and on trio."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Store
from orchestrator.models import VARIABLE
from orchestrator.stores import MemoryStore, SQLiteStore
from orchestrator.templates import VARIABLE as PROMPTS


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """The event loop of a test; modules that need simulated time define it anew."""
    return request.param


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_not_ignored() -> None:
    """A shell lets what it starts in the background ignore Ctrl-C, and so would all that tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def what_tests_start_has_options_of_its_own() -> None:
    """How this run of pytest was started is not how those are that tests start."""
    os.environ.pop("PYTEST_ADDOPTS", None)


@pytest.fixture(autouse=True)
def no_model_by_accident(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's environment decides which model a test asks, and in which words."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv(PROMPTS, raising=False)


@pytest.fixture(params=["memory", "sqlite"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Makes stores: what holds of one kind holds of the other."""
    if request.param == "memory":
        return MemoryStore
    numbers = count()
    return lambda: SQLiteStore(tmp_path / f"{next(numbers)}.db", durability="process")
