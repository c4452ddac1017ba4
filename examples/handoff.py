"""One agent hands over to another with a note; the run's answer is that of whoever it was handed over to.

`triage` gets the message. Its tool `hand_off_to_specialist` writes a line into `handoff_context`, passes control and
ends its turn, all in one transaction: the specialist never starts without the note. The specialist may hand back; more
than four handoffs in one run are refused, so two who are each sure that it is the other's job do not play ping-pong.
"""

from __future__ import annotations

import argparse

import anyio

from orchestrator import Agent, HandedOver, Model, Orchestrator, Store
from patterns import hand_off, handoff_context, search_documents

_TRIAGE = "You greet the user. What is about memory blocks, hand over to the specialist, with all that was asked."
_SPECIALIST = "You know the documents. Answer what the note in `handoff_context` asks for, with file and line."

team = hand_off(
    Agent("triage", _TRIAGE),
    Agent("specialist", _SPECIALIST, tools=[search_documents()]),
    note=handoff_context(),
    limit=4,
)


async def tell(live: Orchestrator) -> None:
    """Print each handoff, as it happens."""
    async with live.watch() as events:
        async for event in events:
            if isinstance(event, HandedOver):
                print(f"{event.agent} hands over to {event.to}")


async def main(model: str | Model = "rehearsal", store: Store | None = None) -> None:
    # The group is outside: the watcher ends when the team is closed.
    async with anyio.create_task_group() as group, Orchestrator(team, store, model=model) as live:
        group.start_soon(tell, live)
        run = await live.run("Where do memory blocks come from?")
        print(run.output)
        print(f"\nIn turn: {[turn.agent for turn in run.turns]}. The note, and who wrote it:")
        for line in await live.blocks.blame("handoff_context"):
            print(f"  {line.by:10}  {line.text}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="One agent hands over to another with a note.")
    parser.add_argument("--model", default="rehearsal", help="such as openai/gpt-5-mini [rehearsal]")
    anyio.run(main, parser.parse_args().model)
