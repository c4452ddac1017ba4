"""A scheduler that reads the log of a team with an owner decides as the live one did."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

import anyio
import anyio.abc
import pytest
from test_scheduler_histories import Recorded, what

from orchestrator import (
    Agent,
    Block,
    BlockChanged,
    DeclarationError,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    RunError,
    RunStarted,
    Team,
    ToolCall,
    Wake,
)
from orchestrator.scheduler import Scheduler
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel, simulated_time


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    made: list[Recorded] = []

    def scheduler(team: Team, slots: int | None) -> Scheduler:
        made.append(Recorded(team, slots))
        return made[-1]

    monkeypatch.setattr("orchestrator.activity.Scheduler", scheduler)
    return made


def world(random: Random) -> Team:
    blocks = [Block(f"b{n}") for n in range(3)]
    pool = Wake(blocks[2], when=lambda text: text.count("?") % 3)
    agents = [Agent(f"a{n}", blocks=blocks, wakes_on=[random.choice(blocks[:2]), pool]) for n in range(4)]
    return Team("world", agents)


async def owner_acts(live: Orchestrator, random: Random, names: list[str], labels: list[str]) -> None:
    """One thing that an owner does, at random; what makes no sense at the moment is refused."""
    name, label = random.choice(names), random.choice(labels)
    acts = [
        partial(live.blocks.modify, label, value=random.choice(["?", ".", "??"]) + str(random.random())),
        partial(live.agents.blocks.attach, name, label),
        partial(live.agents.blocks.detach, name, label),
        partial(live.agents.create, name, blocks=[live.team.agent("a0").attachments[0]], wakes_on=["b0"]),
        partial(live.agents.delete, name),
    ]
    act = random.choice([*acts, acts[0], acts[1]])
    if act is acts[3]:
        block = live.team.agent("a0").attachments[random.randint(0, 1)].block
        sleep = random.choice([Wake(every=3), Wake(every=50, idle=True, by=["a0", "a1", "x"])])
        act = partial(live.agents.create, name, blocks=[block], wakes_on=[block, sleep])
    with suppress(DeclarationError, RunError):
        await act()


@pytest.mark.parametrize("slots", [None, 2])
@pytest.mark.parametrize("seed", range(12))
async def test_a_scheduler_that_reads_the_log_of_a_team_with_an_owner_goes_on_as_the_live_one(
    recorded, monkeypatch, seed, slots
):
    random = Random(seed)
    store, team = MemoryStore(), world(random)

    async def think(request: ModelRequest) -> ModelResponse | str:
        await anyio.sleep(random.randint(1, 9))
        if request.step == 2 or random.random() < 0.5 or not request.blocks:
            return "done"
        note = {"label": random.choice(sorted(request.blocks)), "new_string": random.choice(["?", "."])}
        return ModelResponse("", [ToolCall("memory_insert", note)])

    names = ["a1", "a2", "a3", "x", "y"]
    live = Orchestrator(team, store, model=FunctionModel(think), max_concurrency=slots)
    async with live:
        with anyio.fail_after(100_000):
            z = Agent("z", blocks=[team.agent("a0").attachments[0]], wakes_on=[team.agent("a0").attachments[0].block])
            await live.agents.create(z)
            await live.agents.blocks.detach("z", "b0")
            await live.agents.delete("a3")
            for _ in range(100):
                await owner_acts(live, random, names, ["b0", "b1", "b2"])
                await anyio.sleep(random.randint(0, 4))
            await live.wait_idle()
            await live.agents.delete("z")
            await live.agents.create(z)
        there = {agent.name for agent in await live.agents.list()}
        (scheduler,) = recorded
        at_the_end = list(scheduler.log)
    statuses = {run.status for run in await store.read(lambda rows: list(rows.runs()))}
    assert statuses <= {"complete", "failed", "budget", "cancelled"}
    assert {"agent_created", "agent_deleted", "block_attached", "block_detached"} <= {e.type for e in at_the_end}

    rebuilt = Scheduler(team, slots)
    for record in await store.read(lambda rows: list(rows.agents())):
        if record.settings is not None:
            rebuilt.join(record.name, dict(record.settings.wakes), record.settings.sleeps)
    for event in await store.events(limit=100_000):
        rebuilt.observe(event)
    for name in {agent.name for agent in team.members} - there:
        rebuilt.leave(name)
        scheduler.leave(name)
    assert_alike(scheduler, rebuilt, there)

    monkeypatch.setattr("orchestrator.activity.Scheduler", Scheduler)
    async with Orchestrator(team, store, model=FunctionModel(lambda request: "ok"), max_concurrency=slots) as live:
        assert {agent.name for agent in await live.agents.list()} == there | {agent.name for agent in team.members}
        with anyio.fail_after(100_000):
            assert (await live.run("go")).status == "complete"


def assert_alike(live: Scheduler, rebuilt: Scheduler, there: set[str]) -> None:
    """What lies before whom is the same; and so is what follows from the next message and change."""
    for one in (live, rebuilt):
        assert set(one._board.desks) == there
    for name in there:
        mine, other = live._board.desks[name], rebuilt._board.desks[name]
        assert (mine.messages, mine.writes, mine.counts) == (other.messages, other.writes, other.counts)
    starts = []
    for one in (live, rebuilt):
        number = 10_000
        for event in next_events(number, sorted(there)):
            one.observe(event)
        starts.append([what(start) for start in iter(partial(Scheduler.next, one), None)])
    assert starts[0] == starts[1]
    assert len(starts[0]) > 0


def next_events(number: int, agents: list[str]) -> list[Any]:
    known = {"at": 0.0, "limit": 20_000, "operation": "modify", "by": "owner", "turn": None, "version": 10_000}
    started = RunStarted(seq=number, at=0.0, run="next", agent=agents[0], text="go", max_turns=50)
    written = [
        BlockChanged(seq=number + n, key=f"world:b{n}", label=f"b{n}", value="??", runs=("next",), **known)
        for n in range(3)
    ]
    return [started, *written]
