"""Specialists append what they learn to one block, and all benefit: each sees it at its next step.

Two specialists know different documents. The analyst knows none, writes questions into `domain_knowledge` and answers
from what the specialists add. A third agent that comes later, without any documents, starts with all that was learned.
"""

from __future__ import annotations

import argparse

import anyio

from orchestrator import Agent, Model, Orchestrator, Store, Team, Wake
from patterns import domain_knowledge, search_documents

knowledge = domain_knowledge(limit=10_000)
_ASK = (
    "When you are asked something, write it into `domain_knowledge`, on a line that begins with 'Asked: '. You are"
    " woken when specialists have written: then answer from what they quote, and say plainly what nobody found."
)
_LOOK_UP = "Look up what was asked in `domain_knowledge` and add what you find, with its source, for all to use."

specialists = [
    Agent(
        name,
        _LOOK_UP,
        blocks=[knowledge.contributor()],  # whoever only inserts cannot destroy what others have learned
        wakes_on=[Wake(knowledge, by=["analyst"])],
        tools=[search_documents(part=part, of=2)],
    )
    for part, name in enumerate(("historian", "engineer"))
]
analyst = Agent("analyst", _ASK, blocks=[knowledge.contributor()], wakes_on=[Wake(knowledge, by=specialists)])
team = Team("knowledge_base", [analyst, *specialists])


async def main(model: str | Model = "rehearsal", store: Store | None = None) -> None:
    async with Orchestrator(team, store, model=model) as live:
        run = await live.run("What is MemGPT? Which tool is safe to use concurrently?")
        print(run.output)

        print("\nWho added what:")
        for line in await live.blocks.blame("domain_knowledge"):
            if line.text:
                print(f"  {line.by:10} {line.text[:100]}")

        await live.agents.create("newcomer", attach=[knowledge.reader()])
        known = await live.agents.blocks.retrieve("newcomer", "domain_knowledge")
        print(f"\nThe newcomer starts with {len(known.value.splitlines())} lines, which others have learned.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Specialists append what they learn to one block.")
    parser.add_argument("--model", default="rehearsal", help="such as openai/gpt-5-mini [rehearsal]")
    anyio.run(main, parser.parse_args().model)
