"""A run whose models were recorded is replayed without them: the same blocks, the same output, in any order."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator import (
    Agent,
    Block,
    ContextTooLong,
    DeclarationError,
    Environment,
    Model,
    ModelError,
    ModelRefused,
    ModelRequest,
    ModelResponse,
    ModelUnavailable,
    Orchestrator,
    RateLimited,
    Run,
    Store,
    Team,
    ToolCall,
    Usage,
    tool,
)
from orchestrator.errors import NotRecorded
from orchestrator.simulation.faults import Faults, SimulatedModel
from orchestrator.simulation.latency import LogNormal
from orchestrator.simulation.recordings import Answer, Place, recorded
from orchestrator.stores import MemoryStore, SQLiteStore
from orchestrator.testing import (
    FunctionModel,
    Latency,
    RecordedModel,
    RecordingModel,
    Say,
    ScriptedModel,
    edit,
    simulated_time,
)
from patterns.rehearsal import RehearsalModel
from patterns.teams import domain_knowledge_team, handoff_context_team, task_queue_team, user_preferences_team


async def played(team: Team, model: Model, store: Store | None = None, *, say: str = "What is a block?") -> Run:
    with anyio.fail_after(60):
        async with Orchestrator(team, store, model=model) as live:
            return await live.run(say)


def texts(run: Run) -> dict[str, str]:
    return {name: block.value for name, block in run.blocks.items()}


def asked(agent: str, turn: str = "a", step: int = 0) -> ModelRequest:
    return ModelRequest(agent, turn=turn, step=step)


MAKERS = [
    lambda: task_queue_team(workers=1),
    lambda: domain_knowledge_team(workers=1),
    handoff_context_team,
    lambda: user_preferences_team(workers=1),
]


# --- real teams


@pytest.mark.parametrize("make", MAKERS, ids=["task_queue", "domain_knowledge", "handoff", "preferences"])
async def test_a_recorded_run_comes_to_the_same_without_its_model(make: Callable[[], Team], tmp_path: Path):
    recording = RecordingModel(RehearsalModel())
    first = await played(make(), recording)
    recording.save(tmp_path / "in" / "a folder" / "run.json")

    model = RecordedModel.load(tmp_path / "in" / "a folder" / "run.json")
    places = model.unused
    again = await played(make(), model)

    assert (again.status, again.output, again.usage) == ("complete", first.output, first.usage)
    assert texts(again) == texts(first)
    assert [(turn.agent, turn.steps) for turn in again.turns] == [(turn.agent, turn.steps) for turn in first.turns]
    assert len(places) == sum(turn.steps for turn in first.turns) > 2
    assert model.unused == ()


async def test_what_any_store_keeps_is_a_recording(new_store, tmp_path: Path):
    store, recording = new_store(), RecordingModel(RehearsalModel())
    first = await played(task_queue_team(), recording, store, say="What is a block?\nWhat is a team?")

    model = await RecordedModel.of(store)
    model.save(tmp_path / "of the store.json")
    recording.save(tmp_path / "of the model.json")
    again = await played(task_queue_team(), model, new_store(), say="What is a block?\nWhat is a team?")

    assert (again.status, again.output) == ("complete", first.output)
    # Three workers wrote at the same time, and their lines may stand in another order.
    assert {name: sorted(text.split("\n")) for name, text in texts(again).items()} == {
        name: sorted(text.split("\n")) for name, text in texts(first).items()
    }
    assert model.unused == ()
    # Whichever way it was recorded; the ids that the engine gave to calls are not in it.
    assert (tmp_path / "of the store.json").read_text() == (tmp_path / "of the model.json").read_text()


async def test_a_used_sqlite_file_that_nobody_has_open_is_a_recording_too(tmp_path: Path):
    first = await played(domain_knowledge_team(workers=1), RehearsalModel(), SQLiteStore(tmp_path / "used.db"))

    model = await RecordedModel.of(SQLiteStore(tmp_path / "used.db"))
    again = await played(domain_knowledge_team(workers=1), model)

    assert (again.output, texts(again)) == (first.output, texts(first))


async def test_a_store_of_many_runs_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("orchestrator.simulation.recordings._PAGE", 2)
    store, team = MemoryStore(), Team("solo", [Agent("ann")])
    async with Orchestrator(team, store, model=ScriptedModel({"ann": ["one", "two", "three"]})) as live:
        for _ in range(3):
            await live.run("go")

    model = await RecordedModel.of(store)
    async with Orchestrator(team, model=model) as live:
        assert [(await live.run("go")).output for _ in range(2)] == ["one", "two"]
    assert model.unused == (Place("ann", 3, 0),)


# --- in another order


def three() -> Team:
    """A starter who wakes two others, who write what they read."""
    bell, notes = Block("bell"), Block("notes")
    starter = Agent("starter", blocks=[bell, notes.reader()])
    others = [Agent(name, blocks=[bell.reader(), notes], wakes_on=[bell]) for name in ("ann", "bob")]
    return Team("three", [starter, *others])


SCRIPT: dict[str, list[Any]] = {
    "starter": [edit("memory_insert", "bell", new_string="go"), "rung"],
    "ann": [
        edit("memory_insert", "notes", new_string="ann 1"),
        edit("memory_insert", "notes", new_string="ann 2"),
        "a",
    ],
    "bob": [
        edit("memory_insert", "notes", new_string="bob 1"),
        edit("memory_insert", "notes", new_string="bob 2"),
        "b",
    ],
}


@pytest.mark.parametrize("anyio_backend", [simulated_time()], ids=["simulated"])
async def test_in_another_order_each_agent_still_finds_its_answers(anyio_backend):
    recording = RecordingModel(ScriptedModel(SCRIPT))
    await played(three(), recording)

    orders = set()
    for seed in range(20):
        model = RecordedModel(recording.answers)
        plan = Faults.none().drawn(Environment.seeded(str(seed)))
        slow = SimulatedModel(model, Latency([LogNormal(1.0, 1.0)]), plan, Environment())
        run = await played(three(), slow)

        lines = run.blocks["notes"].value.split("\n")
        assert [line for line in lines if line.startswith("ann")] == ["ann 1", "ann 2"]
        assert [line for line in lines if line.startswith("bob")] == ["bob 1", "bob 2"]
        assert run.output == "rung"
        assert model.unused == ()
        orders.add(tuple(lines))
    assert len(orders) > 3, "all went on in the same order, so this has shown nothing"


async def test_turns_are_those_of_the_agent_in_the_order_in_which_they_ask():
    model = RecordedModel([Answer(agent=name, turn=turn, step=step, text=f"{name} {turn} {step}")
                           for name in ("ann", "bob") for turn in (1, 2) for step in (0, 1)])  # fmt: skip

    places = [("ann", "x", 0), ("bob", "y", 0), ("bob", "y", 1), ("bob", "z", 0), ("ann", "x", 1), ("ann", "w", 0)]
    said = [(await model.respond(asked(*place))).text for place in places]

    assert said == ["ann 1 0", "bob 1 0", "bob 1 1", "bob 2 0", "ann 1 1", "ann 2 0"]
    # A call that is repeated gets the same answer: a process may end before its answer is recorded.
    assert (await model.respond(asked("ann", "x", 0))).text == "ann 1 0"
    assert model.unused == (Place("ann", 2, 1), Place("bob", 2, 1))


# --- what is missing


@pytest.mark.parametrize(
    ("answers", "there_is"),
    [
        ([], "the recording is empty"),
        ([("bob", 1, 0), ("ada", 1, 0), ("bob", 2, 0)], "there are answers for ada, bob"),
        ([("ann", 1, 0), ("ann", 3, 0), ("ann", 3, 1)], "of this agent there is turn 1 (1 step), turn 3 (2 steps)"),
    ],
)
async def test_a_missing_answer_is_told_with_what_there_is(answers: list[tuple[str, int, int]], there_is: str):
    model = RecordedModel([Answer(**Place(*place)._asdict()) for place in answers])

    with pytest.raises(NotRecorded) as missing:
        await model.respond(asked("ann", step=4))

    told = (
        f"no answer is recorded for agent 'ann', turn 1, step 4; {there_is}. If the team has changed, record it again"
    )
    assert str(missing.value) == told
    assert (missing.value.agent, missing.value.turn, missing.value.step) == ("ann", 1, 4)
    assert len(model.unused) == len(answers)


async def test_a_run_that_goes_beyond_its_recording_fails_and_says_where():
    team = Team("solo", [Agent("ann", blocks=[Block("notes")])])
    insert = edit("memory_insert", "notes", new_string="x")
    model = RecordedModel([Answer(agent="ann", turn=1, step=0, tool_calls=insert.calls)])

    run = await played(team, model)

    assert run.status == "failed"
    assert "no answer is recorded for agent 'ann', turn 1, step 1; of this agent there is turn 1 (1 step)" in str(
        run.error
    )
    assert isinstance(run.error.__cause__, NotRecorded)


# --- failures


@pytest.mark.parametrize(
    "error",
    [
        RateLimited("acme/one", "slow down", attempts=4, seconds=9.5, retry_after=12.0),
        ModelUnavailable("acme/one", "gone \ud800", status=503),
        ModelRefused("acme/one", "no", status=400, advice="Ask otherwise."),
        ContextTooLong("acme/one", "too long"),
        ModelError("in words"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_call_that_failed_fails_again_in_the_same_way(error: ModelError, tmp_path: Path):
    team = Team("solo", [Agent("ann")])
    recording = RecordingModel(ScriptedModel({"ann": [error, "at last"]}))
    async with Orchestrator(team, model=recording) as live:
        first, second = await live.run("go"), await live.run("go")
    recording.save(tmp_path / "failed.json")

    model = RecordedModel.load(tmp_path / "failed.json")
    async with Orchestrator(team, model=model) as live:
        again, then = await live.run("go"), await live.run("go")

    assert (again.status, str(again.error)) == (first.status, str(first.error).replace("\ud800", "\\ud800"))
    raised = again.error.__cause__
    assert type(raised) is type(error)
    assert {name: getattr(raised, name) for name in vars(error) if name != "reason"} == {
        name: value for name, value in vars(error).items() if name != "reason"
    }
    assert (then.output, second.output) == ("at last", "at last")
    assert model.unused == ()


class Overheated(ModelRefused):
    """An error of somebody else's."""

    def __init__(self) -> None:
        super().__init__("acme/one", "too hot")
        self.degrees = [99]


async def test_an_error_of_somebody_elses_fails_again_as_the_nearest_of_ours():
    recording = RecordingModel(ScriptedModel({"ann": [Overheated()]}))
    with pytest.raises(Overheated):
        await recording.respond(asked("ann"))

    with pytest.raises(ModelRefused, match="too hot") as raised:
        await RecordedModel(recording.answers).respond(asked("ann"))
    assert type(raised.value) is ModelRefused
    assert not hasattr(raised.value, "degrees")


async def test_what_is_no_model_error_and_what_is_cancelled_is_not_kept():
    async def wrong(request: ModelRequest) -> str:
        if request.agent == "ann":
            raise ZeroDivisionError
        await anyio.sleep_forever()
        return ""

    recording = RecordingModel(FunctionModel(wrong))
    with pytest.raises(ZeroDivisionError):
        await recording.respond(asked("ann"))
    with anyio.move_on_after(0.01):
        await recording.respond(asked("bob"))

    assert recording.answers == ()


async def test_from_a_store_a_failed_call_fails_again_with_the_same_sentence():
    counting = Usage(input_tokens=3, calls=5)  # a model that counts its calls by itself confuses nobody
    team = Team("solo", [Agent("ann", blocks=[Block("notes")], max_steps=1)])
    lines = [
        edit("memory_insert", "notes", new_string="x"),
        RateLimited("acme/one", "slow down"),
        Say("end", usage=counting),
    ]
    store = MemoryStore()
    async with Orchestrator(team, store, model=ScriptedModel({"ann": lines})) as live:
        runs = [await live.run("go") for _ in range(3)]

    model = await RecordedModel.of(store)
    async with Orchestrator(team, model=model) as live:
        again = [await live.run("go") for _ in range(3)]

    assert "wanted more than 1 steps" in str(runs[0].error)
    assert [str(run.error) for run in again] == [str(run.error) for run in runs]
    assert type(again[1].error.__cause__) is ModelError
    assert [run.usage for run in again] == [run.usage for run in runs]
    assert model.unused == ()


async def test_a_turn_that_wanted_too_many_steps_is_no_call_that_failed():
    counting = Usage(calls=1)
    line = edit("memory_insert", "notes", new_string="x")
    lines = [Say(calls=line.calls, usage=counting)]
    store, team = MemoryStore(), Team("solo", [Agent("ann", blocks=[Block("notes")], max_steps=1)])
    await played(team, ScriptedModel({"ann": lines}), store)

    model = await RecordedModel.of(store)

    assert model.unused == (Place("ann", 1, 0),)


# --- what is kept of an answer


@tool
async def look(near: list[float], name: str = "") -> str:
    """Look."""
    return f"{near} {name}"


async def test_texts_calls_and_usage_are_kept_as_they_were(tmp_path: Path):
    usage = Usage(input_tokens=10, cached_tokens=4, output_tokens=5, calls=1, cost=0.25)
    calls = [
        ToolCall("look", {"near": [1.5, float("nan")]}),  # no JSON: kept as the text that the engine stores
        ToolCall("look", '{"near": [', "call-7"),
        ToolCall("look", {"near": [1], "name": "é 漢 \u2028"}),
    ]
    team = Team("solo", [Agent("ann", tools=[look])])
    lines: list[Any] = [ModelResponse("é\n\ttext", calls, usage), "Grüße"]
    recording = RecordingModel(ScriptedModel({"ann": lines}))
    store, other = MemoryStore(), MemoryStore()
    first = await played(team, recording, store)
    recording.save(tmp_path / "kept.json")
    again = await played(team, RecordedModel.load(tmp_path / "kept.json"), other)

    assert (again.output, again.usage) == (first.output, first.usage)
    ours = {"at", "run", "runs", "turn", "tool_calls", "causes"}
    told = [[event.model_dump(exclude=ours) for event in await kept.events()] for kept in (store, other)]
    assert told[1] == told[0]
    assert "Grüße" in (tmp_path / "kept.json").read_text("utf-8")
    response = await RecordedModel.load(tmp_path / "kept.json").respond(asked("ann"))
    assert response == ModelResponse("é\n\ttext", [ToolCall("look", '{"near": [1.5, NaN]}'), *calls[1:]], usage)


async def test_half_of_a_surrogate_pair_is_written_as_what_it_is(tmp_path: Path):
    recording = RecordingModel(FunctionModel(lambda request: "half \ud800"))
    await recording.respond(asked("ann"))
    recording.save(tmp_path / "half.json")

    assert (await RecordedModel.load(tmp_path / "half.json").respond(asked("ann"))).text == "half \\ud800"


async def test_the_file_is_in_the_same_order_whoever_was_first(tmp_path: Path):
    for number, names in enumerate([("ann", "bob"), ("bob", "ann")]):
        recording = RecordingModel(FunctionModel(lambda request: request.agent))
        for name in names:
            await recording.respond(asked(name))
        recording.save(tmp_path / f"{number}.json")

    text = (tmp_path / "0.json").read_text()
    assert text == (tmp_path / "1.json").read_text()
    answers = [{"agent": name, "turn": 1, "step": 0, "text": name} for name in ("ann", "bob")]
    assert json.loads(text) == {"version": 1, "answers": answers}


# --- files that are none


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not JSON: .*; delete it and record it again"),
        ('{"version": 1, "answers": [', "is not JSON: .*; delete it and record it again"),
        ("[" * 100_000, "is not JSON: "),
        (b"\xff\xfe", "is not JSON: "),
        ("[]", "is no recording of a model's answers; delete it and record it again"),
        ('{"answers": []}', "is no recording of a model's answers"),
        ('{"version": 2}', "has form 2, and this version reads form 1; delete it and record it again, or use"),
        ('{"version": "1", "answers": []}', "has form '1', and this version reads form 1"),
        ('{"version": 1}', "is broken at answers: field required; delete it and record it again"),
        ('{"version": 1, "answers": [{"agent": "ann", "step": 0}]}', r"is broken at answers.0.turn: field required"),
        (
            '{"version": 1, "answers": [{"agent": "ann", "turn": 1, "step": 0, "txt": "x"}]}',
            r"is broken at answers.0.txt: extra inputs are not permitted",
        ),
        (
            '{"version": 1, "answers": [{"agent": "a", "turn": 1, "step": 0, "failure": {"kind": "X", "reason": ""}}]}',
            r"is broken at answers.0.failure.kind: ",
        ),
        (
            '{"version": 1, "answers": [{"agent": "a", "turn": 1, "step": 0}, {"agent": "a", "turn": 1, "step": 0}]}',
            "has two answers for agent 'a', turn 1, step 0; delete it and record it again",
        ),
    ],
    ids=range(13),
)
def test_a_file_that_is_no_recording_is_refused_and_what_to_do_is_said(text: str | bytes, why: str, tmp_path: Path):
    path = tmp_path / "file.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(DeclarationError, match=why) as refused:
        RecordedModel.load(path)
    assert refused.value.where == f"recording {str(path)!r}"


def test_a_file_that_is_not_there_is_said_not_to_be_there(tmp_path: Path):
    with pytest.raises(DeclarationError, match=r"recording '.*none.json': cannot be read: No such file or directory"):
        RecordedModel.load(tmp_path / "none.json")


def test_two_answers_at_one_place_are_refused():
    answer = Answer(agent="ann", turn=1, step=0)

    with pytest.raises(DeclarationError, match="a recording: has two answers for agent 'ann', turn 1, step 0"):
        RecordedModel([answer, answer.model_copy()])


def test_a_saved_schedule_is_no_recording(tmp_path: Path):
    path = tmp_path / "17.json"
    path.write_text('{"type": "schedule", "version": "0.1.0"}')

    with pytest.raises(DeclarationError, match="is a saved schedule, and no recording of a model's answers; --replay"):
        RecordedModel.load(path)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: RecordedModel("answers.json"), r"is 'answers.json'; give answers, or"),
        (lambda: RecordedModel(None), "is None; give answers"),
        (lambda: RecordedModel(["done"]), "has 'done' among its answers"),
        (lambda: RecordingModel(None), "None is no model; give a name or an object with respond"),
    ],
)
def test_what_is_neither_answers_nor_a_model_is_refused(make: Callable[[], Any], why: str):
    with pytest.raises(DeclarationError, match=f"a recording: .*{why}"):
        make()


# --- for a fixture


async def test_what_is_not_recorded_yet_is_recorded_and_then_replayed(tmp_path: Path):
    path, team, models = tmp_path / "run.json", three(), []
    for script in (SCRIPT, {}):  # the second time nobody is asked
        with ScriptedModel(script) as scripted, recorded(path, scripted) as model:
            run = await played(team, model)
        models.append(type(model))
        assert run.output == "rung"
    assert models == [RecordingModel, RecordedModel]

    with recorded(str(path)) as model:
        assert (await played(team, model)).output == "rung"


async def test_a_model_may_be_named(tmp_path: Path):
    with recorded(tmp_path / "run.json", "rehearsal") as model:
        first = await played(domain_knowledge_team(workers=1), model)
    with recorded(tmp_path / "run.json", "rehearsal") as model:
        assert (await played(domain_knowledge_team(workers=1), model)).output == first.output
    assert isinstance(model, RecordedModel)


async def test_a_test_that_fails_records_nothing_and_neither_does_one_that_asks_nothing(tmp_path: Path):
    answering = FunctionModel(lambda request: "yes")

    async def fail_a_test() -> None:
        with recorded(tmp_path / "run.json", answering) as model:
            await model.respond(asked("ann"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_a_test()
    with recorded(tmp_path / "run.json", answering):
        pass

    assert not (tmp_path / "run.json").exists()


def test_without_a_file_and_a_model_there_is_nothing_to_speak(tmp_path: Path):
    with (
        pytest.raises(DeclarationError, match=r"'.*run.json': is not there; name a model, and it will be recorded"),
        recorded(tmp_path / "run.json"),
    ):
        pass  # pragma: no cover
