"""A process that works through a queue on a SQLite file, until it is done or killed: `python crew_process.py FOLDER`.

Into the folder it writes, line by line and at once, which requests its model was asked (`asked`), and which events
it was told are committed (`told`): what is in there was acknowledged before the process died.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from random import Random

import anyio
from crew import Rules, crew

from orchestrator import ModelRequest, Orchestrator
from orchestrator.events import Event
from orchestrator.stores import SQLiteStore

TITLES = [f"task-{number}" for number in range(24)]


def writer(path: Path) -> Callable[[str], None]:
    """Writes lines that stay, whenever the process dies."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    return lambda line: (os.write(file, f"{line}\n".encode()), None)[1]


async def main(folder: Path) -> None:
    """Go on with what was cut off; or begin."""
    random = Random(os.getpid())
    asked, told = writer(folder / "asked"), writer(folder / "told")

    def think(request: ModelRequest) -> float:
        return random.expovariate(1 / 0.01)

    async def tell(watching: AbstractAsyncContextManager[AsyncIterator[Event]]) -> None:
        async with watching as events:
            async for event in events:
                told(acknowledgement(event))

    model = Rules(TITLES, think, lambda request: asked(f"{request.turn} {request.step}"))
    async with (
        anyio.create_task_group() as group,
        Orchestrator(crew(4), SQLiteStore(folder / "crew.db"), model=model) as live,
    ):
        group.start_soon(tell, live.watch())
        print("ready", flush=True)
        for record in live.cut_off:
            await live.resume(record.id)
        if not await live._store.read(lambda rows: list(rows.runs())):
            await live.run("go")
    print("done", flush=True)


def acknowledgement(event: Event) -> str:
    """What is remembered of an event."""
    return f"{event.seq} {event.type}"


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]))
