"""Processes at one SQLite file that note what they asked of a block, and what they were told.

`python version_clients.py write FILE NOTES NAME`: three callers of the owner's API write until the process is killed,
or until its standard input ends. `… read FILE NOTES NAME`: reads until its standard input ends.

NOTES is where the notes go, line by line and at once: `[client, number, begun]` before an operation, and afterwards the
same with what it was told. So of who is killed, it is known what was under way. Times are those of the clock that all
processes of a machine share, in nanoseconds.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from itertools import count
from random import Random
from time import monotonic_ns

import anyio

from orchestrator import Agent, Block, Orchestrator, Team
from orchestrator.errors import OutdatedRewrite
from orchestrator.stores import SQLiteStore
from orchestrator.testing import FunctionModel

INITIAL = "start"
NOTES = Block("notes", INITIAL)
TEAM = Team("shared", [Agent("ann", blocks=[NOTES]), Agent("bob", blocks=[NOTES])])
KEY = "shared:notes"

#: So many callers write side by side.
CALLERS = 3


class Notes:
    """Lines that stay, whenever the process dies."""

    def __init__(self, path: str, client: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._client = client
        self._numbers = count()

    def begin(self, kind: str, text: str = "") -> list[object]:
        """An operation is about to begin."""
        note: list[object] = [self._client, next(self._numbers), kind, text, monotonic_ns()]
        self._write(note)
        return note

    def end(self, note: list[object], version: int | None, value: str | None = None) -> None:
        """It is over; without a version, it was refused."""
        self._write([*note, monotonic_ns(), version, value])

    def _write(self, note: object) -> None:
        os.write(self._file, f"{json.dumps(note)}\n".encode())


def at_end_of_input(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


async def write(path: str, notes: str, name: str, ended: threading.Event) -> None:
    async def call(number: int) -> None:
        random, mine = Random(f"{name}.{number}"), Notes(notes, f"{name}.{number}")
        while not ended.is_set():
            note = mine.begin("read")
            state = await live.blocks.retrieve("notes")
            mine.end(note, state.version, state.value)
            text = f"{state.value[-60:]}\n{name}.{number} after {state.version}."
            if_version = None if random.random() < 0.3 else state.version
            note = mine.begin("modify", text)
            try:
                state = await live.blocks.modify("notes", value=text, if_version=if_version)
            except OutdatedRewrite:
                mine.end(note, None)
            else:
                mine.end(note, state.version, state.value)

    store = SQLiteStore(path, durability="process")
    async with Orchestrator(TEAM, store, model=FunctionModel(lambda request: "ok")) as live:
        print("ready", flush=True)
        async with anyio.create_task_group() as group:
            for number in range(CALLERS):
                group.start_soon(call, number)


async def read(path: str, notes: str, name: str, ended: threading.Event) -> None:
    mine, store, last = Notes(notes, name), SQLiteStore(path), 0
    print("ready", flush=True)
    while not ended.is_set():
        note = mine.begin("read")
        state = await store.read(lambda rows: rows.block(KEY))
        assert state is not None
        # A text that it has had before need not be noted again.
        mine.end(note, state.version, state.value if state.version != last else None)
        last = state.version
        await anyio.sleep(0.0005)
    await store.close()


def main() -> None:
    role, path, notes, name = sys.argv[1:]
    ended = threading.Event()
    threading.Thread(target=at_end_of_input, args=(ended,), daemon=True).start()
    anyio.run(write if role == "write" else read, path, notes, name, ended)


if __name__ == "__main__":
    main()
