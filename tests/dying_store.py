"""A store whose process is killed, and which another process opens then."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio

from orchestrator import ModelError, Orchestrator, RunError, StoreError
from orchestrator.stores import MemoryStore


class DyingStore(MemoryStore):
    """Keeps what was written before its process was killed; `wait` seconds pass before it does anything."""

    killed = False
    wait = 0.0

    async def transact(self, work: Any) -> Any:
        if self.killed:
            raise StoreError("killed")
        await anyio.sleep(self.wait)
        return await super().transact(work)

    async def read(self, work: Any) -> Any:
        await anyio.sleep(self.wait)
        return await super().read(work)

    def kill(self) -> ModelError:
        """End the process; for a model to raise."""
        self.killed = True
        return ModelError("killed")

    async def killed_in(self, live: Orchestrator, *calls: Callable[[], Any]) -> None:
        """Let the calls be made, all at once, until the process is killed; another one may open the store then."""
        with anyio.fail_after(60), suppress(StoreError, RunError, ExceptionGroup):
            async with live, anyio.create_task_group() as group:
                for call in calls:
                    group.start_soon(call)
        assert self.killed
        await self.close()
        self.killed = False
