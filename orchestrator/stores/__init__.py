"""Where a team's blocks, history and log are kept."""

from orchestrator.stores.memory import MemoryStore

__all__ = ["MemoryStore"]
