"""A parent watches the result blocks of its subagents while they work, and says something about each as it comes.

There is no barrier: the parent is woken by the first result while others still think. One worker, carol, writes into a
block of her own, which she shares with nobody; the program, not an agent, reads it there.
By default a stand-in answers, which thinks for some time and understands nothing.
"""

from __future__ import annotations

import argparse

import anyio

from orchestrator import Agent, Block, Model, ModelRequest, ModelResponse, Orchestrator, Store, Team, ToolCall
from orchestrator.testing import FunctionModel

SECONDS = {"parent": 0, "ann": 0.1, "bob": 0.5, "carol": 0.2}  # how long the stand-in thinks
brief = Block("brief", description="What is to be found out. Only the parent writes here.")
results = {name: Block(f"result_{name}", description=f"What {name} has found out.") for name in ("ann", "bob")}
_WORK = "Find out what the block `brief` asks for, and write it into your result block."


def worker(name: str, result: Block) -> Agent:
    return Agent(name, _WORK, blocks=[brief.reader(), result], wakes_on=[brief])


parent = Agent(
    "parent",
    "Write what you are asked into `brief`. You are woken by each result as it changes: comment on it in `comments`.",
    blocks=[
        brief,
        Block("comments", description="What you say about each result."),
        *(result.reader() for result in results.values()),
    ],
    wakes_on=results.values(),
)
workers = [worker(name, result) for name, result in results.items()]
team = Team("watching", [parent, *workers, worker("carol", Block("result", description="What carol has found out."))])


@FunctionModel
async def stand_in(request: ModelRequest) -> ModelResponse:
    """The parent briefs, then comments on how many results there are; workers write down what they were asked."""
    await anyio.sleep(SECONDS[request.agent])
    if request.step:
        return ModelResponse("That is all for now.")
    label, text = next(label for label in request.blocks if label.startswith("result")), f"{request.agent}'s result"
    if request.agent == "parent":
        there = [label for label, value in request.blocks.items() if label.startswith("result") and value]
        text = f"{len(there)} of {len(results)} are there: {', '.join(there)}" if there else request.messages[-1].text
        label = "comments" if there else "brief"
    return ModelResponse(tool_calls=[ToolCall("memory_insert", {"label": label, "new_string": text})])


async def tell(live: Orchestrator, label: str) -> None:
    """Print each change of a block, as it happens."""
    async with live.watch(block=label) as changes:
        async for change in changes:
            print(f"{change.by} writes into {label}")


async def main(model: str | Model = stand_in, store: Store | None = None) -> None:
    # The group is outside: the watchers end when the team is closed.
    async with anyio.create_task_group() as group, Orchestrator(team, store, model=model) as live:
        for label in ("comments", "result", *(result.label for result in results.values())):
            group.start_soon(tell, live, label)
        await live.run("What are memory blocks?")
        print((await live.blocks.retrieve("comments")).value or "The parent has commented on nothing.")
        result = await live.agents.blocks.retrieve("carol", "result")
        print(result.value or "Nothing", "was read by the program alone.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A parent watches the results of its subagents while they work.")
    parser.add_argument("--model", help="such as openai/gpt-5-mini [a stand-in that understands nothing]")
    anyio.run(main, parser.parse_args().model or stand_in)
