"""What the project exists for: nothing is lost, nobody waits for a sibling."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from orchestrator import (
    Agent,
    Block,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    Store,
    Team,
    ToolCall,
    ToolMessage,
    Wake,
)
from orchestrator.events import BlockChanged, ChangeRefused, StepTaken
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel, Say, ScriptedModel, call, edit, simulated_time
from patterns import domain_knowledge


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


def crowd(count: int, block: Block, **options: Any) -> Team:
    """A starter that writes into a block of its own, and a crowd that this wakes all at once."""
    bell = Block("bell")
    starter = Agent("starter", blocks=[bell])
    agents = [Agent(f"agent-{n}", blocks=[block, bell.reader()], wakes_on=[bell], **options) for n in range(count)]
    return Team("crowd", [starter, *agents])


def ring(request: ModelRequest) -> ModelResponse:
    """The starter's part."""
    go = ToolCall("memory_insert", {"label": "bell", "new_string": "go"})
    return ModelResponse("", [go] if request.step == 0 else [])


async def test_a_hundred_agents_insert_a_thousand_lines_and_none_is_lost(new_store):
    notes = Block("notes", limit=100_000)

    async def think(request: ModelRequest) -> ModelResponse:
        if request.agent == "starter":
            return ring(request)
        await anyio.sleep(0.01 * (1 + hash_of(request) % 7))  # between reading and writing, others write
        if request.step == 10:
            return ModelResponse("done")
        line = f"{request.agent}: {request.step}"
        return ModelResponse("", [ToolCall("memory_insert", {"label": "notes", "new_string": line})])

    async with Orchestrator(crowd(100, notes), new_store(), model=FunctionModel(think)) as live:
        run = await live.run("go")

    lines = run.blocks["notes"].value.split("\n")
    assert sorted(lines) == sorted(f"agent-{n}: {step}" for n in range(100) for step in range(10))
    assert run.blocks["notes"].version == 1001
    assert run.status == "complete"


async def test_a_thousand_increments_by_read_think_replace_add_up(new_store):
    counter = Block("counter", "count: 0.")
    refusals = 0

    async def think(request: ModelRequest) -> ModelResponse:
        nonlocal refusals
        if request.agent == "starter":
            return ring(request)
        answers = [message for message in request.messages if isinstance(message, ToolMessage)]
        refused = bool(answers) and not answers[-1].ok
        refusals += refused
        if sum(answer.ok for answer in answers) == 10:
            return ModelResponse("done")
        read = request.blocks["counter"]
        # Who was refused thinks less, or a hundred agents would be in each other's way for ever.
        await anyio.sleep((1e-6 if refused else 0.01) * (1 + hash_of(request) % 97))
        number = int(read.removeprefix("count: ").removesuffix("."))
        replace = {"label": "counter", "old_string": read, "new_string": f"count: {number + 1}."}
        return ModelResponse("", [ToolCall("memory_replace", replace)])

    team = crowd(100, counter, max_steps=100_000, timeout=1e9)
    async with Orchestrator(team, new_store(), model=FunctionModel(think)) as live:
        run = await live.run("go")

    assert run.blocks["counter"].value == "count: 1000."
    assert run.blocks["counter"].version == 1001
    assert refusals > 0, "nobody was in anybody's way, so this has shown nothing"


async def test_of_eight_agents_that_replace_the_same_text_one_wins_and_the_others_are_told_who(new_store):
    rounds = 1000 if isinstance(new_store(), MemoryStore) else 250  # of which each makes a file of its own
    for round_number in range(rounds):
        await one_of_eight_wins(round_number, new_store())


async def one_of_eight_wins(round_number: int, store: Store) -> None:
    board = Block("board", "status: todo")
    rendered: list[str] = []
    everybody = anyio.Event()
    told: dict[str, str] = {}

    async def think(request: ModelRequest) -> ModelResponse:
        if request.agent == "starter":
            return ring(request)
        if request.step == 0:
            assert request.blocks["board"] == "status: todo"
            rendered.append(request.agent)
            if len(rendered) == 8:
                everybody.set()
            await everybody.wait()
            # Another one is first in each round.
            await anyio.sleep((int(request.agent[-1]) + round_number) % 8)
            new = f"status: claimed by {request.agent}"
            replace = {"label": "board", "old_string": "status: todo", "new_string": new}
            return ModelResponse("", [ToolCall("memory_replace", replace)])
        answer = request.messages[-1]
        assert isinstance(answer, ToolMessage)
        if not answer.ok:
            told[request.agent] = answer.text
        return ModelResponse("done")

    async with Orchestrator(crowd(8, board), store, model=FunctionModel(think)) as live:
        run = await live.run("go")

    assert len(rendered) == 8, "all were shown the text before anybody wrote"
    winner = run.blocks["board"].by
    assert winner == f"agent-{(8 - round_number) % 8}"
    assert run.blocks["board"].value == f"status: claimed by {winner}"
    assert run.blocks["board"].version == 2
    assert set(told) == set(rendered) - {winner}
    assert all(f"{winner} changed it" in text for text in told.values())


async def test_an_insert_is_seen_at_the_next_step_in_the_middle_of_the_other_agents_turn(new_store):
    notes = domain_knowledge()
    own = Block("scratch")
    team = Team(
        "pair",
        [Agent("ann", blocks=[notes]), Agent("bob", blocks=[own, notes], wakes_on=[Wake(notes, by=["ann"])])],
    )
    seen: list[str] = []

    def look(request: ModelRequest) -> Say:
        seen.append(request.blocks["domain_knowledge"])
        return edit("memory_insert", "scratch", new_string="looked")

    script: dict[str, list[Any]] = {
        "ann": [
            edit("memory_insert", "domain_knowledge", new_string="first by ann"),
            edit("memory_insert", "domain_knowledge", new_string="second by ann", after=5),
            Say("done"),
        ],
        "bob": [
            look,
            edit("memory_insert", "scratch", new_string="thinking", after=10),  # meanwhile ann writes again
            look,
            edit("memory_insert", "domain_knowledge", new_string="by bob"),
            Say("done"),
        ],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(team, new_store(), model=model) as live:
            run = await live.run("go")

    assert seen == ["first by ann", "first by ann\nsecond by ann"]
    assert run.blocks["domain_knowledge"].value == "first by ann\nsecond by ann\nby bob"
    assert run.blocks["scratch"].value == "looked\nthinking\nlooked"
    assert len([turn for turn in run.turns if turn.agent == "bob"]) == 1, "what bob was shown does not wake him again"


async def test_an_agent_that_edits_its_own_block_never_touches_another_block(new_store):
    shared, store = Block("shared", "start"), new_store()
    team = Team(
        "pair",
        [
            Agent("ann", blocks=[shared, Block("mine")]),
            Agent("bob", blocks=[shared, Block("mine")], wakes_on=[shared]),
        ],
    )
    script = {
        # ann was shown "start" and thinks for long; bob writes meanwhile; then ann writes into her own block only
        "ann": [
            edit("memory_insert", "shared", new_string="by ann"),
            edit("memory_insert", "mine", new_string="private", after=10),
            Say("done"),
        ],
        "bob": [edit("memory_insert", "shared", new_string="by bob", after=5), Say("done")],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(team, store, model=model) as live:
            run = await live.run("go")

    assert run.blocks["shared"].value == "start\nby ann\nby bob"
    assert run.blocks["ann/mine"].value == "private"
    assert run.blocks["bob/mine"].value == ""
    changes = [(e.label, e.by) for e in await store.events() if isinstance(e, BlockChanged)]
    assert changes == [("shared", "ann"), ("shared", "bob"), ("mine", "ann")]


async def test_a_rewrite_cannot_destroy_an_insert_that_its_author_was_not_shown(new_store):
    notes, store = Block("notes", "a fact"), new_store()
    team = Team(
        "desk",
        [Agent("curator", blocks=[notes.curator()]), Agent("bob", blocks=[notes], wakes_on=[notes])],
    )
    script = {
        "curator": [
            edit("memory_insert", "notes", new_string="wake up"),
            edit("memory_rethink", "notes", new_memory="tidied: a fact", after=10),
            edit("memory_rethink", "notes", new_memory="tidied: a fact; by bob"),
            Say("done"),
        ],
        "bob": [edit("memory_insert", "notes", new_string="by bob", after=5), Say("done")],
    }
    script["bob"].append(Say("seen"))  # the rewrite wakes bob once more
    with ScriptedModel(script) as model:
        async with Orchestrator(team, store, model=model) as live:
            run = await live.run("go")

    assert run.blocks["notes"].value == "tidied: a fact; by bob"
    refused = [event for event in await store.events() if isinstance(event, ChangeRefused)]
    assert [(event.code, event.by) for event in refused] == [("changed", "curator")]
    assert "bob" in refused[0].reason
    answer = next(m for r in model.requests for m in r.messages if isinstance(m, ToolMessage) and not m.ok)
    assert "a fact\nwake up\nby bob" in answer.text, "a refusal carries the fresh text"


async def test_an_uneven_team_takes_as_long_as_its_longest_chain(new_store):
    """A chain of three turns of 100 ms beside one turn of 300 ms, then a join: 300 ms, without a barrier."""
    bell, first, second, joined = Block("bell"), Block("first"), Block("second"), Block("joined")

    def both(text: str) -> bool:
        return "left" in text and "right" in text

    team = Team(
        "uneven",
        [
            Agent("start", blocks=[bell]),
            Agent("chain-1", blocks=[bell.reader(), first], wakes_on=[bell]),
            Agent("chain-2", blocks=[first.reader(), second], wakes_on=[first]),
            Agent("chain-3", blocks=[second.reader(), joined], wakes_on=[second]),
            Agent("long", blocks=[bell.reader(), joined], wakes_on=[bell]),
            Agent("join", blocks=[joined], wakes_on=[Wake(joined, when=both)]),
        ],
    )

    def write(label: str, text: str, after: float) -> list[Any]:
        return [edit("memory_insert", label, new_string=text, after=after), Say("done")]

    ended: list[float] = []
    script: dict[str, list[Any]] = {
        "start": write("bell", "go", 0),
        "chain-1": write("first", "go", 0.1),
        "chain-2": write("second", "go", 0.1),
        "chain-3": write("joined", "left", 0.1),
        "long": write("joined", "right", 0.3),
        "join": [lambda request: ended.append(anyio.current_time()) or Say("joined")],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(team, new_store(), model=model) as live:
            began = anyio.current_time()
            run = await live.run("go")

    assert run.status == "complete"
    assert [round(at - began, 9) for at in ended] == [0.3]
    assert round(anyio.current_time() - began, 9) == 0.3


async def test_two_agents_think_at_the_same_time(new_store):
    notes = domain_knowledge()
    team = Team("pair", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes], wakes_on=[notes])])
    script = {
        "ann": [edit("memory_insert", "domain_knowledge", new_string="origin: MemGPT"), Say("noted", after=10)],
        "bob": [edit("memory_insert", "domain_knowledge", new_string="use: coordination", after=10), Say()],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(team, new_store(), model=model) as live:
            began = anyio.current_time()
            run = await live.run("What are memory blocks?")
            took = anyio.current_time() - began

    assert run.blocks["domain_knowledge"].value == "origin: MemGPT\nuse: coordination"
    assert run.output == "noted"
    assert took == 10


async def test_a_step_records_the_version_of_each_block_that_it_showed(new_store):
    notes, store = Block("notes"), new_store()
    team = Team("one", [Agent("ann", blocks=[notes])])
    script = {"ann": [edit("memory_insert", "notes", new_string="x"), call("nothing"), Say("done")]}
    with ScriptedModel(script) as model:
        async with Orchestrator(team, store, model=model) as live:
            await live.run("go")

    steps = [event for event in await store.events() if isinstance(event, StepTaken)]
    assert [step.shown for step in steps] == [{"one:ann/notes": 1}, {"one:ann/notes": 2}, {"one:ann/notes": 2}]


def hash_of(request: ModelRequest) -> int:
    """A number that differs between agents and steps, and is the same in every run of the test."""
    return sum(ord(letter) * (at + 1) for at, letter in enumerate(f"{request.agent}{request.step}"))
