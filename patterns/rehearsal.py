"""A stand-in for a language model: rules instead of understanding, so that a team can be rehearsed for free.

It splits what it is asked into sentences, searches for their words with the tools that any model has, and quotes
what it finds with file and line. It writes no fact of its own, and begins every text with a sign of what it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from orchestrator import ModelRequest, ModelResponse, ToolCall, ToolMessage, UserMessage, escape

_SIGN: Final = "[rehearsal, no language model]"
_NOTHING: Final = "Not found in the documents."
_UNDONE: Final = {status: [f"The task is not done, but {status}."] for status in ("open", "claimed", "failed")}
_SENTENCE_END: Final = re.compile(r"(?<=[.?!;])\s+|\n+")
_BULLET: Final = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")
_HIT: Final = re.compile(r"^(\S.*?:\d+): (.+)$", re.MULTILINE)
_HEAD: Final = re.compile(r"\d+\. \[(\w+)(?: by ([\w.-]+))?(?:, try \d+)?\] (?:\(after [\d, ]+\) )?(.+)")


class _Task(NamedTuple):
    """A task as it stands in a block."""

    block: str
    status: str
    by: str
    title: str
    result: list[str]


class RehearsalModel:
    """Plays each part by the tools it is offered; the same request gets the same answer."""

    async def respond(self, request: ModelRequest) -> ModelResponse:
        """Lead, if it can add tasks; do the task that it holds; look up what was asked; or ask the others."""
        offered = {spec.name for spec in request.tools}
        held = [task for task in _tasks(request) if task.status == "claimed" and task.by == request.agent]
        if "add_tasks" in offered:
            return _lead(request)
        if "settle_task" in offered and held:
            return _work(request, held[0])
        return _look_up(request) if "search_documents" in offered else _ask_others(request)


def _lead(request: ModelRequest) -> ModelResponse:
    """Split what was asked into tasks; when woken, answer with what the workers found."""
    if answers := _answers(request):
        return _say(answers[-1].text)
    questions = _asked(request)
    if questions is None:
        return _report((task.title, [*_UNDONE.get(task.status, ()), *task.result]) for task in _tasks(request))
    tasks = ToolCall("add_tasks", {"tasks": [escape(question) for question in questions]})
    return _say("", tasks) if questions else _say("There was no question to look into.")


def _work(request: ModelRequest, task: _Task) -> ModelResponse:
    """Search for the words of the task, share what was found, and settle the task with it."""
    found = _found(request, [task.title])
    if found is None:
        return _say("", ToolCall("search_documents", {"query": task.title}))
    answer = _answers(request)[-1]
    result = "\n".join(found[task.title]) or (_NOTHING if answer.ok else answer.text)
    settle = ToolCall("settle_task", {"result": escape(result)})
    return _say("", *_share(request, found[task.title], besides=task.block), settle)


def _look_up(request: ModelRequest) -> ModelResponse:
    """Search for what was asked, by a message or by a line in a block; share and say what was found."""
    asked, answers = _asked(request), _answers(request)
    questions = _written(request) if asked is None else asked
    if not questions or any(answer.name == "settle_task" for answer in answers):
        return _say(answers[-1].text if answers else "There was no question to look into.")
    found = _found(request, questions)
    if found is None:
        return _say("", *(ToolCall("search_documents", {"query": question}) for question in questions))
    lines = [f"{q} {line}" for q, quoted in found.items() for line in quoted or [f"Not found by {request.agent}."]]
    if not any(answer.name == "memory_insert" for answer in answers) and (shared := _share(request, lines)):
        return _say("", *shared)
    return _report(found.items())


def _ask_others(request: ModelRequest) -> ModelResponse:
    """Write the questions into a block for others to look up; when woken, answer with what they wrote."""
    asked, answers, text = _asked(request), _answers(request), "\n".join(request.blocks.values())
    if asked is None:
        return _report((q, re.findall(rf'^{re.escape(q)} (".*)$', text, re.MULTILINE)) for q in _written(request))
    shared = [] if answers else _share(request, [f"Asked: {question}" for question in asked])
    return _say("Whoever can search has been asked." if answers or shared else "There is nobody to ask.", *shared)


def _report(answered: Iterable[tuple[str, list[str]]]) -> ModelResponse:
    lines = ["Sentences that a search by words found; nobody has understood them."]
    for question, found in answered:
        lines += ["", question, *(f"  {line}" for line in found or [_NOTHING])]
    return _say("\n".join(lines))


def _asked(request: ModelRequest) -> list[str] | None:
    """The sentences of the message that this turn answers; None if a block woke the agent."""
    said = [message.text for message in request.messages if isinstance(message, UserMessage)]
    if not said or said[-1].startswith("[wake]"):
        return None
    parts = [_BULLET.sub("", part).strip() for part in _SENTENCE_END.split(said[-1])]
    return list(dict.fromkeys(part for part in parts if re.search(r"\w", part)))


def _written(request: ModelRequest) -> list[str]:
    """The questions that somebody wrote into a block."""
    return list(dict.fromkeys(re.findall(r"^Asked: (.+)$", "\n".join(request.blocks.values()), re.MULTILINE)))


def _answers(request: ModelRequest) -> list[ToolMessage]:
    """What tools have answered in this turn."""
    woken = max((at for at, message in enumerate(request.messages) if isinstance(message, UserMessage)), default=0)
    return [message for message in request.messages[woken:] if isinstance(message, ToolMessage)]


def _found(request: ModelRequest, questions: list[str]) -> dict[str, list[str]] | None:
    """The sentences that the searches of this turn found, quoted, by question. None before the search."""
    answers = [answer for answer in _answers(request) if answer.name == "search_documents"]
    quoted = [[f'"{said}" ({place})' for place, said in _HIT.findall(answer.text) if answer.ok] for answer in answers]
    return dict(zip(questions, quoted, strict=True)) if answers else None


def _share(request: ModelRequest, lines: list[str], besides: str = "") -> list[ToolCall]:
    """Insert those lines that are new into the first shared block that takes insertions, but for the one named."""
    specs = [spec.parameters["properties"]["label"]["enum"] for spec in request.tools if spec.name == "memory_insert"]
    for label in specs[0] if specs else ():
        if label != besides and f"<{label}>" in request.tail:
            new = [line for line in lines if line not in request.blocks[label].split("\n")]
            return [ToolCall("memory_insert", {"label": label, "new_string": escape("\n".join(new))})] if new else []
    return []


def _tasks(request: ModelRequest) -> list[_Task]:
    tasks: list[_Task] = []
    for label, text in request.blocks.items():
        for line in text.split("\n"):
            if head := _HEAD.fullmatch(line):
                tasks.append(_Task(label, head[1], head[2] or "", head[3], []))
            elif tasks and tasks[-1].block == label and line.startswith("   "):
                tasks[-1].result.append(line.strip())
    return tasks


def _say(text: str, *calls: ToolCall) -> ModelResponse:
    return ModelResponse(f"{_SIGN} {text}".strip(), calls)
