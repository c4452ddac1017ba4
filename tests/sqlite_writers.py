"""A process that forks writers on command: each writes to a SQLite store and acknowledges on the pipe, until killed.

It reads lines of the form `number path` and answers `start number pid`; a writer says `ready number`, `ack number
text` for each line that was committed, or `refused number reason`.
"""

from __future__ import annotations

import os
import sys
from functools import partial

import anyio

from orchestrator.blocks import BlockState, Revision
from orchestrator.errors import StoreError
from orchestrator.events import RunEnded
from orchestrator.messages import UserMessage
from orchestrator.ports import Transaction
from orchestrator.stores import SQLiteStore

WRITERS = 16
BLOCKS = 4


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # so short a write is whole, and does not wait in a buffer


def add(tx: Transaction, key: str, line: str) -> None:
    block = tx.block(key)
    value = f"{block.value}\n{line}" if block else line
    version = block.version + 1 if block else 1
    state = BlockState(key=key, label="notes", value=value, limit=1_000_000, version=version, by="ann")
    tx.put_block(state, Revision(version=version, value=value, operation="insert", by="ann", at=1.5))
    tx.add_message(key, UserMessage(text=line))
    tx.add_event(RunEnded(seq=tx.next_seq(), at=1.5, run=line, status="complete", output="", error=None))


async def write(number: str, path: str) -> None:
    store = SQLiteStore(path)
    try:
        await store.open()
    except StoreError as refusal:
        say(f"refused {number} {refusal}")
        return
    say(f"ready {number}")

    async def writer(name: int) -> None:
        for count in range(1_000_000):
            line = f"{number}.{name}.{count}"
            await store.transact(partial(add, key=f"t:{name % BLOCKS}", line=line))
            say(f"ack {number} {line}")

    async with anyio.create_task_group() as group:
        for name in range(WRITERS):
            group.start_soon(writer, name)


def main() -> None:
    for command in sys.stdin:
        number, path = command.split()
        pid = os.fork()
        if pid == 0:
            anyio.run(write, number, path)
            os._exit(0)
        say(f"start {number} {pid}")
        os.waitpid(pid, 0)
        say(f"end {number}")


if __name__ == "__main__":
    main()
