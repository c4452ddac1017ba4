"""What one user likes is known to all agents that serve them; a curator tidies it while nobody works.

Any of the agents adds a line to `user_preferences` when the user says what they like. The curator is a sleeptime agent:
it is woken after every fifth turn of the others, and once when they have nothing left to do. Its rewrite is refused if
anybody has added a line since it was shown the block, so it can never destroy one. What it does comes after the answer.
"""

from __future__ import annotations

import argparse

import anyio

from orchestrator import Agent, Model, Orchestrator, Store
from patterns import curate, search_documents, user_preferences

preferences = user_preferences("Speaks German.\nLikes museums.\nSpeaks German.")  # as it came from elsewhere
_SERVE = (
    "Answer the user, in the manner that `user_preferences` asks for. When the user says what they like or dislike, add"
    " it there, on a line of its own."
)
_TIDY = (
    "Bring `user_preferences` into order: one line for each preference, what is said twice once, what is newer wins."
)

team = curate(
    Agent("curator", _TIDY),
    preferences,
    [
        Agent("librarian", _SERVE, tools=[search_documents()]),
        Agent("concierge", _SERVE, tools=[search_documents()]),
    ],
    every=5,
    name="user_profile",
)


async def main(model: str | Model = "rehearsal", store: Store | None = None) -> None:
    async with Orchestrator(team, store, model=model) as live:
        async with anyio.create_task_group() as group:  # the user talks to both at once, and says the same to both
            group.start_soon(live.agents.message, "librarian", "I prefer short answers. Call me Kim. What is MemGPT?")
            group.start_soon(live.agents.message, "concierge", "I prefer short answers. I like trains.")
        run = await live.run("What is a memory block?")
        print(run.output)

        print("\nWhat is known of the user, version by version:")
        for revision in await live.blocks.history("user_preferences"):
            print(f"{revision.version}. {revision.operation} by {revision.by}: {revision.value.splitlines()}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A curator tidies what is known of a user, while nobody works.")
    parser.add_argument("--model", default="rehearsal", help="such as openai/gpt-5-mini [rehearsal]")
    anyio.run(main, parser.parse_args().model)
