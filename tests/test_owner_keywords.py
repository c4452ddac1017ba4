"""The owner's calls in the words of those who come from Letta: `label=`, `name=`, and ids."""

from __future__ import annotations

import pytest

from orchestrator import Agent, DeclarationError, Orchestrator, Team
from orchestrator.testing import FunctionModel


def open_team() -> Orchestrator:
    return Orchestrator(Team("one", [Agent("ann")]), model=FunctionModel(lambda request: f"{request.agent}: ok"))


async def test_blocks_and_agents_are_made_by_keywords_and_meant_by_their_ids():
    async with open_team() as live:
        block = await live.blocks.create(label="organization", value="Organization: Letta", limit=4000)
        first = await live.agents.create(name="agent1", attach=[block.id])
        second = await live.agents.create(name="agent2", instructions="Be brief.")
        await live.agents.blocks.attach(second.id, block.id)

        assert [agent.id for agent in await live.blocks.agents(block.id)] == ["agent1", "agent2"]
        assert (await live.agents.blocks.retrieve(first.id, "organization")).value == "Organization: Letta"
        assert (await live.agents.message(second.id, "hello")).output == "agent2: ok"
        await live.agents.blocks.detach(second.id, block.id)
        assert [agent.name for agent in await live.blocks.agents(block.id)] == ["agent1"]


async def test_what_is_to_be_made_is_named_once():
    async with open_team() as live:
        with pytest.raises(DeclarationError, match="a block: is given 'a' and label='b'; give one of them"):
            await live.blocks.create("a", label="b")
        with pytest.raises(DeclarationError, match="a block: needs a label"):
            await live.blocks.create()
        with pytest.raises(DeclarationError, match="an agent: is given 'a' and name='b'; give one of them"):
            await live.agents.create("a", name="b")
        with pytest.raises(DeclarationError, match="an agent: needs a name"):
            await live.agents.create()
        assert [agent.name for agent in await live.agents.list()] == ["ann"]
        assert await live.blocks.list() == []
