"""`orchestrator graph`: what is printed, what is written, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator import Agent, Block, Team, draw
from orchestrator.cli import app
from patterns.teams import task_queue_team

#: A team file that prints, and has a team with a description in Greek.
TEAM = """
from orchestrator import Agent, Block, Team

print("loaded")
notes = Block("notes", description="λόγος")
team = Team("pair", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes])])
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in; what a command imports is forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def graph(*words: str) -> Result:
    return CliRunner().invoke(app, ["graph", *words], catch_exceptions=False)


def pair() -> Team:
    notes = Block("notes", description="λόγος")
    return Team("pair", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes])])


def test_a_team_is_printed_as_mermaid_and_no_model_is_named() -> None:
    done = graph("patterns.teams:task_queue_team", "--workers", "2")

    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == draw(task_queue_team(workers=2))


@pytest.mark.parametrize("format", ["mermaid", "dot", "svg"])
def test_a_format_may_be_named(format: str) -> None:
    assert graph("patterns.teams:task_queue_team", "--format", format).stdout == draw(task_queue_team(), format)  # type: ignore[arg-type]


def test_what_a_team_file_prints_is_not_in_the_picture_which_is_utf_8(here: Path) -> None:
    (here / "pair.py").write_text(TEAM, encoding="utf-8")

    done = graph("pair.py:team", "--format", "svg")

    assert done.stdout_bytes == draw(pair(), "svg").encode()
    assert "λόγος" in done.stdout
    assert done.stderr == "loaded\n"


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.mmd", "mermaid"),
        ("a.mermaid", "mermaid"),
        ("a.dot", "dot"),
        ("a.gv", "dot"),
        ("a.svg", "svg"),
        ("A.SVG", "svg"),
    ],
)
def test_the_ending_of_a_file_says_how_it_is_drawn(here: Path, name: str, format: str) -> None:
    done = graph("patterns.teams:task_queue_team", "--output", name)

    assert (done.exit_code, done.output) == (0, "")
    assert (here / name).read_text(encoding="utf-8") == draw(task_queue_team(), format)  # type: ignore[arg-type]


def test_a_format_counts_more_than_an_ending(here: Path) -> None:
    graph("patterns.teams:task_queue_team", "--output", "team.md", "--format", "dot")

    assert (here / "team.md").read_text(encoding="utf-8") == draw(task_queue_team(), "dot")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--output", "team.png"], "'team.png' ends in none of .mmd, .mermaid, .dot, .gv, .svg; give --format, or"),
        (["--output", "team"], "'team' ends in none of"),
        (["--output", "."], "is a directory"),
        (["--format", "png"], "'png' is not one of"),
        (["--workers", "0"], "workers: 0 are none; give 1 or more"),
        (["--docs", "nowhere"], "'nowhere' does not exist"),
    ],
)
def test_wrong_words_end_with_2_and_write_nothing(here: Path, words: list[str], told: str) -> None:
    done = graph("patterns.teams:task_queue_team", *words)

    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr
    assert list(here.iterdir()) == []


def test_a_team_that_is_none_ends_with_2() -> None:
    done = graph("patterns.teams:nobody")

    assert done.exit_code == 2
    assert "has no 'nobody'" in done.stderr


def test_a_file_that_cannot_be_written_ends_with_1() -> None:
    done = graph("patterns.teams:task_queue_team", "--output", "nowhere/team.svg")

    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"Error: {Path('nowhere/team.svg')}: cannot be written: No such file or directory\n"
