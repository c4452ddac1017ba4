"""Real teams as scenes of a simulation; as a script, the digests of what they come to under many schedules.

    python tests/played_teams.py 40 writers handing

prints one line of JSON: of each team, the digests of the schedules with the seeds 0 to 39.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.lowlevel

from orchestrator import (
    Agent,
    Block,
    BlockEdit,
    HandOff,
    Insert,
    Model,
    ModelError,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    OrchestratorError,
    Store,
    Team,
    ToolCall,
    ToolContext,
    Wake,
    tool,
)
from orchestrator.simulation.environment import SimulatedEnvironment
from orchestrator.simulation.playing import Played, Scene, play
from orchestrator.simulation.schedules import drawn
from orchestrator.stores import MemoryStore, SQLiteStore
from patterns.rehearsal import RehearsalModel
from patterns.teams import (
    all_patterns_team,
    domain_knowledge_team,
    handoff_context_team,
    system_config_team,
    task_queue_team,
    user_preferences_team,
)

QUESTION = "I prefer short answers. What are memory blocks? Who can change a read-only block?"


class Thinking:
    """A model that takes its time: each answer another one, drawn from the schedule's randomness."""

    def __init__(self, model: Model, environment: SimulatedEnvironment) -> None:
        self._model = model
        self._random = environment.random

    async def respond(self, request: ModelRequest) -> ModelResponse:
        await anyio.sleep(0.5 + self._random.random())
        return await self._model.respond(request)


class Doing:
    """A model that does in each turn what its agent's function makes of the number of the step."""

    def __init__(self, parts: dict[str, Callable[[ModelRequest], ModelResponse | str]]) -> None:
        self._parts = parts

    async def respond(self, request: ModelRequest) -> ModelResponse:
        answer = self._parts[request.agent](request)
        return ModelResponse(answer) if isinstance(answer, str) else answer


def calls(name: str, **arguments: object) -> ModelResponse:
    return ModelResponse("", [ToolCall(name, arguments)])


def pattern(made: Callable[[], Team]) -> Scene[str]:
    """A pattern's team, rehearsed."""
    team = made()

    async def scene(environment: SimulatedEnvironment) -> str:
        async with Orchestrator(team, model=Thinking(RehearsalModel(), environment)) as live:
            return (await live.run(QUESTION)).status

    return scene


# --- agents that write into one block, each in its own way

_notes = Block("notes", "begun", limit=2000)
_tidied = _notes.curator()


def _inserts(request: ModelRequest) -> ModelResponse | str:
    if request.step == 0:
        return calls("memory_insert", label="notes", new_string=f"{request.agent} in {request.turn}")
    return "done"


def _replaces(request: ModelRequest) -> ModelResponse | str:
    if request.step == 0:
        return calls("memory_replace", label="notes", old_string="begun", new_string="begun, and gone on")
    return "done" if request.step == 1 else "never"


def _rewrites(request: ModelRequest) -> ModelResponse | str:
    if request.step < 2:
        return calls("memory_rethink", label="notes", new_memory=f"tidy {request.turn}\n{request.blocks['notes']}")
    return "done"


def _errs(request: ModelRequest) -> ModelResponse | str:
    match request.step:
        case 0:
            return calls("memory_insert", label=7, new_sting="")
        case 1:
            return ModelResponse("", [ToolCall("memory_insert", '{"label": "notes",}')])
        case 2:
            return calls("fall_over")
    raise ModelError("lost for words")


@tool
def fall_over() -> str:
    """Fail."""
    return {"a": {1, 2, 3}}["b"]  # type: ignore[return-value]


_WRITERS = Team(
    "writers",
    [
        Agent("ann", blocks=[_notes]),
        Agent("bob", blocks=[_notes], wakes_on=[Wake(_notes, by=["ann"])]),
        Agent("carol", blocks=[_tidied], wakes_on=[Wake(_notes, by=["ann", "bob"])]),
        Agent("dave", blocks=[_notes], tools=[fall_over], wakes_on=[Wake(_notes, by=["carol"])], max_steps=5),
        Agent("eve", blocks=[_tidied], wakes_on=[Wake(every=2, idle=True)]),
    ],
)
_PARTS: dict[str, Callable[[ModelRequest], ModelResponse | str]] = {
    "ann": _inserts,
    "bob": _replaces,
    "carol": _rewrites,
    "dave": _errs,
    "eve": _rewrites,
}


async def _written(environment: SimulatedEnvironment, store: Store | None = None) -> str:
    """Two messages at once."""
    async with Orchestrator(_WRITERS, store, model=Thinking(Doing(_PARTS), environment)) as live:
        async with anyio.create_task_group() as group:
            group.start_soon(live.run, "go")
            group.start_soon(live.run, "go")
        async with live.watch(after=0) as events:
            return (await anext(events)).type


_FOLDER = tempfile.TemporaryDirectory()


async def _written_to_a_file(environment: SimulatedEnvironment) -> str:
    # The store is looked at after the scene, so the folder is there as long as the process.
    folder = tempfile.mkdtemp(dir=_FOLDER.name)
    return await _written(environment, SQLiteStore(Path(folder, "blocks.db"), durability="process"))


async def _cancelled(environment: SimulatedEnvironment) -> str:
    """Callers give up at any moment, and turns take too long."""
    team = Team("writers", [Agent(a.name, blocks=[*a.blocks], wakes_on=a.wakes, timeout=3) for a in _WRITERS.members])
    model = Thinking(Doing(_PARTS), environment)
    async with Orchestrator(team, model=model) as live, anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(_given_up, live, environment.random.uniform(0, 8))
    return "left"


async def _given_up(live: Orchestrator, seconds: float) -> None:
    with anyio.move_on_after(seconds):
        await live.run("go")


async def _killed(environment: SimulatedEnvironment) -> str:
    """The process dies after some commits; another one goes on."""
    store = MemoryStore()
    model = Thinking(Doing(_PARTS), environment)
    first = Orchestrator(_WRITERS, store, model=model)
    with anyio.CancelScope() as scope, suppress(OrchestratorError, ExceptionGroup):
        environment.witnesses[0].die_after(int(environment.random.uniform(2, 20)), scope)
        async with first as live:
            await live.run("go")
    await environment.witnesses[0].revive()
    async with Orchestrator(_WRITERS, store, model=model) as live:
        return ", ".join([(await live.resume(run)).status for run in live.cut_off])


# --- agents that hand control over, whoever to whom


@tool
async def pass_on(context: ToolContext, to: str) -> HandOff:
    """Hand control over."""
    return HandOff(to, BlockEdit("note", Insert(f"from {context.agent}")))


_note = Block("note")
_wake = Wake(_note, handoffs=4)
_NAMES = ("ann", "bob", "carol", "dave")
_JOINED = Team("joined", [Agent(name, blocks=[_note], wakes_on=[_wake], tools=[pass_on]) for name in _NAMES])


async def _handed(environment: SimulatedEnvironment) -> str:
    """Three messages at once; control goes to whom the schedule says."""

    def answer(request: ModelRequest) -> ModelResponse | str:
        others = [name for name in _NAMES if name != request.agent]
        if request.step == 0:
            return calls("pass_on", to=environment.random.choice(others))
        return "done"

    model = Thinking(Doing(dict.fromkeys(_NAMES, answer)), environment)
    async with Orchestrator(_JOINED, model=model) as live, anyio.create_task_group() as group:
        for name in ("ann", "bob", "ann"):
            group.start_soon(lambda name=name: live.run("go", agent=name))
    return "handed"


# --- agents whose tools start a crowd of tasks, and are cut short


@tool
async def crowd(seconds: float) -> set[str]:
    """Twelve wait for a bell, a lock and each other, until time is up."""
    bell, lock = anyio.Event(), anyio.Lock()
    heard: list[str] = []

    async def wait(number: int) -> None:
        try:
            await bell.wait()
            async with lock:
                await anyio.sleep(0.1 * (number % 3))
                heard.append(str(number))
        finally:
            with anyio.CancelScope(shield=number % 2 == 0):
                await anyio.lowlevel.checkpoint()
                heard.append(f"({number})")

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as group:
            for number in range(12):
                group.start_soon(wait, number)
            await anyio.sleep(0.5)
            bell.set()
    return set(heard)


_CROWDS = Team("crowds", [Agent(name, tools=[crowd], timeout=4) for name in ("ann", "bob")])


async def _crowded(environment: SimulatedEnvironment) -> str:
    """Two messages at once, to two agents; one run is given up."""

    def answer(request: ModelRequest) -> ModelResponse | str:
        return calls("crowd", seconds=environment.random.uniform(0, 2)) if request.step < 2 else "done"

    model = Thinking(Doing({"ann": answer, "bob": answer}), environment)
    async with Orchestrator(_CROWDS, model=model) as live, anyio.create_task_group() as group:
        group.start_soon(lambda: live.run("go", agent="bob"))
        group.start_soon(_given_up, live, environment.random.uniform(1, 6))
    return "left"


SCENES: dict[str, Callable[[], Scene[str]]] = {
    "task_queue": lambda: pattern(lambda: task_queue_team(workers=2)),
    "domain_knowledge": lambda: pattern(domain_knowledge_team),
    "handoff_context": lambda: pattern(handoff_context_team),
    "user_preferences": lambda: pattern(user_preferences_team),
    "system_config": lambda: pattern(lambda: system_config_team(workers=2)),
    "all_patterns": lambda: pattern(lambda: all_patterns_team(workers=2)),
    "writers": lambda: _written,
    "file": lambda: _written_to_a_file,
    "cancelled": lambda: _cancelled,
    "killed": lambda: _killed,
    "handing": lambda: _handed,
    "crowds": lambda: _crowded,
}


def played(name: str, seeds: Iterable[int]) -> list[Played[str]]:
    """A team under the schedules with these seeds."""
    scene = SCENES[name]()
    return [play(scene, drawn(seed).chooser(), seed) for seed in seeds]


if __name__ == "__main__":
    count, *names = sys.argv[1:]
    print(json.dumps({name: [one.digest for one in played(name, range(int(count)))] for name in names or SCENES}))
