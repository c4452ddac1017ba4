"""What the owner of a live team lets its agents see: `live.agents.blocks`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from orchestrator import (
    Agent,
    Block,
    DeclarationError,
    Grant,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    Team,
    ToolCall,
    ToolMessage,
    UnknownName,
    Wake,
)
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel

notes = Block("notes", "start")
rules = Block("rules", "Be kind.", read_only=True)


def pair() -> Team:
    ann = Agent("ann", blocks=[notes, rules, Block("own", "mine")])
    return Team("pair", [ann, Agent("bob", blocks=[notes.reader()], wakes_on=[Wake(notes)])])


def quiet(store: MemoryStore | None = None) -> Orchestrator:
    return Orchestrator(pair(), store, model=FunctionModel(lambda request: "ok"))


def insert(label: str, text: str = "x") -> ModelResponse:
    return ModelResponse("", [ToolCall("memory_insert", {"label": label, "new_string": text})])


async def labels(live: Orchestrator, agent: str) -> list[str]:
    return [block.label for block in await live.agents.blocks.list(agent)]


# --- looked at, and changed, by the agent's label


async def test_the_blocks_of_an_agent_are_listed_and_found_by_its_labels():
    async with quiet() as live:
        assert await labels(live, "ann") == ["notes", "rules", "own"]
        own = await live.agents.blocks.retrieve("ann", "own")
        assert (own.value, own.id) == ("mine", "pair:ann/own")
        with pytest.raises(UnknownName, match="agent 'bob': sees no block 'own'; it sees: notes"):
            await live.agents.blocks.retrieve("bob", "own")
        await live.agents.blocks.detach("bob", "notes")
        with pytest.raises(UnknownName, match="it sees: none"):
            await live.agents.blocks.retrieve("bob", "notes")


async def test_a_block_is_changed_by_the_label_that_an_agent_knows():
    async with quiet() as live:
        await live.agents.create("carol", blocks=[Block("own", "hers")])
        changed = await live.agents.blocks.modify("carol", "own", value="changed", limit=10)
        assert (changed.value, changed.limit, changed.id) == ("changed", 10, "pair:carol/own")
        assert (await live.agents.blocks.retrieve("ann", "own")).value == "mine"


# --- attach


@pytest.mark.parametrize(
    ("reference", "grant", "granted"),
    [
        ("common", None, "replace"),
        ("common", "read", "read"),
        ("common", "Insert", "insert"),
        ("common", Grant.RETHINK, "rethink"),
        ("rules", None, "read"),
        ("rules", "read", "read"),
        (rules, None, "read"),
        (notes.curator(), None, "rethink"),
        (notes.curator(), "insert", "insert"),
    ],
)
async def test_what_an_agent_may_do_is_said_when_a_block_is_attached(reference, grant, granted):
    async with quiet() as live:
        await live.blocks.create("common")
        await live.agents.create("carol")
        carol = await live.agents.blocks.attach("carol", reference, grant=grant)
        assert [str(attached.grant) for attached in carol.blocks] == [granted]


@pytest.mark.parametrize(
    ("agent", "block", "grant", "problem"),
    [
        ("bob", "rules", "insert", "block 'rules': is read-only, so nobody can be granted insert on it"),
        ("bob", "own", "all", "grant is 'all'; choose read, insert, replace, rethink"),
        ("bob", "own", 3, "grant is 3"),
        ("bob", "nothing", None, "has no block 'nothing'"),
        ("eve", "own", None, "has no agent 'eve'"),
        ("carol", "pair:ann/own", None, "agent 'carol': sees another block labelled 'own' already"),
    ],
)
async def test_what_cannot_be_attached_is_refused(agent, block, grant, problem):
    store = MemoryStore()
    async with quiet(store) as live:
        await live.agents.create("carol", blocks=[Block("own")])
        before = await store.events()
        block = "ann/own" if block == "own" else block
        with pytest.raises(DeclarationError, match=problem):
            await live.agents.blocks.attach(agent, block, grant=grant)
        assert await store.events() == before


async def test_a_grant_is_changed_by_attaching_again_and_the_order_stays():
    store = MemoryStore()
    async with quiet(store) as live:
        ann = await live.agents.blocks.attach("ann", notes, grant="insert")
        assert [(a.label, str(a.grant)) for a in ann.blocks] == [
            ("notes", "insert"),
            ("rules", "read"),
            ("own", "replace"),
        ]
        events = await store.events()
        assert (events[-1].type, events[-1].grant) == ("block_attached", "insert")
        assert await live.agents.blocks.attach("ann", notes, grant="insert") == ann
        assert await store.events() == events, "nothing has changed"
    async with quiet(store) as live:
        (attached, *_) = (await live.agents.retrieve("ann")).blocks
        assert attached.grant == Grant.REPLACE, "what code declares counts again"


async def test_what_the_owner_attached_is_there_when_the_team_is_opened_again():
    store = MemoryStore()
    async with quiet(store) as live:
        common = await live.blocks.create("common", "for all")
        await live.agents.blocks.attach("bob", common, grant="insert")
        await live.agents.blocks.attach("bob", "ann/own")
    async with quiet(store) as live:
        assert [(a.label, str(a.grant)) for a in (await live.agents.retrieve("bob")).blocks] == [
            ("notes", "read"),
            ("common", "insert"),
            ("own", "replace"),
        ]


async def in_the_middle(change: Callable[[Orchestrator], Awaitable[Any]], wanted: ModelResponse) -> tuple[list, list]:
    """ann's turn of three steps: the owner acts before the second, which wants something. What was shown, and said."""
    shown: list[dict[str, str]] = []
    answers: list[str] = []

    async def think(request: ModelRequest) -> ModelResponse | str:
        shown.append(dict(request.blocks))
        if request.step == 0:
            await change(live)
            return wanted
        assert isinstance(request.messages[-1], ToolMessage)
        answers.append(request.messages[-1].text)
        return wanted if request.step == 1 else "done"

    live = Orchestrator(pair(), model=FunctionModel(lambda request: think(request) if request.agent == "ann" else "ok"))
    async with live:
        await live.blocks.create("common", "for all")
        with anyio.fail_after(5):
            run = await live.run("go")
            assert run.status == "complete", run.error
    return shown, answers


async def test_what_is_attached_is_there_at_the_next_step_of_a_turn():
    shown, answers = await in_the_middle(lambda live: live.agents.blocks.attach("ann", "common"), insert("common"))

    assert [("common" in blocks) for blocks in shown] == [False, True, True]
    assert shown[1]["common"] == "for all\nx"
    assert len(answers) == 2


async def test_what_is_detached_is_gone_at_the_next_step_of_a_turn_and_edits_of_it_are_refused():
    shown, answers = await in_the_middle(lambda live: live.agents.blocks.detach("ann", "notes"), insert("notes"))

    assert [("notes" in blocks) for blocks in shown] == [True, False, False]
    assert all("block 'notes' is not attached to you; the blocks you have are: rules, own" in a for a in answers)


async def test_a_grant_that_is_lowered_counts_at_the_next_edit():
    _, answers = await in_the_middle(
        lambda live: live.agents.blocks.attach("ann", "notes", grant="read"), insert("notes")
    )

    assert "does not grant you insert; your grant is read" in answers[0]


# --- detach


async def test_what_is_detached_stays_so_when_the_team_is_opened_again_until_it_is_attached():
    store = MemoryStore()
    async with quiet(store) as live:
        bob = await live.agents.blocks.detach("bob", "notes")
        assert bob.blocks == ()
        with pytest.raises(UnknownName, match="agent 'bob': does not see the block 'notes'"):
            await live.agents.blocks.detach("bob", notes)
    async with quiet(store) as live:
        assert await labels(live, "bob") == []
        await live.agents.blocks.attach("bob", notes)
    async with quiet(store) as live:
        (attached,) = (await live.agents.retrieve("bob")).blocks
        assert attached.grant == Grant.READ, "as it is declared"


async def test_what_was_granted_anew_and_then_detached_stays_detached():
    store = MemoryStore()
    async with quiet(store) as live:
        await live.agents.blocks.attach("bob", notes, grant="insert")
        await live.agents.blocks.detach("bob", notes)
    async with quiet(store) as live:
        assert await labels(live, "bob") == []


async def test_of_several_blocks_of_one_label_the_agents_own_is_detached():
    async with quiet() as live:
        await live.agents.create("carol", blocks=[Block("own")])
        await live.agents.blocks.detach("carol", "own")
        assert await labels(live, "carol") == []
        assert await labels(live, "ann") == ["notes", "rules", "own"]


async def woken(live: Orchestrator, store: MemoryStore, value: str) -> list[str]:
    """Who takes a turn when the owner writes notes."""
    seen = (await store.events())[-1].seq
    with anyio.fail_after(5):
        await live.blocks.modify(notes, value=value)
        await live.wait_idle()
    return [event.agent for event in await store.events(seen) if event.type == "turn_started"]


async def test_who_does_not_see_a_block_is_not_woken_by_it_until_it_is_attached_again():
    store = MemoryStore()
    async with quiet(store) as live:
        assert await woken(live, store, "1") == ["bob"]
        await live.agents.blocks.detach("bob", notes)
        assert await woken(live, store, "2") == []
    async with quiet(store) as live:
        assert await woken(live, store, "3") == []
        await live.agents.blocks.attach("bob", notes)
        assert await woken(live, store, "4") == ["bob"], "not by what was written before"
    async with quiet(store) as live:
        assert await woken(live, store, "5") == ["bob"]


async def test_a_live_made_agent_is_woken_by_whom_it_names_also_when_the_team_is_opened_again():
    store = MemoryStore()
    async with quiet(store) as live:
        await live.agents.blocks.detach("bob", notes)
        await live.agents.create("carol", blocks=[notes], wakes_on=[Wake(notes, by=["ann"])])
        await live.agents.create("dave", blocks=[notes], wakes_on=[Wake(notes, by=["ann"]), Wake(notes, by=["owner"])])
        await live.agents.create("eve", blocks=[notes], wakes_on=[Wake(notes, by=["ann"]), notes])
        assert await woken(live, store, "1") == ["dave", "eve"]
    async with quiet(store) as live:
        assert await woken(live, store, "2") == ["dave", "eve"]
        await live.agents.blocks.detach("dave", notes)
        await live.agents.delete("eve")
        assert await woken(live, store, "3") == []
        await live.agents.blocks.attach("dave", notes)
        assert await woken(live, store, "4") == ["dave"]
        await live.agents.create("eve", blocks=[notes], wakes_on=[notes])
        assert await woken(live, store, "5") == ["dave", "eve"]
