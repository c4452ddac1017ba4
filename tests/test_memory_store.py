"""The memory store keeps the contract of stores."""

from __future__ import annotations

import pytest

from orchestrator.stores import MemoryStore
from orchestrator.testing import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()
