"""What the owner of a live team does with its agents: `live.agents`."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest
from owned import look_up, notes, pair, quiet

from orchestrator import (
    Agent,
    AgentCreated,
    AgentDeleted,
    AgentModified,
    Block,
    DeclarationError,
    ModelRequest,
    Orchestrator,
    RunError,
    Team,
    UnknownName,
    Wake,
)
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel, Say, ScriptedModel, edit


class Waiting(FunctionModel):
    """Answers when it is let go."""

    def __init__(self) -> None:
        self.asked, self.let_go = anyio.Event(), anyio.Event()
        super().__init__(self.answer)

    async def answer(self, request: ModelRequest) -> str:
        self.asked.set()
        await self.let_go.wait()
        return "done"


# --- create, retrieve, list


async def test_an_agent_is_made_with_own_and_shared_blocks_and_takes_messages():
    facts = Block("facts", "known")
    store = MemoryStore()
    async with quiet(store) as live:
        common = await live.blocks.create("common", "for all")
        carol = await live.agents.create(
            "carol",
            instructions="Be brief.",
            model="rehearsal",
            blocks=[Block("persona", "I am carol"), notes.contributor(), facts.reader()],
            tools=[look_up],
            max_steps=7,
            timeout=30,
            attach=[common],
        )

        assert (carol.name, carol.instructions, carol.model, carol.tools) == (
            "carol",
            ("Be brief.",),
            "rehearsal",
            ("look_up",),
        )
        assert (carol.max_steps, carol.timeout, carol.declared) == (7, 30, False)
        assert [(a.label, a.key, str(a.grant)) for a in carol.blocks] == [
            ("persona", "pair:carol/persona", "replace"),
            ("notes", "pair:notes", "insert"),
            ("facts", "pair:carol/facts", "read"),
            ("common", common.id, "replace"),
        ]
        assert (await live.blocks.retrieve("persona")).agent == "carol"
        assert await live.agents.retrieve("carol") == await live.agents.retrieve(carol) == carol
        assert [agent.name for agent in await live.agents.list()] == ["ann", "bob", "carol"]
        assert [agent.declared for agent in await live.agents.list()] == [True, True, False]
        with anyio.fail_after(5):
            run = await live.agents.message("carol", "Hello")
        assert (run.status, run.output) == ("complete", "carol: ok")
        assert set(run.blocks) == {"notes", "persona", "facts", "common"}
    assert AgentCreated in {type(event) for event in await store.events()}


async def test_a_block_of_one_that_was_made_is_shared_with_the_next_by_identity():
    facts = Block("facts")
    async with quiet() as live:
        await live.agents.create("carol", blocks=[facts])
        dave = await live.agents.create(Agent("dave", blocks=[facts]))

        assert [a.key for a in dave.blocks] == ["pair:carol/facts"]
        assert [agent.name for agent in await live.blocks.agents(facts)] == ["carol", "dave"]


async def test_attached_declarations_bring_their_grants():
    async with quiet() as live:
        carol = await live.agents.create("carol", attach=[notes.reader()])
        assert [str(a.grant) for a in carol.blocks] == ["read"]


@pytest.mark.parametrize(
    ("agent", "options", "problem"),
    [
        ("bob", {}, "agent 'bob': is in the team already"),
        (Agent("carol"), {"max_steps": 3}, "is declared already; give options with a name"),
        ("carol", {"attach": "notes"}, "attach is one block; give a list"),
        ("carol", {"attach": ["nothing"]}, "has no block 'nothing'"),
        ("carol", {"attach": [notes], "blocks": [Block("notes")]}, "sees another block labelled 'notes' already"),
        ("carol", {"blocks": [Block("b", guard=lambda change: None)]}, "its block 'b' has a guard"),
        ("carol", {"blocks": [notes], "wakes_on": [Wake(notes, when=len)]}, "has a Wake with functions; declare it"),
        ("carol", {"blocks": [notes], "wakes_on": [Wake(notes, by=["eve"])]}, "is woken by 'eve', who is not in"),
        ("owner", {}, "has a name that history keeps"),
        (42, {}, "an agent: 42 is none; give an Agent, or a name"),
        ("carol", {"model": ""}, "model is ''"),
    ],
)
async def test_an_agent_that_cannot_be_made_leaves_nothing_behind(agent, options, problem):
    store = MemoryStore()
    async with quiet(store) as live:
        before = await store.events()
        blocks = await live.blocks.list()
        with pytest.raises(DeclarationError, match=problem):
            await live.agents.create(agent, **options)
        assert await store.events() == before
        assert await live.blocks.list() == blocks
        assert [agent.name for agent in await live.agents.list()] == ["ann", "bob"]
        if agent == "carol":
            assert (await live.agents.create("carol")).blocks == (), "the name is free"


async def test_an_agent_is_not_found_by_a_name_that_nobody_has():
    async with quiet() as live:
        for call in (live.agents.retrieve("eve"), live.agents.modify("eve"), live.agents.delete("eve")):
            with pytest.raises(UnknownName, match="has no agent 'eve'; it has ann, bob"):
                await call
        with pytest.raises(UnknownName):
            await live.agents.message("eve", "Hello")
        with pytest.raises(DeclarationError, match="42 is no agent"):
            await live.agents.retrieve(42)


async def test_two_that_are_made_at_once_with_one_name_are_one():
    class Slow(MemoryStore):
        async def transact(self, work):
            await anyio.lowlevel.checkpoint()
            return await super().transact(work)

    refused: list[DeclarationError] = []

    async def make(text: str) -> None:
        try:
            await live.agents.create("carol", instructions=text, blocks=[Block("persona", text)])
        except DeclarationError as error:
            refused.append(error)

    live = quiet(Slow())
    async with live:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(make, "one")
                group.start_soon(make, "two")
            assert len(refused) == 1
            carol = await live.agents.retrieve("carol")
            assert (await live.agents.blocks.retrieve("carol", "persona")).value == carol.instructions[0]
            assert (await live.agents.message("carol", "Hello")).output == "carol: ok"


# --- modify


async def test_an_agent_is_something_else_from_its_next_turn_on():
    store, waiting = MemoryStore(), Waiting()
    requests: list[ModelRequest] = []

    def think(request: ModelRequest) -> str:
        requests.append(request)
        return "new"

    team = Team("pair", [Agent("ann", model=waiting, blocks=[notes])])
    live = Orchestrator(team, store)
    async with live, anyio.create_task_group() as group:
        with anyio.fail_after(5):
            group.start_soon(live.run, "go")
            await waiting.asked.wait()
            ann = await live.agents.modify(
                "ann",
                instructions="Be brief.",
                model=FunctionModel(think),
                tools=[look_up],
                max_steps=3,
                timeout=9,
            )
            waiting.let_go.set()
            await live.wait_idle()
            run = await live.run("again")

    assert (ann.instructions, ann.tools, ann.max_steps, ann.timeout) == (("Be brief.",), ("look_up",), 3, 9)
    assert [a.label for a in ann.blocks] == ["notes"]
    assert run.output == "new"
    assert "Be brief." in requests[0].system
    assert requests[0].messages[1].text == "done"
    assert requests[0].tools[-1].name == "look_up"
    assert AgentModified in {type(event) for event in await store.events()}


async def test_what_is_changed_stays_of_one_that_was_made_and_not_of_one_that_is_declared():
    store = MemoryStore()
    async with quiet(store) as live:
        await live.agents.create("carol", instructions="Old.", tools=[look_up], blocks=[notes], wakes_on=[notes])
        for name in ("ann", "carol"):
            await live.agents.modify(name, instructions="New.", model="rehearsal", tools=[], max_steps=3, timeout=9)
    async with quiet(store) as live:
        ann, carol = await live.agents.retrieve("ann"), await live.agents.retrieve("carol")
        assert (ann.instructions, ann.model, ann.tools, ann.max_steps) == ((), None, ("look_up",), 50)
        assert (carol.instructions, carol.model, carol.tools) == (("New.",), "rehearsal", ())
        assert (carol.max_steps, carol.timeout) == (3, 9)
        await live.blocks.modify(notes, value="changed")
        with anyio.fail_after(5):
            await live.wait_idle()
    assert "carol" in {event.agent for event in await store.events() if event.type == "turn_started"}


@pytest.mark.parametrize("wanted", [{"max_steps": 0}, {"timeout": -1}, {"instructions": 5}, {"tools": [5]}])
async def test_a_change_that_cannot_be_is_refused(wanted):
    store = MemoryStore()
    async with quiet(store) as live:
        before, log = await live.agents.retrieve("bob"), await store.events()
        with pytest.raises(DeclarationError):
            await live.agents.modify("bob", **wanted)
        assert (await live.agents.retrieve("bob"), await store.events()) == (before, log)


# --- delete


async def test_one_that_is_deleted_is_gone_with_its_own_blocks_and_comes_back_new():
    store = MemoryStore()
    persona = Block("persona", "I am carol")
    async with quiet(store) as live:
        for _ in range(2):
            await live.agents.create("carol", blocks=[persona, notes], wakes_on=[notes])
            with anyio.fail_after(5):
                await live.agents.message("carol", "Hello")
            carol = await live.agents.retrieve("carol")
            assert [a.key for a in carol.blocks] == ["pair:carol/persona", "pair:notes"]
            assert (await live.blocks.retrieve("persona")).value == "I am carol"
            said = await store.read(lambda rows: [message.text for message in rows.messages("carol")])
            assert said == ["Hello", "carol: ok"], "nothing from before"
            await live.blocks.modify("persona", value="changed")

            await live.agents.delete(carol)

            assert [agent.name for agent in await live.agents.list()] == ["ann", "bob"]
            assert [block.label for block in await live.blocks.list()] == ["notes"]
            with pytest.raises(UnknownName):
                await live.agents.message("carol", "Hello")
        history = await live.blocks.history("pair:carol/persona")
        assert [(one.version, one.operation) for one in history] == [
            (1, "create"),
            (2, "modify"),
            (3, "create"),
            (4, "modify"),
        ]
    assert [type(event) for event in (await store.events())[-1:]] == [AgentDeleted]
    async with quiet(store) as live:
        assert [agent.name for agent in await live.agents.list()] == ["ann", "bob"]


async def test_an_own_block_that_others_see_stays_and_one_that_nobody_sees_does_not():
    facts = Block("facts", "known")
    async with quiet() as live:
        await live.agents.create("carol", blocks=[facts, Block("lost")])
        await live.agents.blocks.attach("bob", facts)
        await live.agents.blocks.detach("carol", "lost")
        await live.agents.delete("carol")

        left = await live.blocks.list()
        assert [(block.label, block.agent) for block in left] == [("notes", None), ("facts", None)]
        assert [agent.name for agent in await live.blocks.agents(facts)] == ["bob"]


async def test_a_declared_agent_that_was_deleted_comes_back_with_the_team_and_is_not_woken_by_the_past():
    store = MemoryStore()
    team = Team(
        "pair", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes, Block("own", "x")], wakes_on=[notes])]
    )
    async with quiet(store, team) as live:
        with anyio.fail_after(5):
            await live.agents.message("bob", "Hello")
        await live.agents.delete("bob")
        await live.blocks.modify(notes, value="while bob was gone")
        assert live._activity.going == {}, "nobody is woken"
        with pytest.raises(DeclarationError, match="was deleted, but code declares it"):
            await live.agents.create("bob")
    async with quiet(store, team) as live:
        assert [a.label for a in (await live.agents.retrieve("bob")).blocks] == ["notes", "own"]
        assert (await live.blocks.retrieve("own")).value == "x"
        assert await store.read(lambda rows: list(rows.messages("bob"))) == []
        with anyio.fail_after(5):
            run = await live.run("go")
            assert [turn.agent for turn in run.turns] == ["ann"]
            await live.blocks.modify(notes, value="now")
            await live.wait_idle()
    assert [event.agent for event in await store.events() if event.type == "turn_started"] == ["bob", "ann", "bob"]


async def test_the_entry_stays_and_so_does_who_is_at_work():
    waiting = Waiting()
    team = Team("pair", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes])])
    live = Orchestrator(team, model=waiting)
    async with live, anyio.create_task_group() as group:
        with anyio.fail_after(5):
            with pytest.raises(DeclarationError, match="gets the team's messages, so it cannot be deleted"):
                await live.agents.delete("ann")
            group.start_soon(live.agents.message, "bob", "Hello")
            await waiting.asked.wait()
            with pytest.raises(RunError, match="agent 'bob' is at work"):
                await live.agents.delete("bob")
            waiting.let_go.set()
            await live.wait_idle()
            await live.agents.delete("bob")
            assert [agent.name for agent in await live.agents.list()] == ["ann"]


async def test_who_was_cut_off_at_its_work_is_deleted_when_its_run_was_cancelled():
    store = MemoryStore()
    script: dict[str, list[Any]] = {"bob": [edit("memory_insert", "notes", new_string="x"), Say("ok")]}
    async with Orchestrator(pair(), store, model=ScriptedModel(script)) as live:
        with anyio.fail_after(5):
            await live.agents.message("bob", "Hello")
    rows = store._rows
    cut = next(number for number, event in enumerate(rows.log) if event.type == "step_taken")
    run, turn = rows.log[cut].run, rows.log[cut].turn
    del rows.log[cut + 1 :]  # as if the process had ended here
    rows.runs_by_id[run] = rows.runs_by_id[run].model_copy(update={"status": "running", "output": ""})
    rows.turns_by_id[turn] = rows.turns_by_id[turn].model_copy(update={"status": "running", "text": ""})

    async with quiet(store) as live:
        with anyio.fail_after(5):
            with pytest.raises(RunError, match="was cut off at it"):
                await live.agents.delete("bob")
            assert (await live.cancel(run)).status == "cancelled"
            await live.agents.delete("bob")
