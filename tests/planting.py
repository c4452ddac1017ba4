"""Histories of teams that a witness has seen, and faults that are planted into them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import count
from typing import Any, TypeVar

import anyio

from orchestrator import Agent, Block, Environment, ModelError, Orchestrator, Team, Wake
from orchestrator.events import BlockChanged, BlockModified, Event, TurnEnded
from orchestrator.ports import Committed, Transaction
from orchestrator.stores import MemoryStore
from orchestrator.testing import History, ScriptedModel, edit, read_history, violations

_T = TypeVar("_T")


class Numbered(Environment):
    """Ids that a test can name: run-1, turn-2."""

    def __init__(self) -> None:
        super().__init__()
        self._counts: dict[str, count[int]] = {}

    def new_id(self, kind: str) -> str:
        return f"{kind}-{next(self._counts.setdefault(kind, count(1)))}"


class Witnessed(MemoryStore):
    """Keeps the events of each commit."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[tuple[Event, ...]] = []

    async def transact(self, work: Callable[[Transaction], _T]) -> Committed[_T]:
        committed = await super().transact(work)
        self.commits.append(committed.events)
        return committed


async def seen(
    team: Team, script: Mapping[str, Iterable[Any]], *messages: str, acts: Callable[[Orchestrator], Any] | None = None
) -> History:
    """What happened when the agents were told something, one after the other, and followed the script."""
    store = Witnessed()
    with ScriptedModel(script) as model:
        async with Orchestrator(team, store, model=model, environment=Numbered()) as live:
            with anyio.fail_after(10):
                for name in messages:
                    await live.run("go", agent=name)
                if acts is not None:
                    await acts(live)
    history = await read_history(store, team, commits=store.commits)
    assert violations(history) == []
    return history


# --- histories


def pair(**options: Any) -> Team:
    """Ann may rewrite the notes, bob may add to them."""
    notes = Block("notes", limit=1000, **options)
    return Team("pair", [Agent("ann", blocks=[notes.curator()]), Agent("bob", blocks=[notes.contributor()])])


KEY = "pair:notes"


async def noted(**options: Any) -> History:
    """Versions 2 and 3 are bob's insertions, in turn-1; 4 is ann's rewrite in turn-2, who was shown 3; 5 is bob's."""
    script = {
        "bob": [
            edit("memory_insert", "notes", new_string="tea at four"),
            edit("memory_insert", "notes", new_string="cake at five"),
            "noted",
            edit("memory_insert", "notes", new_string="cards at six"),
            "noted again",
        ],
        "ann": [edit("memory_rethink", "notes", new_memory="cake at five\ntea at four"), "tidied"],
    }
    return await seen(pair(**options), script, "bob", "ann", "bob")


def open_tasks(text: str) -> int:
    """How many tasks nobody holds."""
    return sum(line.endswith(":") for line in text.split("\n"))


def take(text: str, agent: str) -> str | None:
    """Hold the first task that nobody holds."""
    lines = text.split("\n")
    at = next((at for at, line in enumerate(lines) if line.endswith(":")), None)
    if at is None or any(line.endswith(f":{agent}") for line in lines):
        return None
    return "\n".join([*lines[:at], lines[at] + agent, *lines[at + 1 :]])


def put_back(text: str, agent: str) -> str:
    """Hold nothing."""
    return "\n".join(line.removesuffix(agent) if line.endswith(f":{agent}") else line for line in text.split("\n"))


def crew(tasks: str = "one:\ntwo:", *, when: Callable[[str], int] = open_tasks, **options: Any) -> Team:
    """Two workers and a lead, who may edit the queue."""
    queue = Block("queue", tasks, **options)
    works = Wake(queue, when=when, claim=take, release=put_back)
    workers = [Agent(name, blocks=[queue], wakes_on=[works]) for name in ("bob", "eve")]
    return Team("crew", [Agent("ann", blocks=[queue]), *workers])


QUEUE = "crew:queue"


async def worked(**options: Any) -> History:
    """Bob takes task one (version 2) and eve task two (3), and each settles its own (4, 5). In simulated time."""

    def settle(name: str, after: float) -> Any:
        return edit("memory_replace", "queue", old_string=f":{name}", new_string=" done", after=after)

    script = {"ann": ["begin"], "bob": [settle("bob", 1), "done"], "eve": [settle("eve", 2), "done"]}
    return await seen(crew(**options), script, "ann")


async def returned(**options: Any) -> History:
    """Ann writes a note (version 2); bob takes the only task (3) and fails, so that it goes back (4); then he takes it
    again (5) and settles it (6).
    """
    queue = Block("queue", "one:", **options)
    works = Wake(queue, when=lambda text: open_tasks(text) if "note" in text else 0, claim=take, release=put_back)
    team = Team("crew", [Agent("ann", blocks=[queue]), Agent("bob", blocks=[queue], wakes_on=[works])])
    note = edit("memory_insert", "queue", new_string="a note", insert_line=0)
    settle = edit("memory_replace", "queue", old_string=":bob", new_string=" done")
    return await seen(team, {"ann": [note, "begun"], "bob": [ModelError("no answer"), settle, "done"]}, "ann")


# --- faults


def relogged(history: History, commits: Iterable[Iterable[Event]], **rows: Any) -> History:
    """The history with another log: events are numbered anew, and all of them were acknowledged."""
    numbers = count(1)
    kept = tuple(tuple(event.having(seq=next(numbers)) for event in commit) for commit in commits)
    log = tuple(event for commit in kept for event in commit)
    return replace(history, log=log, acknowledged=log, commits=kept, **rows)


def changed(history: History, wrong: Callable[[Event], bool], **fields: Any) -> History:
    """Events that tell of something else than what was."""
    found = [event for event in history.log if wrong(event)]
    assert found, "there is such an event"
    commits = [[event.having(**fields) if event in found else event for event in commit] for commit in history.commits]
    return relogged(history, commits)


def without(history: History, wrong: Callable[[Event], bool], **rows: Any) -> History:
    """Events that were never written."""
    assert any(map(wrong, history.log)), "there is such an event"
    return relogged(history, [[event for event in commit if not wrong(event)] for commit in history.commits], **rows)


def followed(history: History, first: Callable[[Event], bool], *more: Event, apart: bool = False) -> History:
    """More events after the first of this kind, in its commit or in one of their own."""
    commits: list[list[Event]] = []
    waiting = True
    for commit in history.commits:
        commits.append([])
        for event in commit:
            commits[-1].append(event)
            if waiting and first(event):
                waiting = False
                commits += [list(more), []] if apart else []
                commits[-1].extend([] if apart else more)
    assert not waiting, "there is such an event"
    return relogged(history, commits)


def reworded(history: History, key: str, texts: Mapping[int, str]) -> History:
    """Versions of a block that have another text, wherever one looks."""

    def text(event: Event) -> Event:
        is_it = isinstance(event, BlockChanged) and event.key == key and event.version in texts
        return event.having(value=texts[event.version]) if is_it else event

    rows = tuple(row.having(value=texts.get(row.version, row.value)) for row in history.revisions[key])
    head = history.blocks[key].having(value=rows[-1].value)
    commits = [[text(event) for event in commit] for commit in history.commits]
    return relogged(history, commits, revisions={**history.revisions, key: rows}, blocks={**history.blocks, key: head})


def version(number: int, key: str = KEY) -> Callable[[Event], bool]:
    """The event of a version of a block."""
    return lambda event: event.type == "block_changed" and (event.key, event.version) == (key, number)


def of(kind: type[Event], **fields: Any) -> Callable[[Event], bool]:
    """Events of a kind, with these fields."""
    return lambda event: isinstance(event, kind) and all(getattr(event, name) == is_ for name, is_ in fields.items())


def found(history: History, **options: Any) -> list[tuple[str, str]]:
    """The promises that were not kept, with what is said of each."""
    return [(violation.promise, violation.what) for violation in violations(history, **options)]


def told(promise: str, history: History) -> list[str]:
    """What is said of one promise."""
    return [violation.what for violation in violations(history) if violation.promise == promise]


def promises(history: History) -> set[str]:
    """The promises that were not kept."""
    return {violation.promise for violation in violations(history)}


def limited(history: History, limit: int, key: str = KEY) -> BlockModified:
    """The owner gives the block another limit."""
    block = history.blocks[key]
    return BlockModified(
        seq=1, at=0.0, key=key, label=block.label, limit=limit, read_only=block.read_only, description=""
    )


def end_of(history: History, turn: str) -> TurnEnded:
    """The end of a turn."""
    return next(event for event in history.log if isinstance(event, TurnEnded) and event.turn == turn)
