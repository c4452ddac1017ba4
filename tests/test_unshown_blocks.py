"""An agent that is attached to a block while it thinks has not been shown it, and rewrites nothing of it."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from orchestrator import Agent, Block, ModelRequest, ModelResponse, Orchestrator, Store, Team, ToolCall
from orchestrator.testing import FunctionModel, read_history, violations


@pytest.mark.parametrize(
    ("call", "text", "told"),
    [
        (
            ToolCall("memory_rethink", {"label": "notes", "new_memory": "ann was here"}),
            "bob wrote this",
            "was never shown to you; base your rewrite on version 1",
        ),
        (
            ToolCall("memory_insert", {"label": "notes", "new_string": "ann was here", "insert_line": 1}),
            "bob wrote this",
            "the block you were shown is empty",
        ),
        (
            ToolCall("memory_insert", {"label": "notes", "new_string": "ann was here"}),
            "bob wrote this\nann was here",
            "",
        ),
    ],
)
async def test_who_was_never_shown_a_block_rewrites_nothing_of_it(
    call: ToolCall, text: str, told: str, new_store: Callable[[], Store]
) -> None:
    notes, store = Block("notes", "bob wrote this"), new_store()
    team = Team("team", [Agent("ann"), Agent("bob", blocks=[notes])])
    thinking, attached = anyio.Event(), anyio.Event()
    answers: list[str] = []

    async def think(request: ModelRequest) -> ModelResponse:
        if request.step:
            answers.append(request.messages[-1].text)
            return ModelResponse("done")
        thinking.set()
        await attached.wait()
        return ModelResponse("", [call])

    with anyio.fail_after(20):
        async with Orchestrator(team, store, model=FunctionModel(think)) as live, anyio.create_task_group() as group:
            group.start_soon(live.run, "go")
            await thinking.wait()
            await live.agents.blocks.attach("ann", "notes", grant="rethink")
            attached.set()
            await live.wait_idle()
            assert (await live.blocks.retrieve("notes")).value == text
    assert told in answers[0]
    assert violations(await read_history(store, team)) == []
