"""`orchestrator check`: what is printed, on a terminal and into a pipe, and the exit code; and that our teams pass."""

from __future__ import annotations

import ast
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from shown import FILES, FOLDER
from test_readme import PYTHON, Shown
from typer.testing import CliRunner, Result

from orchestrator import Agent, Block, Team, Waiver, check
from orchestrator.checking.rules import RULES
from orchestrator.cli import app, checking
from orchestrator.cli.check_lines import explained, report_lines
from orchestrator.cli.check_view import show_report, show_rules
from orchestrator.cli.loading import load
from patterns import teams

#: As in the guides that the idea comes from: everybody may rewrite one block, and the last write wins.
PLAIN = """
from orchestrator import Agent, Block, Team, Waiver

print("loaded")
organization = Block(
    "organization", "Organization: Letta", "Shared information between all agents.", rethink="last_write_wins"
)
agents = [Agent(name, blocks=[organization.curator()]) for name in ("supervisor", "worker")]
team = Team("company", agents)
waived = Team("company", agents, waivers=[Waiver("R001", "organization", reason="they take turns")])
bare = Team("bare", [Agent("ann", blocks=[Block("notes")])])
"""


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a team's file; what a command imports from it is forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    (tmp_path / "plain.py").write_text(PLAIN, encoding="utf-8")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def command(*words: str) -> Result:
    return CliRunner().invoke(app, ["check", *words], catch_exceptions=False)


# --- a team


@pytest.mark.usefixtures("plain")
def test_the_plain_design_is_named_for_its_race() -> None:
    done = command("plain.py:team")

    assert done.exit_code == 1
    first, so, mend, *rest = done.stdout.splitlines()
    assert first == (
        "error R001 block 'organization': supervisor and worker may rewrite it with memory_rethink, and the last write"
        " wins (rethink='last_write_wins'): what supervisor or worker has written since a rewriter was shown it is"
        " lost; supervisor and worker overlap only when several runs go on at once (messages to both at the same time)"
    )
    assert so == (
        "    so: 1. supervisor is shown organization, version 1; 2. worker rewrites it: version 2; 3. supervisor"
        " rewrites it from version 1: version 3, and worker's text is gone"
    )
    assert mend == f"    mend: {RULES['R001'].mend}"
    assert rest[-1] == "team 'company': 1 error, 0 warnings, 2 notes"
    assert done.stderr == "loaded\nError: team 'company' does not pass: 1 error, 0 warnings, 2 notes\n"


@pytest.mark.usefixtures("plain")
def test_what_is_waived_passes_and_is_shown() -> None:
    done = command("plain.py:waived", "--strict")

    assert (done.exit_code, done.stderr) == (0, "loaded\n")
    assert "\n    waived: they take turns\n" in done.stdout
    assert done.stdout.endswith("team 'company': 0 errors, 0 warnings, 2 notes, 1 waived\n")
    assert RULES["R001"].mend not in done.stdout


@pytest.mark.parametrize(("words", "code"), [([], 0), (["--strict"], 1)])
@pytest.mark.usefixtures("plain")
def test_warnings_fail_strictly(words: list[str], code: int) -> None:
    done = command("plain.py:bare", *words)

    assert done.exit_code == code
    assert done.stdout.startswith("warning L004 block 'notes': nothing tells ann what it is for\n")


@pytest.mark.usefixtures("plain")
def test_a_document_for_programs_has_everything() -> None:
    done = command("plain.py:team", "--json", "--strict")

    document = json.loads(done.stdout)
    assert done.exit_code == 1
    assert (document["team"], document["passes"], document["strict"]) == ("company", False, True)
    assert (document["errors"], document["warnings"], document["notes"], document["waived"]) == (1, 0, 2, 0)
    finding, race = document["findings"][0], document["races"][0]
    assert (finding["code"], finding["severity"], finding["place"]) == ("R001", "error", "block 'organization'")
    assert (race["code"], race["grade"], race["block"]) == ("R001", "lost", "organization")
    assert race["pairs"] == [
        {
            "agents": ["supervisor", "worker"],
            "operations": ["rethink", "rethink"],
            "when": "in several runs",
            "reason": "messages to both at the same time",
        }
    ]
    assert json.loads(command("plain.py:bare", "--json").stdout)["passes"] is True


def test_safe_changes_are_told_last() -> None:
    done = command("patterns.teams:domain_knowledge_team", "--workers", "2")

    assert done.exit_code == 0
    *_, safe, outcome = done.stdout.splitlines()
    assert safe == (
        "safe block 'domain_knowledge': analyst, specialist-1, specialist-2: insert, in one run: analyst's change of"
        " domain_knowledge wakes specialist-1 while analyst goes on"
    )
    assert outcome == "team 'domain_knowledge': 0 errors, 0 warnings, 2 notes"


def test_model_and_budget_may_be_named() -> None:
    without = command("patterns.teams:domain_knowledge_team")
    done = command("patterns.teams:domain_knowledge_team", "--model", "rehearsal", "--max-turns", "2", "--strict")

    assert "note L032" in without.stdout
    assert "L032" not in done.stdout
    assert "warning L034 team 'domain_knowledge': a message to analyst may call for 4 turns" in done.stdout
    assert done.exit_code == 1


def test_a_store_that_was_used_is_looked_into(plain: Path) -> None:
    words = ["run", "plain.py:team", "hello", "--model", "rehearsal", "--store", "team.db"]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0

    done = command("--store", "team.db")
    document = json.loads(command("--store", "team.db", "--json").stdout)
    told = command("--explain", "D101")

    assert done.exit_code == 0
    assert done.stdout.startswith("block\torganization\t1\towner\t")
    assert [block["name"] for block in document["blocks"]] == ["organization"]
    assert told.stdout.startswith("D101 ")
    assert "Has it" not in told.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "check: say which TEAM, or which --store, or which CODE to --explain"),
        (["task_queue", "--store", "team.db"], "check: say which TEAM, or which --store"),
        (["--store", "nowhere.db"], "nowhere.db"),
        (["patterns.teams:nobody"], "has no 'nobody'"),
        (["patterns.teams:task_queue_team", "--workers", "0"], "workers: 0 are none; give 1 or more"),
        (["patterns.teams:task_queue_team", "--max-turns", "0"], "--max-turns"),
        (["--explain", "R9"], "R9: is no code of a finding; there are: R001, "),
    ],
)
def test_wrong_use_ends_with_2(words: list[str], told: str) -> None:
    done = command(*words)

    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr


# --- what a code means


def test_a_code_is_explained_without_a_team() -> None:
    done = command("--explain", "r001")

    assert (done.exit_code, done.stderr) == (0, "")
    rule = RULES["R001"]
    assert done.stdout.startswith(f"R001 updates are lost (error)\n\n{rule.summary}\n\n{rule.why}\n\nMend: ")
    assert f"Has it:\n\n    {rule.bad.splitlines()[0]}\n" in done.stdout
    assert f"Has it not:\n\n    {rule.good.splitlines()[0]}\n" in done.stdout


def test_several_codes_or_all_are_explained() -> None:
    several = command("--explain", "L004", "--explain", "R002").stdout
    every = command("--explain", "all").stdout

    assert [line.split()[0] for line in several.splitlines() if re.match("[RLW]0", line)] == ["L004", "R002"]
    assert every == "\n\n".join(map(explained, RULES.values())) + "\n"


def test_what_codes_mean_can_be_read_by_programs() -> None:
    document = json.loads(command("--explain", "all", "--json").stdout)

    assert [entry["code"] for entry in document] == list(RULES)
    assert set(document[0]) == {"code", "name", "severity", "summary", "why", "mend", "bad", "good"}


# --- on a terminal


def console() -> Console:
    # Colours are wanted here, whatever NO_COLOR says.
    return Console(
        file=io.StringIO(),
        width=80,
        force_terminal=True,
        color_system="standard",
        legacy_windows=False,
        no_color=False,
    )


def seen(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return re.sub(r" +\n", "\n", re.sub(r"\x1b\[[\d;]*m", "", screen.file.getvalue()))


def crew() -> Team:
    notes = Block("notes", description="What we found.", rethink="last_write_wins")
    log, bare = Block("log", description="What was done."), Block("bare")
    ann = Agent("ann", blocks=[notes.curator(), log.contributor(), bare])
    bob = Agent("bob", blocks=[notes.curator(), log.contributor()])
    return Team("crew", [ann, bob], waivers=[Waiver("L004", "bare", reason="[b]all[/b] know")])


def test_a_terminal_shows_them_grouped_and_coloured() -> None:
    screen = console()
    show_report(check(crew()), screen)

    assert isinstance(screen.file, io.StringIO)
    text = screen.file.getvalue()
    assert "\x1b[1;31mR001\x1b[0m \x1b[1mblock 'notes'\x1b[0m" in text
    lines = seen(screen).splitlines()
    heads = [line for line in lines if line and not line.startswith(" ")]
    assert heads == ["errors", "warnings", "notes", "safe", "team 'crew': 1 error, 0 warnings, 2 notes, 1 waived"]
    assert "        1. ann is shown notes, version 1" in lines
    assert "        waived: [b]all[/b] know" in lines
    assert "    block 'log': ann, bob: insert, in several runs: messages to both at the same" in lines
    assert all(len(line) <= 80 for line in lines)


def test_a_terminal_s_last_line_says_by_its_colour_how_it_stands() -> None:
    def last(team: Team) -> str:
        screen = console()
        show_report(check(team), screen)
        assert isinstance(screen.file, io.StringIO)
        return screen.file.getvalue().splitlines()[-1]

    assert "\x1b[1;31m1 error" in last(crew())
    assert "\x1b[1;33m0 errors, 1 warning" in last(Team("bare", [Agent("ann", blocks=[Block("notes")])]))
    assert "\x1b[1;32m0 errors, 0 warnings, 1 note" in last(Team("fine", [Agent("ann")]))


def test_a_terminal_shows_what_codes_mean() -> None:
    screen = console()
    show_rules([RULES["R001"], RULES["L004"]], screen)

    text = seen(screen)
    assert text.startswith("R001 updates are lost (error)\nAn agent may rewrite a block")
    assert "\n\nL004 no description (warning)\n" in text
    assert f"Has it:\n    {RULES['L004'].bad}\n" in text  # in one line, to be copied


def test_who_looks_at_a_terminal_is_shown_that(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(checking, "is_terminal", lambda: True)
    monkeypatch.setattr("orchestrator.cli.check_view.show_report", shown.append)
    monkeypatch.setattr("orchestrator.cli.check_view.show_rules", shown.append)

    command("patterns.teams:task_queue_team")
    command("--explain", "R001")

    assert [shown[0].team, shown[1]] == ["task_queue", [RULES["R001"]]]


def test_what_a_terminal_would_obey_is_written_out() -> None:
    team = Team(
        "odd", [Agent("ann", blocks=[Block("notes")])], waivers=[Waiver("L004", reason="\x1b[2Jgone\nand so on")]
    )

    lines = list(report_lines(check(team)))

    assert r"    waived: \x1b[2Jgone\nand so on" in lines


# --- our own teams


def ours() -> Iterator[tuple[str, Any]]:
    for name in FILES:
        yield f"examples/{name}", lambda name=name: [load(f"{FOLDER / name}.py:team", {})]
    for name, factory in vars(teams).items():
        if name.endswith("_team"):
            yield f"patterns/{name}", lambda factory=factory: [factory()]
    for name in ("task_queue", "domain_knowledge", "user_preferences", "handoff_context", "system_config"):
        yield f"skeletons/{name}", lambda name=name: [load(f"patterns.skeletons.{name}:team", {})]
    for block in PYTHON:
        if "Agent(" in block.text and "def test_" not in block.text:
            yield str(block), lambda block=block: declared(block)


def declared(block: Shown) -> list[Team]:
    """The teams of a README's block, which is not run: neither loops nor what awaits or prints."""
    tree = ast.parse(block.text)
    tree.body = [node for node in tree.body if not isinstance(node, ast.Expr | ast.For | ast.If | ast.AsyncWith)]
    namespace: dict[str, Any] = {"__name__": "shown"}
    exec(compile(tree, str(block), "exec"), namespace)  # noqa: S102 -- it is what our own README says
    return [value for value in namespace.values() if isinstance(value, Team)]


@pytest.mark.parametrize("find", [pytest.param(find, id=name) for name, find in ours()])
def test_our_own_teams_pass_strictly_without_waivers(find: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXA_API_KEY", raising=False)
    for team in find():
        report = check(team)

        assert team.waived == ()
        assert [finding for finding in report.findings if finding.severity != "note"] == []
        assert report.passes(strict=True)


def test_no_team_of_a_readme_is_overlooked() -> None:
    found = {block.readme: 0 for block in PYTHON}
    for block in PYTHON:
        if "Agent(" in block.text and "def test_" not in block.text:
            found[block.readme] += len(declared(block))

    assert found["README.md"] >= 6
    assert found["patterns/README.md"] >= 5
