"""Two researchers write into one block at the same time, each line prefixed by who found it. No line is lost.

They search the web where EXA_API_KEY is set, else the documents that come with us. Any other function will do:

    @tool
    async def search_archive(query: str) -> str:
        '''Search our archive.'''

    team(search_archive)

By default a stand-in answers, which understands nothing: it searches for what it is told and notes the first line.
"""

from __future__ import annotations

import argparse
import os

import anyio

from orchestrator import (
    Agent,
    Block,
    Model,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    Store,
    Team,
    Tool,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from orchestrator.testing import FunctionModel
from patterns import search_documents, web_search

QUESTIONS = {"ada": "How are memory blocks connected with Letta?", "ben": "What is the origin of memory blocks?"}
_HOW = "Search for what you are asked, and insert what you learn into `organization`, prepended with your name: '{}: '."


def team(search: Tool | None = None) -> Team:
    """Two researchers with a block and a search tool."""
    search = search or (web_search() if os.environ.get("EXA_API_KEY") else search_documents())
    organization = Block("organization", "Organization: Letta", "What we know of the organization.", limit=4000)
    return Team(
        "research", [Agent(name, _HOW.format(name), blocks=[organization], tools=[search]) for name in QUESTIONS]
    )


@FunctionModel
def stand_in(request: ModelRequest) -> ModelResponse:
    """Search, note the first line of what was found, say so."""
    last = request.messages[-1]
    if isinstance(last, UserMessage):
        search = next(spec.name for spec in request.tools if not spec.name.startswith("memory_"))
        return ModelResponse(tool_calls=[ToolCall(search, {"query": last.text})])
    if isinstance(last, ToolMessage) and last.name != "memory_insert":
        note = f"{request.agent}: {last.text.splitlines()[0]}"
        return ModelResponse(tool_calls=[ToolCall("memory_insert", {"label": "organization", "new_string": note})])
    return ModelResponse("I have noted the first line that I found.")


async def main(model: str | Model = stand_in, store: Store | None = None) -> None:
    async with Orchestrator(team(), store, model=model) as live:
        async with anyio.create_task_group() as group:  # both at the same time
            for name, question in QUESTIONS.items():
                group.start_soon(live.agents.message, name, question)

        print((await live.blocks.retrieve("organization")).value)
        for revision in await live.blocks.history("organization"):
            print(f"version {revision.version}: {revision.operation} by {revision.by}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Two researchers write into one block at the same time.")
    parser.add_argument("--model", help="such as openai/gpt-5-mini [a stand-in that understands nothing]")
    anyio.run(main, parser.parse_args().model or stand_in)
