"""A supervisor and workers, joined by a queue of tasks."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial
from typing import Annotated, Final

from pydantic import BaseModel, Field

from orchestrator import (
    Agent,
    Block,
    BlockEdit,
    DeclarationError,
    Grant,
    Team,
    Tool,
    ToolContext,
    ToolError,
    Update,
    Wake,
    prompt,
    tool,
    unescape,
)
from patterns.given import one_agent, one_block, several_agents
from patterns.tasks import Queue, Task, claim, finished, give_back, legal, ready


class NewTask(BaseModel):
    """A task to add."""

    title: Annotated[str, Field(description="What to do, in one line that makes sense by itself.")]
    after: Annotated[
        list[int],
        Field(description="Numbers of tasks to be done first. New tasks are numbered on from the highest, in order."),
    ] = []


def task_queue(value: str = "", *, label: str = "task_queue", limit: int = 50_000, key: str | None = None) -> Block:
    """A block of tasks, which people and agents can read and edit.

    Its guard lets agents add tasks and settle those that they hold, and nothing else, by whatever tool;
    the owner may change anything.
    """
    return Block(label, value, prompt("task_queue_block"), limit=limit, guard=legal, key=key)


def supervise(
    lead: Agent, workers: Iterable[Agent], *, tasks: Block | None = None, tries: int = 3, name: str = "supervised"
) -> Team:
    """A team in which the lead writes tasks, each open task starts a free worker, and the lead answers at the end.

    A task is claimed for its worker in the transaction that starts the worker's turn, so it is held by
    exactly one. A turn that ends without settling its task gives it back; after `tries` turns it is marked
    as failed. The lead is woken when all tasks are settled, or when none of the rest can ever start.
    """
    where = "supervise()"
    one_agent(where, lead)
    crew = several_agents(where, "workers", workers)
    if not crew:
        raise DeclarationError(where, "needs at least one worker")
    if any(worker.name == lead.name for worker in crew):
        raise DeclarationError(where, f"{lead.name!r} is both the lead and a worker")
    if isinstance(tries, bool) or not isinstance(tries, int) or tries < 1:
        raise DeclarationError(where, f"tries is {tries!r}; give 1 or more")
    tasks = task_queue() if tasks is None else one_block(where, tasks)
    if tasks.guard is not legal:
        raise DeclarationError(where, f"block {tasks.label!r} is no task queue; make it with task_queue()")
    answers, works = _wakes(tasks, tries)
    adds, settles = _add_tasks(tasks.label), _settle_task(tasks.label)
    leading = prompt("task_queue_supervisor", label=tasks.label, workers=len(crew))
    working = prompt("task_queue_worker", label=tasks.label)
    return Team(
        name,
        [
            lead.merged(Agent(lead.name, leading, blocks=[tasks], wakes_on=[answers], tools=[adds])),
            *(
                worker.merged(Agent(worker.name, working, blocks=[tasks], wakes_on=[works], tools=[settles]))
                for worker in crew
            ),
        ],
    )


# Made once for each queue, so that teams over one queue compose: their workers are one pool, their tools the same.

#: How many queues are remembered; the oldest is then given another pool, which its former workers are not in.
_REMEMBERED: Final = 10_000


@lru_cache(maxsize=_REMEMBERED)
def _wakes(tasks: Block, tries: int) -> tuple[Wake, Wake]:
    """What wakes the lead, and the workers."""
    works = Wake(tasks, when=ready, claim=claim, release=partial(give_back, tries=tries))
    return Wake(tasks, when=finished), works


@lru_cache
def _add_tasks(label: str) -> Tool:
    @tool(needs={label: Grant.REPLACE})
    async def add_tasks(tasks: list[NewTask | str]) -> BlockEdit:
        """Add tasks to the queue. Each open task starts a free worker, as soon as what it comes after is done."""
        new = [_new(task) for task in tasks]
        if not new:
            raise ToolError("no task was given, so none was added")
        return BlockEdit(label, Update(lambda text: Queue.parse(text).added(new).text()))

    return add_tasks


@lru_cache
def _settle_task(label: str) -> Tool:
    @tool(needs={label: Grant.REPLACE})
    async def settle_task(context: ToolContext, result: str, failed: bool = False) -> BlockEdit:
        """Finish the task that you hold: with its result, or with failed=true and the reason why it cannot be done."""

        def settled(text: str) -> str:
            queue = Queue.parse(text)
            held = queue.held_by(context.agent)
            if not held:
                raise ToolError("you hold no task, so there is none to settle")
            return queue.with_task(held[0], _settled(held[0], unescape(result), failed)).text()

        return BlockEdit(label, Update(settled))

    return settle_task


def _new(task: NewTask | str) -> Task:
    if isinstance(task, str):
        task = NewTask(title=task)
    title = " ".join(unescape(task.title).split())
    if not title or title.startswith("(after "):
        raise ToolError(f"the title {title!r} does not say what to do; give what comes first in `after`")
    return Task(0, title, after=tuple(dict.fromkeys(task.after)))


def _settled(task: Task, result: str, failed: bool) -> Task:
    body = (*task.body, *result.strip().split("\n")) if result.strip() else task.body
    return Task(task.number, task.title, "failed" if failed else "done", task.by, task.attempt, task.after, body)
