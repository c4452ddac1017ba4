"""A support desk from all five patterns, composed with `|`: one team, and nothing that a user could not build.

`triage` talks to the user and hands over to `expert`, who leads two workers over a queue of tasks; they add what they
learn to a knowledge base. What the user likes is noted by both and tidied by a curator. All act by one configuration.
Agents merge by name, so each pattern is said once and none knows of the others.
"""

from __future__ import annotations

import argparse

import anyio

from orchestrator import Agent, Model, Orchestrator, Store, Team
from patterns import (
    curate,
    domain_knowledge,
    hand_off,
    handoff_context,
    search_documents,
    supervise,
    system_config,
    task_queue,
    user_preferences,
)

config = system_config("language: English\ntone: friendly")
knowledge, preferences = domain_knowledge(), user_preferences()

triage = Agent("triage", "You greet the user, and hand over to the expert what is about memory blocks.")
expert = Agent("expert", "You answer what is asked in `handoff_context`, from what your workers find.")
curator = Agent("curator", "Keep `user_preferences` in order: one line for each preference.")
workers = [
    Agent(name, "Look things up and quote them, with file and line.", tools=[search_documents()])
    for name in ("historian", "engineer")
]

handing = hand_off(triage, expert, note=handoff_context(), back=False, name="support_desk")
working = supervise(expert, workers, tasks=task_queue())
adding = [Agent(worker.name, blocks=[knowledge.contributor()]) for worker in workers]
learning = Team("learning", [Agent("expert", blocks=[knowledge.reader()]), *adding])
profiling = curate(curator, preferences, [triage, expert])
configured = Team("configured", [Agent(agent.name, blocks=[config]) for agent in (triage, expert, curator, *workers)])

team = handing | working | learning | profiling | configured


async def main(model: str | Model = "rehearsal", store: Store | None = None) -> None:
    async with Orchestrator(team, store, model=model) as live:
        run = await live.run("I prefer short answers. What is MemGPT? Which tool is safe to use concurrently?")
        print(run.output)
        print(f"\nIn turn: {[turn.agent for turn in run.turns]}")
        for label in ("handoff_context", "task_queue", "domain_knowledge", "user_preferences", "system_config"):
            authors = {line.by for line in await live.blocks.blame(label) if line.text}
            users = [agent.name for agent in await live.blocks.agents(label)]
            print(f"{label}: seen by {', '.join(users)}; written by {', '.join(sorted(authors))}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A support desk from all five patterns.")
    parser.add_argument("--model", default="rehearsal", help="such as openai/gpt-5-mini [rehearsal]")
    anyio.run(main, parser.parse_args().model)
