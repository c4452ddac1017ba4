"""What the owner of a live team does with its blocks: `live.blocks`."""

from __future__ import annotations

import anyio
import pytest
from owned import company, opened, organization

from orchestrator import (
    Agent,
    Block,
    BlockModified,
    DeclarationError,
    Guarded,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    OutdatedRewrite,
    OverLimit,
    RunError,
    Team,
    ToolCall,
    ToolMessage,
    UnknownName,
    UnusableText,
)
from orchestrator.events import BlockChanged
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel

# --- create


async def test_a_block_is_created_from_a_label_and_what_is_known_of_it():
    async with opened() as live:
        block = await live.blocks.create(
            "facts",
            "the sky is blue",
            description="What is so.",
            limit=100,
            read_only=True,
            tags=["a", "b"],
            metadata={"source": "sky"},
            rethink="last_write_wins",
            placement="system",
        )

        assert block == await live.blocks.retrieve("facts")
        assert (block.label, block.value, block.description, block.limit) == (
            "facts",
            "the sky is blue",
            "What is so.",
            100,
        )
        assert (block.read_only, block.tags, block.metadata) == (True, ("a", "b"), {"source": "sky"})
        assert (block.rethink, block.placement, block.version, block.by, block.agent) == (
            "last_write_wins",
            "system",
            1,
            "owner",
            None,
        )
        assert await live.blocks.agents(block) == []


async def test_a_block_that_is_created_stays_in_the_store_until_it_is_deleted():
    store = MemoryStore()
    async with opened(store) as live:
        facts = await live.blocks.create("facts", "one")
        gone = await live.blocks.create("gone", "two")
        await live.blocks.delete(gone)
    async with opened(store) as live:
        assert await live.blocks.retrieve(facts.id) == facts
        with pytest.raises(UnknownName, match=r"has no block 'company:block-.*' any more"):
            await live.blocks.retrieve(gone)


async def test_a_block_is_created_from_a_declaration_which_then_stands_for_it():
    facts = Block("facts", "one", key="truths")
    async with opened() as live:
        with pytest.raises(UnknownName, match="does not know this Block 'facts'; create it"):
            await live.blocks.retrieve(facts)

        created = await live.blocks.create(facts)

        assert created.id == "company:truths"
        assert await live.blocks.retrieve(facts) == created
        assert await live.blocks.retrieve(facts.reader()) == created


async def test_a_block_is_created_once_from_a_declaration_and_again_when_it_was_deleted():
    facts = Block("facts", "one")
    async with opened() as live:
        first = await live.blocks.create(facts)
        with pytest.raises(DeclarationError, match="there is one with the key"):
            await live.blocks.create(facts)
        await live.blocks.modify(facts, value="two")
        await live.blocks.delete(facts)

        again = await live.blocks.create(facts)

        assert (again.id, again.value, again.version) == (first.id, "one", 3)
        history = await live.blocks.history(facts)
        assert [(revision.version, revision.operation) for revision in history] == [
            (1, "create"),
            (2, "modify"),
            (3, "create"),
        ]


async def test_a_key_that_is_taken_is_refused_and_the_declaration_stands_for_nothing():
    other = Block("other", key="organization")
    async with opened() as live:
        with pytest.raises(DeclarationError, match="there is one with the key 'company:organization' already"):
            await live.blocks.create(other)
        with pytest.raises(UnknownName, match="does not know this Block"):
            await live.blocks.retrieve(other)
        with pytest.raises(DeclarationError, match="there is one with the key"):
            await live.blocks.create(organization)


@pytest.mark.parametrize(
    ("block", "options", "problem"),
    [
        (Block("x", guard=lambda change: None), {}, "has a guard, which no store can keep"),
        (Block("x"), {"value": "text", "limit": 5}, "is declared already; value, limit can be given with a label"),
        ("x", {"tags": "ab"}, "tags is 'ab'; give a tuple of texts"),
        ("x", {"value": "too long", "limit": 3}, "its value has 8 characters and its limit is 3"),
        ("", {}, "label '' is not made of"),
        (organization.reader(), {}, "give a Block, or a label"),
    ],
)
async def test_what_cannot_be_a_block_is_refused(block, options, problem):
    store = MemoryStore()
    async with opened(store) as live:
        before = await store.events()
        with pytest.raises(DeclarationError, match=problem):
            await live.blocks.create(block, **options)
        assert await store.events() == before


# --- modify


async def test_a_text_that_the_owner_writes_is_a_new_version_in_its_name():
    store = MemoryStore()
    async with opened(store) as live:
        changed = await live.blocks.modify("organization", value="Organization: none")

        assert (changed.value, changed.version, changed.by) == ("Organization: none", 2, "owner")
        assert await live.blocks.retrieve("organization") == changed
    (event,) = [event for event in await store.events() if isinstance(event, BlockChanged)]
    assert (event.operation, event.by, event.version, event.turn, event.runs) == ("modify", "owner", 2, None, ())


async def test_an_equal_text_is_no_new_version():
    store = MemoryStore()
    async with opened(store) as live:
        before = await store.events()
        same = await live.blocks.modify("organization", value="Organization: Letta", limit=4000)
        assert same.version == 1
        assert await store.events() == before


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"limit": 500}, 500),
        ({"description": "Other."}, "Other."),
        ({"read_only": True}, True),
        ({"read_only": False}, False),
        ({"tags": ["x"]}, ("x",)),
        ({"metadata": {"n": 1}}, {"n": 1}),
        ({"metadata": {}}, {}),
    ],
)
async def test_each_attribute_is_changed_without_a_new_version(given, kept):
    (name,) = given
    async with opened() as live:
        block = await live.blocks.modify("organization", **given)

        assert getattr(block, name) == kept
        assert block.version == 1
        assert await live.blocks.retrieve("organization") == block


async def test_several_things_are_changed_together():
    store = MemoryStore()
    async with opened(store) as live:
        seen = (await store.events())[-1].seq
        block = await live.blocks.modify("organization", value="x" * 5000, limit=6000, description="Long.")

        assert (len(block.value), block.limit, block.description, block.version) == (5000, 6000, "Long.", 2)
        modified, changed = await store.events(seen)
        assert isinstance(modified, BlockModified)
        assert (modified.limit, modified.description, modified.read_only) == (6000, "Long.", False)
        assert isinstance(changed, BlockChanged)
        assert changed.limit == 6000


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ({"limit": 3, "description": "Short."}, OverLimit),
        ({"value": "abcd", "limit": 3}, OverLimit),
        ({"value": "x" * 4001}, OverLimit),
        ({"value": "nul \0", "description": "Other."}, UnusableText),
        ({"value": "half \ud800"}, UnusableText),
        ({"value": "late", "if_version": 7}, OutdatedRewrite),
        ({"description": "late", "if_version": 7}, OutdatedRewrite),
        ({"value": 5}, DeclarationError),
        ({"limit": 0}, DeclarationError),
        ({"read_only": 1}, DeclarationError),
        ({"tags": "ab"}, DeclarationError),
        ({"metadata": ["a"]}, DeclarationError),
        ({"description": 5}, DeclarationError),
    ],
)
async def test_a_change_that_is_refused_writes_nothing(wanted, error):
    store = MemoryStore()
    async with opened(store) as live:
        before = await live.blocks.retrieve("organization")
        log = await store.events()

        with pytest.raises(error) as refused:
            await live.blocks.modify("organization", **wanted)

        assert await live.blocks.retrieve("organization") == before
        assert await store.events() == log
        if error is OverLimit:
            assert refused.value.fresh == (before.value, 1, "owner")


async def test_a_text_is_written_over_the_version_that_was_read():
    async with opened() as live:
        read = await live.blocks.retrieve("organization")
        written = await live.blocks.modify(read, value="first", if_version=read.version)
        assert written.version == 2
        with pytest.raises(OutdatedRewrite):
            await live.blocks.modify(read, value="second", if_version=read.version)
        assert (await live.blocks.retrieve(read)).value == "first"


async def test_a_guard_binds_the_owner_unless_it_lets_the_owner_mend():
    strict = Block("strict", "1", guard=lambda change: None if change.new.isdigit() else "digits only")
    mild = Block("mild", "1", guard=lambda change: None if change.author.name == "owner" else "no")
    store, team = MemoryStore(), Team("team", [Agent("ann", blocks=[strict, mild])])
    async with opened(store, team) as live:
        with pytest.raises(Guarded, match="digits only"):
            await live.blocks.modify(strict, value="one", description="Written.")
        assert (await live.blocks.retrieve(strict)).description == ""
        assert (await live.blocks.modify(strict, value="22")).value == "22"
        assert (await live.blocks.modify(mild, value="free")).value == "free"


async def test_read_only_binds_agents_and_not_the_owner():
    answers: list[str] = []

    def think(request: ModelRequest) -> ModelResponse | str:
        if request.step == 0:
            arguments = {"label": "company_policies", "new_string": "Be rude."}
            return ModelResponse("", [ToolCall("memory_insert", arguments)])
        answer = request.messages[-1]
        assert isinstance(answer, ToolMessage)
        answers.append(answer.text)
        return request.blocks["company_policies"]

    async with Orchestrator(company(), model=FunctionModel(think)) as live:
        await live.blocks.modify("company_policies", value="Answer in German.")
        with anyio.fail_after(5):
            run = await live.agents.message("worker", "go")

    assert run.output == "Answer in German."
    assert "block 'company_policies' is read-only and cannot be changed by agents" in answers[0]
    assert run.blocks["company_policies"].version == 2


async def test_what_code_declares_counts_again_when_the_team_is_opened_again_but_the_text_stays():
    store = MemoryStore()
    async with opened(store) as live:
        await live.blocks.modify("organization", value="new", limit=10, description="Short.", read_only=True)
    async with opened(store) as live:
        block = await live.blocks.retrieve("organization")
    assert (block.value, block.version) == ("new", 2)
    assert (block.limit, block.description, block.read_only) == (4000, "What all should know.", False)


# --- closed


async def test_a_team_that_is_not_open_is_not_changed():
    live = opened()
    for call in (
        live.blocks.create("x"),
        live.blocks.list(),
        live.blocks.modify("organization", value="x"),
        live.blocks.delete("organization"),
        live.blocks.undo("organization"),
        live.agents.list(),
        live.agents.create("carol"),
        live.agents.modify("worker", instructions="x"),
        live.agents.delete("worker"),
        live.agents.message("worker", "x"),
        live.agents.blocks.attach("worker", "organization"),
        live.agents.blocks.detach("worker", "organization"),
    ):
        with pytest.raises(RunError, match="the orchestrator is not open"):
            await call
    async with live:
        assert [agent.name for agent in await live.agents.list()] == ["supervisor", "worker"]
    with pytest.raises(RunError, match="not open"):
        await live.blocks.retrieve("organization")
