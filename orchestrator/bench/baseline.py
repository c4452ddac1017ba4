"""The same waiting without teams, blocks, history and log: bare task groups of anyio, to compare with."""

from __future__ import annotations

import anyio
import anyio.lowlevel

from orchestrator.bench.measuring import Took, stopwatch


async def wait(seconds: float) -> None:
    """What a model's thinking comes to; at once is a checkpoint, as with any model."""
    if seconds:
        await anyio.sleep(seconds)
    else:
        await anyio.lowlevel.checkpoint()


async def crowd(tasks: int, waits: int, seconds: float, at_once: int | None = None) -> Took:
    """So many tasks in one group, each of which waits so often for so long; at most `at_once` at a time."""
    limiter = anyio.CapacityLimiter(tasks if at_once is None else at_once)

    async def task() -> None:
        async with limiter:
            for _ in range(waits):
                await wait(seconds)

    with stopwatch(tasks) as took:
        async with anyio.create_task_group() as group:
            for _ in range(tasks):
                group.start_soon(task)
    return took


async def uneven(seconds: float) -> Took:
    """A chain of three waits beside one that is three times as long; then somebody who has waited for both."""
    joined = {"chain": anyio.Event(), "long": anyio.Event()}

    async def chain(links: int) -> None:
        await anyio.sleep(seconds)
        if links > 1:
            group.start_soon(chain, links - 1)
        else:
            joined["chain"].set()

    async def long() -> None:
        await anyio.sleep(3 * seconds)
        joined["long"].set()

    async def join() -> None:
        for event in joined.values():
            await event.wait()

    with stopwatch(6) as took:
        async with anyio.create_task_group() as group:
            group.start_soon(join)
            group.start_soon(chain, 3)
            group.start_soon(long)
    return took
