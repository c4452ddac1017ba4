"""Runs in a file: kept, listed, shown, and resumed after their process was killed."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from stored_teams import folder, orchestrate, process, put_runs, refused, rows, said, waiting_team

from orchestrator.cli.listing import Column
from orchestrator.cli.stored import moment
from orchestrator.cli.tables import show_table
from orchestrator.ports import RunRecord
from orchestrator.stores.sqlite_owner import is_owned


@pytest.fixture(autouse=True)
def here(tmp_path: Path) -> Iterator[Path]:
    with folder(tmp_path) as here:
        yield here


def run(message: str = "go on") -> str:
    """Run the team on the store; the id of the run."""
    first, _, _ = said("run", "team.py:team", message, "--store", "s.db").partition(": ")
    return first


def cut_off() -> str:
    """Kill the team in the middle of a run; the id of the run."""
    with waiting_team() as running:
        running.kill()
    Path("wait").unlink()
    Path("asked").unlink()
    return rows(said("runs", "list", "--store", "s.db"))[-1][0]


# --- which store


def test_a_url_is_refused_without_repeating_what_is_in_it() -> None:
    for words in (["runs", "list"], ["run", "team.py:team", "hi"], ["watch"]):
        answer = refused(*words, "--store", "postgresql://ann:secret@db/x")
        assert answer == (
            "Error: --store: postgresql://… is a URL, and this version keeps a team in a file;"
            " give a path, such as team.db\n"
        )


def test_a_store_that_is_not_there_is_wrong_use_and_is_not_made(here: Path) -> None:
    for words in (
        ["runs", "list"],
        ["runs", "show", "x"],
        ["runs", "resume", "team.py:team"],
        ["blocks", "list"],
        ["blocks", "show", "notes"],
        ["blocks", "history", "notes"],
        ["blocks", "set", "notes", "x"],
        ["watch", "--no-follow"],
    ):
        answer = refused(*words, "--store", "nowhere.db")
        assert "there is no file 'nowhere.db'; one is made by: orchestrator run TEAM MESSAGE --store" in answer
    assert not list(here.glob("nowhere*"))


def test_a_file_that_is_no_store_ends_with_1() -> None:
    Path("s.db").write_text("this is not a database, but a text that is long enough to be taken for one" * 20)

    assert "is not a database" in refused("runs", "list", "--store", "s.db", code=1)
    assert "is not a database" in refused("run", "team.py:team", "hi", "--store", "s.db", code=1)


def test_a_store_keeps_the_team_from_one_command_to_the_next() -> None:
    run("first")
    lines = said("run", "team.py:team", "second", "--store", "s.db")

    assert "notes changed to version 3: insert by ann, 29 of 40 characters\n" in lines
    assert "created" not in lines
    assert [row[1:2] + row[3:] for row in rows(said("runs", "list", "--store", "s.db"))] == [
        ["complete", "ann", "2", "first"],
        ["complete", "ann", "2", "second"],
    ]


def test_a_store_of_another_team_is_refused() -> None:
    run()

    answer = refused("run", "team.py:other", "hi", "--store", "s.db", code=1)
    assert "this store holds the team 'pair'; give team 'other' a store of its own" in answer


# --- list and show


def test_runs_are_listed_for_programs() -> None:
    id = run("Grüße")

    text = said("runs", "list", "--store", "s.db", "--json")

    assert text.isascii()
    (listed,) = json.loads(text)["runs"]
    assert listed.pop("at") > 1_700_000_000
    assert listed == {
        "run": id,
        "status": "complete",
        "cut_off": False,
        "agent": "ann",
        "message": "Grüße",
        "turns": 2,
    }


def test_a_run_is_shown_whole_and_nothing_in_it_reaches_the_terminal() -> None:
    id = run("go\non: \x1b[31m")

    lines = said("runs", "show", id[:9], "--store", "s.db").splitlines()

    assert lines[0] == f"run      {id}"
    assert lines[1] == "status   complete"
    assert lines[3:] == [
        "budget   1,000 turns",
        "used     2 turns, 4 model calls, 2,000 tokens, $0.5000",
        "message  for ann:",
        "  go",
        r"  on: \x1b[31m",
        "output",
        "  ann is",
        r"  done\x1b]0;x\x07",
        "turns",
        "  1. ann woken by the message: done after 2 steps",
        "     ann is",
        r"     done\x1b]0;x\x07",
        "  2. bob woken by notes, changed by ann (version 2): done after 2 steps",
        "     bob is",
        r"     done\x1b]0;x\x07",
        "refused",
        "  replace of notes by bob: block 'notes' does not contain 'Letta'; it never stood there in these words",
    ]


def test_a_run_is_shown_for_programs() -> None:
    id = run()

    text = said("runs", "show", id.removeprefix("run-"), "--store", "s.db", "--json")

    assert text.isascii()
    shown = json.loads(text)
    assert (shown["run"], shown["status"], shown["message"], shown["error"]) == (id, "complete", "go on", None)
    assert shown["output"] == "ann is\ndone\x1b]0;x\x07"
    assert shown["budget"] == {"turns": 1000, "usd": None, "seconds": None}
    assert [(turn["agent"], turn["steps"], turn["causes"][0]["kind"]) for turn in shown["turns"]] == [
        ("ann", 2, "message"),
        ("bob", 2, "change"),
    ]
    assert (shown["cost"], shown["usage"]["calls"]) == (0.5, 4)
    assert [(event["by"], event["operation"], event["code"]) for event in shown["refused"]] == [
        ("bob", "replace", "not_found")
    ]


def test_an_id_that_is_not_enough_is_answered_with_the_candidates() -> None:
    put_runs("s.db", *(RunRecord(id=f"run-a{n:02}", agent="ann", text="hi", status="complete") for n in range(12)))

    assert "several runs whose id begins or ends with 'a0': run-a09, run-a08," in refused(
        "runs", "show", "a0", "--store", "s.db"
    )
    answer = refused("runs", "show", "b", "--store", "s.db")
    assert "has no run whose id begins or ends with 'b'; it has: run-a11, run-a10" in answer
    assert "run-a02 and 2 older ones" in answer
    assert "has no run" in refused("runs", "show", "", "--store", "s.db")


def test_a_run_that_no_message_opened_and_every_budget_are_shown() -> None:
    record = RunRecord(id="run-1", agent="", text="", status="failed", error="stuck:\nbob", max_usd=0.5, max_seconds=90)
    put_runs("s.db", record.model_copy(update={"at": 1e30}))

    lines = said("runs", "show", "1", "--store", "s.db").splitlines()

    assert lines[2:4] == ["opened   1e+30", "budget   1,000 turns, $0.50, 90 s"]
    assert lines[5:] == ["message  none: a change of the owner's opened it", "error", "  stuck:", "  bob"]
    assert rows(said("runs", "list", "--store", "s.db"))[0][3:] == ["(owner)", "0", "a change of the owner's"]


def test_a_hostile_store_cannot_forge_lines() -> None:
    put_runs("s.db", RunRecord(id="run-\n\t\x1b[2J", agent="ann\nbob", text="a\tb\nc\r", status="complete"))

    assert rows(said("runs", "list", "--store", "s.db"))[0][0::3] == [r"run-\n\t\x1b[2J", r"ann\nbob"]
    assert len(said("runs", "list", "--store", "s.db").splitlines()) == 1
    assert said("runs", "show", "run-", "--store", "s.db").splitlines()[:2] == [
        r"run      run-\n\t\x1b[2J",
        "status   complete",
    ]


# --- cut off, and resumed


def test_a_run_is_running_while_its_process_lives_and_cut_off_when_it_was_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with waiting_team() as running:
        ((id, status, _, _, turns, _),) = rows(said("runs", "list", "--store", "s.db"))
        assert (status, turns) == ("running", "2")
        assert "2. bob woken by notes, changed by ann (version 2): running after 1 step" in said(
            "runs", "show", id, "--store", "s.db"
        )
        answer = refused("runs", "resume", "team.py:team", "--store", "s.db", code=1)
        assert f"is open to write in process {running.pid}" in answer
        running.kill()

    assert rows(said("runs", "list", "--store", "s.db"))[0][1] == "cut off"
    shown = json.loads(said("runs", "show", id, "--store", "s.db", "--json"))
    assert (shown["status"], shown["cut_off"], shown["cost"]) == ("running", True, 0.5)
    monkeypatch.setattr("orchestrator.cli.stored.is_owned", lambda path: None)
    assert rows(said("runs", "list", "--store", "s.db"))[0][1] == "running or cut off"
    assert json.loads(said("runs", "list", "--store", "s.db", "--json"))["runs"][0]["cut_off"] is None


def test_whether_a_file_is_owned_is_not_known_where_its_lock_cannot_be_opened(here: Path) -> None:
    assert is_owned("s.db") is False
    (here / "s.db-owner").symlink_to(here / "elsewhere")
    assert is_owned("s.db") is None


def test_a_run_that_was_killed_is_resumed_where_it_was() -> None:
    id = cut_off()

    done = orchestrate("runs", "resume", "team.py:team", "--store", "s.db")

    assert (done.exit_code, done.stderr) == (0, "")
    lines, _, output = done.stdout.partition("\n\n")
    assert output == "ann is\ndone\\x1b]0;x\\x07\n"
    first, *told, last = lines.splitlines()
    assert first == f"{id}: goes on where it was cut off"
    assert {"ann goes on with its turn, in attempt 2", "bob goes on with its turn, in attempt 2"} < set(told)
    assert last.startswith("run complete: 2 turns, 4 model calls, 2,000 tokens, $0.5000, ")
    assert sorted(Path("asked").read_text().splitlines()) == ["ann 1", "bob 1"], "no answer is asked for again"
    assert said("runs", "resume", "team.py:team", "--store", "s.db") == "No run was cut off.\n"
    assert json.loads(said("runs", "resume", "team.py:team", "--store", "s.db", "--json")) == {"runs": []}


def test_a_message_after_a_crash_is_answered_and_told_how_to_resume() -> None:
    id = cut_off()

    done = orchestrate("run", "team.py:team", "next", "--store", "s.db", "--max-turns", "9")

    assert done.exit_code == 0
    assert done.stderr == (
        "1 run of this store was cut off. To go on, before the next message:\n"
        f"  orchestrator runs resume team.py:team {id} --store s.db\n"
    )
    resumed = orchestrate("runs", "resume", "team.py:team", id[-8:], "--store", "s.db", "--json")
    document = json.loads(resumed.stdout)
    assert resumed.exit_code == 0
    assert (document["run"], document["status"]) == (id, "complete")
    assert resumed.stdout.isascii()
    assert [row[1] for row in rows(said("runs", "list", "--store", "s.db"))] == ["complete", "complete"]


def test_all_that_were_cut_off_go_on_side_by_side() -> None:
    ids = [cut_off(), cut_off()]

    done = orchestrate("runs", "resume", "team.py:team", "--store", "s.db")

    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    first_end = lines.index(r"ann done after 2 steps: ann is done\x1b]0;x\x07")
    for id in ids:
        assert lines.index(f"{id}: goes on where it was cut off") < first_end
        assert lines[lines.index(f"{id}:") + 1].startswith("run complete: ")
    assert lines.index(f"{ids[0]}:") < lines.index(f"{ids[1]}:")
    assert said("runs", "resume", "team.py:team", "--store", "s.db") == "No run was cut off.\n"


def test_a_run_that_fails_when_it_is_resumed_ends_with_1() -> None:
    cut_off()
    team = Path("team.py").read_text(encoding="utf-8")
    Path("team.py").write_text(team.replace("return ModelResponse(f", "raise ValueError(f"), encoding="utf-8")

    done = orchestrate("runs", "resume", "team.py:team", "--store", "s.db")

    assert done.exit_code == 1
    assert "run failed: 2 turns" in done.stdout
    assert done.stderr.startswith("Error: the last turn of 'ann' failed: ValueError")


def test_a_run_that_is_over_is_told_as_it_ended() -> None:
    id = run()

    answer = said("runs", "resume", "team.py:team", id, "--store", "s.db")

    assert answer.startswith("run complete: 2 turns")
    assert Path("asked").read_text().count("ann") == 2
    assert "has no run whose id begins or ends with 'x'" in refused(
        "runs", "resume", "team.py:team", "x", "--store", "s.db"
    )


def test_ctrl_c_cancels_what_is_resumed() -> None:
    id = cut_off()
    Path("wait").touch()

    with process("runs", "resume", "team.py:team", "--store", "s.db") as resuming:
        assert resuming.stdout is not None
        while "goes on with its turn" not in resuming.stdout.readline():
            assert resuming.poll() is None
        resuming.send_signal(signal.SIGINT)
        _, complaint = resuming.communicate(timeout=30)

    assert (resuming.returncode, complaint) == (130, "Cancelled.\n")
    assert rows(said("runs", "list", "--store", "s.db"))[0][:2] == [id, "cancelled"]


def test_a_reader_that_goes_away_is_no_failure_to_talk_about() -> None:
    put_runs("s.db", *(RunRecord(id=f"run-{n}", agent="ann", text="hi" * 60, status="complete") for n in range(2000)))

    with process("runs", "list", "--store", "s.db") as listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        assert listing.stdout.readline().startswith("run-0\t")
        listing.stdout.close()
        assert listing.wait(timeout=30) == 1
        assert listing.stderr.read() == ""


# --- on a terminal


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("showing", "listing"):
        monkeypatch.setattr(f"orchestrator.cli.{module}.is_terminal", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.usefixtures("on_a_terminal")
def test_on_a_terminal_runs_are_a_table() -> None:
    put_runs("s.db")
    assert said("runs", "list", "--store", "s.db") == "There are no runs yet.\n"
    put_runs("s.db", RunRecord(id="run-1", agent="ann", text="[red]hi " * 30, status="complete", at=1.0))

    head, row = said("runs", "list", "--store", "s.db").splitlines()

    assert head.split() == ["run", "status", "opened", "agent", "turns", "message"]
    assert row.startswith(f"run-1  complete  {moment(1.0)}  ann        0  [red]hi [red]hi")
    assert row.rstrip().endswith("…")
    assert len(row) <= 120


@pytest.mark.usefixtures("on_a_terminal")
def test_on_a_terminal_a_store_that_was_used_is_shown_as_it_stands() -> None:
    orchestrate("run", "team.py:team", "hi", "--store", "s.db")

    table = orchestrate("run", "team.py:team", "hi", "--store", "s.db").stdout

    (notes,) = [line.split() for line in table.splitlines() if line.startswith("notes ")]
    assert notes[:5] == ["notes", "3", "29", "of", "40"]


@pytest.mark.usefixtures("on_a_terminal")
@pytest.mark.parametrize(("width", "id"), [(80, "…23456789"), (120, "run-0123456789-0123456789")])
def test_where_a_terminal_is_narrow_a_run_is_named_by_its_end(
    width: int, id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_runs("s.db", RunRecord(id="run-0123456789-0123456789", agent="supervisor", text="What? " * 30, at=1.0))
    monkeypatch.setenv("COLUMNS", str(width))

    head, row = said("runs", "list", "--store", "s.db").splitlines()

    assert row.startswith(f"{id}  cut off  {moment(1.0)}  supervisor      0  What? ")
    assert max(len(head), len(row)) <= width
    assert said("runs", "show", id, "--store", "s.db").startswith("run      run-0123456789-0123456789\n")


@pytest.mark.usefixtures("on_a_terminal")
def test_the_history_of_a_block_fits_a_terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    monkeypatch.setenv("COLUMNS", "80")

    head, *lines = said("blocks", "history", "notes", "--store", "s.db").splitlines()

    assert head.split() == ["version", "when", "operation", "by", "turn", "size", "change"]
    assert len(lines) == 2
    assert max(map(len, (head, *lines))) <= 80
    assert lines[1].split()[5].startswith("…")


def test_a_table_that_fits_nowhere_leaves_nothing_out() -> None:
    console = Console(file=io.StringIO(), width=12, force_terminal=True, color_system=None)

    show_table(
        [Column("name"), Column("n", is_number=True), Column("why", is_long=True)], [["x" * 20, "7", "y"]], console
    )

    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines()[1].split() == ["x" * 20, "7", "y"]


def test_sqlite_is_loaded_only_for_a_store() -> None:
    code = (
        "import sys; before = set(sys.modules); import orchestrator.cli; "
        "print([name for name in ('sqlite3', 'rich') if name in sys.modules and name not in before])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
