"""`orchestrator simulate`: what is typed, what is told, what is saved and replayed, and the exit code."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from drawing import on_a_terminal
from rich.console import Console
from typer.testing import CliRunner, Result

import orchestrator
from orchestrator.cli import app
from orchestrator.cli.simulation_lines import span
from orchestrator.cli.simulation_processes import PartFailed, parts, play_parts, processes_for
from orchestrator.cli.simulation_view import Bar
from orchestrator.simulation.tokens import Token
from orchestrator.stores import SQLiteStore
from orchestrator.testing import RecordingModel, Say, ScriptedModel, exhaust
from orchestrator.testing import simulate as exploring

CHECKOUT = Path(orchestrator.__file__).parent.parent

#: A team file: a lead starts two others at the same time, who each write a line.
TRIO = r"""
import os, sys
from orchestrator import Agent, Block, ModelResponse, Run, Team, ToolError, tool
from orchestrator.testing import Say, ScriptedModel, call, edit

plan = Block("plan", description="What is to be done.")
notes = Block("notes", description="What was found out.")
model = ScriptedModel({
    "lead": [edit("memory_insert", "plan", new_string="count"), Say("started")],
    "ann": [edit("memory_insert", "notes", new_string="ann: 4"), Say("done")],
    "bob": [edit("memory_insert", "notes", new_string="bob: 3"), Say("done")],
})
team = Team("trio", [
    Agent("lead", blocks=[plan], model=model),
    Agent("ann", blocks=[plan.reader(), notes], wakes_on=[plan], model=model),
    Agent("bob", blocks=[plan.reader(), notes], wakes_on=[plan], model=model),
])
plain = Team("plain", [Agent("ann")])
provided = Team("provided", [Agent("ann", model="openai/gpt-5-mini")])

def made(workers: int = 1, docs: str = "") -> Team:
    print("made")
    return Team(f"made-{workers}-{bool(docs)}", [Agent("ann")])

def reading(docs: str) -> Team:
    assert os.path.isdir(docs), docs
    return team

counted = []

@tool
async def by_chance() -> str:
    "Says something else each time."
    counted.append(1)
    return str(len(counted))

chance = Team("chance", [
    Agent("ann", tools=[by_chance], model=ScriptedModel({"ann": [call("by_chance"), Say("done")]}))
])

def both(run: Run) -> None:
    assert len(run.blocks["notes"].value.splitlines()) == 2

def ann_is_first(run: Run) -> None:
    assert run.blocks["notes"].value.startswith("ann"), "bob was first"

def never(run: Run) -> None:
    assert not run.output, "there is an output"

def mistaken(run: Run) -> None:
    raise ValueError("no idea")

def told(run: Run) -> None:
    assert team is sys.modules["team"].team
    print("told")

def seen(run: Run) -> None:
    os.write(2, b"seen\n")

def loud(run: Run) -> None:
    os.write(1, b"{}\n")

def ended(run: Run) -> None:
    os._exit(7)

async def waiting(run: Run) -> None: ...
def two(run: Run, other: Run) -> None: ...
"""

#: A team file with a tool that remembers, and begins anew with each team.
COUNTING = """
from orchestrator import Agent, Team, tool
from orchestrator.testing import Say, ScriptedModel, call

def make() -> Team:
    counted = []

    @tool
    async def count() -> str:
        "Count one more."
        counted.append(1)
        return str(len(counted))

    return Team("counting", [Agent("ann", tools=[count], model=ScriptedModel({"ann": [call("count"), Say("done")]}))])

once = make()
"""

#: What fails in some schedules, and not in others.
FAILING = ("team.py:team", "count", "--schedules", "12", "--invariant", "team.py:ann_is_first")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, with a team file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    Path("team.py").write_text(TRIO, encoding="utf-8")
    before = set(sys.modules)
    yield tmp_path
    forget(before)


def forget(known: set[str]) -> None:
    """As in another process: the team's file is loaded again."""
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).endswith("team.py"):
            del sys.modules[name]


def simulate(*words: str, code: int = 0) -> Result:
    known = set(sys.modules)
    result = CliRunner().invoke(app, ["simulate", *words], catch_exceptions=False)
    forget(known)
    assert result.exit_code == code, result.output
    return result


def document(*words: str, code: int = 0) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(simulate("--json", *words, code=code).stdout)
    return told


def refused(*words: str) -> str:
    """What is said on stderr about words that are wrong; nothing is said on stdout."""
    result = simulate(*words, code=2)
    assert result.stdout == ""
    return result.stderr


# --- all is well


def test_a_team_that_keeps_its_promises_is_told_in_two_lines() -> None:
    result = simulate("team.py:team", "count", "--schedules", "21", "--invariant", "team.py:both")

    first, second = result.stdout.splitlines()
    assert result.stderr == ""
    assert first.startswith("passed: 21 schedules (21 distinct orders, ")
    assert first.endswith(" distinct histories)")
    assert second.startswith("63 turns, ")
    assert " of virtual time in " in second
    assert second.endswith(" s; runs: 21 complete; 2 played twice, each time the same")
    assert not Path(".orchestrator").exists()


def test_json_is_one_document_without_the_digests_of_every_schedule() -> None:
    told = document("team.py:team", "count", "--schedules", "5", "--seed", "3", "--max-turns", "9")

    assert told.pop("seconds") > 0
    assert told.pop("virtual_seconds") > 0
    assert told.pop("steps") > 50
    assert 1 <= told.pop("histories") <= 5
    assert told == {
        "passed": True,
        "team": "team.py:team",
        "message": "count",
        "options": {"store": "memory", "max_turns": 9},
        "schedules": 5,
        "orders": 5,
        "repeated": 0,
        "turns": 15,
        "outcomes": {"complete": 5},
        "search": None,
        "failed": 0,
        "failures": [],
    }


def test_a_pattern_is_simulated_by_name_with_its_options_and_the_rehearsal() -> None:
    result = simulate("task_queue", "What is MemGPT?", "--model=rehearsal", "--workers=2", "--schedules=3", "--faults")

    assert result.stdout.startswith("passed: 3 schedules")
    assert result.stderr.startswith("rehearsal: rule-based stand-in")


def test_options_of_the_team_and_of_the_store_arrive() -> None:
    words = ("team.py:made", "hi", "--schedules", "1", "--model", "rehearsal")

    result = simulate(*words, "--docs", ".", "--workers", "3", "--store", "sqlite", "--faults", "--json")

    told = json.loads(result.stdout)
    assert "made\n" in result.stderr, "what the team's own code prints goes out of the way"
    options = {"docs": ".", "workers": 3, "store": "sqlite", "faults": True, "model": "rehearsal"}
    assert told["options"] == options


def test_a_function_in_a_file_makes_the_team_of_each_schedule_anew() -> None:
    Path("counting.py").write_text(COUNTING, encoding="utf-8")

    assert document("counting.py:make", "go", "--schedules", "21")["repeated"] == 2
    once = document("counting.py:once", "go", "--schedules", "21", code=1)
    assert [failure["promise"] for failure in once["failures"]] == ["P9"]
    assert once["failures"][0]["sentence"].endswith("follows chance, or what schedules before have left")


def test_the_most_turns_are_a_bound() -> None:
    assert document("team.py:team", "count", "--schedules", "1", "--max-turns", "1")["outcomes"] == {"budget": 1}


def test_an_invariant_sees_the_team_that_is_simulated_and_may_print() -> None:
    result = simulate("team.py:team", "count", "--schedules", "1", "--invariant", "team.py:told")

    assert result.stdout.count("told\n") == 3, "for the plainest schedule, and for a seed that is played twice"


# --- something is wrong


def test_a_failure_is_told_with_its_seed_its_story_and_how_to_replay_it() -> None:
    lines = simulate(*FAILING, code=1).stdout.splitlines()

    assert lines[0].startswith("FAILED ")
    assert " of 12 schedules (12 distinct orders, " in lines[0]
    seed = lines[3].split()[1]
    assert lines[2] == ""
    assert lines[3].startswith(f"seed {seed} and ")
    assert lines[3].endswith(" more: invariant: bob was first")
    assert lines[4].startswith("smallest schedule: ")
    assert lines[5].endswith('run-1 began: "count" for lead')
    assert any(line.endswith('bob inserted into notes: version 2 (+ "bob: 3")') for line in lines)
    assert lines[-2] == f"replay: orchestrator simulate --replay .orchestrator/sim/{seed}.json"
    by_seed = f"--invariant=team.py:ann_is_first --seed={seed} --schedules=1"
    assert lines[-1] == f"by its seed: orchestrator simulate team.py:team count {by_seed}"


def test_the_seed_alone_replays_the_same_schedule() -> None:
    (failure,) = document(*FAILING, code=1)["failures"]

    again = document(*FAILING[:2], *FAILING[4:], "--seed", str(failure["seed"]), "--schedules", "1", code=1)

    assert again["failures"] == [failure | {"times": 1}]


def test_a_message_that_looks_like_an_option_is_quoted_in_the_command() -> None:
    (failure,) = document("--schedules=1", "--invariant=team.py:never", "--", "team.py:team", "-x y", code=1)[
        "failures"
    ]

    words = "--invariant=team.py:never --seed=0 --schedules=1"
    assert failure["replay"] == f"orchestrator simulate {words} -- team.py:team '-x y'"


def test_json_saves_nothing_unless_it_is_asked_to() -> None:
    (failure,) = document(*FAILING, code=1)["failures"]
    (kept,) = document(*FAILING, "--save", "kept", code=1)["failures"]

    assert failure["saved"] is None
    assert not Path(".orchestrator").exists()
    assert kept["saved"] == f"kept/{failure['seed']}.json"
    token = Token.load(Path(kept["saved"]))
    assert (token.team, token.message, token.promise) == ("team.py:team", "count", "invariant")
    assert token.options == {"store": "memory", "invariants": "team.py:ann_is_first", "folder": ".."}
    assert token.digest == failure["digest"]
    assert [taken.step for taken in token.schedule.choices] == [taken["step"] for taken in kept["schedule"]["choices"]]


def test_two_ways_to_fail_with_one_seed_have_a_file_each() -> None:
    found = document(*FAILING, "--invariant", "team.py:never", "--save", "kept", code=1)["failures"]

    assert len(found) == 2
    assert len({failure["saved"] for failure in found}) == 2
    assert {Token.load(Path(failure["saved"])).sentence for failure in found} == {"bob was first", "there is an output"}


def test_of_one_seed_the_second_file_has_a_number() -> None:
    both = ("--invariant", "team.py:never", "--invariant", "team.py:never_again")
    Path("team.py").write_text(
        TRIO + '\ndef never_again(run: Run) -> None:\n    assert not run.output, "and again"\n', encoding="utf-8"
    )

    found = document("team.py:team", "count", "--schedules=1", *both, "--save", "kept", code=1)["failures"]

    assert [failure["saved"] for failure in found] == ["kept/0.json", "kept/0-2.json"]


def test_what_cannot_be_saved_is_told_all_the_same() -> None:
    Path(".orchestrator").write_text("in the way", encoding="utf-8")

    lines = simulate(*FAILING, code=1).stdout.splitlines()

    assert lines[0].startswith("FAILED ")
    assert lines[-2].startswith("not saved: schedule '.orchestrator/sim/")
    assert lines[-1].startswith("by its seed: ")


def test_a_tool_that_follows_chance_is_found_and_replayed() -> None:
    lines = simulate("team.py:chance", "hi", "--schedules", "1", code=1).stdout.splitlines()

    assert lines[1].endswith("; runs: 1 complete; 1 played twice, not always the same")
    assert lines[3].startswith("seed 0: P9: the same seed came to something else the second time")
    assert "in the same way: P9" in simulate("--replay", ".orchestrator/sim/0.json", code=1).stdout


# --- every schedule


def test_all_schedules_with_one_switch_hold() -> None:
    words = ("team.py:team", "count", "--exhaustive", "--switches", "1", "--invariant", "team.py:both")

    lines = simulate(*words).stdout.splitlines()
    told = document(*words)

    number = told["schedules"]
    assert 20 < number < 200
    assert lines[0].startswith(f"passed: {number} schedules ({number} distinct orders, ")
    assert lines[2] == f"all {number} schedules with at most 1 switch hold"
    assert told["search"] == {"switches": 1, "complete": True, "total": False}
    assert told["virtual_seconds"] == 0


def test_one_agent_alone_has_no_other_schedules() -> None:
    lines = simulate("team.py:plain", "hi", "--model", "rehearsal", "--exhaustive", "--switches=30").stdout.splitlines()

    assert lines[-1].endswith(" with at most 30 switches hold; there are no others")


def test_a_search_that_fails_replays_without_a_seed() -> None:
    words = ("team.py:team", "count", "--exhaustive", "--switches=1", "--invariant=team.py:ann_is_first")

    lines = simulate(*words, code=1).stdout.splitlines()
    again = simulate("--replay", ".orchestrator/sim/0.json", code=1).stdout

    assert lines[2].startswith("all ")
    assert lines[2].endswith(" do not")
    assert lines[4].endswith(": invariant: bob was first")
    assert lines[5] == "smallest schedule: 1 choice"
    assert lines[-1] == "replay: orchestrator simulate --replay .orchestrator/sim/0.json"
    assert "fails again, in the same way: invariant: bob was first" in again
    assert "step by step the same" in again


def test_a_search_stops_at_so_many_schedules() -> None:
    lines = simulate("team.py:team", "count", "--exhaustive", "--schedules", "10").stdout.splitlines()

    assert lines[-1] == "stopped after 10 schedules: there are more with at most 2 switches"


# --- once more


def test_a_saved_schedule_replays_from_another_folder(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    (failure,) = document(*FAILING, "--save", ".orchestrator/sim", code=1)["failures"]
    saved = here / failure["saved"]
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")

    lines = simulate("--replay", str(saved), code=1).stdout.splitlines()
    told = document("--replay", str(saved), code=1)

    assert lines[0].startswith(f"{saved}: seed {failure['seed']}, ")
    assert lines[1] == "fails again, in the same way: invariant: bob was first"
    assert lines[2] == f"step by step the same as when it was saved (digest {failure['digest']})"
    assert [line.removeprefix("  ") for line in lines[3:]] == told["story"]
    assert told["story"] == failure["story"]
    assert Path.cwd() == here / "elsewhere"
    assert (told["came"], told["same_digest"], told["passed"]) == ("fails as before", True, False)
    assert told["saved"]["digest"] == told["digest"] == failure["digest"]
    assert told["schedule"] == failure["schedule"]


def saved_failure() -> str:
    (failure,) = document(*FAILING, "--save", "kept", code=1)["failures"]
    path: str = failure["saved"]
    return path


def test_a_saved_schedule_that_does_not_fail_any_more_ends_with_0() -> None:
    path = saved_failure()
    Path("team.py").write_text(TRIO.replace(".startswith(", ".count("), encoding="utf-8")

    lines = simulate("--replay", path).stdout.splitlines()

    assert lines[1] == "not any more; it failed with invariant: bob was first"
    assert document("--replay", path)["came"] == "holds"


def test_what_an_invariant_says_may_change_and_it_is_the_same_that_fails() -> None:
    path = saved_failure()
    Path("team.py").write_text(TRIO.replace("bob was first", "ann was late"), encoding="utf-8")

    assert simulate("--replay", path, code=1).stdout.splitlines()[1] == (
        "fails again, in the same way: invariant: ann was late"
    )


def test_a_saved_schedule_that_fails_otherwise_says_both() -> None:
    path = saved_failure()
    renamed = TRIO.replace("def ann_is_first(", "def ann_is_late(").replace("bob: 3", "b")
    Path("team.py").write_text(f"{renamed}\nann_is_first = ann_is_late\n", encoding="utf-8")

    lines = simulate("--replay", path, code=1).stdout.splitlines()

    assert lines[1:3] == [
        "fails in another way: invariant: bob was first",
        "it failed with invariant: bob was first",
    ]
    assert lines[3].startswith("not the same steps as when it was saved by ")
    assert document("--replay", path, code=1)["came"] == "fails in another way"


def test_another_team_may_be_given_and_is_found_from_here(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    path = (here / saved_failure()).resolve()
    (here / "other").mkdir()
    (here / "other" / "mine_team.py").write_text(TRIO, encoding="utf-8")
    monkeypatch.chdir(here / "other")
    monkeypatch.setattr("orchestrator.cli.invariants._in_file", lambda where: sys.modules["mine_team"])

    assert "in the same way" in simulate("--replay", str(path), "mine_team.py:team", code=1).stdout


def test_a_folder_that_is_typed_with_a_replay_is_looked_for_where_one_is(
    monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    Path("docs").mkdir()
    (failure,) = document("team.py:reading", *FAILING[1:], "--docs", "docs", "--save", "kept", code=1)["failures"]
    (here / "other" / "mine").mkdir(parents=True)
    monkeypatch.chdir(here / "other")

    assert "in the same way" in simulate("--replay", str(here / failure["saved"]), "--docs", "mine", code=1).stdout


def test_a_token_that_was_moved_alone_finds_its_team_here(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = Path(saved_failure())
    moved = path.rename(tmp_path_factory.mktemp("alone") / "it.json")

    assert "in the same way" in simulate("--replay", str(moved), code=1).stdout


def changed(path: str, **fields: Any) -> None:
    token = json.loads(Path(path).read_text("utf-8"))
    Path(path).write_text(json.dumps(token | fields), encoding="utf-8")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"team": ""}, "was saved by a program, and names no team; say which TEAM"),
        ({"options": {"speed": "high"}}, "is broken: option speed is 'high'"),
        ({"options": {"workers": "many"}}, "is broken: option workers is 'many'"),
        ({"options": {"store": "cloud"}}, "is broken: its options are none of a simulation"),
    ],
)
def test_a_token_that_cannot_be_is_refused(fields: dict[str, Any], why: str) -> None:
    path = saved_failure()
    changed(path, **fields)

    assert why in refused("--replay", path)


def test_a_token_whose_team_is_nowhere_says_where_it_was_looked_for(tmp_path_factory: pytest.TempPathFactory) -> None:
    simulate(*FAILING, code=1)
    (token,) = Path(".orchestrator/sim").iterdir()
    Path("team.py").rename("renamed.py")

    said = refused("--replay", str(token))

    assert said == (
        f"Error: schedule '{token}': was saved for team.py:team, and team.py is neither in '{Path.cwd()}' nor in this"
        f" folder; name the team: --replay {token} TEAM\n"
    )


def test_a_mistake_in_an_invariant_is_told_in_a_replay_too() -> None:
    path = saved_failure()
    changed(path, options={"invariants": "team.py:mistaken"})

    assert "ValueError: no idea" in refused("--replay", path)


# --- recorded answers


def test_recorded_answers_are_spoken_in_every_schedule() -> None:
    model = RecordingModel("rehearsal")
    team = orchestrator.Team("plain", [orchestrator.Agent("ann")])
    orchestrator.run_sync(team, "hi", model=model, store=SQLiteStore("team.db"))
    model.save("answers.json")

    for recording in ("answers.json", "team.db"):
        result = simulate("team.py:plain", "hi", "--answers", recording, "--schedules", "3", "--json")

        told = json.loads(result.stdout)
        assert (told["passed"], told["outcomes"]) == (True, {"complete": 3})
        assert told["options"]["answers"] == recording
        assert result.stderr == "", "nobody rehearses"


# --- wrong use


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "say which TEAM, and the MESSAGE that it is given; or --replay FILE"),
        (["team.py:team"], "say which TEAM, and the MESSAGE"),
        (["team.py:team", "hi", "--switches", "2"], "--switches: bounds the search; add --exhaustive"),
        (["team.py:team", "hi", "--exhaustive", "--seed", "2", "--faults"], "chance; leave out --seed, --faults"),
        (["team.py:team", "hi", "--exhaustive", "--processes", "2"], "draws nothing by chance; leave out --processes"),
        (["--replay", "x.json", "--seed", "2"], "--replay: plays what was saved; leave out --seed"),
        (["--replay", "x.json", "team.py:team", "hi", "--max-turns", "2"], "leave out --max-turns, MESSAGE"),
        (["--replay", "x.json", "--invariant", "team.py:both"], "leave out --invariant"),
        (["--replay", "x.json"], "schedule 'x.json': is not there"),
        (["--replay", "team.py"], "schedule 'team.py': is not JSON"),
        (["team.py:team", "hi", "--schedules", "0"], "--schedules"),
        (["team.py:team", "hi", "--store", "cloud"], "--store"),
        (["team.py:team", "hi", "--answers", "x", "--model", "rehearsal"], "either recorded answers or a model"),
        (["team.py:team", "hi", "--answers", "x"], "--answers: 'x' cannot be read: No such file"),
        (["team.py:team", "hi", "--answers", "team.py"], "is not JSON"),
        (["team.py:team", "hi", "--workers", "2"], "is a Team, not a function, so it takes no --workers"),
        (["nowhere.py:team", "hi"], "nowhere.py: there is no such file"),
        (["team.py:plain", "hi"], "agent 'ann' has no model"),
        (["team.py:plain", "hi", "--model", "nobody"], "there is no model 'nobody'"),
        (["team.py:plain", "hi", "--model", "openai/gpt-5"], "contacts nobody, and 'ann' would ask 'openai/gpt-5';"),
        (["team.py:provided", "hi", "--exhaustive"], "would ask 'openai/gpt-5-mini'; give the model 'rehearsal', a"),
        (["team.py:team", "hi", "--part", "no"], "--part"),
    ],
)
def test_wrong_use_ends_with_2(words: list[str], why: str) -> None:
    if "--part" in words:  # for a program, it is told as a program reads it
        assert why in json.loads(simulate(*words, code=2).stdout)["problem"]
    else:
        assert why in refused(*words)


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("both", "--invariant: 'both' names no function; give file.py:function or module:function"),
        ("team.py:", "names no function"),
        ("nowhere.py:both", "--invariant nowhere.py: there is no such file"),
        ("nowhere:both", "nowhere:both: there is no module 'nowhere'"),
        ("team.py:all", "team.py has no 'all'; it holds team.py:made, team.py:reading, team.py:both, "),
        ("team.py:notes", "team.py:notes is of type Block; name a function that takes the run"),
        ("team.py:waiting", "team.py:waiting is an async function"),
        ("team.py:two", "team.py:two is not called with the finished run alone: missing a required argument: 'other'"),
        ("team.py:mistaken", "raised something else than AssertionError\nTraceback (most recent call last):\n  File "),
    ],
)
@pytest.mark.parametrize("how", ["--schedules=1", "--exhaustive"])
def test_an_invariant_that_is_none_ends_with_2(typed: str, why: str, how: str) -> None:
    said = refused("team.py:team", "count", how, "--invariant", typed)

    assert why in said
    assert "invariants.py" not in said, "only the user's own code is shown"


def test_an_invariant_may_stand_in_a_module() -> None:
    Path("demands.py").write_text("def all_is_well(run):\n    assert run.status == 'complete'\n", encoding="utf-8")

    assert document("team.py:team", "count", "--schedules=1", "--invariant=demands:all_is_well")["passed"]


def test_help_names_every_option() -> None:
    text = " ".join(simulate("--help").stdout.split())

    for name in ("schedules", "seed", "model", "answers", "faults", "store", "invariant", "exhaustive", "switches"):
        assert f"--{name} " in text
    for name in ("replay", "save", "processes", "max-turns", "docs", "workers", "prompts", "json"):
        assert f"--{name} " in text
    assert "--part" not in text
    assert "No model is contacted" in text


# --- several processes


def test_the_seeds_are_shared_out_without_a_gap() -> None:
    assert [str(part) for part in parts(5, 10, 3)] == ["5+3", "8+3", "11+4"]
    assert [str(part) for part in parts(0, 2, 4)] == ["0+1", "1+1"]


def test_a_few_schedules_are_not_worth_another_process() -> None:
    usable = len(os.sched_getaffinity(0))

    assert processes_for(1) == processes_for(199) == 1
    assert processes_for(100_000) == min(4, usable)


def test_so_many_processes_come_to_the_same() -> None:
    words = (*FAILING, "--faults", "--store=sqlite")
    alone, together = (document(*words, f"--processes={number}", code=1) for number in (1, 3))

    assert alone.pop("seconds") > 0
    assert together.pop("seconds") > 0
    assert alone == together
    assert alone["failures"][0]["times"] > 1


def test_what_a_process_cannot_do_is_said_once() -> None:
    words = ("team.py:team", "count", "--schedules=4", "--processes=2", "--invariant")

    said = refused(*words, "team.py:mistaken")
    assert said.count("ValueError: no idea") == 1
    crashed = simulate(*words, "team.py:ended", code=1)
    assert crashed.stderr == "Error: a process of the simulation ended with 7, and without a report\n"


async def test_the_processes_end_when_nobody_waits_for_them_any_more(here: Path) -> None:
    seen: list[int] = []

    with anyio.fail_after(60), anyio.CancelScope() as scope:

        def progress(played: int, failed: int) -> None:
            seen.append(played)
            scope.cancel()

        await play_parts(["team.py:team", str(here)], parts(0, 1_000_000, 2), progress)

    assert scope.cancelled_caught
    assert seen[0] == 1
    done = subprocess.run(["/bin/ps", "-eo", "args"], capture_output=True, text=True, check=False)  # noqa: ASYNC221
    assert str(here) not in done.stdout


async def test_what_a_tool_writes_past_python_is_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    with anyio.fail_after(60):
        words = ["team.py:team", "count", "--invariant=team.py:loud"]
        report = await play_parts(words, parts(1, 1, 1), lambda played, failed: None)

    assert (report.schedules, report.failed) == (1, 0)
    assert capfd.readouterr().err == "{}\n{}\n"


async def test_a_part_that_fails_says_why() -> None:
    with anyio.fail_after(60), pytest.raises(PartFailed, match="agent 'ann' has no model") as caught:
        await play_parts(["team.py:plain", "count"], parts(1, 1, 1), lambda played, failed: None)

    assert caught.value.code == 2


async def test_a_part_whose_model_is_unknown_says_so_in_the_words_that_were_typed() -> None:
    with anyio.fail_after(60), pytest.raises(PartFailed, match=r"^--model: there is no model 'rehersal'"):
        await play_parts(["team.py:plain", "count", "--model=rehersal"], parts(1, 1, 1), lambda played, failed: None)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_ctrl_c_ends_with_130(processes: str) -> None:
    command = ["simulate", "team.py:team", "count", "--schedules=1000000", f"--processes={processes}"]
    with subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *command, "--invariant=team.py:seen"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "seen\n"
        process.send_signal(signal.SIGINT)
        said, more = process.communicate(timeout=60)

    assert process.returncode == 130
    assert said == ""
    assert more.replace("seen\n", "") == "Cancelled.\n"


# --- on a terminal


def test_a_bar_counts_what_is_played_and_what_fails() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    with Bar(200, console) as bar:
        bar(20, 0)
        bar(21, 0)
        bar._drawn_at = -1.0
        bar(40, 3)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()

    assert text.index("0/200") < text.index(" 20/200") < text.index(" 40/200")
    assert "21/200" not in text, "too soon after the one before"
    assert "3 failed" in text


def test_a_real_terminal_shows_a_bar_and_then_lines() -> None:
    read_all = on_a_terminal(100, "simulate", "team.py:team", "count", "--schedules", "10")

    bar, _, after = read_all.rpartition(b"simulating")
    assert b"0/10" in bar + after
    assert read_all.index(b"\x1b[?25l") < read_all.index(b"\x1b[?25h"), "the cursor is hidden, and comes back"
    assert after.index(b"passed: 10 schedules (") < after.index(b"runs: 10 complete")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0.0 s"), (59.94, "59.9 s"), (61, "1 min 1 s"), (7500, "2 h 5 min")])
def test_a_time_is_told_in_units_that_suit_it(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_search_in_code_says_how_far_it_came_and_can_be_stopped() -> None:
    team = orchestrator.Team("plain", [orchestrator.Agent("ann")])

    stopped = exhaust(team, "hi", model="rehearsal", switches=1, tell=lambda played, failed: played == 3)
    alone = exhaust(team, "hi", model="rehearsal", switches=30)

    with pytest.raises(orchestrator.DeclarationError, match="tell is 3; give a function of two numbers"):
        exhaust(team, "hi", model="rehearsal", tell=3)  # type: ignore[arg-type]
    assert (stopped.schedules, stopped.complete, stopped.total) == (3, False, False)
    assert str(stopped).endswith("\nstopped after 3 schedules: there are more with at most 1 switch")
    assert (alone.complete, alone.total, alone.passed) == (True, True, True)


def test_models_that_agents_share_are_made_anew_once_for_each_schedule() -> None:
    made: list[int] = []

    class Forgetful(ScriptedModel):
        def anew(self) -> ScriptedModel:
            made.append(1)
            return super().anew()

    model = Forgetful({"ann": [Say("done")], "bob": [Say("never asked")]})
    team = orchestrator.Team("pair", [orchestrator.Agent(name, model=model) for name in ("ann", "bob")])

    report = exploring(team, "hi", schedules=3)

    assert report.passed
    assert len(made) == 1 + 3 + 1, "for the plainest schedule, for each seed, and for the one that is played twice"
