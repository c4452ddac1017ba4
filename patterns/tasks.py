"""The text of a task queue: what a line means, and which changes of it are legal.

    1. [done by ann] Find where the idea comes from
       From MemGPT, a research project.
    2. [claimed by bob] Find what it is used for
    3. [open] (after 1, 2) Compare the two

A task is one line that begins with its number; its details and its result stand indented below it.
`try 2` beside the status counts the attempts. Other lines are notes, and mean nothing to the queue.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Final, Literal

from orchestrator import Change

Status = Literal["open", "claimed", "done", "failed"]

_HEAD: Final = re.compile(
    r"(?P<number>[1-9]\d{0,8})\. "
    r"\[(?P<status>open|claimed|done|failed)(?: by (?P<by>[A-Za-z0-9_][A-Za-z0-9_.-]*))?"
    r"(?:, try (?P<attempt>\d{1,6}))?\] "
    r"(?:\(after (?P<after>\d{1,9}(?:, \d{1,9})*)\) )?"
    r"(?P<title>\S.*)"
)
_INDENT: Final = "   "

#: How far ahead of the highest number an agent may number a task: a slip must not use the numbers up.
_AHEAD: Final = 1000


@dataclass(frozen=True)
class Task:
    """One task as it stands in the text."""

    number: int
    title: str
    status: Status = "open"
    #: Who holds it, or who settled it.
    by: str = ""
    attempt: int = 1
    #: The tasks that have to be done first.
    after: tuple[int, ...] = ()
    #: Details and result, without the indent.
    body: tuple[str, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether nobody will work on it any more."""
        return self.status in ("done", "failed")

    def lines(self) -> list[str]:
        """The task as text."""
        by = f" by {self.by}" if self.by else ""
        attempt = f", try {self.attempt}" if self.attempt > 1 else ""
        after = f"(after {', '.join(map(str, self.after))}) " if self.after else ""
        return [
            f"{self.number}. [{self.status}{by}{attempt}] {after}{self.title}",
            *(_INDENT + line for line in self.body),
        ]


@dataclass(frozen=True)
class Queue:
    """The tasks and notes of a text, in order. `Queue.parse(text).text() == text`."""

    entries: tuple[Task | str, ...]

    @classmethod
    @lru_cache(maxsize=16)
    def parse(cls, text: str) -> Queue:
        """Read a text. What is not a task is a note."""
        entries: list[Task | str] = []
        bodies: dict[int, list[str]] = {}
        for line in text.split("\n") if text else ():
            last = len(entries) - 1
            if entries and isinstance(entries[last], Task) and line.startswith(_INDENT):
                bodies.setdefault(last, []).append(line.removeprefix(_INDENT))
            else:
                entries.append(_task(line) or line)
        for at, body in bodies.items():
            task = entries[at]
            assert isinstance(task, Task), "only tasks have bodies"
            entries[at] = replace(task, body=tuple(body))
        return cls(tuple(entries))

    def text(self) -> str:
        """The text again."""
        lines: list[str] = []
        for entry in self.entries:
            lines += entry.lines() if isinstance(entry, Task) else [entry]
        return "\n".join(lines)

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, in order."""
        return tuple(entry for entry in self.entries if isinstance(entry, Task))

    @property
    def notes(self) -> list[str]:
        """The other lines."""
        return [entry for entry in self.entries if isinstance(entry, str)]

    @cached_property
    def ready(self) -> tuple[Task, ...]:
        """The open tasks that may start: all that they come after is done."""
        undone = {task.number for task in self.tasks if task.status != "done"}
        done = {task.number for task in self.tasks} - undone
        return tuple(task for task in self.tasks if task.status == "open" and done.issuperset(task.after))

    def held_by(self, agent: str) -> list[Task]:
        """The tasks that an agent holds."""
        return [task for task in self.tasks if task.status == "claimed" and task.by == agent]

    def with_task(self, old: Task, new: Task) -> Queue:
        """The queue with one of its tasks changed; of several that read the same, the first."""
        at = self.entries.index(old)
        return Queue((*self.entries[:at], new, *self.entries[at + 1 :]))

    def added(self, new: list[Task]) -> Queue:
        """The queue with tasks at its end, numbered on from the highest number."""
        highest = max((task.number for task in self.tasks), default=0)
        return Queue((*self.entries, *(replace(task, number=highest + place) for place, task in enumerate(new, 1))))


def ready(text: str) -> int:
    """How many tasks may start now."""
    return len(Queue.parse(text).ready)


def finished(text: str) -> bool:
    """Whether there are tasks, and nobody works on one or ever can: all are settled, or wait for what failed."""
    queue = Queue.parse(text)
    return bool(queue.tasks) and not queue.ready and not any(task.status == "claimed" for task in queue.tasks)


def claim(text: str, agent: str) -> str | None:
    """The text with the first task that may start claimed for the agent, unless it holds one already."""
    queue = Queue.parse(text)
    if not queue.ready or queue.held_by(agent):
        return None
    task = queue.ready[0]
    return queue.with_task(task, replace(task, status="claimed", by=agent)).text()


def give_back(text: str, agent: str, tries: int) -> str | None:
    """The text with the agent's task open for the next try; failed after the last. Never longer than before."""
    queue = Queue.parse(text)
    for task in queue.held_by(agent):
        if task.attempt < tries:
            again = replace(task, status="open", by="", attempt=task.attempt + 1)
        else:
            again = replace(task, status="failed", by="")
        queue = queue.with_task(task, again)
    return queue.text()


def legal(change: Change) -> str | None:
    """The guard of a task queue: agents may add tasks, and settle or give back the one that they hold.

    Nobody claims by hand: who is claimed for when its turn starts gives back when its turn ends.

    Owner and engine may mend anything.
    """
    if not change.author.is_agent:
        return None
    old, new = Queue.parse(change.old), Queue.parse(change.new)
    return _illegal_notes(old, new) or _illegal_tasks(old, new, change.author.name)


def _illegal_notes(old: Queue, new: Queue) -> str | None:
    for note in Counter(new.notes) - Counter(old.notes):
        if note.strip():
            return (
                f"the line {note!r} is not understood. Write a task as '7. [open] what to do',"
                " or '7. [open] (after 3, 4) what to do', and its details indented by three spaces below it"
            )
    return None


def _illegal_tasks(old: Queue, new: Queue, me: str) -> str | None:
    before = {task.number: task for task in old.tasks}
    after = Counter(task.number for task in new.tasks)
    for number, times in after.items():
        if times > 1:
            return f"two tasks would have the number {number}"
    for number in before:
        if number not in after:
            return f"task {number} would be gone; tasks are settled, not removed"
    highest = max(before, default=0)
    for task in new.tasks:
        was = before.get(task.number)
        if was is None and task.number > highest + _AHEAD:
            return f"the number {task.number} is far from those before it; number on from {highest + 1}"
        if was != task and (problem := _illegal_change(was, task, me) or _illegal_order(was, task, after)):
            return problem
    return None


def _illegal_change(was: Task | None, task: Task, me: str) -> str | None:
    number = task.number
    if was is None:
        new = Task(number, task.title, after=task.after, body=task.body)
        return None if task == new else f"a new task is open: write it as '{number}. [open] {task.title}'"
    if was.settled:
        return f"task {number} is settled; add a new task instead"
    if was.status == "claimed" and was.by != me:
        return f"task {number} is held by {was.by}, not by you"
    if was.status == "open":
        if task.status == "open" and task.attempt == was.attempt and not task.by:
            return None
        return f"task {number} is open; it is claimed for a worker when the worker's turn starts, and by nobody else"
    if task == replace(was, status="open", by="", attempt=was.attempt + 1):
        return None
    if task.status != "open" and task == replace(was, status=task.status, body=task.body):
        return None
    return f"task {number} is yours: you may settle it, give it back or add to it, and change nothing else of it"


def _illegal_order(was: Task | None, task: Task, numbers: Mapping[int, int]) -> str | None:
    if was is None or was.after != task.after:
        for number in task.after:
            if number >= task.number or number not in numbers:
                return f"task {task.number} cannot come after {number}: name tasks with a smaller number"
    return None


@lru_cache(maxsize=4096)
def _task(line: str) -> Task | None:
    found = _HEAD.fullmatch(line)
    if found is None:
        return None
    task = Task(
        number=int(found["number"]),
        title=found["title"],
        status=found["status"],  # type: ignore[arg-type]  # the expression has these words only
        by=found["by"] or "",
        attempt=int(found["attempt"] or 1),
        after=tuple(int(number) for number in (found["after"] or "").split(", ") if number),
    )
    # "try 01" or "try 1" would not be written back as it stands: such a line is a note.
    return task if task.lines() == [line] else None
