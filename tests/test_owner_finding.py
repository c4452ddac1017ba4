"""How the owner of a live team finds its blocks."""

from __future__ import annotations

import anyio
import pytest
from owned import opened, organization

from orchestrator import (
    AmbiguousLabel,
    DeclarationError,
    UnknownName,
)

# --- retrieve, and names


async def test_a_block_is_found_by_name_id_declaration_attachment_and_as_it_was_read():
    async with opened() as live:
        found = await live.blocks.retrieve("organization")

        assert found.value == "Organization: Letta"
        for reference in (found.id, organization, organization.reader(), found):
            assert await live.blocks.retrieve(reference) == found
        assert (await live.blocks.retrieve("worker/persona")).value == "I am a worker"
        assert (await live.blocks.retrieve("worker/organization")) == found


async def test_a_name_that_is_not_clear_or_not_there_lists_the_names_there_are():
    async with opened() as live:
        with pytest.raises(AmbiguousLabel) as ambiguous:
            await live.blocks.retrieve("persona")
        assert ambiguous.value.candidates == ("supervisor/persona", "worker/persona")
        with pytest.raises(
            UnknownName, match="has no block 'nothing'; it has: supervisor/persona, organization, worker/"
        ):
            await live.blocks.retrieve("nothing")
        with pytest.raises(DeclarationError, match="42 is no block; give its name, its id or its declaration"):
            await live.blocks.retrieve(42)


async def test_a_block_that_nobody_sees_leaves_the_label_to_the_one_that_is_seen():
    async with opened() as live:
        second = await live.blocks.create("organization", "another")
        assert (await live.blocks.retrieve("organization")).value == "Organization: Letta"

        await live.agents.create("carol", attach=[second])

        with pytest.raises(AmbiguousLabel, match="supervisor/organization, carol/organization"):
            await live.blocks.retrieve("organization")
        with anyio.fail_after(5):
            run = await live.run("go")
        assert run.blocks["carol/organization"].value == "another"
        assert run.blocks["worker/organization"].value == "Organization: Letta"
        assert sorted(run.blocks) == [
            "carol/organization",
            "company_policies",
            "supervisor/organization",
            "supervisor/persona",
            "worker/persona",
        ]


async def test_two_blocks_of_one_label_that_nobody_sees_are_called_by_their_ids():
    async with opened() as live:
        one = await live.blocks.create("facts", "1")
        assert (await live.blocks.retrieve("facts")) == one
        two = await live.blocks.create("facts", "2")

        with pytest.raises(AmbiguousLabel) as ambiguous:
            await live.blocks.retrieve("facts")
        assert ambiguous.value.candidates == (one.id, two.id)
        assert (await live.blocks.retrieve(two.id)).value == "2"


# --- list


async def test_blocks_are_listed_in_the_order_of_their_creation():
    async with opened() as live:
        facts = await live.blocks.create("facts")
        labels = ["persona", "organization", "persona", "company_policies", "facts"]

        async def listed(**options):
            return [block.label for block in await live.blocks.list(**options)]

        assert await listed() == labels
        assert await listed(order="desc") == labels[::-1]
        assert await listed(label="persona") == ["persona", "persona"]
        assert await listed(label_search="ORG") == ["organization"]
        assert await listed(label_search="o", limit=2) == ["persona", "organization"]
        assert await listed(after="organization", limit=1) == ["persona"]
        assert await listed(after=facts) == []
        assert await listed(before=organization) == ["persona"]
        assert await listed(order="desc", before=organization) == labels[:1:-1]
        assert await listed(order="desc", after=organization) == ["persona"]
        assert await listed(after="supervisor/persona", before=facts.id) == labels[1:4]
        assert await listed(after=facts, before=organization) == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"order": "up"}, "order is 'up'; choose 'asc' or 'desc'"),
        ({"limit": 0}, "limit is 0; give 1 or more"),
        ({"limit": True}, "limit is True"),
        ({"after": "nothing"}, "has no block 'nothing'"),
        ({"before": "company:nothing"}, "has no block 'company:nothing'"),
        ({"before": "persona"}, "names several blocks"),
    ],
)
async def test_a_list_that_makes_no_sense_is_refused(options, problem):
    async with opened() as live:
        with pytest.raises(DeclarationError, match=problem):
            await live.blocks.list(**options)


async def test_the_place_in_a_list_of_a_block_that_was_deleted_is_not_known():
    async with opened() as live:
        gone = await live.blocks.create("gone")
        await live.blocks.delete(gone)
        with pytest.raises(UnknownName, match="any more"):
            await live.blocks.list(after=gone)


async def test_the_agents_that_see_a_block_are_listed():
    async with opened() as live:
        agents = await live.blocks.agents("organization")

        assert [agent.name for agent in agents] == ["supervisor", "worker"]
        assert [str(attached.grant) for attached in agents[1].blocks] == ["replace", "insert", "read"]
        (last,) = await live.blocks.agents("organization", order="desc", limit=1)
        assert last == await live.agents.retrieve("worker")
