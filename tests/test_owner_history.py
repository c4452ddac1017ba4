"""What the owner of a live team finds in the past of its blocks, takes back, and throws away."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from orchestrator import (
    Agent,
    Block,
    BlockDeleted,
    BlockDetached,
    DeclarationError,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    OutdatedRewrite,
    OverLimit,
    Team,
    ToolCall,
    ToolMessage,
    UnknownName,
)
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel, Say, ScriptedModel, edit


def desk(notes: Block) -> Team:
    return Team("desk", [Agent("ann", blocks=[notes.curator(), Block("own", "mine")]), Agent("bob", blocks=[notes])])


def quiet(team: Team, store: MemoryStore | None = None) -> Orchestrator:
    return Orchestrator(team, store, model=FunctionModel(lambda request: "ok"))


# --- history, blame, undo


async def test_the_history_is_told_oldest_first_with_who_did_what():
    notes = Block("notes", "a")
    script: dict[str, list[Any]] = {"ann": [edit("memory_insert", "notes", new_string="b"), Say("done")]}
    with ScriptedModel(script) as model:
        async with Orchestrator(desk(notes), model=model) as live:
            with anyio.fail_after(5):
                run = await live.run("go")
            await live.blocks.modify(notes, value="a\nb\nc")
            history = await live.blocks.history("notes")

            told = [(one.version, one.value, one.operation, one.by, one.turn) for one in history]
            assert told == [
                (1, "a", "create", "owner", None),
                (2, "a\nb", "insert", "ann", run.turns[0].id),
                (3, "a\nb\nc", "modify", "owner", None),
            ]
            assert all(one.at > 0 for one in history)
            assert await live.blocks.history("notes", after=1) == history[1:]
            assert await live.blocks.history("notes", limit=2) == history[:2]
            assert await live.blocks.history("notes", after=1, limit=1) == history[1:2]
            assert await live.blocks.history("notes", after=3) == []

            lines = await live.blocks.blame("notes")
            assert [(line.text, line.by, line.version, line.turn) for line in lines] == [
                ("a", "owner", 1, None),
                ("b", "ann", 2, run.turns[0].id),
                ("c", "owner", 3, None),
            ]
            assert [line.at for line in lines] == [one.at for one in history]


@pytest.mark.parametrize("options", [{"after": -1}, {"after": True}, {"after": "1"}, {"limit": 0}])
async def test_a_part_of_the_history_that_cannot_be_is_refused(options):
    notes = Block("notes")
    async with quiet(desk(notes)) as live:
        with pytest.raises(DeclarationError):
            await live.blocks.history(notes, **options)


async def test_what_a_rethink_removed_comes_back():
    notes = Block("notes", "a fact\nanother fact")
    script: dict[str, list[Any]] = {"ann": [edit("memory_rethink", "notes", new_memory="tidied"), Say("done")]}
    with ScriptedModel(script) as model:
        async with Orchestrator(desk(notes), model=model) as live:
            with anyio.fail_after(5):
                await live.run("go")
            assert (await live.blocks.retrieve(notes)).value == "tidied"

            back = await live.blocks.undo(notes)

            assert (back.value, back.version, back.by) == ("a fact\nanother fact", 3, "owner")
            assert (await live.blocks.history(notes))[-1].operation == "undo"


async def test_a_block_goes_back_to_any_version_and_an_undo_can_be_undone():
    notes = Block("notes", "1")
    async with quiet(desk(notes)) as live:
        for value in ("2", "3", "4"):
            await live.blocks.modify(notes, value=value)

        assert (await live.blocks.undo(notes, to=2)).value == "2"
        assert (await live.blocks.undo(notes)).value == "4"
        same = await live.blocks.undo(notes, to=6)
        assert (same.value, same.version) == ("4", 6), "it has this text"


async def test_there_is_nothing_before_the_first_version():
    notes = Block("notes", "1")
    async with quiet(desk(notes)) as live:
        with pytest.raises(UnknownName, match="block 'notes': has no version 0; it has 1 to 1"):
            await live.blocks.undo(notes)
        with pytest.raises(UnknownName, match="has no version 9"):
            await live.blocks.undo(notes, to=9)


async def test_an_earlier_text_that_no_longer_fits_does_not_come_back():
    notes = Block("notes", "a long text")
    async with quiet(desk(notes)) as live:
        await live.blocks.modify(notes, value="short", limit=5)
        with pytest.raises(OverLimit):
            await live.blocks.undo(notes)
        assert (await live.blocks.retrieve(notes)).value == "short"


async def test_an_undo_does_not_take_back_what_somebody_writes_at_the_same_time():
    class Busy(MemoryStore):
        """Between reading and writing, somebody else writes."""

        meanwhile: Any = None

        async def transact(self, work):
            if meanwhile := self.meanwhile:
                self.meanwhile = None
                await meanwhile()
            return await super().transact(work)

    notes, store = Block("notes", "1"), Busy()
    async with quiet(desk(notes), store) as live:
        await live.blocks.modify(notes, value="2")
        store.meanwhile = lambda: live.blocks.modify(notes, value="3")
        with pytest.raises(OutdatedRewrite):
            await live.blocks.undo(notes)
        assert (await live.blocks.retrieve(notes)).value == "3"


# --- delete


async def test_a_deleted_block_is_gone_at_the_next_step_of_a_turn_that_runs():
    notes = Block("notes", "a")
    seen: list[Any] = []
    answers: list[str] = []

    async def think(request: ModelRequest) -> ModelResponse | str:
        seen.append(sorted(request.blocks))
        if request.step == 0:
            await live.blocks.delete(notes)
            return ModelResponse("", [ToolCall("memory_insert", {"label": "notes", "new_string": "b"})])
        answer = request.messages[-1]
        assert isinstance(answer, ToolMessage)
        answers.append(answer.text)
        return "done"

    live = Orchestrator(desk(notes), model=FunctionModel(think))
    async with live:
        with anyio.fail_after(5):
            run = await live.run("go")

        assert run.status == "complete"
        assert seen == [["notes", "own"], ["own"]]
        assert "block 'notes' is not attached to you" in answers[0]
        assert "notes" not in run.blocks
        assert [attached.label for attached in (await live.agents.retrieve("bob")).blocks] == []


async def test_the_history_of_a_deleted_block_stays_under_its_id():
    notes, store = Block("notes", "a"), MemoryStore()
    async with quiet(desk(notes), store) as live:
        read = await live.blocks.modify(notes, value="b")
        await live.blocks.delete("notes")

        for reference in (read, read.id, notes):
            assert [one.value for one in await live.blocks.history(reference)] == ["a", "b"]
        with pytest.raises(UnknownName, match="has no block 'notes'; it has: own"):
            await live.blocks.history("notes")
        for call in (live.blocks.retrieve(read), live.blocks.delete(read), live.blocks.undo(read)):
            with pytest.raises(UnknownName):
                await call
        with pytest.raises(UnknownName, match="its owner may have deleted it"):
            await live.agents.blocks.attach("bob", read)
    told = [(e.type, getattr(e, "agent", None)) for e in (await store.events())[-3:]]
    assert told == [("block_detached", "ann"), ("block_detached", "bob"), ("block_deleted", None)]
    assert isinstance((await store.events())[-1], BlockDeleted)
    assert isinstance((await store.events())[-2], BlockDetached)


async def test_a_declared_block_that_was_deleted_does_not_come_back_by_itself():
    notes, store = Block("notes", "a"), MemoryStore()
    async with quiet(desk(notes), store) as live:
        await live.blocks.delete("notes")
        await live.blocks.delete("own")
    async with quiet(desk(notes), store) as live:
        assert await live.blocks.list() == []
        assert await live.agents.blocks.list("ann") == []

        again = await live.blocks.create(notes)

        assert (again.id, again.version, again.value) == ("desk:notes", 2, "a")
        await live.agents.blocks.attach("bob", notes)
    async with quiet(desk(notes), store) as live:
        assert [block.label for block in await live.agents.blocks.list("bob")] == ["notes"]
        assert await live.agents.blocks.list("ann") == [], "the owner has not attached it to ann again"
