"""One SQLite file, one process that writes, others that read: what all of them were told can be true, also when the
writer is killed and another one goes on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

from version_clients import INITIAL

from orchestrator.simulation.observed import Operation, check_history

CHECKOUT = Path(__file__).parent.parent


class Client:
    """A process of tests/version_clients.py."""

    def __init__(self, role: str, folder: Path, name: str) -> None:
        self.notes = folder / f"{name}.notes"
        self.notes.touch()
        # Not measured: who is killed leaves half a file of measurements.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        environment["PYTHONPATH"] = str(CHECKOUT)
        program = str(Path(__file__).parent / "version_clients.py")
        self.process = subprocess.Popen(
            [sys.executable, program, role, str(folder / "team.db"), str(self.notes), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=CHECKOUT,
        )
        self.gone: float | None = None

    def hear(self) -> None:
        """Wait until it has begun."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def wait_for(self, size: int) -> None:
        """Wait until its notes are so long."""
        late = time.monotonic() + 20
        while self.notes.stat().st_size < size:
            assert time.monotonic() < late, "it makes no progress"
            assert self.process.poll() is None, "it has ended"
            time.sleep(0.001)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=10)
        self.gone = float(time.monotonic_ns())

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(timeout=10) == 0

    def operations(self) -> list[Operation]:
        """What it asked, and what it was told."""
        found: dict[tuple[str, int], Operation] = {}
        for line in self.notes.read_text().splitlines():
            client, number, kind, text, begun, *told = json.loads(line)
            operation = Operation(client=client, kind=kind, begun=begun, ended=self.gone, text=text, outcome="unknown")
            if told:
                ended, version, value = told
                outcome = "refused" if version is None else "acknowledged"
                operation = replace(operation, ended=ended, version=version, value=value, outcome=outcome)
            found[client, number] = operation
        return list(found.values())


@contextmanager
def started(role: str, folder: Path, name: str) -> Iterator[Client]:
    """A client that has begun, and is gone afterwards."""
    client = Client(role, folder, name)
    try:
        client.hear()
        yield client
    finally:
        if client.process.poll() is None:
            client.kill()
        for stream in (client.process.stdin, client.process.stdout):
            assert stream is not None
            stream.close()


def test_readers_in_other_processes_are_told_what_can_be_true(tmp_path: Path) -> None:
    with started("write", tmp_path, "writer") as writer, ExitStack() as others:
        readers = [others.enter_context(started("read", tmp_path, f"reader-{number}")) for number in range(2)]
        writer.wait_for(60_000)
        for reader in readers:
            reader.wait_for(10_000)
        for client in (writer, *readers):
            client.end()

    written, seen = writer.operations(), [operation for reader in readers for operation in reader.operations()]
    assert check_history([*written, *seen], INITIAL) == []
    assert {operation.outcome for operation in [*written, *seen]} == {"acknowledged", "refused"}
    assert sum(operation.is_write for operation in written) > 50
    assert len({operation.version for operation in seen}) > 10, "the readers read beside the writer"
    check_that_the_check_is_awake([*written, *seen])


def check_that_the_check_is_awake(operations: list[Operation]) -> None:
    """With one acknowledged write less, or one read that shows an older version, the same cannot be true."""
    writes = [operation for operation in operations if operation.is_write and operation.outcome == "acknowledged"]
    last = max((operation for operation in operations if not operation.is_write), key=lambda read: read.begun)
    less = [operation for operation in operations if operation is not writes[3]]
    older = replace(last, version=1, value=INITIAL)
    stale = [older if operation is last else operation for operation in operations]
    assert [problem.kind for problem in check_history(less, INITIAL)] == ["gap"]
    assert "stale" in [problem.kind for problem in check_history(stale, INITIAL)]


def test_a_writer_that_is_killed_and_those_that_go_on_are_told_what_can_be_true(tmp_path: Path) -> None:
    random = Random(9)
    clients: list[Client] = []
    with ExitStack() as others:
        for number in range(3):
            with started("write", tmp_path, f"writer-{number}") as writer:
                clients.append(writer)
                if not number:
                    clients.append(others.enter_context(started("read", tmp_path, "reader")))
                writer.wait_for(random.randrange(5_000, 40_000))
                if number < 2:
                    writer.kill()
                else:
                    writer.end()
        clients[1].end()

    operations = [operation for client in clients for operation in client.operations()]
    assert check_history(operations, INITIAL) == []
    unknown = [operation for operation in operations if operation.outcome == "unknown"]
    assert 1 <= len(unknown) <= 6, "something was under way when each was killed, or they were killed in vain"
    names = {name for name, _, _ in (o.client.partition(".") for o in operations if o.outcome == "acknowledged")}
    assert names == {"writer-0", "writer-1", "writer-2", "reader"}
