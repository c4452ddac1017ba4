"""Where a team's blocks, history and log are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.stores.memory import MemoryStore

if TYPE_CHECKING:
    from orchestrator.stores.sqlite import SQLiteStore

__all__ = ["MemoryStore", "SQLiteStore"]


def __getattr__(name: str) -> object:
    """Who does not ask for SQLite does not load it."""
    if name == "SQLiteStore":
        from orchestrator.stores.sqlite import SQLiteStore

        return SQLiteStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
