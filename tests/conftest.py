"""Every async test runs on asyncio and on trio."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.models import VARIABLE


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """The event loop of a test; modules that need simulated time define it anew."""
    return request.param


@pytest.fixture(autouse=True)
def no_model_by_accident(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's environment decides which model a test asks."""
    monkeypatch.delenv(VARIABLE, raising=False)
