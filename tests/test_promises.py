"""What real teams do keeps every promise, however they are timed, cancelled and killed; and what is read of a store."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any, TypeVar

import anyio
import pytest
from crew import Rules
from crew import crew as task_crew
from planting import Witnessed, noted, pair

from orchestrator import (
    Agent,
    Block,
    Budget,
    ModelError,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    OrchestratorError,
    RunError,
    Store,
    StoreError,
    Team,
    ToolCall,
    Wake,
)
from orchestrator.ports import Committed, Reader, Transaction
from orchestrator.stores import MemoryStore
from orchestrator.testing import (
    FunctionModel,
    Say,
    ScriptedModel,
    edit,
    read_history,
    simulated_time,
    violations,
)
from patterns import curate, hand_off, handoff_context, supervise, task_queue, user_preferences

_T = TypeVar("_T")


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


# --- reading


async def test_a_used_store_of_any_kind_is_read_as_a_whole(new_store: Callable[[], Store]):
    store = new_store()
    notes = [edit("memory_insert", "notes", new_string=f"line {number}") for number in range(3)]
    with ScriptedModel({"bob": [*notes, "done"]}) as model:
        async with Orchestrator(pair(), store, model=model) as live:
            await live.run("go", agent="bob")
            gone = await live.blocks.create(Block("gone", "soon"))
            await live.blocks.delete(gone)

    history = await read_history(store)
    await store.close()

    assert [event.seq for event in history.log] == list(range(1, len(history.log) + 1))
    assert history.acknowledged == history.log
    assert list(history.blocks) == ["pair:notes"]
    assert {key: [row.version for row in rows] for key, rows in history.revisions.items()} == {
        "pair:notes": [1, 2, 3, 4],
        gone.key: [1],
    }
    assert [agent.name for agent in history.agents] == ["ann", "bob"]
    assert [(run.status, [turn.agent for turn in history.turns]) for run in history.runs] == [("complete", ["bob"])]
    assert violations(history) == []


async def test_a_long_log_is_read_page_by_page():
    store = MemoryStore()
    async with Orchestrator(pair(), store, model=FunctionModel(lambda request: "done")) as live:
        for _ in range(220):
            await live.run("go", agent="bob")

    history = await read_history(store, pair())

    assert len(history.log) > 1_000
    assert len(history.turns) == 220
    assert violations(history) == []


class Busy(MemoryStore):
    """A store that is written to after each look at its log, so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    async def read(self, work: Callable[[Reader], _T]) -> _T:
        found = await super().read(work)
        if self.times:
            self.times -= 1
            last = (await self.events())[-1]
            await self.transact(lambda tx: tx.add_event(last.having(seq=tx.next_seq())))
        return found


async def test_rows_and_log_are_of_the_same_moment():
    store = Busy(0)
    async with Orchestrator(pair(), store, model=FunctionModel(lambda request: "done")) as live:
        await live.run("go")
    before = len(await store.events())
    store.times = 2

    history = await read_history(store)

    assert len(history.log) == before + 2
    store.times = 1_000
    with pytest.raises(StoreError, match="written to all the time"):
        await read_history(store)


async def test_nothing_has_happened_in_a_new_store():
    history = await read_history(MemoryStore(), pair())

    assert (history.log, history.blocks, history.runs) == ((), {}, ())
    assert violations(history) == []


async def test_what_was_acknowledged_may_be_told_with_its_commits():
    commits = (await noted()).commits
    store = MemoryStore()

    history = await read_history(store, commits=commits)
    by_events = await read_history(store, None, [event for commit in commits for event in commit])

    assert history.acknowledged == by_events.acknowledged
    assert (history.commits, by_events.commits) == (commits, ())
    assert {violation.promise for violation in violations(history)} == {"P1"}


async def test_a_team_that_goes_on_is_looked_at_as_it_is():
    store = MemoryStore()
    with ScriptedModel({"bob": [Say("done", after=10)]}) as model:
        async with Orchestrator(pair(), store, model=model) as live, anyio.create_task_group() as group:
            group.start_soon(lambda: live.run("go", agent="bob"))
            await anyio.sleep(5)
            halfway = await read_history(store, pair())

    assert violations(halfway, closed=False) == []
    assert [violation.what for violation in violations(halfway)] == [
        f"{halfway.turns[0].id} of bob has started and not ended",
        f"{halfway.runs[0].id} has started and not ended",
    ]


# --- teams


async def test_a_crew_that_works_through_a_queue_keeps_its_promises(new_store: Callable[[], Store]):
    store, random = new_store(), Random(3)
    rules = Rules([f"task {number}" for number in range(9)], lambda request: random.uniform(0, 3))
    team = task_crew(3)
    async with Orchestrator(team, store, model=rules) as live:
        run = await live.run("go")

    history = await read_history(store, team)
    await store.close()

    assert run.output == "all done"
    assert sum(turn.claimed for turn in history.turns) == 9
    assert violations(history) == []


async def test_a_block_that_becomes_shared_goes_on_with_its_history():
    store, own = MemoryStore(), Block("notes", "first")
    line = [edit("memory_insert", "notes", new_string="second"), "done"]
    alone = Team("pair", [Agent("ann", blocks=[own]), Agent("bob")])
    together = Team("pair", [Agent("ann", blocks=[own]), Agent("bob", blocks=[own])])
    for team, name in ((alone, "ann"), (together, "bob")):
        with ScriptedModel({name: line}) as model:
            async with Orchestrator(team, store, model=model) as live:
                await live.run("go", agent=name)

    history = await read_history(store, together)

    assert history.blocks["pair:notes"].value == "first\nsecond\nsecond"
    assert violations(history) == []


# --- any team


class Killed(Witnessed):
    """A store whose process dies after so many commits."""

    lives = -1

    async def transact(self, work: Callable[[Transaction], _T]) -> Committed[_T]:
        if self.lives == 0:
            raise StoreError("killed")
        self.lives -= 1
        return await super().transact(work)


def any_team(random: Random) -> Team:
    """A team with a guarded queue, a handoff, a curator, an overflow, and a block that is asked for room."""
    names = [f"a{number}" for number in range(random.randint(3, 5))]

    def some(least: int) -> list[str]:
        return random.sample(names, random.randint(least, len(names)))

    old = Block("old", limit=100_000)
    notes = Block("notes", limit=random.choice([60, 100_000]), overflow=random.choice([None, old]))
    facts, note, queue = user_preferences(limit=random.choice([60, 5_000])), handoff_context(), task_queue()
    lead, *workers = some(2)
    curator, *others = some(2)
    one, two = random.sample(names, 2)
    grants = [notes, notes.contributor(), notes.curator(), notes.reader()]
    wakes = [[], [], [Wake(notes)], [Wake(notes, full=0.5)]]
    team = Team("any", [Agent(n, blocks=[random.choice(grants)], wakes_on=random.choice(wakes)) for n in names])
    team |= supervise(Agent(lead), [Agent(name) for name in workers], tasks=queue)
    team |= hand_off(Agent(one), Agent(two), note=note, limit=random.randint(1, 3), back=random.random() < 0.7)
    return team | curate(Agent(curator), facts, [Agent(name) for name in others], every=random.choice([None, 2]))


class Whim:
    """Calls any of its tools with arguments that make some sense, for so long."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._lines = 0

    async def respond(self, request: ModelRequest) -> ModelResponse:
        random = self._random
        await anyio.sleep(random.choice([0, 0, 1, 2, 5]))
        if anyio.current_time() > 60 or random.random() < 0.3 or not request.tools:
            return ModelResponse("done")
        if random.random() < 0.05:
            raise ModelError("no answer")
        return ModelResponse("", [self._call(request) for _ in range(random.randint(1, 3))])

    def _call(self, request: ModelRequest) -> ToolCall:
        name = self._random.choice([tool.name for tool in request.tools])
        label = self._random.choice(sorted(request.blocks))
        lines = request.blocks[label].split("\n")
        self._lines += 1
        line = f"line {self._lines}"
        arguments: dict[str, dict[str, Any]] = {
            "memory_insert": {"label": label, "new_string": line, "insert_line": self._random.choice([-1, -1, 0, 1])},
            "memory_replace": {"label": label, "old_string": lines[0], "new_string": f"{lines[0]}, {line}"},
            "memory_rethink": {"label": label, "new_memory": "\n".join(lines[len(lines) // 2 :])},
            "add_tasks": {"tasks": [line]},
            "settle_task": {"result": line},
        }
        return ToolCall(name, arguments.get(name, {"note": line}))


async def owned(live: Orchestrator, team: Team, random: Random) -> None:
    """An owner who changes blocks, rights and agents at any time."""
    for _ in range(random.randint(0, 4)):
        await anyio.sleep(random.choice([1, 5, 15]))
        block = random.choice(await live.blocks.list())
        name = random.choice(team.members).name
        with suppress(RunError, OrchestratorError):
            match random.randrange(5):
                case 0:
                    await live.blocks.modify(block, value=f"{block.value}\nby the owner", if_version=block.version)
                case 1:
                    await live.blocks.modify(block, limit=max(len(block.value), 80))
                case 2:
                    await live.blocks.modify(block, read_only=not block.read_only)
                case 3:
                    await live.agents.blocks.detach(name, block)
                case _:
                    await live.agents.blocks.attach(name, block)


async def lived(team: Team, store: Killed, random: Random, *, last: bool) -> None:
    """The team is opened, works, and is closed or killed."""
    async with Orchestrator(team, store, model=Whim(random)) as live:
        if not last:
            store.lives = random.randint(1, 40)
        for run in live.cut_off:
            with anyio.move_on_after(random.choice([3, 1_000])):
                await live.resume(run)
        async with anyio.create_task_group() as group:
            group.start_soon(owned, live, team, random)
            for _ in range(random.randint(1, 3)):
                name, budget = random.choice(team.members).name, Budget(turns=random.choice([2, 8, 20]))
                group.start_soon(lambda name=name, budget=budget: live.run("go", agent=name, budget=budget))
        await live.wait_idle()


@pytest.mark.parametrize("seed", range(40))
async def test_whatever_a_team_does_its_promises_are_kept(seed: int):
    random, store = Random(seed), Killed()
    team = any_team(random)
    deaths = random.choice([0, 1, 2])
    with anyio.fail_after(100_000):
        for _ in range(deaths):
            with suppress(StoreError, BaseExceptionGroup):
                await lived(team, store, random, last=False)
            await store.close()
            dead = await read_history(store, team, commits=store.commits)
            assert violations(dead, closed=False) == []
            store.lives = -1
        await lived(team, store, random, last=True)

    history = await read_history(store, team, commits=store.commits)

    assert violations(history) == []
