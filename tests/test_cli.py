"""What is typed at a terminal, what is shown, and the exit code."""

from __future__ import annotations

import email.message  # noqa: F401 -- newer Pythons import it late, when see_only() has hidden it
import io
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import command
from drawing import on_a_terminal
from rich.console import Console
from typer.testing import CliRunner, Result

import orchestrator
from orchestrator import Agent, Block, Team, ToolCall, Usage, run_sync
from orchestrator.cli import app, loading, main
from orchestrator.cli.lines import Lines, summary
from orchestrator.cli.view import View
from orchestrator.events import BlockChanged, Cause, RunEnded, StepTaken, ToolAnswered, TurnEnded, TurnStarted
from orchestrator.phrases import brief, visible

CHECKOUT = Path(orchestrator.__file__).parent.parent

#: A team file: ann writes a note that wakes bob, and answers; bob tries what he may not do.
PAIR = r"""
from orchestrator import Agent, Block, DeclarationError, ModelResponse, Team, ToolCall, Usage

class Speaker:
    def __init__(self, *answers):
        self.answers = answers

    async def respond(self, request):
        return self.answers[request.step]

def edit(tool, **arguments):
    return ModelResponse("", [ToolCall(tool, {"label": "notes", **arguments})], Usage(input_tokens=1000))

notes = Block("notes", limit=400)
ann = Speaker(edit("memory_insert", new_string="origin: MemGPT"), ModelResponse("[bold]noted[/bold] \x1b]0;x\x07"))
bob = Speaker(edit("memory_replace", old_string="Letta", new_string=""), ModelResponse("read\nit"))
team = Team(
    "pair", [Agent("ann", blocks=[notes], model=ann), Agent("bob", blocks=[notes], wakes_on=[notes], model=bob)]
)

def make(workers: int = 1) -> Team:
    if workers < 1:
        raise DeclarationError("make", "needs a worker")
    return Team("made", [Agent(f"agent-{n}", model=Speaker(ModelResponse(f"{workers}"))) for n in range(workers)])
"""

#: A team file whose model cannot answer.
FAILING = r"""
from orchestrator import Agent, ModelError, Team

class Silent:
    async def respond(self, request):
        raise ModelError("nobody\x1b[2J there")

team = Team("alone", [Agent("ann", model=Silent())])
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in; what a command imports is forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.delenv("ORCHESTRATOR_MODEL", raising=False)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write(name: str, text: str) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["run", *words], catch_exceptions=False)


def refused(*words: str) -> str:
    """What is said on stderr about words that are wrong; nothing is said on stdout."""
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return result.stderr


def install(name: str, entry_points: str = "") -> None:
    """Lay beside us what an installed distribution leaves for others to find."""
    write(f"{name}-0.1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    write(f"{name}-0.1.0.dist-info/entry_points.txt", entry_points)


def see_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide what is installed, so that it does not matter whether we are."""
    monkeypatch.setattr(sys, "path", [str(folder)])


# --- the command itself


def test_help_lists_the_commands_and_loads_no_rich() -> None:
    code = "import sys; sys.argv[1:] = ['--help']\nfrom orchestrator.cli import main\n"
    code += "try: main()\nexcept SystemExit: print('rich' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=True,
    )

    said = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for line in (
        "run Give a team a message and print what it answers.",
        "new Write a small team and its test, to start from.",
        "bench Measure the built-in workloads, or a TEAM under load.",
        "watch Follow what happens in a stored team.",
        "runs Look at the runs of a stored team; resume them.",
        "blocks Look at the blocks of a stored team, and write to them.",
        "prompts List the words that models read; copy them, to edit them.",
    ):
        assert line in said
    assert done.stdout.endswith("\nFalse\n")


def test_help_of_run_names_the_variable_and_every_option() -> None:
    text = run("--help").stdout

    for word in ("TEAM", "MESSAGE", "ORCHESTRATOR_MODEL"):
        assert word in text
    for option in ("--model", "--docs", "--workers", "--json", "--max-turns", "--timeout", "--store", "--prompts"):
        assert option in text


def test_python_dash_m_is_the_command() -> None:
    done = command("--version")

    assert done.returncode == 0
    assert done.stdout.startswith("sharedblocks ")


def test_the_version_is_that_of_what_is_installed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    see_only(here, monkeypatch)
    assert CliRunner().invoke(app, ["--version"]).stdout == "sharedblocks (not installed)\n"

    install("sharedblocks")
    assert CliRunner().invoke(app, ["--version"]).stdout == "sharedblocks 0.1.0\n"


def test_wrong_words_end_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    write("team.py", PAIR)
    monkeypatch.setattr(sys, "argv", ["orchestrator", "walk"])

    with pytest.raises(SystemExit) as exit:
        main()

    assert exit.value.code == 2
    assert "--max-turns" in refused("team.py:team", "hi", "--max-turns", "0")
    assert "seconds is 0.0" in refused("team.py:team", "hi", "--timeout", "0")
    assert "does not exist" in refused("team.py:make", "hi", "--docs", "nowhere")
    assert "Missing argument" in refused("team.py:team")


def test_a_message_that_is_not_text_is_wrong_use() -> None:
    write("team.py", PAIR)

    assert "halves of surrogate pairs" in refused("team.py:team", "\udc80")


# --- which team


def test_a_team_is_found_in_a_file() -> None:
    write("elsewhere/beside.py", "name = 'ann'")
    write("elsewhere/my team.py", "import beside\n" + PAIR)

    result = run("elsewhere/my team.py:team", "hi")

    assert result.exit_code == 0
    assert "ann done after 2 steps" in result.stdout


def test_a_team_file_may_have_the_name_of_a_module_of_ours() -> None:
    write("typer.py", PAIR)
    ours = sys.modules["typer"]

    assert run("typer.py:team", "hi").exit_code == 0
    assert sys.modules["typer"] is ours


def test_a_team_is_found_in_a_module() -> None:
    write("company/__init__.py", "")
    write("company/support.py", PAIR)

    assert run("company.support:team", "hi").exit_code == 0


def test_a_team_is_found_by_the_name_of_its_entry_point() -> None:
    write("offered_here.py", PAIR)
    install("offering", "[orchestrator.teams]\npair_of_two = offered_here:make\n")
    sys.path.insert(0, str(Path.cwd()))

    result = run("pair_of_two", "hi", "--workers", "2")

    assert result.stdout.endswith("\n\n2\n")


def test_a_name_that_nobody_offers_is_answered_with_the_names_there_are(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("sharedblocks", "[orchestrator.teams]\ntask_queue = t:t\ndomain_knowledge = d:d\n")
    Path("folder").mkdir()
    see_only(here, monkeypatch)

    for name in ("taskqueue", "task-queue", "folder", ".relative"):
        answer = refused(name, "hi")
        assert "there are: domain_knowledge, task_queue" in answer
        assert "file.py:object, module:object" in answer


def test_a_pattern_in_a_checkout_that_is_not_installed_is_answered_with_how_to_install_it(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    see_only(here, monkeypatch)

    assert "pip install -e ." in refused("task_queue", "hi")


def test_a_file_or_module_that_is_not_there_is_named() -> None:
    assert "nowhere.py: there is no such file" in refused("nowhere.py:team", "hi")
    assert "there is no module 'no.where'" in refused("no.where:team", "hi")


def test_without_an_object_the_error_lists_the_teams_and_functions_there_are() -> None:
    imported = "\nfrom orchestrator import Block as _b\ndef join(lead, workers) -> Team: ...\n"
    write("two_teams.py", PAIR + "\nother = make()\n" + imported)
    listed = "two_teams.py:team, two_teams.py:make (a function), two_teams.py:other\n"

    assert f"say which object; it holds {listed}" in refused("two_teams.py", "hi")
    assert f"has no 'company'; it holds {listed}" in refused("two_teams.py:company", "hi")
    assert "it holds two_teams:team" in refused("two_teams", "hi")


def test_a_file_without_teams_says_so() -> None:
    write("empty.py", "")

    assert "it holds no Team and no function -> Team" in refused("empty.py", "hi")


def test_an_error_in_the_users_file_is_shown_where_it_is() -> None:
    write("wrong.py", "def broken():\n    return 1 / 0\n\nbroken()\n")
    write("unfinished.py", "team = (\n")
    write("misses.py", "import no_such_module\n")
    write("leaves.py", "raise SystemExit(3)\n")
    write("unchained.py", "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError('x') from error\n")

    for name in ("wrong.py:team", "wrong:team"):
        said = refused(name, "hi")
        assert 'wrong.py", line 2, in broken' in said
        assert "ZeroDivisionError: division by zero" in said
        assert "loading.py" not in said
        assert "importlib" not in said
    assert 'unfinished.py", line 1' in refused("unfinished.py:team", "hi")
    assert "No module named 'no_such_module'" in refused("misses:team", "hi")
    assert "SystemExit: 3" in refused("leaves.py:team", "hi")
    said = refused("unchained.py:team", "hi")
    assert "ZeroDivisionError" in said
    assert "loading.py" not in said


def test_a_wrong_declaration_is_shown_where_the_user_wrote_it() -> None:
    write(
        "twice.py",
        "from orchestrator import Agent\nfrom patterns import supervise\n\n"
        "def crew():\n    return [Agent('ann'), Agent('ann')]\n\nteam = supervise(Agent('lead'), crew())\n",
    )

    said = refused("twice.py:team", "hi")

    where, raised = said.split("orchestrator.errors.DeclarationError: ")
    assert 'twice.py", line 7, in <module>' in where
    assert "supervise(Agent('lead'), crew())" in where
    assert where.count("File ") == 1
    assert raised.strip() == "team 'supervised': has two agents called 'ann'"


def test_the_help_lists_what_one_needs_first_and_cuts_no_line_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    lines = CliRunner().invoke(app, ["--help"]).stdout.partition("Commands:\n")[2].splitlines()

    commands = ["run", "new", "graph", "check", "bench", "simulate", "watch", "runs", "blocks", "prompts"]
    assert [line.split()[0] for line in lines] == commands
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)


def test_the_help_of_run_names_every_team_that_comes_with_the_package() -> None:
    offered = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["entry-points"]["orchestrator.teams"]
    text = CliRunner().invoke(app, ["run", "--help"]).stdout

    assert offered
    assert [name for name in offered if not re.search(rf"\b{name}\b", text)] == []


def test_a_file_that_failed_is_not_kept() -> None:
    write("wrong.py", "1 / 0\n")
    refused("wrong.py:team", "hi")

    assert "wrong" not in sys.modules


# --- functions with options


def test_a_function_gets_the_options_that_were_given() -> None:
    write(
        "options.py",
        PAIR + "def strict(*, docs: str, **more) -> Team:\n"
        "    return Team('strict', [Agent('a', model=Speaker(ModelResponse(f'{docs} {more}')))])\n",
    )
    Path("papers").mkdir()

    assert run("options.py:make", "hi").stdout.endswith("\n\n1\n")
    assert run("options.py:make", "hi", "--workers", "3").stdout.endswith("\n\n3\n")
    assert run("options.py:strict", "hi", "--docs", "papers").stdout.endswith("\n\npapers {}\n")
    assert run("options.py:strict", "hi", "--docs", "papers", "--workers", "3").stdout.endswith("{'workers': 3}\n")


def test_an_option_that_does_not_fit_is_refused() -> None:
    write(
        "options.py",
        PAIR
        + "def needs_docs(docs) -> Team: ...\ndef needs_more(depth) -> Team: ...\ndef none() -> Team: ...\n"
        + "def fails() -> Team:\n    raise ValueError('no')\nasync def later() -> Team: ...\nnumber = 3\n",
    )

    assert "is a Team, not a function, so it takes no --workers" in refused("options.py:team", "hi", "--workers", "2")
    assert "options.py:make: takes no --docs" in refused("options.py:make", "hi", "--docs", ".")
    assert "make: needs a worker" in refused("options.py:make", "hi", "--workers", "0")
    assert "needs 'docs'; give --docs" in refused("options.py:needs_docs", "hi")
    assert "needs 'depth'; which the command line cannot give" in refused("options.py:needs_more", "hi")
    assert "returned a NoneType, not a Team" in refused("options.py:none", "hi")
    assert 'options.py", line' in refused("options.py:fails", "hi")
    assert "is an async function; name a Team" in refused("options.py:later", "hi")
    assert "is of type int; name a Team" in refused("options.py:number", "hi")


def test_a_file_with_the_name_of_one_of_pythons_modules_is_in_nobodys_way() -> None:
    write("queue.py", "import queue\nfrom names import first\nfrom orchestrator import Agent, Team\n")
    write("names.py", "first = 'ann'\n")
    with Path("queue.py").open("a", encoding="utf-8") as file:
        file.write("team = Team(first, [Agent(first)])\nassert queue.Queue\n")

    done = subprocess.run(
        [sys.executable, "-P", "-m", "orchestrator", "check", "queue.py:team"],  # networkx imports queue
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "team 'ann': 0 errors" in done.stdout


# --- which model


def test_without_a_model_the_error_says_how_to_name_one() -> None:
    write("team.py", "from orchestrator import Agent, Team\nteam = Team('t', [Agent('ann')])\n")

    said = refused("team.py:team", "hi")

    assert "agent 'ann' has no model" in said
    assert "Traceback" not in said
    assert refused("team.py:team", "hi", "--model", "nobody").startswith("Error: --model: there is no model 'nobody'")


def test_the_variable_names_the_model_only_where_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_MODEL", "nobody")
    write("team.py", PAIR)
    write("bare.py", "from orchestrator import Agent, Team\nteam = Team('t', [Agent('ann')])\n")

    assert run("team.py:team", "hi").exit_code == 0
    assert "there is no model 'nobody'" in refused("bare.py:team", "hi")


@pytest.mark.parametrize("words", [["--model", "rehearsal"], ["--model", "rehearsal", "--json"], []])
def test_a_rehearsal_is_announced_on_stderr(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if not words:
        monkeypatch.setenv("ORCHESTRATOR_MODEL", "rehearsal")
    write("team.py", "from orchestrator import Agent, Team\nteam = Team('t', [Agent('ann')])\n")
    write("stand_in.py", PAIR + "def rehearse():\n    return Speaker(ModelResponse('rehearsed'))\n")
    install("offering", "[orchestrator.models]\nrehearsal = stand_in:rehearse\n")
    sys.path.append(str(Path.cwd()))  # after what may be installed: the last of a name counts

    result = run("team.py:team", "hi", *words)

    assert result.exit_code == 0
    assert result.stderr == "rehearsal: rule-based stand-in, no language model is asked\n"
    assert "rehearsed" in result.stdout


# --- in a pipe


def test_in_a_pipe_there_is_a_line_for_each_thing_that_happens_and_then_the_output() -> None:
    write("team.py", PAIR)

    done = command("run", "team.py:team", "Hello\nthere", FORCE_COLOR="1")

    assert (done.returncode, done.stderr) == (0, "")
    lines, _, output = done.stdout.partition("\n\n")
    assert output == "[bold]noted[/bold] \\x1b]0;x\\x07\n"
    assert "\x1b" not in done.stdout
    first, *told, last = lines.splitlines()
    assert first.startswith("run-")
    assert first.endswith(": message for ann: Hello there")
    assert set(told) == {
        "ann woken by the message",
        "notes changed to version 2: insert by ann, 14 of 400 characters",
        "ann called memory_insert: Done: notes is at version 2, 14 of 400 characters.",
        "bob woken by notes, changed by ann (version 2)",
        "replace of notes by bob refused: block 'notes' does not contain 'Letta'; it never stood there in these words",
        "bob called memory_replace without success: Refused, nothing was changed: "
        "block 'notes' does not contain 'Letta'; it never stood there in these…",
        r"ann done after 2 steps: [bold]noted[/bold] \x1b]0;x\x07",
        "bob done after 2 steps: read it",
    }
    assert told.index("ann woken by the message") == 0
    assert last.startswith("run complete: 2 turns, 4 model calls, 2,000 tokens, ")


def test_an_encoding_that_lacks_a_letter_does_not_end_the_run() -> None:
    write("team.py", PAIR.replace("noted", "⟨notiert⟩"))

    done = command("run", "team.py:team", "hi", PYTHONIOENCODING="ascii", PYTHONUTF8="0")

    assert done.returncode == 0
    assert r"\u27e8notiert\u27e9" in done.stdout


def test_a_run_that_fails_ends_with_1_and_its_reason_on_stderr() -> None:
    write("team.py", FAILING)

    done = command("run", "team.py:team", "hi")

    assert done.returncode == 1
    assert "ann failed after 0 steps: nobody\\x1b[2J there" in done.stdout
    assert "run failed: 1 turn, 1 model call, " in done.stdout
    assert done.stderr == "Error: the last turn of 'ann' failed: nobody\\x1b[2J there\n"


def test_a_run_that_has_spent_its_budget_ends_with_1() -> None:
    write("team.py", PAIR)

    result = run("team.py:team", "hi", "--max-turns", "1")

    assert result.exit_code == 1
    assert "run budget: 1 turn, " in result.stdout
    assert result.stderr == "Error: the budget is spent after 1 turn; see --max-turns and --timeout\n"


def test_a_run_that_takes_too_long_ends_with_1() -> None:
    write("team.py", FAILING.replace("raise", "import anyio; await anyio.sleep_forever(); raise"))

    result = run("team.py:team", "hi", "--timeout", "0.01")

    assert result.exit_code == 1
    assert "ann cancelled after 0 steps" in result.stdout


def team_in_a_pipe() -> subprocess.Popen[str]:
    """The command in a process of its own, with a pipe to read from."""
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "run", "team.py:team", "hi"],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_cancels_the_run_and_ends_with_130() -> None:
    write("team.py", FAILING.replace("raise", "import anyio; await anyio.sleep_forever(); raise"))

    with team_in_a_pipe() as process:
        assert process.stdout is not None
        while process.stdout.readline() != "ann woken by the message\n":
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)

    assert process.returncode == 130
    assert said == "Cancelled.\n"


def test_a_reader_that_goes_away_ends_the_run_quietly() -> None:
    write("team.py", PAIR)

    with team_in_a_pipe() as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(timeout=30) == 1
        assert process.stderr.read() == ""


# --- for programs


def test_json_is_one_document_and_nothing_else() -> None:
    write("team.py", "print('loaded')\n" + PAIR)

    done = command("run", "team.py:team", "hi", "--json")

    document = json.loads(done.stdout)
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert done.stderr == "loaded\n"  # what the team's own code prints goes out of the way
    assert list(document) == ["status", "output", "error", "run", "turns", "usage", "cost", "blocks"]
    assert (document["status"], document["error"], document["cost"]) == ("complete", None, None)
    assert document["output"] == "[bold]noted[/bold] \x1b]0;x\x07"
    assert document["run"].startswith("run-")
    assert document["usage"]["calls"] == 4
    assert document["usage"]["input_tokens"] == 2000
    assert [turn["agent"] for turn in document["turns"]] == ["ann", "bob"]
    assert set(document["turns"][0]) == {"id", "agent", "status", "steps", "text", "error", "usage"}
    assert document["blocks"] == {
        "notes": {
            "value": "origin: MemGPT",
            "version": 2,
            "limit": 400,
            "by": "ann",
            "read_only": False,
            "description": "",
            "tags": [],
        }
    }


def test_json_of_a_failed_run_has_its_error() -> None:
    write("team.py", FAILING)

    result = run("team.py:team", "hi", "--json")

    document: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == 1
    assert document["status"] == "failed"
    assert document["error"] == "the last turn of 'ann' failed: nobody\x1b[2J there"
    assert document["turns"][0]["error"] == "nobody\x1b[2J there"
    assert result.stderr == "Error: the last turn of 'ann' failed: nobody\\x1b[2J there\n"


def test_wrong_use_leaves_no_document() -> None:
    assert "no such file" in refused("nowhere.py:team", "hi", "--json")


# --- lines


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("over\rwritten", r"over\rwritten"),
        ("two\r\nlines\n\tof text", "two\nlines\n\tof text"),
        ("\x9b2J\x7f\0", r"\x9b2J\x7f\x00"),
        ("\u202egnp.exe\u2028", r"\u202egnp.exe\u2028"),
        ("half \ud800", r"half \ud800"),
        ("Grüße 🙂 [red]", "Grüße 🙂 [red]"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text: str, seen: str) -> None:
    assert visible(text) == seen


def test_a_long_text_is_cut_to_one_line() -> None:
    assert brief("one\n  two") == "one two"
    assert brief("x" * 101) == "x" * 99 + "…"


def test_a_call_by_a_block_is_told_as_one() -> None:
    notes = Block("notes")
    team = Team("pair", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes])])
    cause = Cause(kind="call", key="pair:notes", label="notes", version=3, by="owner", wake=0)
    started = TurnStarted(seq=1, at=0, turn="t", run="r", runs=("r",), agent="ann", attempt=1, causes=(cause,))
    ended = RunEnded(seq=2, at=0, run="r", status="complete", output="", error=None)

    assert Lines(team.names).line(started) == "ann woken by notes, which calls for a turn"
    assert Lines(team.names).line(ended) is None


def test_a_summary_tells_what_it_cost_when_that_is_known() -> None:
    class Priced:
        async def respond(self, request: orchestrator.ModelRequest) -> orchestrator.ModelResponse:
            return orchestrator.ModelResponse("ok", usage=Usage(input_tokens=1200, output_tokens=34, cost=0.00125))

    run = run_sync(Team("alone", [Agent("ann", model=Priced())]), "hi")

    assert summary(run, 1.26) == "run complete: 1 turn, 1 model call, 1,234 tokens, $0.0013, 1.3 s"


# --- on a terminal


def terminal(height: int = 40) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, height=height, color_system=None)


def shown(view: View, height: int = 40) -> str:
    console = terminal(height)
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def pair_of_agents() -> Team:
    notes = Block("notes", limit=4000)
    return Team("pair", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes])])


def started(agent: str) -> TurnStarted:
    return TurnStarted(seq=1, at=0, turn="t", run="r", runs=("r",), agent=agent, attempt=1, causes=())


def called(agent: str, *tools: str) -> StepTaken:
    calls = tuple(ToolCall(tool) for tool in tools)
    return StepTaken(
        seq=2, at=0, turn="t", run="r", agent=agent, step=0, shown={}, text="", tool_calls=calls, usage=Usage()
    )


def answered(agent: str, call: int) -> ToolAnswered:
    return ToolAnswered(seq=3, at=0, turn="t", run="r", agent=agent, step=0, call=call, name="x", text="", ok=True)


def ended(agent: str, status: Any, error: str | None = None) -> TurnEnded:
    return TurnEnded(
        seq=4,
        at=0,
        turn="t",
        run="r",
        runs=("r",),
        agent=agent,
        status=status,
        text="",
        error=error,
        steps=2,
        usage=Usage(),
        shown={},
    )


def row_of(name: str, view: View) -> list[str]:
    (line,) = [line for line in shown(view).splitlines() if line.startswith(f"{name} ")]
    return line.split()


def test_a_row_says_what_its_agent_is_doing() -> None:
    view = View(pair_of_agents(), terminal())
    assert row_of("ann", view) == ["ann", "0", "idle"]

    view(started("ann"))
    assert row_of("ann", view)[3:] == ["thinking,", "step", "1"]
    view(called("ann", "look[red]up", "nap\x1b[2J"))
    assert row_of("ann", view)[3:] == ["calling", "look[red]up"]
    view(answered("ann", 0))
    assert row_of("ann", view)[3:] == ["calling", r"nap\x1b[2J"]
    view(answered("ann", 1))
    assert row_of("ann", view)[3:] == ["thinking,", "step", "2"]
    view(ended("ann", "done"))
    assert row_of("ann", view) == ["ann", "1", "idle"]
    view(ended("ann", "timed_out", "too slow"))
    assert row_of("ann", view) == ["ann", "2", "1", "turn", "timed", "out", "after", "2", "steps:", "too", "slow"]
    assert row_of("bob", view) == ["bob", "0", "idle"]


def test_a_row_says_how_a_block_stands() -> None:
    view = View(pair_of_agents(), terminal())
    assert row_of("notes", view) == ["notes", "1", "0", "of", "4,000"]

    view(
        BlockChanged(
            seq=1,
            at=0,
            key="pair:notes",
            label="notes",
            version=2,
            value="x" * 1200,
            limit=4000,
            operation="insert",
            by="ann",
            turn="t",
            runs=("r",),
        )
    )
    assert row_of("notes", view) == ["notes", "2", "1,200", "of", "4,000", "insert", "by", "ann"]


def test_a_team_without_blocks_has_no_table_of_blocks() -> None:
    assert "version" not in shown(View(Team("alone", [Agent("ann")]), terminal()))


def test_a_team_that_is_too_large_for_the_terminal_shows_who_is_at_work_and_in_the_end_all() -> None:
    blocks = [Block(f"block-{n}") for n in range(30)]
    team = Team("crowd", [Agent(f"agent-{n}", blocks=[blocks[n]]) for n in range(30)])
    console = terminal(height=20)
    with View(team, console) as view:
        view(started("agent-29"))
        while_it_runs = shown(view, height=20)
    after = shown(view, height=20)

    assert len(while_it_runs.splitlines()) < 20
    assert "agent-29" in while_it_runs
    assert "and 23 more" in while_it_runs
    assert "more" not in after
    assert [line.split()[-1] for line in after.splitlines() if line.startswith("agent-29 ")] == ["stopped"]


def test_on_a_terminal_the_table_stays_and_output_and_summary_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    write("team.py", PAIR)
    monkeypatch.setattr("orchestrator.cli.showing.is_terminal", lambda: True)
    monkeypatch.setenv("TERM", "xterm")

    result = run("team.py:team", "hi")

    assert result.exit_code == 0
    table, _, rest = result.stdout.partition("\n[bold]noted[/bold] \\x1b]0;x\\x07\n\n")
    assert "insert by ann" in table
    assert rest.startswith("run complete: 2 turns")


def test_a_real_terminal_is_drawn_on_and_left_as_it_was() -> None:
    write("team.py", PAIR)
    written = on_a_terminal(100, "run", "team.py:team", "hi")

    assert written.index(b"\x1b[?25l") < written.index(b"\x1b[?25h")  # the cursor is hidden, and comes back
    table, _, rest = written.partition(b"\r\n[bold]noted[/bold] \\x1b]0;x\\x07\r\n\r\n")
    assert b"insert by ann" in table
    assert b"\x1b]0" not in written
    assert rest.startswith(b"run complete: 2 turns")


def test_the_group_of_teams_is_the_one_that_packages_name() -> None:
    pyproject = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")

    assert f'[project.entry-points."{loading.GROUP}"]' in pyproject
    assert f'name = "{loading.DISTRIBUTION}"' in pyproject
