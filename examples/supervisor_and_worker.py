"""A supervisor and a worker share a block: what one writes, the other sees at its next step.

There is no other channel between them. Each has a block of its own besides, its persona, which the other never sees.
The supervisor writes a question into `organization`; that wakes the worker, who looks it up and writes what it finds
into the same block; that wakes the supervisor, who answers.

    python examples/supervisor_and_worker.py --model openai/gpt-5-mini
"""

from __future__ import annotations

import argparse

import anyio

from orchestrator import Agent, Block, Model, Orchestrator, Store, Team, Wake
from patterns import search_documents

organization = Block(
    "organization", "Organization: Letta", "What all agents of the organization should know.", limit=4000
)

supervisor = Agent(
    "supervisor",
    "When you are asked something, write the question into the block `organization`, on a line that begins with"
    " 'Asked: '. You are woken when the worker has written: then answer from what stands there.",
    blocks=[Block("persona", "I am a supervisor."), organization],
    wakes_on=[Wake(organization, by=["worker"])],
)
worker = Agent(
    "worker",
    "When there is a new question in the block `organization`, look it up and write there what you find.",
    blocks=[Block("persona", "I am a worker."), organization.contributor()],  # may insert, and change nothing else
    wakes_on=[Wake(organization, by=["supervisor"])],
    tools=[search_documents()],
)
team = Team("company", [supervisor, worker])


async def main(model: str | Model = "rehearsal", store: Store | None = None) -> None:
    async with Orchestrator(team, store, model=model) as live:
        run = await live.run("Where do memory blocks come from?")
        print(run.output)

        print("\nWho wrote which line of the block `organization`:")
        for line in await live.blocks.blame("organization"):
            print(f"  {line.by:10}  {line.text}")

        persona = await live.agents.blocks.retrieve("worker", "persona")
        print(f"\nOnly the worker sees this: {persona.value}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A supervisor and a worker share a block.")
    parser.add_argument("--model", default="rehearsal", help="such as openai/gpt-5-mini [rehearsal]")
    anyio.run(main, parser.parse_args().model)
