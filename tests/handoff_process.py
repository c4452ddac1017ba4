"""A process in which two agents hand control to and fro, run after run, until it is done or killed.

`python handoff_process.py FOLDER`: with a SQLite file in the folder, from where the process before it was killed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from random import Random
from typing import Final

import anyio

from orchestrator import Agent, ModelRequest, ModelResponse, Orchestrator, ToolCall
from orchestrator.stores import SQLiteStore
from patterns import hand_off, handoff_context

RUNS: Final = 16
AT_ONCE: Final = 3
#: So often control passes in a run.
HANDOFFS: Final = 4

TEAM: Final = hand_off(Agent("ann"), Agent("bob"), note=handoff_context(limit=100_000), limit=HANDOFFS)


class ToAndFro:
    """Hands over until it may not, then answers; the same request gets the same answer."""

    def __init__(self) -> None:
        self._random = Random(os.getpid())

    async def respond(self, request: ModelRequest) -> ModelResponse:
        """Name the run in each note."""
        await anyio.sleep(self._random.expovariate(1 / 0.01))
        if request.step > 0 or request.blocks["handoff_context"].count(request.run) == HANDOFFS:
            return ModelResponse(f"{request.agent} for {request.run}")
        to = "bob" if request.agent == "ann" else "ann"
        return ModelResponse("", [ToolCall(f"hand_off_to_{to}", {"note": f"go on with {request.run}"})])


async def main(folder: Path) -> None:
    """Go on with what was cut off; or begin."""
    async with Orchestrator(TEAM, SQLiteStore(folder / "pair.db"), model=ToAndFro()) as live:
        print("ready", flush=True)
        async with anyio.create_task_group() as group:
            for record in live.cut_off:
                group.start_soon(live.resume, record.id)
        missing = RUNS - len(await live._store.read(lambda rows: list(rows.runs())))
        while missing > 0:
            async with anyio.create_task_group() as group:
                for _ in range(min(AT_ONCE, missing)):
                    group.start_soon(live.run, "go")
            missing -= AT_ONCE
    print("done", flush=True)


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]))
