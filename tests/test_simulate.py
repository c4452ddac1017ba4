"""`simulate`: a team under many schedules, as its user sees it."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator import Agent, Block, BlockEdit, Budget, ModelNotFound, Run, RunError, Team, ToolContext
from orchestrator.edits import Rethink
from orchestrator.errors import DeclarationError, StoreError
from orchestrator.simulation.acting import _is_of_its_death
from orchestrator.simulation.choosers import InOrder
from orchestrator.simulation.faults import Plan
from orchestrator.simulation.playing import play
from orchestrator.simulation.searching import replay
from orchestrator.simulation.simulating import performing
from orchestrator.stores import MemoryStore, SQLiteStore
from orchestrator.testing import (
    Faults,
    FunctionModel,
    Latency,
    ScriptedModel,
    SimulationReport,
    call,
    edit,
    exhaust,
    simulate,
)
from orchestrator.tools import tool
from patterns import teams

QUESTION = "What are memory blocks? Who can change a read-only block?"


def pair(**settings: Any) -> Team:
    """Lead writes down a job, and ann and bob each note something about it."""
    jobs = Block("jobs")
    notes = Block("notes", **settings)
    tools = [note]
    return Team(
        "trio",
        [
            Agent("lead", blocks=[jobs]),
            Agent("ann", blocks=[jobs, notes.curator()], wakes_on=[jobs], tools=tools),
            Agent("bob", blocks=[jobs, notes.curator()], wakes_on=[jobs], tools=tools),
        ],
        entry="lead",
    )


@tool
async def note(line: str, context: ToolContext) -> BlockEdit:
    """Note a line."""
    text = context.blocks["notes"]
    await anyio.lowlevel.checkpoint()
    return BlockEdit("notes", Rethink(f"{text}\n{line}" if text else line))


def script(name: str = "note") -> dict[str, list[Any]]:
    return {
        "lead": [edit("memory_insert", "jobs", new_string="count the apples"), "done"],
        "ann": [call(name, line="seven"), "done"],
        "bob": [call(name, line="red"), "done"],
    }


SAFE: dict[str, list[Any]] = {
    **script(),
    "ann": [edit("memory_insert", "notes", new_string="seven"), "done"],
    "bob": [edit("memory_insert", "notes", new_string="red"), "done"],
}


@pytest.mark.parametrize(
    "name", ["task_queue", "domain_knowledge", "handoff_context", "user_preferences", "system_config", "all_patterns"]
)
def test_the_teams_of_the_patterns_hold(name: str):
    team = getattr(teams, f"{name}_team")()
    report = simulate(team, QUESTION, schedules=6, model="rehearsal")

    report.raise_if_failed()
    assert report.outcomes == {"complete": 6}
    assert (report.schedules, report.repeated) == (6, 1)
    assert report.turns >= 12


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_a_team_gets_over_what_goes_wrong(store: Any):
    faults = Faults(model_errors=0.1, failing_tools=0.2, slow_tools=0.2, cancellations=0.5, kills=0.7, transactions=20)
    report = simulate(teams.task_queue_team(), QUESTION, schedules=12, model="rehearsal", store=store, faults=faults)

    report.raise_if_failed()
    assert report.schedules == 12
    assert sum(report.outcomes.values()) == 12


def both_are_noted(run: Run) -> None:
    lines = run.blocks["notes"].value.split("\n")
    assert sorted(lines) == ["red", "seven"], f"the notes are {lines}"


def test_an_update_that_another_one_overwrites_is_found_and_can_be_played_again():
    played: dict[str, Any] = {
        "team": pair(rethink="last_write_wins"),
        "message": "Go",
        "model": ScriptedModel(script()),
        "invariants": [both_are_noted],
    }
    report = simulate(**played, schedules=40, seed=1)

    assert 0 < report.failed < 40
    (failure,) = report.failures
    assert (failure.flaw.kind, failure.flaw.of) == ("invariant", "both_are_noted")
    assert failure.flaw.what in ("the notes are ['seven']", "the notes are ['red']")
    assert failure.times == report.failed
    assert failure.choices <= 3
    again = simulate(**played, schedules=1, seed=failure.seed)
    assert again.failures == (failure.having(times=1),)
    performance = replay(**played, schedule=failure.schedule)
    assert performance.played.digest == failure.digest
    assert performance.flaws == [failure.flaw]


def test_rewrites_that_are_checked_lose_nothing():
    def nothing_is_overwritten(run: Run) -> None:
        assert run.blocks["notes"].value in ("seven", "red", "seven\nred", "red\nseven")

    model = ScriptedModel(script())
    report = simulate(pair(), "Go", schedules=40, model=model, invariants=[nothing_is_overwritten])
    report.raise_if_failed()
    assert len(report.histories) > 2


def test_the_same_team_whose_updates_are_checked_holds():
    simulate(pair(), "Go", schedules=40, model=ScriptedModel(SAFE)).raise_if_failed()


def test_the_same_seeds_come_to_the_same_report():
    def report() -> SimulationReport:
        team, model = pair(rethink="last_write_wins"), ScriptedModel(script())
        return simulate(team, "Go", schedules=20, seed=3, model=model, invariants=[both_are_noted])

    one = report()
    assert one.failed
    assert one.model_dump_json() == report().model_dump_json()


def test_a_simulation_in_two_parts_is_the_same_as_in_one():
    def part(seed: int, schedules: int) -> SimulationReport:
        team = pair(rethink="last_write_wins")
        model = ScriptedModel(script())
        return simulate(team, "Go", seed=seed, schedules=schedules, model=model, invariants=[both_are_noted])

    assert part(0, 8) | part(8, 12) == part(0, 20)


def test_what_a_user_demands_is_demanded_of_each_run():
    seen: list[Run] = []

    invariants: list[Callable[[Run], object]] = [seen.append, both_are_noted]
    report = simulate(pair(), "Go", schedules=10, model=ScriptedModel(SAFE), invariants=invariants)
    report.raise_if_failed()
    assert len(seen) == 12  # once more to see how it ends when nobody is late, and once to see that it repeats itself
    assert {run.status for run in seen} == {"complete"}


def test_an_invariant_that_does_not_hold_is_one_failure_whatever_it_says():
    def first_note_is_red(run: Run) -> None:
        assert run.blocks["notes"].value.startswith("red"), f"it is {run.blocks['notes'].value!r}, {run.id}"

    report = simulate(pair(), "Go", schedules=30, model=ScriptedModel(SAFE), invariants=[first_note_is_red])
    (failure,) = report.failures
    assert (failure.flaw.kind, failure.flaw.of) == ("invariant", "first_note_is_red")
    assert failure.flaw.what.startswith("it is 'seven")
    assert failure.times == report.failed > 1


def test_an_invariant_that_cannot_be_asked_is_told_and_so_is_the_other_one():
    def broken(run: Run) -> None:
        run.blocks["elsewhere"]

    def false(run: Run) -> None:
        assert run.output == "something else", "another output"

    report = simulate(pair(), "Go", schedules=2, model=ScriptedModel(SAFE), invariants=[broken, false])
    told = [(failure.flaw.kind, failure.flaw.what) for failure in report.failures]
    assert len(told) == 2
    assert ("invariant", "another output") in told
    assert any("broken raised " in what and "elsewhere" in what for _, what in told)
    assert report.outcomes == {"complete": 2}


def test_a_run_that_ends_in_another_way_than_when_nobody_is_late_is_told():
    def report(least: float) -> SimulationReport:
        team = Team("solo", [Agent("ann")])
        latency = Latency(least=least, most=least)
        return simulate(
            team, "Go", schedules=12, model=ScriptedModel({"ann": ["hi"]}), latency=latency, budget=Budget(seconds=30)
        )

    report(0.1).raise_if_failed()
    failures = report(25).failures  # three times as slow in some of the schedules
    assert [failure.flaw.kind for failure in failures] == ["outcome"]
    assert failures[0].flaw.what == "the run ended as budget; when nobody is late it ends as complete"


def test_a_run_that_always_fails_is_told_with_its_error():
    report = simulate(Team("solo", [Agent("ann")]), "Go", schedules=2, model=ScriptedModel({"ann": [ValueError("no")]}))
    assert report.failed == 2
    assert report.outcomes == {"failed": 2}
    (failure,) = report.failures
    assert failure.flaw.kind == "outcome"
    assert failure.flaw.what.startswith("the run ended as failed (the last turn of 'ann' failed")


def test_a_team_that_cannot_be_opened_is_told_as_that_and_the_plain_schedule_is_tried_once():
    made: list[int] = []

    def store() -> MemoryStore:
        made.append(1)
        raise OSError("no room")

    report = simulate(Team("solo", [Agent("ann")]), "Go", schedules=3, model="rehearsal", store=store)
    assert report.failed == 3
    (failure,) = report.failures
    assert (failure.flaw.kind, failure.flaw.what) == ("error", "OSError: no room")
    assert failure.choices == 0
    assert len(made) <= 1 + 3 + 3  # the plain one, each seed, and to make the first one small


def test_a_store_is_made_for_each_schedule(tmp_path: Path):
    made: list[SQLiteStore] = []

    def store() -> SQLiteStore:
        made.append(SQLiteStore(tmp_path / f"{len(made)}.db", durability="process"))
        return made[-1]

    simulate(Team("solo", [Agent("ann")]), "Go", schedules=3, seed=1, model="rehearsal", store=store).raise_if_failed()
    assert len(made) == 4


def test_files_of_schedules_that_are_over_are_removed():
    with performing(pair(), "Go", model="rehearsal", store="sqlite") as performer:

        async def scene(environment: Any) -> Path:
            store = performer.scenario.store()
            assert isinstance(store, SQLiteStore)
            await store.open(environment)
            await store.close()
            return Path(store._path)

        first = play(scene, InOrder()).result
        second = play(scene, InOrder()).result
        assert first is not None
        assert second is not None
        assert not first.exists()
        assert second.exists()
    assert not second.parent.exists()


def test_it_ends_when_it_is_told_to():
    report = simulate(pair(), "Go", schedules=100, model=ScriptedModel(SAFE), tell=lambda played, failed: played == 3)
    assert report.schedules == 3


def test_models_answer_after_as_long_as_they_are_said_to_take():
    team = Team("solo", [Agent("ann")])

    def seconds(latency: Latency | None) -> float:
        return simulate(team, "Go", schedules=1, model=ScriptedModel({"ann": ["hi"]}), latency=latency).seconds

    assert seconds(Latency.none()) == 0
    assert seconds(Latency(least=5, most=5)) == 5
    assert seconds(None) > 0.05


def test_a_model_that_remembers_is_made_anew_for_each_schedule():
    def once() -> FunctionModel:
        asked: list[int] = []

        def answer(request: Any) -> str:
            asked.append(1)
            return f"asked {len(asked)} times"

        return FunctionModel(answer)

    outputs: list[str] = []
    for model in (once, Remembering):
        outputs.clear()
        team = Team("solo", [Agent("ann")])
        invariants: list[Callable[[Run], object]] = [lambda run: outputs.append(run.output)]
        simulate(team, "Go", schedules=3, model=model, invariants=invariants).raise_if_failed()
        assert set(outputs) == {"asked 1 times"}


class Remembering(FunctionModel):
    def __init__(self) -> None:
        super().__init__(self._answer)
        self._asked = 0

    def _answer(self, request: Any) -> str:
        self._asked += 1
        return f"asked {self._asked} times"


def test_agents_own_models_are_asked():
    team = Team("solo", [Agent("ann", model=ScriptedModel({"ann": ["from her own"]}))])
    outputs: list[str] = []
    simulate(team, "Go", schedules=3, invariants=[lambda run: outputs.append(run.output)]).raise_if_failed()
    assert set(outputs) == {"from her own"}


# --- in spite of everything


def test_a_process_that_is_killed_is_taken_up_by_another_one_wherever_it_was():
    for transaction in range(1, 16):
        faults = Killed(transaction)
        report = simulate(pair(), "Go", schedules=3, seed=1, model=ScriptedModel(twice(SAFE)), faults=faults)
        report.raise_if_failed()
        assert report.outcomes == {"complete": 3}


def test_a_caller_who_is_cancelled_leaves_a_run_that_has_ended():
    outcomes: dict[str, int] = {}
    for step in (*range(1, 60, 3), 10_000):
        faults = Cancelled(step)
        report = simulate(pair(), "Go", schedules=2, seed=1, model=ScriptedModel(twice(SAFE)), faults=faults)
        report.raise_if_failed()
        for outcome, times in report.outcomes.items():
            outcomes[outcome] = outcomes.get(outcome, 0) + times
    assert outcomes.keys() == {"unknown", "cancelled", "complete"}


def twice(lines: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """For a second message."""
    return {agent: [*those, *those, *those] for agent, those in lines.items()}


class Killed(Faults):
    """In each schedule the process is lost after this transaction."""

    def __init__(self, transaction: int) -> None:
        super().__init__(kills=1)
        object.__setattr__(self, "transaction", transaction)

    def drawn(self, random: Any) -> Plan:
        plan = super().drawn(random)
        plan.kill_after = self.transaction  # type: ignore[attr-defined]
        return plan


class Cancelled(Faults):
    """In each schedule the caller is cancelled before this step."""

    def __init__(self, step: int) -> None:
        super().__init__(cancellations=1)
        object.__setattr__(self, "step", step)

    def drawn(self, random: Any) -> Plan:
        plan = super().drawn(random)
        plan.cancel_at = self.step  # type: ignore[attr-defined]
        return plan


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (StoreError("killed"), True),
        (RunError("not open"), True),
        (ExceptionGroup("several", [StoreError("killed"), ExceptionGroup("inner", [RunError("not open")])]), True),
        (ExceptionGroup("several", [StoreError("killed"), ValueError("a bug")]), False),
    ],
)
def test_an_error_in_a_process_that_is_killed_is_not_taken_for_its_death(error: Exception, is_it: bool):
    assert _is_of_its_death(error) is is_it


# --- what remembers


def counting(safe: bool = False) -> Team:
    """Ann and bob count one up each, at the same time, in a dict that the tool has."""
    counts, lock = {"n": 0}, anyio.Lock()

    @tool
    async def count_up() -> str:
        """Count one up."""
        async with lock if safe else nullcontext():
            n = counts["n"]
            await anyio.sleep(1)
            counts["n"] = n + 1
        return f"now {n + 1}"

    jobs = Block("jobs")
    model = ScriptedModel(
        {
            "lead": [edit("memory_insert", "jobs", new_string="count"), "done"],
            "ann": [call("count_up"), "done"],
            "bob": [call("count_up"), lambda request: f"{counts['n']}"],
        }
    )
    counters = [Agent(name, blocks=[jobs.reader()], wakes_on=[jobs], tools=[count_up]) for name in ("ann", "bob")]
    return Team("counting", [replace(agent, model=model) for agent in (Agent("lead", blocks=[jobs]), *counters)])


def nobody_is_forgotten(run: Run) -> None:
    answers = {turn.text for turn in run.turns}
    assert answers & {"1", "2"}, answers


def test_a_function_makes_the_team_of_each_schedule():
    made: list[Team] = []

    def make() -> Team:
        made.append(counting(safe=True))
        return made[-1]

    report = simulate(make, "Go", schedules=30, invariants=[nobody_is_forgotten])

    report.raise_if_failed()
    assert report.repeated == 2
    assert len(made) == 1 + 1 + 30 + 2  # looked at, played plainly, and once for each schedule that was played


def test_a_race_in_what_a_tool_keeps_is_told_with_who_called_it_when():
    def all_are_counted(run: Run) -> None:
        assert run.output == "done"
        assert "1" not in {turn.text for turn in run.turns}, "one is missing"

    report = simulate(counting, "Go", schedules=30, invariants=[all_are_counted])

    (failure,) = report.failures
    assert failure.flaw.what == "one is missing"
    told = [line.partition(" s  ")[2] for line in failure.story]
    called = max(told.index("ann called count_up()"), told.index("bob called count_up()"))
    assert called < min(
        told.index('ann\'s count_up answered: "now 1"'), told.index('bob\'s count_up answered: "now 1"')
    )


def test_a_team_that_remembers_the_schedule_before_is_told_as_that():
    seen: list[Run] = []

    def is_first(run: Run) -> None:
        seen.append(run)
        assert len(seen) == 1, f"this is run {len(seen)}"

    report = simulate(Team("solo", [Agent("ann")]), "Go", model="rehearsal", schedules=3, invariants=[is_first])

    (failure,) = report.failures
    assert failure.flaw.what.startswith("this is run ")
    assert failure.flaw.what.endswith(
        "; played again it came to something else: a tool, model or guard follows chance, or what schedules before have"
        " left"
    )


def test_an_invariant_that_returns_false_does_not_hold():
    def has_output(run: Run) -> bool:
        return run.output == "something else"

    report = simulate(Team("solo", [Agent("ann")]), "Go", model="rehearsal", schedules=2, invariants=[has_output])

    (failure,) = report.failures
    assert (failure.flaw.kind, failure.flaw.what, failure.times) == ("invariant", "has_output returned False", 2)


# --- what cannot be


def test_a_function_that_makes_no_team_is_refused_at_once():
    with pytest.raises(DeclarationError, match=r"team\(\) has returned None; it has to make a Team"):
        simulate(lambda: None, "Go", model="rehearsal")  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"schedules": 0}, "schedules is 0"),
        ({"schedules": True}, "schedules is True"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": "1"}, "seed is '1'"),
        ({"seed": True}, "seed is True"),
        ({"message": b"Go"}, "message is b'Go'"),
        ({"message": "a\0b"}, "without NUL"),
        ({"team": "solo"}, "team is 'solo'; give a Team"),
        ({"team": None}, "give a Team"),
        ({"faults": 0.5}, "faults is 0.5; give a Faults"),
        ({"latency": 2}, "latency is 2; give a Latency"),
        ({"budget": 5}, "budget is 5; give a Budget"),
        ({"store": "postgres"}, "store is 'postgres'"),
        ({"invariants": print}, "give a list of functions"),
        ({"invariants": ["fair"]}, "an invariant is 'fair'"),
        ({"tell": 3}, "tell is 3"),
        ({"model": 7}, "7 is no model"),
        ({"model": lambda request: "done"}, "called for each schedule, without arguments"),
        ({"model": ScriptedModel}, "'script'; or give a Model, such as FunctionModel(…)"),
        ({"store": lambda path: MemoryStore()}, "'path'; or give 'memory' or 'sqlite'"),
        ({"allow": [["sleep"]]}, "allow is [['sleep']]; give a tuple of some of sleep"),
    ],
)
def test_an_argument_that_cannot_be_what_it_is_is_refused_at_once(settings: dict[str, Any], told: str):
    given = {"team": Team("solo", [Agent("ann")]), "message": "Go", "model": "rehearsal", **settings}
    team, message = given.pop("team"), given.pop("message")
    with pytest.raises(DeclarationError) as caught:
        simulate(team, message, **given)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({"model": lambda: "rehearsal"}, "model is a function that made 'rehearsal', which is no model"),
        ({"store": lambda: None}, "store is a function that made None, which is no store"),
        ({"store": partial(next, repeat(MemoryStore()))}, "gave the same MemoryStore again; it has to make one"),
    ],
)
def test_a_function_that_makes_something_else_is_told_as_that(made: dict[str, Any], told: str):
    report = simulate(Team("solo", [Agent("ann")]), "Go", schedules=1, **{"model": "rehearsal", **made})

    assert [failure.flaw.kind for failure in report.failures] == ["error"]
    assert told in report.failures[0].flaw.what


@pytest.mark.parametrize("is_frozen", [False, True])
def test_garbage_is_collected_afterwards_as_it_was_before(is_frozen: bool):
    collected: list[bool] = []
    assert not gc.get_freeze_count()
    if is_frozen:
        gc.freeze()

    def stop(played: int, failed: int) -> bool:
        collected.append(gc.isenabled())
        raise ZeroDivisionError

    try:
        for play in (simulate, partial(exhaust, switches=1)):
            with pytest.raises(ZeroDivisionError):
                play(Team("solo", [Agent("ann")]), "Go", model="rehearsal", tell=stop)
            assert gc.isenabled()
            assert bool(gc.get_freeze_count()) is is_frozen
    finally:
        gc.unfreeze()
    assert collected == [False, False]


def test_an_invariant_that_is_async_is_refused_at_once():
    async def later(run: Run) -> None:
        """Nobody would wait for it."""

    with pytest.raises(DeclarationError, match="later' is an async function"):
        simulate(Team("solo", [Agent("ann")]), "Go", model="rehearsal", invariants=[later])


def test_an_invariant_that_is_a_generator_is_refused_at_once():
    def endless(run: Run) -> Iterator[int]:
        assert run.output == "its body never runs"
        yield 1

    class Endless:
        async def __call__(self, run: Run) -> AsyncIterator[int]:
            yield 1

    for invariant in (endless, Endless()):
        with pytest.raises(DeclarationError, match="is a generator, whose body would never run; leave out its yield"):
            simulate(Team("solo", [Agent("ann")]), "Go", model="rehearsal", invariants=[invariant])


def test_a_team_without_a_model_is_refused_at_once():
    with pytest.raises(ModelNotFound, match="'ann' has no model"):
        simulate(Team("solo", [Agent("ann")]), "Go")


async def test_it_is_refused_where_an_event_loop_runs():
    with pytest.raises(RunError, match="event loops of its own"):
        simulate(Team("solo", [Agent("ann")]), "Go", model="rehearsal")
