"""A team under load: what is asked of it, and what is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator import (
    Agent,
    Block,
    Budget,
    DeclarationError,
    ModelNotFound,
    ModelRequest,
    ModelResponse,
    Team,
    ToolCall,
    Wake,
)
from orchestrator.bench import Load, Measured, Refusals, Think, load, measure, measured_document, teams
from orchestrator.bench.measuring import Spread
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel
from patterns.teams import domain_knowledge_team, task_queue_team


def simulated(team: Team, think: Think | None = None, **more: Any) -> Measured:
    return measure(team, Load(simulated=True, think=think, **more))


SECOND = Think("fixed", 1)


# --- what is found


def test_the_uneven_team_takes_as_long_as_its_longest_chain_and_not_longer() -> None:
    cast = teams.uneven(0.1)

    found = simulated(cast.team, model=cast.model, messages=1)

    assert found.statuses == {"complete": 1}
    assert found.is_complete
    assert found.turns == 6
    assert [round(figure, 9) for figure in (found.seconds, found.ideal, found.thought)] == [0.3, 0.3, 0.6]
    assert found.against_ideal == pytest.approx(1)
    assert found.speed_up == pytest.approx(2)
    assert found.turns_per_second == pytest.approx(20)
    assert found.wait == Spread(0, 0, 0, 0)
    assert found.message is not None
    assert found.message.p50 == found.seconds
    assert found.turn is not None
    assert (round(found.turn.p50, 9), round(found.turn.most, 9)) == (0.1, 0.3)


def test_messages_to_one_agent_are_answered_one_after_the_other() -> None:
    found = simulated(Team("alone", [Agent("ann")]), SECOND, messages=5)

    assert (found.turns, found.seconds, found.thought, found.ideal, found.speed_up) == (5, 5, 5, 5, 1)
    assert found.message == Spread(3, 5, 5, 5)
    assert found.turn == Spread(1, 1, 1, 1)
    assert found.wait == Spread(0, 0, 0, 0), "who waits for its own turn is not kept waiting by us"


def ten_at_once() -> tuple[Team, FunctionModel]:
    bell = Block("bell")
    members = [Agent(f"agent-{n}", blocks=[bell.reader()], wakes_on=[bell]) for n in range(10)]

    def ring(request: ModelRequest) -> ModelResponse:
        calls = [ToolCall("memory_insert", {"label": "bell", "new_string": "go"})]
        return ModelResponse("", calls if request.agent == "start" and not request.step else [])

    return Team("ten", [Agent("start", blocks=[bell]), *members]), FunctionModel(ring)


def test_where_there_are_fewer_places_than_thinkers_the_ideal_knows() -> None:
    team, model = ten_at_once()

    free = simulated(team, SECOND, model=model, messages=1)
    two = simulated(team, SECOND, model=model, messages=1, max_concurrency=2)

    assert (free.thought, free.ideal, free.seconds) == (12, 2, 2)
    assert (two.thought, two.ideal, two.seconds) == (12, 6, 7)
    assert two.wait is not None
    assert two.wait.most > 0, "to wait for a place is to wait"


def test_refused_edits_are_counted_by_block() -> None:
    board, notes = Block("board", "free", limit=100), Block("notes")
    members = [Agent(f"agent-{n}", blocks=[board, notes], wakes_on=[Wake(notes, by=["start"])]) for n in range(4)]

    def take(request: ModelRequest) -> ModelResponse:
        if request.step:
            return ModelResponse("done")
        if request.agent == "start":
            return ModelResponse("", [ToolCall("memory_insert", {"label": "notes", "new_string": "go"})])
        replace = {"label": "board", "old_string": "free", "new_string": request.agent}
        missing = {"label": "nowhere", "new_string": "x"}
        return ModelResponse("", [ToolCall("memory_replace", replace), ToolCall("memory_insert", missing)])

    team = Team("race", [Agent("start", blocks=[notes]), *members])
    found = simulated(team, SECOND, model=FunctionModel(take), messages=1)

    assert found.refusals == (Refusals("board", 4, 3), Refusals("notes", 1, 0), Refusals("nowhere", 4, 4))
    assert found.is_complete, "a refusal is an answer, not a failure"


def test_claims_and_releases_are_no_edits() -> None:
    found = simulated(task_queue_team(), SECOND, messages=1, tasks=4)

    by_block = {refusals.block: refusals for refusals in found.refusals}
    assert by_block["task_queue"] == Refusals("task_queue", 5, 0)  # four tasks added at once, and each settled


def test_a_run_that_does_not_complete_is_counted_and_the_first_reason_told() -> None:
    def answer(request: ModelRequest) -> str:
        if "again" in str(request.messages):
            raise ValueError("not again")
        return "fine"

    failed = simulated(Team("t", [Agent("ann")]), model=FunctionModel(answer), message="again", messages=3)
    team, model = ten_at_once()
    spent = simulated(team, SECOND, model=model, messages=1, budget=Budget(turns=4))

    assert failed.statuses == {"failed": 3}
    assert not failed.is_complete
    assert failed.failure == "failed: the last turn of 'ann' failed: ValueError: not again"
    assert spent.statuses == {"budget": 1}
    assert spent.failure == "budget: spent after 4 turns"


def test_repeats_are_added_up_and_each_begins_anew() -> None:
    done: list[None] = []
    asked = Load(simulated=True, think=Think.parse("uniform:1s..2s"), messages=2, repeat=3)

    found = measure(Team("alone", [Agent("ann")]), asked, lambda: done.append(None))

    assert len(done) == found.turns == 6
    assert found.statuses == {"complete": 6}
    assert found.seconds == pytest.approx(found.thought)
    assert 6 < found.thought < 12
    assert found.repeats == 3


def test_where_nobody_thinks_simulated_time_stands_still() -> None:
    found = simulated(Team("alone", [Agent("ann")]), Think("fixed", 0))

    assert (found.seconds, found.turns) == (0, 8)
    assert (found.turns_per_second, found.speed_up, found.against_ideal) == (None, None, None)


@pytest.mark.parametrize("typed", ["50ms", "uniform:20ms..80ms", "exponential:50ms", "lognormal:50ms,0.5"])
@pytest.mark.parametrize("team", [task_queue_team, domain_knowledge_team])
def test_the_same_seed_finds_the_same(typed: str, team: Any) -> None:
    think = Think.parse(typed)

    first = simulated(team(workers=3), think, messages=2, tasks=5, seed=7)

    assert first.is_complete
    assert first.seconds >= first.ideal - 1e-9
    assert simulated(team(workers=3), think, messages=2, tasks=5, seed=7) == first
    if typed != "50ms":
        assert simulated(team(workers=3), think, messages=2, tasks=5, seed=8).thought != first.thought


def test_in_real_time_a_team_takes_at_least_its_ideal() -> None:
    cast = teams.uneven(0.02)

    found = measure(cast.team, Load(messages=2, model=cast.model, think=None))

    assert found.is_complete
    assert not found.simulated
    assert 0.06 <= found.ideal <= found.seconds
    assert found.wait is not None
    assert 0 <= found.wait.p50 <= found.wait.p95 <= found.wait.p99 <= found.wait.most


# --- what is asked


def test_a_message_asks_for_so_many_things_a_line_for_each() -> None:
    assert Load(message="Count.").text == "Count."
    assert Load(message="Count.", tasks=2).text == "Task 1 of 2: Count.\nTask 2 of 2: Count."

    found = simulated(task_queue_team(workers=2), messages=1, tasks=6)

    assert found.turns == 6 + 2  # one for each task, and the supervisor's two


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"messages": 0}, "messages is 0; give 1 or more"),
        ({"tasks": 0}, "tasks is 0"),
        ({"repeat": 0}, "repeat is 0"),
        ({"message": "half \ud800"}, "--message: cannot hold half of a surrogate pair"),
        ({"simulated": True, "store": Path("x.db")}, "--simulated: keeps everything in memory; leave out --store"),
    ],
)
def test_a_load_that_cannot_be_is_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(DeclarationError, match=why):
        Load(**options)


def test_a_provider_cannot_be_asked_in_simulated_time(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, own = Team("t", [Agent("ann")]), Team("t", [Agent("ann", model="openai/gpt-5-mini")])

    with pytest.raises(DeclarationError, match="'openai/gpt-5-mini' is asked over a network"):
        simulated(own, model=None)
    with pytest.raises(DeclarationError, match="'any/other' is asked over a network"):
        simulated(plain, model="any/other")
    monkeypatch.setenv("ORCHESTRATOR_MODEL", "from/there")
    with pytest.raises(DeclarationError, match="'from/there' is asked over a network"):
        simulated(plain, model=None)
    assert simulated(own, SECOND).is_complete, "the rehearsal model takes its place"


def test_each_agents_own_model_is_asked_where_none_is_named() -> None:
    loud = FunctionModel(lambda request: ModelResponse("loud"))

    assert simulated(Team("t", [Agent("ann", model=loud)]), SECOND, model=None).is_complete
    with pytest.raises(ModelNotFound, match="agent 'ann' has no model"):
        simulated(Team("t", [Agent("ann")]), model=None)


def test_a_file_is_used_on_and_on(monkeypatch: pytest.MonkeyPatch) -> None:
    paths: list[Path] = []
    store = MemoryStore()  # stands for a file: what it keeps is there when it is opened again

    def lasting(path: Path) -> MemoryStore:
        paths.append(path)
        return store

    monkeypatch.setattr(load, "lasting", lasting)
    cast = teams.crowd(3, 0, inserts=2)
    found = measure(cast.team, Load(model=cast.model, think=None, messages=1, repeat=2, store=Path("team.db")))

    assert paths == [Path("team.db")] * 2
    assert found.statuses == {"complete": 2}
    assert found.turns == 8, "what the log held before is not counted again"
    assert found.refusals == (Refusals("bell", 2, 0), Refusals("notes", 12, 0))


@pytest.mark.parametrize("last_words", ["run_started", "turn_started"])
def test_a_store_that_fails_is_an_error_and_no_group(last_words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(MemoryStore):
        async def transact(self, work: Any) -> Any:
            committed = await super().transact(work)
            if committed.events and committed.events[-1].type == last_words:
                raise OSError("no space left")
            return committed

    monkeypatch.setattr(load, "lasting", lambda path: Full())

    with pytest.raises(OSError, match="no space left"):
        measure(Team("t", [Agent("ann")]), Load(store=Path("full.db"), messages=1))


# --- the document


def test_the_document_has_what_was_asked_and_what_was_found() -> None:
    found = simulated(Team("alone", [Agent("ann")]), SECOND, messages=2)

    document = json.loads(measured_document(found, {"messages": 2, "think": "1s"}))

    assert document == {
        "options": {"messages": 2, "think": "1s"},
        "team": "alone",
        "messages": 2,
        "repeats": 1,
        "simulated": True,
        "statuses": {"complete": 2},
        "failure": None,
        "turns": 2,
        "seconds": 2,
        "thought": 2,
        "ideal": 2,
        "turn": {"p50": 1, "p95": 1, "p99": 1, "most": 1},
        "message": {"p50": 1, "p95": 2, "p99": 2, "most": 2},
        "wait": {"p50": 0, "p95": 0, "p99": 0, "most": 0},
        "refusals": [],
        "turns_per_second": 1,
        "speed_up": 1,
        "against_ideal": 1,
    }
