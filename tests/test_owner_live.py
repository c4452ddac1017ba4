"""The owner and the agents at the same time: nothing is lost, everything is told, everything is replayed."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import anyio
import anyio.abc
import pytest
from test_resume import MortalStore

from orchestrator import (
    Agent,
    Block,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    OutdatedRewrite,
    StoreError,
    Team,
    ToolCall,
    UnknownName,
)
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel, simulated_time


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


notes = Block("notes", "start", limit=100_000)


def pair(*more: Agent) -> Team:
    return Team("pair", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes], wakes_on=[notes]), *more])


def quiet(store: MemoryStore | None = None) -> Orchestrator:
    return Orchestrator(pair(), store, model=FunctionModel(lambda request: "ok"))


# --- at the same time


class Jumpy(MemoryStore):
    """Each transaction takes some time, and not always the same."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.random = random

    async def transact(self, work):
        await anyio.sleep(self.random.choice([0, 0.001, 0.002]))
        return await super().transact(work)


@pytest.mark.parametrize("seed", range(5))
async def test_owners_that_write_over_what_they_read_and_agents_that_insert_lose_nothing(seed):
    random = Random(seed)
    lost = 0

    async def think(request: ModelRequest) -> ModelResponse | str:
        await anyio.sleep(random.random() / 100)
        if request.step == 20:
            return "done"
        line = {"label": "notes", "new_string": f"{request.agent} {request.step}"}
        return ModelResponse("", [ToolCall("memory_insert", line)])

    async def add(owner: str) -> None:
        nonlocal lost
        for number in range(10):
            while True:
                read = await live.blocks.retrieve(notes)
                await anyio.sleep(random.random() / 1000)
                try:
                    await live.blocks.modify(read, value=f"{read.value}\n{owner} {number}", if_version=read.version)
                    break
                except OutdatedRewrite:
                    lost += 1

    team = Team("crowd", [Agent(f"agent-{n}", blocks=[notes]) for n in range(4)])
    live = Orchestrator(team, Jumpy(random), model=FunctionModel(think))
    async with live:
        with anyio.fail_after(600):
            async with anyio.create_task_group() as group:
                for name in ("one", "two"):
                    group.start_soon(add, name)
                for agent in team.members:
                    group.start_soon(live.agents.message, agent.name, "go")
        block = await live.blocks.retrieve(notes)
        lines = sorted(block.value.split("\n"))
        expected = ["start", *(f"{name} {n}" for name in ("one", "two") for n in range(10))]
        expected += [f"agent-{a} {step}" for a in range(4) for step in range(20)]
        assert lines == sorted(expected)
        assert lost > 0, "nobody was in anybody's way, so this has shown nothing"
        assert [one.version for one in await live.blocks.history(notes)] == list(range(1, block.version + 1))
        assert "\n".join(line.text for line in await live.blocks.blame(notes)) == block.value


async def test_changes_of_an_agent_by_two_at_once_both_count():
    store = Jumpy(Random(1))
    async with quiet(store) as live:
        await live.agents.create("carol", instructions="Old.")
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(partial(live.agents.modify, "carol", instructions="New."))
                group.start_soon(partial(live.agents.modify, "carol", max_steps=3))
        carol = await live.agents.retrieve("carol")
        assert (carol.instructions, carol.max_steps) == (("New.",), 3)
    async with quiet(store) as live:
        assert await live.agents.retrieve("carol") == carol


async def test_an_agent_that_is_deleted_at_the_same_time_is_not_changed():
    store = Jumpy(Random(1))
    async with quiet(store) as live:
        await live.agents.create("carol")
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(live.agents.delete, "carol")
                group.start_soon(too_late, live)
        assert [agent.name for agent in await live.agents.list()] == ["ann", "bob"]


async def too_late(live: Orchestrator) -> None:
    live._activity.store.random = Random(5)  # it takes longer than the deletion
    with pytest.raises(UnknownName, match="has no agent 'carol'; its owner may have deleted it"):
        await live.agents.modify("carol", instructions="New.")


async def test_an_agent_that_is_just_being_made_is_not_woken_by_what_was_written_before():
    class Slow(MemoryStore):
        async def transact(self, work):
            await anyio.sleep(1)
            return await super().transact(work)

    store = Slow()
    live = Orchestrator(Team("one", [Agent("ann", blocks=[notes])]), store, model=FunctionModel(lambda request: "ok"))
    async with live:
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(partial(live.blocks.modify, notes, value="before"))
                await anyio.sleep(0.5)
                group.start_soon(partial(live.agents.create, "carol", blocks=[notes], wakes_on=[notes]))
                await anyio.sleep(0.1)
                with pytest.raises(UnknownName):
                    await live.agents.retrieve("carol")
            await live.wait_idle()
            assert "turn_started" not in {event.type for event in await store.events()}
            await live.blocks.modify(notes, value="after")
            await live.wait_idle()
        assert [event.agent for event in await store.events() if event.type == "turn_started"] == ["carol"]


# --- watching


async def test_changes_of_a_block_that_was_made_are_watched_by_id_state_and_declaration():
    facts = Block("facts")
    seen: list[list[Any]] = []

    async def watch(block: Any) -> None:
        async with live.watch(block=block) as changes:
            seen.append([change.value async for change in changes])

    live = quiet()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group, live:
            made = await live.blocks.create(facts)
            for block in (made.id, made, facts, facts.reader()):
                group.start_soon(watch, block)
            await anyio.sleep(1)
            await live.blocks.modify(made, value="1")
            await live.blocks.modify("notes", value="other")
            await live.blocks.modify(made, value="2")
            with pytest.raises(UnknownName):
                live.watch(block="facts")
            with pytest.raises(UnknownName, match="does not have this Block"):
                live.watch(block=Block("x"))
    assert seen == [["1", "2"]] * 4


# --- dying


@pytest.mark.parametrize("lives", range(8))
async def test_a_store_that_dies_leaves_the_team_as_it_was(lives):
    """Each call either has happened, or has not, for the store and for the live team alike."""
    facts = Block("facts", "known")
    calls = [
        lambda live: live.agents.create("carol", model="rehearsal", blocks=[facts, notes], wakes_on=[notes]),
        lambda live: live.agents.modify("bob", instructions="New.", model="rehearsal"),
        lambda live: live.agents.delete("bob"),
        lambda live: live.blocks.create(facts),
        lambda live: live.blocks.modify(notes, value="changed", limit=500),
        lambda live: live.blocks.delete(notes),
        lambda live: live.agents.blocks.attach("ann", "own"),
        lambda live: live.agents.blocks.detach("bob", notes),
    ]
    store = MortalStore(-1)
    bob = Agent("bob", blocks=[notes, Block("own")], wakes_on=[notes])
    model = FunctionModel(lambda request: request.agent)
    live = Orchestrator(Team("pair", [Agent("ann", blocks=[notes]), bob]), store, model=model)
    call = calls[lives]
    async with live:
        before = (await live.agents.list(), await live.blocks.list(), await store.events())
        models = dict(live._models._of)
        with anyio.fail_after(60):
            store.lives = 0
            with pytest.raises(StoreError, match="the process was killed"):
                await call(live)
            store.lives = -1
            assert (await live.agents.list(), await live.blocks.list(), await store.events()) == before
            assert live._models._of == models
            assert live._activity.going == {}
            assert live._activity.scheduler._board._made == {}
            with pytest.raises(UnknownName):
                await live.blocks.retrieve(facts)
            run = await live.agents.message("bob", "still there?")
            assert (run.status, run.output) == ("complete", "bob")
            await live.blocks.modify(notes, value="woken")
            await live.wait_idle()
            assert [e.agent for e in await store.events() if e.type == "turn_started"] == ["bob", "bob"]

            await call(live)

            await live.wait_idle()
        assert (await live.agents.list(), await live.blocks.list()) != before[:2]


async def test_who_waits_for_idleness_is_not_kept_by_a_run_that_could_not_be_opened():
    class Dying(MemoryStore):
        is_dying = False

        async def transact(self, work):
            if self.is_dying:
                await anyio.sleep(1)
                raise StoreError("the process was killed")
            return await super().transact(work)

    store = Dying()
    async with quiet(store) as live:
        store.is_dying = True
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(refused, live)
                await anyio.sleep(0.5)
                await live.wait_idle()
        assert anyio.current_time() == 1
        store.is_dying = False
        with anyio.fail_after(60):
            await live.blocks.modify(notes, value="x")
            await live.wait_idle()
        assert [run.status for run in await store.read(lambda rows: list(rows.runs()))] == ["complete"]


async def test_who_waits_for_idleness_is_let_go_when_the_team_is_closed_although_its_store_is_dead():
    async def think(request: ModelRequest) -> str:
        await anyio.sleep(100)
        return "never"

    store = MortalStore(-1)

    async def until_it_dies(group: anyio.abc.TaskGroup) -> None:
        async with Orchestrator(pair(), store, model=FunctionModel(think)) as live:
            await live.blocks.modify(notes, value="x")
            group.start_soon(live.wait_idle)
            await anyio.sleep(1)
            store.lives = 0

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            with pytest.raises(StoreError, match="the process was killed"):
                await until_it_dies(group)


async def test_a_team_that_is_closed_at_once_ends_the_run_that_a_write_has_opened():
    store = MemoryStore()
    with anyio.fail_after(60):
        async with quiet(store) as live:
            await live.blocks.modify(notes, value="x")
    types = [event.type for event in await store.events()]
    assert types[-2:] == ["turn_ended", "run_ended"]
    assert [run.status for run in await store.read(lambda rows: list(rows.runs()))] == ["cancelled"]


async def refused(live: Orchestrator) -> None:
    with pytest.raises(StoreError):
        await live.blocks.modify(notes, value="x")
