"""Other Pythons that are there, and what teams come to when they are played on them.

`ORCHESTRATOR_PYTHONS` names interpreters whose environments have the project's dependencies, with a colon (on Windows
a semicolon) between them; those on the path are tried by themselves.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from command_line import CHECKOUT

VARIABLE = "ORCHESTRATOR_PYTHONS"

#: What decides which steps there are, and which words.
_SAYS_WHAT_IT_HAS = """
import sys
from importlib.metadata import version
import anyio, jinja2, networkx, pydantic
print("%d.%d" % sys.version_info[:2], version("anyio"), version("pydantic"))
"""


class OtherPython(NamedTuple):
    """An interpreter, and why it cannot be used, if so."""

    path: str
    version: str
    problem: str = ""


def others() -> list[OtherPython]:
    """The Pythons that are named, and of other versions those on the path."""
    named = [path for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]
    mine = sys.version_info[1]
    found = [shutil.which(f"python3.{minor}") for minor in range(11, 16) if minor != mine]
    return [_looked_at(path) for path in [*named, *(path for path in found if path)]]


def _looked_at(path: str) -> OtherPython:
    has = _asked([path, "-c", _SAYS_WHAT_IT_HAS])
    mine = _asked([sys.executable, "-c", _SAYS_WHAT_IT_HAS])
    if has.returncode:
        return OtherPython(path, "", f"{path} does not run, or lacks what we depend on")
    version, *packages = has.stdout.split()
    wanted = mine.stdout.split()[1:]
    if packages != wanted:
        return OtherPython(path, version, f"{path} has anyio and pydantic {packages}, and not {wanted}")
    return OtherPython(path, version)


def start(seeds: int, names: Iterable[str], *, python: str = sys.executable, hashes: str = "random") -> _Playing:
    """Play the teams in a process of its own."""
    return _Playing(
        subprocess.Popen(
            [python, str(Path(__file__).with_name("played_teams.py")), str(seeds), *names],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONHASHSEED": hashes},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
    )


class _Playing:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def digests(self) -> dict[str, list[str]]:
        """Of each team, what its schedules came to."""
        said, _ = self._process.communicate(timeout=240)
        assert self._process.returncode == 0, f"{self._process.args} failed"
        return json.loads(said)


def _asked(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
