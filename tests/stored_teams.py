"""A team file for commands on stores, and how such commands are started."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import anyio
from typer.testing import CliRunner, Result

import orchestrator
from orchestrator.cli import app
from orchestrator.ports import RunRecord, Transaction
from orchestrator.stores import SQLiteStore

CHECKOUT = Path(orchestrator.__file__).parent.parent

#: ann writes a line that wakes bob, who tries what is refused. With a file `wait` beside them, both wait for ever
#: before they end. Each model call adds a line to the file `asked`. A guard allows no digits, and has the owner obey.
TEAM = r"""
from pathlib import Path

import anyio
from orchestrator import Agent, Block, ModelResponse, Team, ToolCall, Usage

class Speaker:
    def __init__(self, tool, **arguments):
        self.call = ToolCall(tool, {"label": "notes", **arguments})

    async def respond(self, request):
        with open("asked", "a") as asked:
            print(request.agent, request.step, file=asked)
        if request.step == 0:
            return ModelResponse("", [self.call], Usage(input_tokens=1000, cost=0.25))
        if Path("wait").exists():
            await anyio.sleep_forever()
        return ModelResponse(f"{request.agent} is\ndone\x1b]0;x\x07")

def no_digits(change):
    return "it has digits" if any(letter.isdigit() for letter in change.new) else None

notes = Block("notes", "", "What \x1b[2J is known.", limit=40, guard=no_digits)
diary = lambda: Block("diary", "dear")
ann = Agent("ann", blocks=[notes, diary()], model=Speaker("memory_insert", new_string="origin: MemGPT"))
bob = Agent("bob", blocks=[notes, diary()], model=Speaker("memory_replace", old_string="Letta", new_string=""),
            wakes_on=[notes])
team = Team("pair", [ann, bob])
other = Team("other", [Agent("ann", blocks=[Block("notes")], model=Speaker("memory_insert"))])
"""


def orchestrate(*words: str, input: str | bytes | None = None) -> Result:
    """The command, in this process."""
    return CliRunner().invoke(app, list(words), input=input, catch_exceptions=False)


def said(*words: str) -> str:
    """What a command prints that succeeds and has nothing to complain about."""
    result = orchestrate(*words)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def refused(*words: str, code: int = 2) -> str:
    """What is said on stderr about a command that fails; nothing is said on stdout."""
    result = orchestrate(*words)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    return result.stderr


def rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


@contextmanager
def process(*words: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, which is gone afterwards."""
    # Not measured: who is killed leaves half a file of measurements.
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    with subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *words],
        env={**unmeasured, "PYTHONPATH": str(CHECKOUT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as started:
        timer = Timer(30, started.kill)  # whoever reads from it waits no longer
        timer.start()
        try:
            yield started
        finally:
            timer.cancel()
            started.kill()


def heard(process: subprocess.Popen[str], wanted: str) -> list[str]:
    """Its lines, up to the first one that ends so."""
    assert process.stdout is not None
    lines: list[str] = []
    while not (lines and lines[-1].endswith(wanted)):
        line = process.stdout.readline()
        assert line, f"it has ended after {lines}"
        lines.append(line.rstrip("\n"))
    return lines


@contextmanager
def waiting_team(*words: str) -> Iterator[subprocess.Popen[str]]:
    """The team in a process of its own, where both agents wait for ever."""
    Path("wait").touch()
    with process("run", "team.py:team", "go on", "--store", "s.db", *words) as running:
        heard(running, "it never stood there in these…")
        yield running


def put_runs(path: str, *runs: RunRecord) -> None:
    """Write runs as a process would leave them that has ended."""

    async def main() -> None:
        def write(tx: Transaction) -> None:
            for run in runs:
                tx.put_run(run)

        store = SQLiteStore(path)
        await store.open()
        await store.transact(write)
        await store.close()

    anyio.run(main)


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """Work in a folder that has the team file; what a command imports is forgotten afterwards."""
    (path / "team.py").write_text(TEAM, encoding="utf-8")
    folder_before, modules_before, path_before = Path.cwd(), set(sys.modules), sys.path[:]
    os.chdir(path)
    try:
        yield path
    finally:
        os.chdir(folder_before)
        sys.path[:] = path_before
        for name in set(sys.modules) - modules_before:
            if str(path) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
