"""What happens when a block is full: old lines move to an archive, a curator condenses, or the owner raises the limit.

Without any of these, an insertion that does not fit is refused, and the answer says how much is there and how much may
be. `journal` overflows: its oldest lines move into `journal_archive`, in the transaction of the insertion. `notes` does
not: at four fifths of its limit it wakes a curator. By default a stand-in answers: the reporter writes what it is told,
the curator keeps the number of lines and the last one.
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
    Store,
    Team,
    ToolCall,
    UserMessage,
    Wake,
)
from orchestrator.testing import FunctionModel

archive = Block("journal_archive", description="Older lines of the journal.", limit=100_000)
journal = Block("journal", description="The latest, a line for each thing that happens.", limit=60, overflow=archive)
notes = Block("notes", description="What matters, in few lines.", limit=80)
team = Team(
    "newsroom",
    [
        Agent("reporter", "Write what you are told into `journal` and into `notes`.", blocks=[journal, notes]),
        Agent(
            "curator",
            "You are woken when `notes` is nearly full: say the same in fewer words.",
            blocks=[notes.curator(), archive.reader()],
            wakes_on=[Wake(notes, full=0.8)],
        ),
    ],
)


@FunctionModel
def stand_in(request: ModelRequest) -> ModelResponse:
    """The reporter writes down what it is told; the curator keeps the number of lines and the last one."""
    if request.step:
        return ModelResponse(request.messages[-1].text)
    if request.agent == "curator":
        lines = request.blocks["notes"].splitlines()
        text = f"({len(lines) - 1} before)\n{lines[-1]}"
        return ModelResponse(tool_calls=[ToolCall("memory_rethink", {"label": "notes", "new_memory": text})])
    told = [message.text for message in request.messages if isinstance(message, UserMessage)][-1]
    inserts = [ToolCall("memory_insert", {"label": label, "new_string": told}) for label in ("journal", "notes")]
    return ModelResponse(tool_calls=inserts)


async def main(model: str | Model = stand_in, store: Store | None = None) -> None:
    async with Orchestrator(team, store, model=model) as live:
        for hour in range(8, 12):
            await live.run(f"At {hour:02} the river rose.")
        for label in ("journal", "journal_archive", "notes"):
            block = await live.blocks.retrieve(label)
            print(f"{label}, {len(block.value)} of {block.limit} characters, last by {block.by}:\n{block.value}\n")

        print((await live.run("At noon " + "it rained and rained " * 5)).output)  # refused: it can never fit
        await live.blocks.modify("notes", limit=500)
        await live.run("At noon " + "it rained and rained " * 5)
        print("After its limit was raised:", (await live.blocks.retrieve("notes")).value)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What happens when a block is full.")
    parser.add_argument("--model", help="such as openai/gpt-5-mini [a stand-in that writes what it is told]")
    anyio.run(main, parser.parse_args().model or stand_in)
