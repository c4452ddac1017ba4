"""What becomes of an agent that was made while the team was live."""

from __future__ import annotations

from contextlib import suppress

import anyio
import pytest
from owned import look_up, notes, pair, quiet
from test_resume import MortalStore

from orchestrator import (
    Agent,
    Block,
    DeclarationError,
    ModelNotFound,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    RunError,
    StoreError,
    Team,
    Wake,
)
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel, edit

# --- models


async def test_a_model_is_given_by_name_or_as_an_object():
    own = FunctionModel(lambda request: "my own")
    team = Team("pair", [Agent("ann", model=own)])
    async with Orchestrator(team) as live:
        with pytest.raises(ModelNotFound, match="agent 'carol' has no model"):
            await live.agents.create("carol")
        with pytest.raises(ModelNotFound, match="there is no model 'nobody'"):
            await live.agents.create("carol", model="nobody")
        assert (await live.agents.create("carol", model=own)).model is None
        with anyio.fail_after(5):
            assert (await live.agents.message("carol", "Hello")).output == "my own"
            assert (await live.agents.create("dave", model="rehearsal")).model == "rehearsal"
            assert "no language model" in (await live.agents.message("dave", "Hello")).output
            with pytest.raises(ModelNotFound):
                await live.agents.modify("carol", model="nobody")
            assert (await live.agents.message("carol", "Hello")).output == "my own"
            await live.agents.modify("carol", model=FunctionModel(lambda request: "another"))
            assert (await live.agents.message("carol", "Hello")).output == "another"


async def test_one_whose_model_was_an_object_needs_another_when_the_team_is_opened_again():
    store, own = MemoryStore(), FunctionModel(lambda request: "my own")
    async with Orchestrator(Team("pair", [Agent("ann", model=own)]), store) as live:
        await live.agents.create("carol", model=own)
    with pytest.raises(ModelNotFound, match="agent 'carol' has no model"):
        async with Orchestrator(Team("pair", [Agent("ann", model=own)]), store):
            pass
    async with Orchestrator(Team("pair", [Agent("ann")]), store, model=own) as live:
        with anyio.fail_after(5):
            assert (await live.agents.message("carol", "Hello")).output == "my own"


# --- reopening


async def test_one_that_was_made_is_there_when_the_team_is_opened_again_with_tools_wakes_and_memory():
    store = MemoryStore()
    async with quiet(store) as live:
        await live.agents.create(
            "carol",
            instructions=["Be brief.", "Be kind."],
            model="rehearsal",
            blocks=[Block("persona", "I am carol"), notes.contributor()],
            wakes_on=[Wake(notes, by=["bob"])],
            tools=[look_up],
            max_steps=7,
            timeout=30,
        )
        with anyio.fail_after(5):
            await live.agents.message("carol", "Remember me")
        before = await live.agents.retrieve("carol")

    requests: list[ModelRequest] = []

    def think(request: ModelRequest) -> ModelResponse | str:
        requests.append(request)
        if request.agent == "bob" and request.step == 0:
            return ModelResponse("", edit("memory_insert", "notes", new_string="by bob").calls)
        return "done"

    async with Orchestrator(pair(), store, model=FunctionModel(think)) as live:
        assert await live.agents.retrieve("carol") == before
        with anyio.fail_after(5):
            run = await live.agents.message("bob", "go")
    assert [turn.agent for turn in run.turns] == ["bob", "carol"]
    woken = requests[-1]
    assert [spec.name for spec in woken.tools] == ["memory_insert", "memory_replace", "look_up"]
    assert woken.blocks == {"persona": "I am carol", "notes": "start\nby bob"}
    assert [message.text for message in woken.messages[:2]] == ["Remember me", "carol: ok"]
    assert "Be brief." in woken.system


async def test_a_tool_that_no_declared_agent_has_is_left_out_and_found_again_when_it_is_back():
    store = MemoryStore()
    plain = Team("pair", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes])])
    async with quiet(store) as live:
        await live.agents.create("carol", tools=[look_up])
    async with quiet(store, plain) as live:
        assert (await live.agents.retrieve("carol")).tools == ()
        await live.agents.modify("carol", instructions="Be brief.")
    async with quiet(store) as live:
        carol = await live.agents.retrieve("carol")
        assert (carol.tools, carol.instructions) == (("look_up",), ("Be brief.",))


async def test_one_that_is_declared_later_is_as_declared_and_keeps_what_was_attached():
    store = MemoryStore()
    async with quiet(store) as live:
        await live.agents.create("carol", instructions="Old.", blocks=[Block("persona", "old"), notes.reader()])
    declared = Agent("carol", "New.", blocks=[Block("persona", "new")])
    async with quiet(store, Team("pair", [*pair().members, declared])) as live:
        carol = await live.agents.retrieve("carol")
        assert (carol.instructions, carol.declared) == (("New.",), True)
        assert [(a.label, str(a.grant)) for a in carol.blocks] == [("persona", "replace"), ("notes", "read")]
        assert (await live.blocks.retrieve("persona")).value == "old"


async def test_the_name_of_one_that_is_declared_no_longer_is_kept_for_it():
    store = MemoryStore()
    async with quiet(store):
        pass
    async with quiet(store, Team("pair", [Agent("ann", blocks=[notes, Block("x")])])) as live:
        with pytest.raises(DeclarationError, match="is in the store, though no longer declared"):
            await live.agents.create("bob")
        assert [agent.name for agent in await live.agents.list()] == ["ann"]


# --- cut off


@pytest.mark.parametrize("act", ["message", "modify"])
async def test_what_was_cut_off_of_one_that_was_made_is_completed_by_resume(act):
    async def think(request: ModelRequest) -> ModelResponse | str:
        if request.agent == "ann":
            return "ann was here"
        if request.step == 0:
            return ModelResponse("", edit("memory_insert", "notes", new_string="by carol").calls)
        return "noted"

    async def until_it_dies(store: MortalStore, lives: int) -> None:
        with suppress(StoreError, RunError):
            async with Orchestrator(pair(), store, model=FunctionModel(think)) as live:
                await live.agents.create("carol", blocks=[notes], wakes_on=[Wake(notes, by=["owner"])])
                store.lives = lives
                if act == "message":
                    await live.agents.message("carol", "go")
                else:
                    await live.blocks.modify(notes, value="changed")
                    await live.wait_idle()
        await store.revive()

    for lives in range(20):
        store = MortalStore(-1)
        with anyio.fail_after(10):
            await until_it_dies(store, lives)
            async with Orchestrator(pair(), store, model=FunctionModel(think)) as live:
                cut_off = live.cut_off
                for record in cut_off:
                    run = await live.resume(record.id)
                    assert run.status == "complete"
                    assert run.output == ("noted" if act == "message" else "")
                value = (await live.blocks.retrieve(notes)).value
                runs = await store.read(lambda rows: list(rows.runs()))
                assert value.count("by carol") == len(runs), "the insert of the run is there once, if there was a run"
        if runs and not cut_off:
            break
    else:
        raise AssertionError("the run never came to its end")
