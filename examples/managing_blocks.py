"""All that the owner of a live team can do with blocks: create, attach, detach, list, retrieve, modify, delete.

Your program is the owner. What it writes is in the history in its name, and agents see it at their next step.
"""

from __future__ import annotations

import argparse

import anyio

from orchestrator import Agent, Block, Model, Orchestrator, Store, Team

organization = Block("organization", "Organization: Letta", "What all of the company should know.", limit=4000)
team = Team(
    "company",
    [
        Agent("supervisor", blocks=[Block("human", "The human is called Bob."), organization]),
        Agent("worker", blocks=[Block("human", "The human is called Bob."), organization.contributor()]),
    ],
)


async def main(model: str | Model = "rehearsal", store: Store | None = None) -> None:
    async with Orchestrator(team, store, model=model) as live:
        blocks, of_agent = live.blocks, live.agents.blocks

        # Create a block; let two agents see it, each with what it may do; let one of them see it no longer.
        terms = await blocks.create("terms_of_service", "No spam.", description="What all must keep to.", limit=200)
        await of_agent.attach("supervisor", terms, grant="replace")
        await of_agent.attach("worker", terms, grant="read")
        await of_agent.detach("worker", "terms_of_service")

        # List all, by label, by a part of the label, or page by page.
        print("all:", [block.label for block in await blocks.list()])
        print("by label:", [block.agent for block in await blocks.list(label="human")])
        print("with 'org' in the label:", [block.label for block in await blocks.list(label_search="org")])
        page = await blocks.list(limit=2)
        print("page 1:", [block.label for block in page])
        print("page 2:", [block.label for block in await blocks.list(limit=2, after=page[-1])])

        # Retrieve one: by its label, its id, or the label by which an agent knows it.
        print("by label:", (await blocks.retrieve("organization")).value)
        print("by id:", (await blocks.retrieve(terms.id)).value)
        print("the worker's:", (await of_agent.retrieve("worker", "human")).value)

        # Change text, limit and description, all at once or nothing; or the text of an agent's own block.
        await blocks.modify(terms, value="No spam, no scraping.", limit=6000, description="Since May.")
        await of_agent.modify("worker", "human", value="The human is called Alice.")
        changed = await blocks.retrieve(terms.id)
        print(f"version {changed.version}, at most {changed.limit} characters: {changed.value}")

        # Who uses it?
        print("organization is used by:", [agent.name for agent in await blocks.agents("organization")])
        print("only the first:", [agent.name for agent in await blocks.agents("organization", limit=1, order="asc")])

        # A model works with what is there now. Then the block goes, for every agent; its history stays.
        run = await live.run("What are the terms of service?")
        print(f"run {run.status}, with the blocks:", sorted(run.blocks))
        await blocks.delete(terms)
        print("the supervisor's:", [block.label for block in await of_agent.list("supervisor")])
        print("once said:", [revision.value for revision in await blocks.history(terms.id)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What the owner of a live team can do with blocks.")
    parser.add_argument("--model", default="rehearsal", help="such as openai/gpt-5-mini [rehearsal]")
    anyio.run(main, parser.parse_args().model)
