"""Each event worth telling has its line, and what is interrupted says so."""

from __future__ import annotations

import fcntl
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from stored_teams import folder, orchestrate, put_runs, said

from orchestrator import Agent, Block, Orchestrator, Team
from orchestrator.cli.lines import Lines, event_as_ascii
from orchestrator.cli.stored import use
from orchestrator.cli.view import View
from orchestrator.events import (
    AgentCreated,
    AgentDeleted,
    AgentModified,
    BlockAttached,
    BlockCreated,
    BlockDeleted,
    BlockDetached,
    BlockModified,
    Event,
    RunEnded,
    RunResumed,
    RunStarted,
    TurnResumed,
    event_from_json,
)
from orchestrator.stores import SQLiteStore
from orchestrator.stores.sqlite_owner import is_owned
from orchestrator.testing import ScriptedModel


@pytest.fixture(autouse=True)
def here(tmp_path: Path) -> Iterator[Path]:
    with folder(tmp_path) as here:
        yield here


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            BlockCreated(seq=1, at=0, key="t:n", label="n", agent=None, value="abc", limit=1000, read_only=False),
            "ann/n created at version 1, 3 of 1,000 characters",
        ),
        (
            BlockModified(seq=1, at=0, key="t:n", label="n", limit=1000, read_only=True, description=""),
            "ann/n modified: limit 1,000, read-only",
        ),
        (
            BlockModified(seq=1, at=0, key="t:x", label="x", limit=5, read_only=False, description=""),
            "x modified: limit 5",
        ),
        (BlockDeleted(seq=1, at=0, key="t:n", label="n"), "t:n deleted"),
        (
            BlockAttached(seq=1, at=0, agent="a\nb", key="t:n", label="n", grant="read"),
            r"a\nb sees ann/n, and may read it",
        ),
        (BlockDetached(seq=1, at=0, agent="ann", key="t:n", label="n"), "ann no longer sees ann/n"),
        (AgentCreated(seq=1, at=0, agent="ann"), "ann created by the owner"),
        (AgentModified(seq=1, at=0, agent="ann"), "ann modified by the owner"),
        (AgentDeleted(seq=1, at=0, agent="\x1b[2J"), r"\x1b[2J deleted by the owner"),
        (RunEnded(seq=1, at=0, run="r", status="failed", output="", error="stuck"), "r: failed: stuck"),
        (RunEnded(seq=1, at=0, run="r", status="complete", output="", error=None), "r: complete"),
    ],
)
def test_an_event_is_told_in_a_line_that_no_terminal_obeys(event: Event, line: str) -> None:
    assert Lines({"t:n": "ann/n"}, ends=True).line(event) == line


def test_an_event_for_programs_is_in_ascii_and_is_the_same_event() -> None:
    event = RunEnded(seq=1, at=0.5, run="r", status="complete", output="Grüße \x9b 🙂", error=None)

    assert event_as_ascii(event).isascii()
    assert "\n" not in event_as_ascii(event)
    assert event_from_json(event_as_ascii(event)) == event


def test_what_goes_on_again_is_told() -> None:
    resumed = TurnResumed(seq=2, at=0, turn="t", run="r", runs=("r",), agent="cid", attempt=3)
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    view = View(Team("alone", [Agent("ann")]), console)
    view(resumed)
    console.print(view)

    assert isinstance(console.file, io.StringIO)
    assert "cid" in console.file.getvalue()  # whom the owner made while the team was live
    assert "thinking again, where it was" in console.file.getvalue()
    lines = Lines({})
    assert lines.line(resumed) == "cid goes on with its turn, in attempt 3"
    assert lines.line(RunResumed(seq=1, at=0, run="r")) == "r: goes on where it was cut off"
    opened = RunStarted(seq=1, at=0, run="r", agent="", text="", max_turns=1)
    assert lines.line(opened) == "r: opened by a change of the owner's"


def test_a_read_only_block_is_shown_as_one() -> None:
    rules = Block("rules", "be kind", read_only=True)
    store = SQLiteStore("s.db")

    async def make() -> None:
        async with Orchestrator(Team("t", [Agent("ann", blocks=[rules])]), store, model=ScriptedModel({})):
            pass

    use(store, make)

    assert said("blocks", "show", "rules", "--store", "s.db") == (
        "rules: version 1 by owner, 7 of 20,000 characters\n"
        "read-only: agents cannot change it\n"
        "id: t:ann/rules\n"
        "seen by: ann (read)\n"
        "\n"
        "be kind\n"
    )


def test_an_owner_made_agent_and_block_are_told_by_their_names() -> None:
    store = SQLiteStore("s.db")

    async def make() -> None:
        team = Team("t", [Agent("ann", blocks=[Block("notes")])])
        async with Orchestrator(team, store, model=ScriptedModel({})) as live:
            await live.agents.create("bob", attach=["notes"])
            await live.blocks.create("extra", "text")
            await live.agents.blocks.attach("bob", "extra")

    use(store, make)

    lines = [line[8:] for line in said("watch", "--no-follow", "--store", "s.db").splitlines()]
    assert lines[-4:] == [
        "bob created by the owner",
        "bob sees notes, and may replace it",
        "extra created at version 1, 4 of 20,000 characters",
        "bob sees extra, and may replace it",
    ]


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["runs", "list"], 130, "Cancelled.\n"),
        (["blocks", "set", "notes", "x"], 130, "Cancelled.\n"),
        (["watch"], 0, ""),
    ],
)
def test_ctrl_c_leaves_no_traceback(
    words: list[str], code: int, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_runs("s.db")

    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("orchestrator.cli.stored.anyio.run", interrupted)
    done = orchestrate(*words, "--store", "s.db")

    assert (done.exit_code, done.stdout, done.stderr) == (code, "", complaint)


def test_whether_a_file_is_owned_is_not_known_where_there_are_no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    put_runs("s.db")
    assert is_owned("s.db") is False
    monkeypatch.setattr(fcntl, "flock", unsupported)
    assert is_owned("s.db") is None
