"""A crew that works through a queue by rules: the lead adds tasks, each worker notes and settles the one it holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio

from orchestrator import Agent, Block, ModelRequest, ModelResponse, Team, ToolCall
from patterns import supervise, task_queue
from patterns.tasks import Queue


def crew(workers: int = 3) -> Team:
    """A lead and workers, with notes that the workers add to."""
    notes = Block("notes", limit=100_000)
    return supervise(
        Agent("lead", blocks=[notes.reader()]),
        [Agent(f"worker-{number}", blocks=[notes]) for number in range(workers)],
        tasks=task_queue(limit=100_000),
    )


class Rules:
    """Answers for the crew; the same request gets the same answer.

    Args:
        titles: of the tasks that the lead adds.
        think: how long to think about a request, in seconds.
        asked: is told of each request, before it is thought about.
    """

    def __init__(
        self,
        titles: Sequence[str],
        think: Callable[[ModelRequest], float],
        asked: Callable[[ModelRequest], object] = lambda request: None,
    ) -> None:
        self._titles = titles
        self._think = think
        self._asked = asked

    async def respond(self, request: ModelRequest) -> ModelResponse:
        """Do what comes next, by the blocks as they are shown."""
        self._asked(request)
        await anyio.sleep(self._think(request))
        queue = Queue.parse(request.blocks["task_queue"])
        if request.agent == "lead":
            if not queue.tasks:
                return ModelResponse("", [ToolCall("add_tasks", {"tasks": list(self._titles)})])
            return ModelResponse("all done" if all(task.settled for task in queue.tasks) else "begun")
        held = queue.held_by(request.agent)
        if not held:
            return ModelResponse("settled")
        title = held[0].title
        settle = ToolCall("settle_task", {"result": f"result of {title}"})
        if f"{title} by" in request.blocks["notes"]:
            return ModelResponse("", [settle])
        note = ToolCall("memory_insert", {"label": "notes", "new_string": f"{title} by {request.agent}"})
        return ModelResponse("", [note, settle])
