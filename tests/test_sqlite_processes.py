"""A SQLite store and other processes: a writer that is killed, readers beside a living one, one owner at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import anyio
import pytest

from orchestrator.errors import StoreError
from orchestrator.ports import Reader
from orchestrator.stores import SQLiteStore

CHECKOUT = Path(__file__).parent.parent


class Writers:
    """The process of tests/sqlite_writers.py, and what it says."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).parent / "sqlite_writers.py")]
        # Not measured: who is killed leaves half a file of measurements.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        environment["PYTHONPATH"] = str(CHECKOUT)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=CHECKOUT
        )
        self.pid = 0
        self.acknowledged: list[str] = []

    def start(self, number: int, path: Path) -> str:
        """Start a writer; how it says that it is ready, or was refused."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{number} {path}\n")
        self.process.stdin.flush()
        heard = ""
        self.pid = 0
        while not (heard and self.pid):  # they speak in either order
            line = self.hear()
            if line.startswith("start"):
                self.pid = int(line.split()[2])
            elif not line.startswith("ack"):
                heard = line
        return heard

    def hear(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().rstrip("\n")
        assert line, "the process has ended"
        if line.startswith("ack"):
            self.acknowledged.append(line.split()[2])
        return line

    def hear_acknowledgements(self, count: int) -> None:
        wanted = len(self.acknowledged) + count
        while len(self.acknowledged) < wanted:
            self.hear()

    def kill(self) -> None:
        """As `kill -9` does; what it said before that is heard."""
        os.kill(self.pid, signal.SIGKILL)
        while not self.hear().startswith("end"):
            pass

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    writers = Writers()
    yield writers
    writers.close()


def lines(rows: Reader) -> set[str]:
    """All lines of all blocks; heads and histories agree, and versions have no gaps."""
    found: list[str] = []
    for block in rows.blocks():
        revisions = list(rows.revisions(block.key))
        assert [revision.version for revision in revisions] == list(range(block.version, 0, -1))
        assert revisions[0].value == block.value
        written = block.value.split("\n")
        assert len(written) == block.version
        assert [message.text for message in rows.messages(block.key)] == written
        found += written
    assert len(set(found)) == len(found)
    return set(found)


async def look(path: Path) -> tuple[set[str], list[int]]:
    store = SQLiteStore(path)
    found = await store.read(lines)
    numbers = [event.seq for event in await store.events(limit=1_000_000)]
    await store.close()
    return found, numbers


def test_what_was_acknowledged_is_there_after_kill_9(writers: Writers, tmp_path: Path):
    """Twenty kills at moments of chance, four on each file; each writer goes on with what the one before left."""
    random = Random(20)
    for kill in range(20):
        path = tmp_path / f"team-{kill // 4}.db"
        if kill % 4 == 0:
            writers.acknowledged.clear()
        assert writers.start(kill, path) == f"ready {kill}"
        writers.hear_acknowledgements(random.randrange(1, 120))
        writers.kill()

        found, numbers = anyio.run(look, path)
        assert set(writers.acknowledged) <= found
        assert numbers == list(range(1, len(found) + 1))


def test_readers_get_in_beside_a_living_writer_and_a_second_writer_does_not(writers: Writers, tmp_path: Path):
    async def go() -> None:
        with anyio.fail_after(20):
            path = tmp_path / "team.db"
            writers.acknowledged.clear()
            assert writers.start(100, path) == "ready 100"
            store = SQLiteStore(path)
            try:
                for _ in range(5):
                    writers.hear_acknowledgements(20)
                    known = set(writers.acknowledged)
                    found = await store.read(lines)
                    assert known <= found
                    assert len(await store.events(limit=1_000_000)) >= len(found)
                with pytest.raises(StoreError) as refusal:
                    await store.open()
                assert f"is open to write in process {writers.pid}" in str(refusal.value)
                assert "may read it meanwhile" in str(refusal.value)
                assert "PostgreSQL is for, which this version does not have yet" in str(refusal.value)
            finally:
                writers.kill()
            await store.open()
            assert set(writers.acknowledged) <= await store.read(lines)
            await store.close()

    anyio.run(go)


def test_another_process_is_refused_while_this_one_writes(writers: Writers, tmp_path: Path):
    async def go() -> None:
        store = SQLiteStore(tmp_path / "team.db")
        await store.open()
        try:
            assert f"in process {os.getpid()}," in writers.start(101, tmp_path / "team.db")
            while not writers.hear().startswith("end"):
                pass
        finally:
            await store.close()

    anyio.run(go)
