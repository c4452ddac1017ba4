"""Both ends of a task queue: who splits a request into tasks, and who does one."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from orchestrator import ModelRequest, ModelResponse, ToolCall, escape
from patterns.rehearsal.reading import answers, asked
from patterns.rehearsal.saying import NO_QUESTION, NOTHING, report, say, share
from patterns.rehearsal.searching import found

_UNDONE: Final = {status: [f"The task is not done, but {status}."] for status in ("open", "claimed", "failed")}
_HEAD: Final = re.compile(r"\d+\. \[(\w+)(?: by ([\w.-]+))?(?:, try \d+)?\] (?:\(after [\d, ]+\) )?(.+)")


class _Task(NamedTuple):
    """A task as it stands in a block."""

    block: str
    status: str
    by: str
    title: str
    result: list[str]


def held(request: ModelRequest) -> bool:
    """Whether the agent holds a task."""
    return bool(_held(request))


def lead(request: ModelRequest) -> ModelResponse:
    """Split what was asked into tasks; when woken, answer with what the workers found."""
    if told := answers(request):
        return say(told[-1].text)
    questions = asked(request)
    if questions is None:
        return report((task.title, [*_UNDONE.get(task.status, ()), *task.result]) for task in _tasks(request))
    tasks = ToolCall("add_tasks", {"tasks": [escape(question) for question in questions]})
    return say("", tasks) if questions else say(NO_QUESTION)


def work(request: ModelRequest) -> ModelResponse:
    """Search for the words of the task that the agent holds, share what was found, and settle the task with it."""
    task = _held(request)[0]
    quoted = found(request, [task.title])
    if quoted is None:
        return say("", ToolCall("search_documents", {"query": task.title}))
    answer = answers(request)[-1]
    result = "\n".join(quoted[task.title]) or (NOTHING if answer.ok else answer.text)
    settle = ToolCall("settle_task", {"result": escape(result)})
    return say("", *share(request, quoted[task.title], besides=task.block), settle)


def _held(request: ModelRequest) -> list[_Task]:
    return [task for task in _tasks(request) if task.status == "claimed" and task.by == request.agent]


def _tasks(request: ModelRequest) -> list[_Task]:
    tasks: list[_Task] = []
    for label, text in request.blocks.items():
        for line in text.split("\n"):
            if head := _HEAD.fullmatch(line):
                tasks.append(_Task(label, head[1], head[2] or "", head[3], []))
            elif tasks and tasks[-1].block == label and line.startswith("   "):
                tasks[-1].result.append(line.strip())
    return tasks
