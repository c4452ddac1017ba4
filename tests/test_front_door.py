"""The front door is exact, and going through it does nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import orchestrator

CHECKOUT = Path(__file__).parent.parent

#: What takes long to import, or has to be there only for those who use it.
HEAVY = {"litellm", "networkx", "sqlite3", "trio", "pytest", "typer", "rich"}

#: Prints which modules a statement loads, and what it does to the world outside, as audit events.
WITNESS = """
import json, os, sys
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
deeds = []
def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        if set(mode or "") & set("wax+") or (flags or 0) & WRITING:
            deeds.append(f"open {path} {mode} {flags}")
    elif event.startswith(("socket.", "subprocess.", "os.system", "os.fork", "os.mkdir", "os.rename", "os.remove")):
        deeds.append(event)
sys.addaudithook(watch)
{statement}
print(json.dumps([sorted(sys.modules), deeds]))
"""


def witnessed(statement: str) -> tuple[set[str], list[str]]:
    """The modules that are loaded after the statement, and its deeds, in a fresh process."""
    # Without what would measure it: coverage keeps its data in sqlite3.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "COV_"))}
    command = [sys.executable, "-B", "-W", "error", "-c", WITNESS.replace("{statement}", statement)]
    result = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    modules, deeds = json.loads(result.stdout)
    return set(modules), deeds


def test_all_is_sorted_and_exactly_what_the_front_door_has():
    public = {
        name
        for name, value in vars(orchestrator).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }

    assert orchestrator.__all__ == sorted(public)


def test_everything_of_the_front_door_can_be_imported():
    namespace: dict[str, object] = {}
    exec("from orchestrator import *", namespace)  # noqa: S102 - a star is what is tested

    assert namespace.keys() - {"__builtins__"} == set(orchestrator.__all__)
    for name in orchestrator.__all__:
        assert namespace[name] is getattr(orchestrator, name)


def test_importing_loads_nothing_heavy_writes_no_file_and_opens_no_socket():
    modules, deeds = witnessed("import orchestrator")

    assert "orchestrator.engine" in modules
    assert modules & HEAVY == set()
    assert deeds == []


@pytest.mark.parametrize(
    ("statement", "deed"),
    [
        ("open(os.devnull, 'w').close()", "open /dev/null w"),
        ("os.close(os.open(os.devnull, os.O_RDWR))", "open /dev/null None"),
        ("import socket; socket.socket().close()", "socket.__new__"),
        ("import subprocess; subprocess.run(['true'])", "subprocess.Popen"),
    ],
)
def test_the_witness_of_that_sees_what_it_should(statement, deed):
    _, deeds = witnessed(statement)

    assert any(seen.startswith(deed) for seen in deeds), deeds
