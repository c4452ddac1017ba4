"""Blocks in a file: listed, shown, with their history, and written to by the owner."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from select import select

import pytest
from stored_teams import CHECKOUT, folder, heard, orchestrate, process, refused, rows, said, waiting_team


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the team has had one run."""
    with folder(tmp_path_factory.mktemp("used")) as there:
        said("run", "team.py:team", "go on", "--store", "s.db")
        return there


@pytest.fixture(autouse=True)
def here(tmp_path: Path, used: Path) -> Iterator[Path]:
    with folder(tmp_path) as here:
        for file in used.glob("s.db*"):  # SQLite keeps some of it beside the file
            shutil.copy(file, here)
        yield here


def set_block(*words: str) -> str:
    return said("blocks", "set", *words, "--store", "s.db")


def shown(name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(said("blocks", "show", name, "--store", "s.db", "--json"))
    return found


# --- list, show, history


def test_blocks_are_listed() -> None:
    assert rows(said("blocks", "list", "--store", "s.db")) == [
        ["notes", "2", "14 of 40", "ann", "ann, bob", r"What \x1b[2J is known."],
        ["ann/diary", "1", "4 of 20,000", "owner", "ann", ""],
        ["bob/diary", "1", "4 of 20,000", "owner", "bob", ""],
    ]


def test_blocks_are_listed_for_programs() -> None:
    text = said("blocks", "list", "--store", "s.db", "--json")

    blocks = json.loads(text)["blocks"]
    assert text.isascii()
    assert list(blocks) == ["notes", "ann/diary", "bob/diary"]
    assert blocks["notes"] == {
        "id": "pair:notes",
        "agents": {"ann": "replace", "bob": "replace"},
        "value": "origin: MemGPT",
        "version": 2,
        "limit": 40,
        "by": "ann",
        "read_only": False,
        "description": "What \x1b[2J is known.",
        "tags": [],
        "overflow": None,
    }


def test_a_block_is_shown_with_its_text_and_nothing_in_it_reaches_the_terminal() -> None:
    set_block("notes", "first\n\x1b]0;x\x07 second")

    assert said("blocks", "show", "pair:notes", "--store", "s.db") == (
        "notes: version 3 by owner, 19 of 40 characters\n"
        "id: pair:notes\n"
        "seen by: ann (replace), bob (replace)\n"
        "description: What \\x1b[2J is known.\n"
        "\n"
        "first\n\\x1b]0;x\\x07 second\n"
    )
    assert shown("notes")["value"] == "first\n\x1b]0;x\x07 second"


def test_a_version_of_a_block_is_shown() -> None:
    set_block("notes", "other")

    head, _, text = said("blocks", "show", "notes", "--version", "2", "--store", "s.db").partition("\n\n")
    assert head.startswith("notes: version 2, insert by ann in turn-")
    assert head.endswith(", 14 characters")
    assert text == "origin: MemGPT\n"
    document = json.loads(said("blocks", "show", "notes", "--version", "1", "--store", "s.db", "--json"))
    assert (document["block"], document["version"], document["value"]) == ("notes", 1, "")
    assert "has no version 4; it has 1 to 3" in refused("blocks", "show", "notes", "--version", "4", "--store", "s.db")


def test_the_history_of_a_block_is_listed_the_newest_last() -> None:
    set_block("notes", "short")

    listed = rows(said("blocks", "history", "notes", "--store", "s.db"))

    assert [[*row[:1], *row[2:4], *row[5:]] for row in listed] == [
        ["1", "create", "owner", "0", "+0"],
        ["2", "insert", "ann", "14", "+14"],
        ["3", "modify", "owner", "5", "-9"],
    ]
    assert listed[1][4].startswith("turn-")


def test_the_history_of_a_block_shows_what_each_version_changed() -> None:
    set_block("notes", "origin: MemGPT\nuse: \x1b[2J")
    set_block("notes", "")

    lines = said("blocks", "history", "notes", "--diff", "--store", "s.db").splitlines()

    assert [line for line in lines if line.startswith(("  +", "  -"))] == [
        "  +origin: MemGPT",
        r"  +use: \x1b[2J",
        "  -origin: MemGPT",
        r"  -use: \x1b[2J",
    ]
    assert [line.partition(" by ")[0] for line in lines if line.startswith("version")] == [
        "version 1, create",
        "version 2, insert",
        "version 3, modify",
        "version 4, modify",
    ]
    assert "not both" in refused("blocks", "history", "notes", "--diff", "--json", "--store", "s.db")


def test_the_history_of_a_block_is_told_to_programs() -> None:
    document = json.loads(said("blocks", "history", "notes", "--json", "--store", "s.db"))

    assert (document["block"], document["id"]) == ("notes", "pair:notes")
    assert [(v["version"], v["operation"], v["value"], v["characters"]) for v in document["versions"]] == [
        (1, "create", "", 0),
        (2, "insert", "origin: MemGPT", 14),
    ]


def test_a_name_that_is_not_known_or_not_enough_is_answered_with_the_names_there_are() -> None:
    for command in (["show"], ["history"], ["set"]):
        words = ["blocks", *command]
        text = ["x"] if command == ["set"] else []
        unknown = refused(*words, "nothing", *text, "--store", "s.db")
        assert "has no block 'nothing'; it has: notes, ann/diary, bob/diary" in unknown
        ambiguous = refused(*words, "diary", *text, "--store", "s.db")
        assert "label 'diary': names several blocks; say which: ann/diary, bob/diary" in ambiguous


# --- set


def test_the_owner_writes_a_new_version_and_no_model_is_asked() -> None:
    assert set_block("notes", "12") == "notes changed to version 3: 2 of 40 characters\n"
    assert set_block("notes", "12") == "notes stays at version 3, which has this text already\n"
    assert set_block("bob/diary", "hello") == "bob/diary changed to version 2: 5 of 20,000 characters\n"
    assert not Path("asked").exists()


def test_a_write_is_told_to_programs() -> None:
    document = json.loads(set_block("notes", "hello", "--json"))

    assert (document["block"], document["id"], document["changed"]) == ("notes", "pair:notes", True)
    assert (document["version"], document["value"], document["by"]) == (3, "hello", "owner")
    assert json.loads(set_block("notes", "hello", "--json"))["changed"] is False


def test_whoever_is_woken_by_the_write_is_woken_with_the_next_message() -> None:
    set_block("notes", "from outside")
    assert len(rows(said("runs", "list", "--store", "s.db"))) == 1

    lines = said("run", "team.py:team", "hi", "--store", "s.db").splitlines()

    assert "bob woken by notes, changed by owner (version 3)" in lines


def test_the_guards_of_a_team_are_asked() -> None:
    guarded = refused("blocks", "set", "notes", "a 1", "--team", "team.py:team", "--store", "s.db", code=1)
    assert guarded == "Error: block 'notes' refuses this change: it has digits\n"
    other = refused("blocks", "set", "notes", "x", "--team", "team.py:other", "--store", "s.db", code=1)
    assert "this store holds the team 'pair'" in other
    assert shown("notes")["version"] == 2
    assert set_block("notes", "a b", "--team", "team.py:team").startswith("notes changed to version 3")


def test_the_limit_of_a_block_holds_without_a_team() -> None:
    answer = refused("blocks", "set", "notes", "x" * 41, "--store", "s.db", code=1)

    assert "would have 41 characters and its limit is 40" in answer


def test_a_text_comes_from_a_file_or_from_the_standard_input_as_it_is(here: Path) -> None:
    (here / "text").write_bytes("Grüße\r\n".encode())

    set_block("notes", "--file", "text")
    assert shown("notes")["value"] == "Grüße\r\n"
    done = orchestrate("blocks", "set", "notes", "-", "--store", "s.db", input="two\nlines")
    assert done.exit_code == 0
    assert shown("notes")["value"] == "two\nlines"


def test_a_text_that_is_none_is_wrong_use(here: Path) -> None:
    (here / "text").write_bytes(b"ab\xff")

    def answer(*words: str) -> str:
        return refused("blocks", "set", "notes", *words, "--store", "s.db")

    assert "either as VALUE or by --file" in answer()
    assert "either as VALUE or by --file" in answer("x", "--file", "text")
    assert "text: is not text in UTF-8: invalid start byte at byte 2" in answer("--file", "text")
    assert "nowhere: cannot be read: No such file" in answer("--file", "nowhere")
    bad = orchestrate("blocks", "set", "notes", "-", "--store", "s.db", input=b"\xff")
    assert (bad.exit_code, bad.stdout) == (2, "")
    assert "the standard input: is not text in UTF-8" in bad.stderr
    assert shown("notes")["version"] == 2


def test_a_write_beside_a_living_orchestrator_is_refused_and_reading_is_not() -> None:
    with waiting_team() as running:
        answer = refused("blocks", "set", "notes", "x", "--store", "s.db", code=1)
        assert f"is open to write in process {running.pid}, and one at a time may write to it" in answer
        assert shown("notes")["version"] == 3


# --- watch


def test_what_is_there_is_told_with_the_numbers_of_the_events() -> None:
    set_block("notes", "other")

    lines = said("watch", "--no-follow", "--store", "s.db").splitlines()

    numbers = [int(line.split()[0]) for line in lines]
    assert numbers == sorted(numbers)
    told = [line[8:] for line in lines]
    assert told[0] == "notes created at version 1, 0 of 40 characters"
    assert "ann sees ann/diary, and may replace it" in told
    assert told[-1] == "notes changed to version 3: modify by owner, 5 of 40 characters"
    assert r": complete: ann is done\x1b]0;x\x07" in told[-2]
    assert said("watch", "--no-follow", "--after", str(numbers[-2]), "--store", "s.db").splitlines() == [lines[-1]]


def test_what_is_there_is_told_to_programs_every_event_in_a_line() -> None:
    set_block("notes", "Grüße \x9b")

    text = said("watch", "--no-follow", "--json", "--store", "s.db")

    events = [json.loads(line) for line in text.splitlines()]
    assert text.isascii()
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert (events[-1]["type"], events[-1]["value"]) == ("block_changed", "Grüße \x9b")


def test_one_block_and_one_run_are_told_alone() -> None:
    said("run", "team.py:team", "again", "--store", "s.db")
    first, second = (row[0] for row in rows(said("runs", "list", "--store", "s.db")))

    changes = said("watch", "--no-follow", "--block", "notes", "--store", "s.db").splitlines()
    assert [line.split(":")[0][8:] for line in changes] == ["notes changed to version 2", "notes changed to version 3"]
    events = [
        json.loads(line)
        for line in said("watch", "--no-follow", "--run", second, "--json", "--store", "s.db").splitlines()
    ]
    assert events[0]["type"] == "run_started"
    assert events[-1]["type"] == "run_ended"
    assert {event.get("run", second) for event in events} == {second}
    assert first != second
    assert "has no block 'x'" in refused("watch", "--no-follow", "--block", "x", "--store", "s.db")
    assert "has no run" in refused("watch", "--no-follow", "--run", "x", "--store", "s.db")


def test_a_watcher_in_another_process_sees_what_happens_and_ends_with_ctrl_c() -> None:
    with process("watch", "--store", "s.db", "--after", "0") as watching:
        heard(watching, r"complete: ann is done\x1b]0;x\x07")  # it has caught up
        set_block("notes", "other")
        heard(watching, "notes changed to version 3: modify by owner, 5 of 40 characters")
        said("run", "team.py:team", "again", "--store", "s.db")
        lines = heard(watching, r"complete: ann is done\x1b]0;x\x07")
        watching.send_signal(signal.SIGINT)
        out, complaint = watching.communicate(timeout=30)

    assert (watching.returncode, out, complaint) == (0, "", "")
    woken = [line[8:] for line in lines if line[8:].startswith("bob woken by ")]
    assert woken[0].startswith("bob woken by notes, changed by owner (version 3)")


def test_a_watcher_begins_with_the_next_event() -> None:
    with process("watch", "--store", "s.db", "--json") as watching:
        assert watching.stdout is not None
        for number in range(100):  # until it is there, and sees a change
            set_block("notes", f"text {number}")
            if select([watching.stdout], [], [], 0.3)[0]:
                break
        line = watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        watching.wait(timeout=30)

    assert json.loads(line)["operation"] == "modify"
    assert watching.returncode == 0


def test_a_watcher_whose_reader_goes_away_ends_quietly() -> None:
    line = f"{sys.executable} -m orchestrator watch --no-follow --store s.db | head -n 1"
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert (done.stdout, done.stderr) == ("     1  notes created at version 1, 0 of 40 characters\n", "")
