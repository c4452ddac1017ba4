"""What the READMEs show works: each block of Python, and each command that is marked as one."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest

import orchestrator

CHECKOUT = Path(__file__).parent.parent
READMES = (
    "README.md",
    "examples/README.md",
    "orchestrator/README.md",
    "orchestrator/bench/README.md",
    "orchestrator/simulation/README.md",
    "patterns/README.md",
)
#: A fenced block, with the comment on the line above it, if there is one.
FENCED = re.compile(
    r"(?:^<!-- (?P<comment>[^\n]*) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


class Shown(NamedTuple):
    """A fenced block of a README."""

    readme: str
    line: int  #: of its first line of text
    comment: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.readme}:{self.line}"


def shown() -> Iterator[Shown]:
    for readme in READMES:
        path = CHECKOUT / readme
        content = path.read_text(encoding="utf-8") if path.exists() else ""
        for match in FENCED.finditer(content):
            line = content.count("\n", 0, match.start("text")) + 1
            yield Shown(readme, line, match["comment"] or "", match["language"], match["text"])


def commands(block: Shown) -> list[str]:
    """The commands of a block: all lines of a script; in a console session those after the prompt."""
    lines = block.text.splitlines()
    if block.language == "console":
        return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line for line in lines if line and not line.startswith("#")]


BLOCKS = list(shown())
PYTHON = [block for block in BLOCKS if block.language == "python" and block.comment != "not run"]
COMMANDS = {block.comment.removeprefix("command: "): block for block in BLOCKS if block.comment.startswith("command: ")}
TRIED = [block for name, block in COMMANDS.items() if name not in ("run", "test")]  # those two are .ci/run's


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in that has the examples, as a checkout has, and a model that costs nothing."""
    shutil.copytree(CHECKOUT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCHESTRATOR_MODEL", "rehearsal")
    return tmp_path


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_in_a_readme_runs(block: Shown, elsewhere: Path) -> None:
    # The empty lines make a traceback point into the README.
    code = compile(
        "\n" * (block.line - 1) + block.text,
        str(CHECKOUT / block.readme),
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,  # examples may await without saying what runs them
        dont_inherit=True,
    )
    namespace = {"__name__": "__main__"}
    result = eval(code, namespace)  # noqa: S307 -- it is what our own README says
    if inspect.iscoroutine(result):

        async def awaited() -> None:
            await result

        anyio.run(awaited)


@pytest.mark.parametrize("block", TRIED, ids=str)
def test_a_command_in_a_readme_succeeds(block: Shown, elsewhere: Path) -> None:
    own = [line for line in commands(block) if line.startswith("orchestrator ")]
    assert own, f"{block} is marked as a command, but runs no `orchestrator`"
    where = str(Path(orchestrator.__file__).parent.parent)  # the same packages that the other tests import
    for line in own:
        done = subprocess.run(
            [sys.executable, "-m", *shlex.split(line, comments=True)],
            env={**os.environ, "PYTHONPATH": where},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("name", ["run", "test"])
def test_the_readme_begins_with_one_line_to_run_and_one_to_test(name: str) -> None:
    (line,) = commands(COMMANDS[name])

    assert line.startswith("pip install ")


def test_no_two_commands_have_one_name() -> None:
    marked = [block for block in BLOCKS if block.comment.startswith("command: ")]

    assert len(COMMANDS) == len(marked)
