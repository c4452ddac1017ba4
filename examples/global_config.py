"""One configuration for all agents, changed from outside while a run goes on: each sees it at its next step.

No agent can change `system_config`, whatever it is granted otherwise. Here the program changes it in the middle of the
clerk's turn, while a tool works; the clerk's next step already acts by the new text, and so does everybody else.
By default a stand-in answers, which says by which configuration it acts.
"""

from __future__ import annotations

import argparse

import anyio

from orchestrator import (
    Agent,
    Block,
    Model,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    StepTaken,
    Store,
    Team,
    ToolCall,
    Wake,
    tool,
)
from orchestrator.testing import FunctionModel
from patterns import system_config

config, log = system_config("language: English\nregion: EU"), Block("log", description="What was done, by whom.")
_HOW = "Act by `system_config`. Visit the site first, then write into `log` by which language you act."


@tool
async def visit_site() -> str:
    """Go and see for yourself; takes a while."""
    await anyio.sleep(0.2)
    return "All is well."


team = Team(
    "deployment",
    [
        Agent("clerk", _HOW, blocks=[config, log], tools=[visit_site]),
        Agent("auditor", _HOW, blocks=[config, log], tools=[visit_site], wakes_on=[Wake(log, by=["clerk"])]),
    ],
)


@FunctionModel
def stand_in(request: ModelRequest) -> ModelResponse:
    """Visit the site, write down the first line of the configuration, and say it."""
    acting = f"{request.agent}: {request.blocks['system_config'].splitlines()[0]}"
    calls = [ToolCall("visit_site"), ToolCall("memory_insert", {"label": "log", "new_string": acting})]
    return ModelResponse(acting, calls[request.step : request.step + 1])


async def tell(live: Orchestrator, key: str) -> None:
    """Print which version of the configuration each step was shown; change it after the clerk's first one."""
    async with live.watch() as events:
        async for event in events:
            if isinstance(event, StepTaken):
                print(f"{event.agent}, step {event.step}, was shown version {event.shown[key]}")
                if (event.agent, event.step) == ("clerk", 0):
                    await live.blocks.modify("system_config", value="language: German\nregion: EU")


async def main(model: str | Model = stand_in, store: Store | None = None) -> None:
    # The group is outside: the watcher ends when the team is closed.
    async with anyio.create_task_group() as group, Orchestrator(team, store, model=model) as live:
        group.start_soon(tell, live, (await live.blocks.retrieve("system_config")).key)
        print((await live.run("Do what there is to do.")).output)
        print((await live.blocks.retrieve("log")).value)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="One configuration for all agents, changed while a run goes on.")
    parser.add_argument("--model", help="such as openai/gpt-5-mini [a stand-in that says what it acts by]")
    anyio.run(main, parser.parse_args().model or stand_in)
