"""The built-in workloads: each is a job that comes to one line of the report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import anyio

from orchestrator.bench import baseline
from orchestrator.bench.measuring import Took, middle, stopwatch
from orchestrator.bench.prefixes import PrefixMeter
from orchestrator.bench.report import Finding, Gain, Sent, Timed
from orchestrator.bench.stores import KINDS, MEMORY, Kind, OneAtATime
from orchestrator.bench.teams import Cast, crowd, hot_messages, hot_team, pool, uneven
from orchestrator.blocks import BlockState, Placement, Revision
from orchestrator.engine import Orchestrator
from orchestrator.errors import DeclarationError, RunError
from orchestrator.events import BlockChanged
from orchestrator.ports import Store, Transaction
from orchestrator.runs import Budget, Run


class Size(NamedTuple):
    """How much is done."""

    repeats: int
    #: Turns that take no time, with 64 at once and with one at a time.
    turns: int
    turns_alone: int
    #: Agents that think at once, and agents that insert ten lines each.
    crowd: int
    inserting: int
    #: For what group commit gains: transactions of each of 64 writers, and turns.
    writes: int
    commits: int
    #: Turns of each agent that shares a hot block.
    hot_turns: int


FULL: Final = Size(
    repeats=3, turns=1280, turns_alone=128, crowd=200, inserting=100, writes=16, commits=640, hot_turns=20
)
QUICK: Final = Size(repeats=1, turns=64, turns_alone=16, crowd=20, inserting=10, writes=2, commits=64, hot_turns=20)

_AT_ONCE: Final = 64


class Job(NamedTuple):
    """Something to measure."""

    workload: str
    measure: Callable[[], Awaitable[Finding]]


def plan(only: Sequence[str] = (), *, size: Size = FULL, kinds: Sequence[Kind] = KINDS) -> list[Job]:
    """The jobs of the workloads that are named, or of all; `DeclarationError` if there is none of a name."""
    for name in only:
        if name not in WORKLOADS:
            raise DeclarationError("--only", f"there is no workload {name!r}; there are: {', '.join(WORKLOADS)}")
    wanted = list(only) or list(WORKLOADS)
    return [job for name in WORKLOADS if name in wanted for job in _JOBS[name](size, kinds)]


async def run_jobs(jobs: Sequence[Job], done: Callable[[Finding], None]) -> list[Finding]:
    """Measure one job after the other; `done` is told each finding as it comes."""
    await _run(crowd(2, 0, 1), MEMORY.make(Path()))  # what is loaded at its first use is charged to nobody
    findings: list[Finding] = []
    for job in jobs:
        try:
            findings.append(await job.measure())
        except ExceptionGroup as errors:  # the first one has cancelled the others
            raise errors.exceptions[0] from errors.exceptions[0].__cause__
        done(findings[-1])
    return findings


# --- teams beside bare task groups


class _Side(NamedTuple):
    """A team and what to compare it with."""

    workload: str
    what: str
    cast: Callable[[], Cast]
    bare: Callable[[], Awaitable[Took]]
    max_concurrency: int | None = None


def _uneven(size: Size, kinds: Sequence[Kind]) -> Iterator[Job]:
    """A chain of three turns of 100 ms beside one of 300 ms, then a join."""
    side = _Side("uneven", "3 x 100 ms beside 300 ms, then a join", lambda: uneven(0.1), lambda: baseline.uneven(0.1))
    yield from _compared(side, size, kinds)


def _wide(size: Size, kinds: Sequence[Kind]) -> Iterator[Job]:
    """Many agents that think 50 ms at once."""
    what = f"{size.crowd} agents think 50 ms at once"
    side = _Side("wide", what, lambda: crowd(size.crowd, 0.05), lambda: baseline.crowd(size.crowd, 1, 0.05))
    yield from _compared(side, size, kinds)


def _inserts(size: Size, kinds: Sequence[Kind]) -> Iterator[Job]:
    """Many agents that insert ten lines each into one block, and think 20 ms before each."""
    agents = size.inserting
    what = f"{agents} agents x 10 inserts into one block"
    side = _Side("inserts", what, lambda: crowd(agents, 0.02, 10), lambda: baseline.crowd(agents, 11, 0.02))
    yield from _compared(side, size, kinds)


def _turns(size: Size, kinds: Sequence[Kind], *, calls: bool = False) -> Iterator[Job]:
    """Turns of models that answer at once; with `calls`, each makes a tool call that changes a block."""
    workload = "calls" if calls else "turns"
    for at_once, turns in ((_AT_ONCE, size.turns), (1, size.turns_alone)):
        cast = partial(pool, _AT_ONCE, turns, calls=calls)
        bare = partial(baseline.crowd, turns, 1 + calls, 0, at_once)
        what = f"a turn {'with' if calls else 'without'} a tool call, {at_once} at once"
        yield from _compared(_Side(workload, what, cast, bare, at_once), size, kinds)


def _compared(side: _Side, size: Size, kinds: Sequence[Kind]) -> Iterator[Job]:
    for kind in kinds:
        yield Job(side.workload, partial(_beside, side, kind, size.repeats))


async def _beside(side: _Side, kind: Kind, repeats: int) -> Timed:
    """The bare task group and the team in turns, so that both meet the same weather."""
    ours: list[Took] = []
    bare: list[Took] = []
    for _ in range(repeats):
        bare.append(await side.bare())
        with TemporaryDirectory() as folder:
            ours.append(await _run(side.cast(), kind.make(Path(folder)), side.max_concurrency))
    return Timed.of(side.workload, kind.name, side.what, middle(ours), middle(bare))


async def _run(cast: Cast, store: Store, max_concurrency: int | None = None) -> Took:
    """One run of a team, from the message to the end; opening and closing are not counted."""
    async with Orchestrator(cast.team, store, model=cast.model, max_concurrency=max_concurrency) as live:
        with stopwatch() as took:
            run = await live.run("go", budget=Budget(turns=1_000_000))
    took.count = len(_complete(run).turns)
    return took


def _complete(run: Run) -> Run:
    if run.status != "complete":
        raise RunError(f"a built-in workload ended as {run.status}: {run.error or 'nobody knows why'}")
    return run


# --- what group commit gains


def _commits(size: Size, kinds: Sequence[Kind]) -> Iterator[Job]:
    """What is gained by committing together what is written at the same time, where a store lasts."""
    for kind in kinds:
        if kind.lasts:
            for what, work in (("writes", partial(_writes, size.writes)), ("turns", partial(_pooled, size.commits))):
                yield Job("commits", partial(_gained, kind, what, work, size.repeats))


async def _gained(kind: Kind, what: str, work: Callable[[Store], Awaitable[Took]], repeats: int) -> Gain:
    together: list[Took] = []
    alone: list[Took] = []
    for _ in range(repeats):
        for queue, results in ((False, together), (True, alone)):
            with TemporaryDirectory() as folder:
                store = kind.make(Path(folder))
                results.append(await work(OneAtATime(store) if queue else store))
    fast, slow = middle(together), middle(alone)
    told = f"{what} with {_AT_ONCE} at once, against one transaction in each commit"
    return Gain("commits", kind.name, told, fast.count / fast.seconds, slow.count / slow.seconds)


async def _pooled(turns: int, store: Store) -> Took:
    return await _run(pool(_AT_ONCE, turns), store, _AT_ONCE)


async def _writes(writes: int, store: Store) -> Took:
    """Writers that each change a block of their own, as the engine does: head, history and event, and a commit."""

    def write(writer: str, version: int, tx: Transaction) -> None:
        block = BlockState(key=writer, label="counter", value=f"number {version}", limit=100, version=version)
        revision = Revision(version=version, value=block.value, operation="replace", by=writer, at=0.0)
        tx.put_block(block, revision)
        tx.add_event(
            BlockChanged(
                seq=tx.next_seq(),
                at=revision.at,
                key=block.key,
                label=block.label,
                version=version,
                value=block.value,
                limit=block.limit,
                operation=revision.operation,
                by=writer,
                turn=None,
                runs=(),
            )
        )

    async def writer(name: str) -> None:
        for version in range(1, writes + 1):
            await store.transact(partial(write, name, version))

    await store.open()
    try:
        with stopwatch(_AT_ONCE * writes) as took:
            async with anyio.create_task_group() as group:
                for number in range(_AT_ONCE):
                    group.start_soon(writer, f"writer-{number}")
    finally:
        await store.close()
    return took


# --- what is sent again


def _prompts(size: Size, kinds: Sequence[Kind]) -> Iterator[Job]:
    """The share of prompt tokens that each agent's request before began with, when all rewrite one shared block."""
    placements: tuple[Placement, ...] = ("tail", "system")
    for placement in placements:
        yield Job("prompts", partial(_sent, placement, size.hot_turns))


async def _sent(placement: Placement, turns: int) -> Sent:
    cast = hot_team(placement)
    meter = PrefixMeter(cast.model)
    async with Orchestrator(cast.team, MEMORY.make(Path()), model=meter) as live:

        async def tell(agent: str, text: str) -> None:
            _complete(await live.run(text, agent=agent))

        for turn in range(turns):
            async with anyio.create_task_group() as group:
                for agent, text in hot_messages(turn).items():
                    group.start_soon(tell, agent, text)
    sent = meter.counted
    what = f"{len(cast.team.members)} agents x {turns} turns, a shared block that all rewrite"
    return Sent("prompts", placement, what, sent.requests, sent.tokens, sent.share, sent.said_share)


_JOBS: Final[dict[str, Callable[[Size, Sequence[Kind]], Iterator[Job]]]] = {
    "uneven": _uneven,
    "wide": _wide,
    "inserts": _inserts,
    "turns": _turns,
    "calls": partial(_turns, calls=True),
    "commits": _commits,
    "prompts": _prompts,
}

#: The names of the workloads.
WORKLOADS: Final = tuple(_JOBS)
