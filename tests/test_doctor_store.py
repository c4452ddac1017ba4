"""Whether block, history and log of a used store agree; and the command that looks."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import typer
from doctored import NewStore, codes, insert, looked, only, rethink, shared, used
from stored_teams import folder, rows, said, waiting_team

from orchestrator import (
    Agent,
    Block,
    Orchestrator,
    Team,
)
from orchestrator.blocks import BlockState, Revision
from orchestrator.checking.integrity import check_block, check_log
from orchestrator.checking.past import Past
from orchestrator.checking.rules_of_stores import OF_STORES
from orchestrator.cli.doctoring import diagnosed, doctor
from orchestrator.events import RunEnded
from orchestrator.stores import SQLiteStore
from orchestrator.testing import simulated_time


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


# --- block, history and log agree


@pytest.fixture
async def broken(tmp_path: Path) -> Callable[[str], Awaitable[list[tuple[str, str, str]]]]:
    """What is told of a file after somebody has been at it with SQL."""
    path = tmp_path / "team.db"
    store = SQLiteStore(path, durability="process")
    script = {"ann": [insert("a"), insert("b"), insert("c"), "ok"]}
    assert (await used(store, shared("ann", "bob", block=Block("notes", "start")), script, "ann")).passes(strict=True)

    async def look(sql: str) -> list[tuple[str, str, str]]:
        with sqlite3.connect(path) as connection:
            connection.executescript(sql)
        connection.close()
        diagnosis = await looked(SQLiteStore(path))
        return [(finding.code, finding.place, finding.reason) for finding in diagnosis.of("error")]

    return look


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        (
            "DELETE FROM revisions WHERE version IN (2, 3)",
            [
                ("D001", "block 'notes'", "2 versions of 4 are missing: 2 and 3"),
                ("D003", "block 'notes'", "the log tells of version 2, which is not in the history"),
                ("D003", "block 'notes'", "the log tells of version 3, which is not in the history"),
            ],
        ),
        (
            "UPDATE blocks SET body = json_set(body, '$.value', 'else')",
            [("D002", "block 'notes'", "it has another text than version 4 of its history")],
        ),
        (
            "UPDATE blocks SET body = json_set(body, '$.by', 'cy')",
            [("D002", "block 'notes'", "it has another author than version 4 of its history")],
        ),
        (
            "UPDATE blocks SET body = json_set(body, '$.version', 5)",
            [("D002", "block 'notes'", "it is at version 5, and its history ends with 4")],
        ),
        (
            "UPDATE blocks SET body = json_set(body, '$.version', 3)",
            [("D002", "block 'notes'", "it is at version 3, and its history ends with 4")],
        ),
        (
            "UPDATE blocks SET body = json_set(body, '$.limit', 3)",
            [("D006", "block 'notes'", "it has 11 characters, and its limit is 3")],
        ),
        (
            "UPDATE revisions SET body = json_set(body, '$.value', 'else') WHERE version = 2",
            [("D003", "block 'notes'", "version 2 has another text in the log than in the history")],
        ),
        (
            "UPDATE revisions SET body = json_set(body, '$.by', 'cy') WHERE version = 2",
            [("D003", "block 'notes'", "version 2 is insert by ann in the log, and insert by cy in the history")],
        ),
        (
            "DELETE FROM events WHERE json_extract(body, '$.type') = 'block_changed'"
            " AND json_extract(body, '$.version') = 3",
            [
                ("D003", "block 'notes'", "the log does not tell of version 3"),
                ("D004", "the log", "event 11 follows event 9"),
            ],
        ),
        (
            "DELETE FROM revisions",
            [
                ("D002", "block 'notes'", "it is at version 4, and has no history"),
                *(
                    ("D003", "block 'notes'", f"the log tells of version {version}, which is not in the history")
                    for version in (1, 2, 3, 4)
                ),
            ],
        ),
    ],
)
async def test_what_does_not_agree_is_an_error(
    broken: Callable[[str], Awaitable[list[tuple[str, str, str]]]], sql: str, wanted: list[tuple[str, str, str]]
) -> None:
    assert await broken(sql) == wanted


def test_versions_in_another_order_and_ends_that_came_twice_are_errors() -> None:
    past = Past()
    ended = {"run": "run-1", "status": "complete", "output": "", "error": None, "at": 1.0}
    past.observe([RunEnded(seq=1, **ended), RunEnded(seq=2, **ended)])
    past.repeated.append(("pair:notes", 2))
    assert [(finding.code, finding.place, finding.reason) for finding in check_log(past)] == [
        ("D005", "run 'run-1'", "it has ended 2 times"),
        ("D003", "block 'pair:notes'", "the log tells more than once how version 2 came about"),
    ]

    twice = [Revision(version=version, value="", operation="insert", by="ann", at=1.0) for version in (1, 2, 2)]
    past.began["t:notes"] = 3
    (gap,) = check_block("notes", "t:notes", None, twice, past, 0)
    assert (gap.code, gap.reason) == ("D001", "it has versions 1 and 2, in this order")
    past.versions["t:notes"] = {}
    head = BlockState(key="t:notes", label="notes", limit=5, version=1)
    one = [Revision(version=2, value="", operation="insert", by="owner", at=1.0)]
    found = [finding.reason for finding in check_block("notes", "t:notes", head, one, past, 0)]
    assert found == ["1 version of 2 is missing: 1", "it is at version 1, and its history ends with 2"]


async def test_blocks_that_were_shared_deleted_and_made_again_agree_with_the_log(new_store: NewStore) -> None:
    """Their histories go on where those of others ended."""
    store, notes = new_store(), Block("notes", "start")
    await used(store, Team("t", [Agent("ann", blocks=[notes])]), {"ann": [insert("a"), "ok"]}, "ann")
    team = Team("t", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes])])

    async def again(live: Orchestrator) -> None:
        await live.blocks.delete("t:notes")
        await live.blocks.create(notes)
        await live.blocks.modify("t:notes", value="b")

    diagnosis = await used(store, team, {"ann": [insert("b"), "ok"]}, "ann", then=again)

    assert [block.version for block in diagnosis.blocks if block.key == "t:notes"] == [5]
    assert diagnosis.of("error") == ()


def test_every_code_is_explained_once() -> None:
    codes = [rule.code for rule in OF_STORES]
    assert len(set(codes)) == len(codes)
    for rule in OF_STORES:
        assert rule.name
        assert rule.summary.endswith(".")
        assert rule.why.endswith(".")
        assert rule.mend
        assert not rule.mend.endswith(".")


# --- the command


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    with folder(tmp_path) as here:
        yield here


def test_in_a_pipe_each_line_begins_with_what_it_is(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said("run", "team.py:team", "go", "--store", "s.db")

    assert doctor("s.db") == 0
    lines = rows(capsys.readouterr().out)
    assert lines[0] == [
        *("block", "notes", "2", "ann", "14 of 40", "35 %"),
        "ann (replace, shown 2), bob (replace, shown 2)",
    ]
    (refused,) = [line for line in lines if line[0] == "refused"]
    assert refused[1:5] == ["bob", "notes", "1", "not_found"]
    assert refused[6] == "block 'notes' does not contain 'Letta'; it never stood there in these words"
    (warning,) = [line for line in lines if line[0] == "warning"]
    assert warning[1:3] == ["D202", "block 'notes'"]
    assert doctor("s.db", strict=True) == 1


def test_for_programs_there_is_one_document(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said("run", "team.py:team", "go", "--store", "s.db")

    assert doctor("s.db", as_json=True, strict=True) == 1
    text = capsys.readouterr().out
    assert text.isascii()
    document = json.loads(text)
    assert (document["errors"], document["warnings"], document["notes"]) == (0, 1, 0)
    assert document["refused"][0]["made_good"] is False
    assert set(document) == {"blocks", "refused", "overwritten", "findings", "errors", "warnings", "notes"}


def test_on_a_terminal_there_are_tables_findings_and_a_sum(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def overwrite() -> None:
        notes = Block("notes", "start", rethink="last_write_wins")
        script = {"ann": [rethink("x\x1b[2J", after=0.1), "ok"], "bob": [insert("gone\x1b[2J"), "ok"]}
        await used(SQLiteStore("o.db"), shared("ann", "bob", block=notes), script, "ann", "bob")

    anyio.run(overwrite)
    for module in ("doctoring", "listing"):
        monkeypatch.setattr(f"orchestrator.cli.{module}.is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")

    assert doctor("o.db") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Blocks"
    assert lines[4].startswith("Overwritten")
    assert lines[6].split() == ["notes", "3", "rethink", "ann", "1", "2", "1", "owner,", "bob"]
    assert lines[8].startswith(
        "error D101  block 'notes': version 3, a rethink by ann, was based on version 1 and removed"
    )
    assert r"\x1b[2J" in lines[8]
    assert lines[9].startswith("    orchestrator blocks show notes --version 2")
    assert lines[-1] == "1 error, 0 warnings, 2 notes"


def test_a_living_writer_is_no_obstacle_and_what_it_leaves_behind_is_cut_off(here: Path) -> None:
    with waiting_team() as running:
        living = diagnosed("s.db")
        running.kill()
        running.wait(timeout=10)
    left = diagnosed("s.db")

    assert "D401" not in codes(living)
    assert "D401" in codes(left)
    assert only(left, "D401").reason == "the run of a message to ann was cut off"


def test_a_store_that_is_not_there_ends_the_command(here: Path) -> None:
    with pytest.raises(typer.Exit) as ended:
        doctor("nowhere.db")
    assert ended.value.exit_code == 2
