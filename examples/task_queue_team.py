"""A supervisor and workers share a queue of tasks; a task that comes after others starts when those are done.

Each open task starts a free worker, who holds it from the first moment. Whoever ends a turn without settling its task,
fails or is lost gives it back. When nothing more can be done, the lead is woken and answers. The plan below was written
by a person; the lead adds to it what it is asked, and may say `after` as well.
"""

from __future__ import annotations

import argparse

import anyio

from orchestrator import Agent, Model, Orchestrator, Store, Team, TurnStarted
from patterns import domain_knowledge, search_documents, supervise, task_queue

PLAN = """\
1. [open] What is MemGPT?
2. [open] When was Letta announced?
3. [open] (after 1, 2) What became of the Letta server?"""

_HOW = "You find things out in documents. Quote what you find, with file and line; say plainly what you do not find."


def team(workers: int = 2) -> Team:
    """A lead and so many workers, who share what they learn besides."""
    knowledge = domain_knowledge()
    return supervise(
        Agent("lead", blocks=[knowledge.reader()]),
        [
            Agent(f"worker-{number}", _HOW, blocks=[knowledge.contributor()], tools=[search_documents()])
            for number in range(1, workers + 1)
        ],
        tasks=task_queue(PLAN),
        name="task_queue_team",
    )


async def watch(live: Orchestrator) -> None:
    """Say who is started, as it happens."""
    async with live.watch() as events:
        async for event in events:
            if isinstance(event, TurnStarted):
                print(f"{event.agent} starts")


async def main(model: str | Model = "rehearsal", store: Store | None = None) -> None:
    # The group is outside: the watcher ends when the team is closed.
    async with anyio.create_task_group() as group, Orchestrator(team(), store, model=model) as live:
        group.start_soon(watch, live)
        run = await live.run("Who can change a read-only block?")
        print(f"\n{run.output}\n\n{run.blocks['task_queue'].value}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A supervisor and workers share a queue of tasks.")
    parser.add_argument("--model", default="rehearsal", help="such as openai/gpt-5-mini [rehearsal]")
    anyio.run(main, parser.parse_args().model)
