"""`orchestrator bench`: what is typed, what is shown, and the exit code."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drawing import on_a_terminal
from rich.console import Console
from typer.testing import CliRunner, Result

import orchestrator
from orchestrator.bench import MODEL, Gain, Load, Measured, Refusals, Sent, Think, Timed
from orchestrator.bench.measuring import Spread
from orchestrator.cli import app
from orchestrator.cli.bench_view import Bar, draw
from orchestrator.cli.figures import Sheet, asked_line, line, measured_lines, measured_sheets, notes, sheets, span
from orchestrator.runs import Budget
from orchestrator.stores import MemoryStore

CHECKOUT = Path(orchestrator.__file__).parent.parent

#: A team file: ann writes a note that wakes bob, and bob tries what he may not do.
PAIR = r"""
import anyio
from orchestrator import Agent, Block, ModelResponse, Team, ToolCall

class Speaker:
    def __init__(self, seconds, *answers):
        self.seconds, self.answers = seconds, answers

    async def respond(self, request):
        await anyio.sleep(self.seconds)
        return self.answers[request.step]

def edit(tool, **arguments):
    return ModelResponse("", [ToolCall(tool, {"label": "notes", **arguments})])

notes = Block("notes", limit=400)
ann = Speaker(1, edit("memory_insert", new_string="origin: MemGPT"), ModelResponse("noted"))
bob = Speaker(2, edit("memory_replace", old_string="Letta", new_string=""), ModelResponse("read"))
team = Team(
    "pair", [Agent("ann", blocks=[notes], model=ann), Agent("bob", blocks=[notes], wakes_on=[notes], model=bob)]
)
plain = Team("plain", [Agent("ann")])

def make(workers: int = 1, docs: str = "") -> Team:
    print("made")
    return Team(f"made-{workers}-{bool(docs)}", [Agent("ann")])
"""

#: What is asked of PAIR in simulated time.
OWN = ("team.py:team", "--model", "own", "--simulated")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, with a team file and a stand-in that is installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    Path("team.py").write_text(PAIR, encoding="utf-8")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def bench(*words: str) -> Result:
    return CliRunner().invoke(app, ["bench", *words], catch_exceptions=False)


def refused(*words: str, code: int = 2) -> str:
    """What is said on stderr about words that are wrong; nothing is said on stdout."""
    result = bench(*words)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    return result.stderr


# --- a team of one's own


def test_in_a_pipe_a_team_under_load_is_told_in_plain_lines() -> None:
    result = bench(*OWN, "--messages", "1")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "pair: 1 message at once; own models; in memory",
        "2 turns in 5 s of simulated time: 0.4 turns/s",
        "1.20 times as fast as one after another (6 s of thinking)",
        "1.00 times the ideal (5 s, the longest chain of thinking)",
        "1 of 1 complete",
        "",
        "of a turn: p50 2 s, p95 4 s, p99 4 s, most 4 s",
        "of a message: p50 5 s, p95 5 s, p99 5 s, most 5 s",
        "from wake to model request: p50 0 ms, p95 0 ms, p99 0 ms, most 0 ms",
        "",
        "notes: edits 2, refused 1, share 50.0%",
    ]


def test_json_is_one_document_with_what_was_asked_and_found() -> None:
    result = bench("team.py:make", "--workers", "2", "--docs", ".", "--simulated", "--json", "--max-turns", "7")

    document: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == 0
    assert "made\n" in result.stderr, "what the team's own code prints goes out of the way"
    assert document["team"] == "made-2-True"
    assert document["statuses"] == {"complete": 8}
    assert document["options"] == {
        "message": "What are memory blocks?",
        "messages": 8,
        "tasks": 1,
        "model": "rehearsal",
        "think": "0.05s",
        "seed": 0,
        "simulated": True,
        "store": None,
        "max_concurrency": None,
        "repeat": 1,
        "max_turns": 7,
    }


def asked(*words: str) -> dict[str, Any]:
    options: dict[str, Any] = json.loads(bench(*words, "--json").stdout)["options"]
    return options


def test_every_option_arrives() -> None:
    words = ("--message", "hi", "--tasks", "2", "--think", "uniform:1s..2s", "--seed", "3", "--max-concurrency", "4")

    options = asked("team.py:plain", "--simulated", *words, "--repeat", "2")

    chosen = {"message": "hi", "tasks": 2, "think": "uniform:1s..2s", "seed": 3, "max_concurrency": 4, "repeat": 2}
    assert {name: options[name] for name in chosen} == chosen
    assert options["messages"] == 1, "one message, which asks for two things"
    assert asked("team.py:plain", "--simulated", "--tasks", "2", "--messages", "3")["messages"] == 3


def test_a_models_own_think_time_is_let_be_unless_one_is_given() -> None:
    assert asked(*OWN) | {"think": None, "model": None} == asked(*OWN)
    assert asked(*OWN, "--think", "1s")["think"] == "1s"


def test_the_rehearsal_is_announced_where_it_plays_a_part() -> None:
    assert bench("team.py:team", "--simulated").stderr.startswith("rehearsal: rule-based stand-in")
    assert bench(*OWN).stderr == ""


def test_a_run_that_does_not_complete_ends_with_1_and_its_reason() -> None:
    result = bench(*OWN, "--max-turns", "1", "--messages", "1", "--repeat", "2")
    as_json = bench(*OWN, "--max-turns", "1", "--messages", "1", "--repeat", "2", "--json")

    reason = "Error: not every run is complete; the first that is not: budget: spent after 1 turn\n"
    assert (result.exit_code, result.stderr) == (1, reason)
    assert "2 of 2 budget" in result.stdout
    assert (as_json.exit_code, as_json.stderr) == (1, reason)
    assert json.loads(as_json.stdout)["statuses"] == {"budget": 2}


def test_a_team_is_kept_in_the_file_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    paths: list[Path] = []
    monkeypatch.setattr("orchestrator.bench.load.lasting", lambda path: paths.append(path) or MemoryStore())

    options = asked("team.py:plain", "--store", "team.db", "--think", "0s")

    assert paths == [Path("team.db")]
    assert options["store"] == "team.db"


def test_a_store_that_cannot_be_used_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    class Taken(MemoryStore):
        async def open(self, environment: object = None) -> None:
            raise orchestrator.StoreError("somebody else has it open")

    monkeypatch.setattr("orchestrator.bench.load.lasting", lambda path: Taken())

    assert "Error: somebody else has it open\n" in refused("team.py:plain", "--store", "team.db", code=1)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["team.py:team", "--quick"], "--only and --quick choose among the built-in workloads; leave out TEAM or them"),
        (["team.py:team", "--only", "uneven"], "--only and --quick choose among the built-in workloads"),
        (["--tasks", "3", "--max-turns", "4"], "bench: --tasks, --max-turns: say which TEAM"),
        (["--simulated"], "--simulated: say which TEAM"),
        (["--only", "fast"], "--only: there is no workload 'fast'; there are: uneven, wide, inserts, turns, calls"),
        (["nowhere.py:team"], "nowhere.py: there is no such file"),
        (["team.py:team", "--workers", "2"], "is a Team, not a function, so it takes no --workers"),
        (["team.py:team", "--think", "soon"], "--think: 'soon' is no think time; write 50ms, 0.2s, uniform:"),
        (["team.py:team", "--messages", "0"], "--messages"),
        (["team.py:team", "--simulated", "--store", "x.db"], "--simulated: keeps everything in memory"),
        (["team.py:team", "--model", "nobody"], "there is no model 'nobody'"),
        (["team.py:plain", "--model", "own"], "agent 'ann' has no model"),
        (["team.py:team", "--message", "\udc80"], "--message: cannot hold half of a surrogate pair"),
    ],
)
def test_wrong_use_ends_with_2(words: list[str], why: str) -> None:
    assert why in refused(*words)


def test_help_names_every_option_and_the_defaults_there_are() -> None:
    text = " ".join(bench("--help").stdout.split())

    for name in ("only", "quick", "message", "messages", "tasks", "think", "seed", "simulated", "model", "store"):
        assert f"--{name} " in text
    for name in ("max-concurrency", "repeat", "max-turns", "docs", "workers", "json"):
        assert f"--{name} " in text
    assert f"[{Load().messages}, or 1 with --tasks]" in text
    assert f"names. [{MODEL}]" in text
    assert f"[{Load().seed}]" in text
    assert f"for a message. [{Budget().turns}]" in text
    assert "[rehearsal: 50ms;" in text
    assert "Machines are noisy: compare the ratios of one run" in text


# --- the built-in workloads


def test_in_a_pipe_each_workload_is_a_line_and_the_words_are_explained_below() -> None:
    result = bench("--quick", "--only", "turns", "--only", "prompts")

    assert (result.exit_code, result.stderr) == (0, "")
    found, _, explained = result.stdout.partition("\n\n")
    lines = found.splitlines()
    assert lines[0].startswith("turns, memory: a turn without a tool call, 64 at once: ")
    assert lines[-1].startswith("prompts, block in the system: 8 agents x 20 turns, a shared block that all rewrite: ")
    assert [text.partition(":")[0] for text in explained.splitlines()] == [
        "bare",
        "counted in words and signs; unchanged",
    ]


def test_as_json_there_is_nothing_but_the_document() -> None:
    result = bench("--quick", "--only", "calls", "--json")

    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert {found["workload"] for found in document["timed"]} == {"calls"}
    assert document["gains"] == document["prompts"] == []


def test_ctrl_c_ends_with_130() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "bench", "--quick"],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("uneven, memory")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)

    assert process.returncode == 130
    assert said == "Cancelled.\n"


# --- words and tables

TIMED = Timed("turns", "memory", "a turn", 1280, 0.48, 374.4, 0.072, 6.6667)
GAIN = Gain("commits", "SQLite", "writes", 9000.0, 3000.0)
SENT = Sent("prompts", "tail", "8 agents", 320, 967_826, 0.835, 0.774)


def test_a_finding_is_a_line() -> None:
    assert line(TIMED) == (
        "turns, memory: a turn: 2,667 turns/s, 374 µs CPU per turn; 480 ms against 72 ms bare, ratio 6.67"
    )
    assert line(GAIN) == "commits, SQLite: writes: 9,000/s against 3,000/s, gain 3.0"
    assert line(SENT) == (
        "prompts, block in the tail: 8 agents: 83.5% of 967,826 prompt tokens unchanged,"
        " 77.4% without tools and system text"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.000966, "966 µs"),
        (0.00104, "1.04 ms"),
        (0.315, "315 ms"),
        (1.2345, "1.23 s"),
        (65.4, "65.4 s"),
        (4321.0, "4,321 s"),
    ],
)
def test_a_time_has_three_digits_and_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_what_was_asked_is_a_line() -> None:
    team = orchestrator.Team("pair", [orchestrator.Agent("ann")])
    much = Load(messages=2000, tasks=3, repeat=4, think=Think.parse("uniform:1s..2s"), seed=5, max_concurrency=6)

    assert asked_line(team, Load()) == "pair: 8 messages at once; rehearsal after 0.05s of thinking, seed 0; in memory"
    assert asked_line(team, replace(much, store=Path("x\x1b.db"))) == (
        "pair: 2,000 messages at once for 3 tasks each, 4 times; rehearsal after uniform:1s..2s of thinking, seed 5;"
        " 6 turns at once; kept in x\\x1b.db"
    )


def drawn(sheet: Sheet) -> list[str]:
    console = Console(file=io.StringIO(), force_terminal=True, width=140, color_system=None)
    draw(sheet, console)
    assert isinstance(console.file, io.StringIO)
    return [text.rstrip() for text in console.file.getvalue().splitlines()]


def test_each_kind_of_finding_has_a_table_with_a_note() -> None:
    timed, gain, sent = (drawn(sheet) for sheet in sheets([TIMED, GAIN, SENT]))

    assert timed[1].split()[-6:] == ["374", "480", "ms", "72", "ms", "6.67"]
    assert gain[1].split() == ["commits", "SQLite", "writes", "9,000", "3,000", "3.0"]
    assert sent[1].split()[-3:] == ["967,826", "83.5%", "77.4%"]
    assert [timed[2], gain[2], sent[2]] == list(notes([SENT, GAIN, TIMED]))
    assert list(sheets([])) == list(notes([])) == []


def test_a_table_shows_texts_as_they_are_and_figures_to_the_right() -> None:
    table = drawn(Sheet(["block", "edits"], [["[red]notes", "5"], ["plans", "10,000"]]))

    assert table == ["block        edits", "[red]notes       5", "plans       10,000"]


def test_what_is_not_known_of_a_load_is_left_out() -> None:
    nothing = Measured(
        team="t",
        messages=1,
        repeats=1,
        simulated=True,
        statuses={"complete": 1, "failed": 2},
        failure="why",
        turns=3,
        seconds=0,
        thought=0,
        ideal=0,
        turn=None,
        message=Spread(0, 0, 0, 0),
        wait=None,
        refusals=(Refusals("no\x1bte", 2, 1),),
    )

    assert list(measured_lines(nothing)) == [
        "3 turns in 0 ms of simulated time",
        "1 of 3 complete, 2 of 3 failed",
    ]
    times, refusals = measured_sheets(nothing)
    assert [row[0] for row in times.rows] == ["of a message"]
    assert refusals.rows == [["no\\x1bte", "2", "1", "50.0%"]]
    assert len(list(measured_sheets(replace(nothing, refusals=())))) == 1


# --- on a terminal


def test_a_bar_counts_what_is_done() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    with Bar(2, console) as bar:
        bar()
        bar(TIMED)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()

    assert text.index("0/2") < text.index("1/2") < text.index("2/2")


def test_on_a_terminal_there_is_a_table_for_each_kind_of_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    async def measured(jobs: Any, done: Any) -> list[Any]:
        findings = [TIMED, GAIN, SENT]
        for finding in findings:
            done(finding)
        return findings

    monkeypatch.setattr("orchestrator.bench.run_jobs", measured)
    monkeypatch.setattr("orchestrator.cli.benching.is_terminal", lambda: True)

    tables = bench("--quick").stdout.split("\n\n")

    assert len(tables) == 3
    assert all("workload" in table for table in tables)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--quick", "--only", "turns"], [b"workload", b"turns/s", b"64 at once", b"bare: a task group"]),
        ([*OWN, "--messages", "2"], [b"pair: 2 messages", b"turns in ", b"times the ideal", b"of a message", b"notes"]),
    ],
)
def test_a_real_terminal_shows_a_bar_and_then_tables(words: list[str], shown: list[bytes]) -> None:
    read_all = on_a_terminal(130, "bench", *words)

    bar, _, after = read_all.rpartition(b"measuring")
    assert b"measuring" in bar
    assert bar.index(b"\x1b[?25l") < read_all.index(b"\x1b[?25h")  # the cursor is hidden, and comes back
    places = [after.index(text) for text in shown]
    assert places == sorted(places)
