"""Eight bugs that agent frameworks have, planted as teams, tools and stores on the real engine.

Each has a repaired twin: `planted=False`, which differs in the line that asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import anyio
from planted_stores import Appends, OneAtATime, Reads, ReadsNowAndThen, ReadsWhetherReadOnly

from orchestrator import Agent, Block, BlockEdit, Environment, Orchestrator, Team, ToolContext, ToolError, Update, Wake
from orchestrator.simulation.choosers import Chooser
from orchestrator.simulation.environment import SimulatedEnvironment
from orchestrator.simulation.exploring import Perform, Performance
from orchestrator.simulation.faults import SimulatedModel
from orchestrator.simulation.judging import flaws_of
from orchestrator.simulation.playing import play
from orchestrator.simulation.schedules import Settings, drawn
from orchestrator.simulation.simulating import performer_of
from orchestrator.stores import MemoryStore
from orchestrator.testing import Faults, Flaw, Latency, Line, Say, ScriptedModel, call, edit


class Toy(NamedTuple):
    """A planted bug."""

    #: Plays the planted one, or its repaired twin.
    perform: Callable[[bool], Perform]
    #: As what it is found, and the words that say so: regular expressions.
    kind: str
    words: str

    def is_found(self, flaws: Iterable[Flaw]) -> bool:
        """Whether the bug is among the flaws, for its own reason."""
        return any(re.fullmatch(self.kind, flaw.kind) and re.search(self.words, flaw.what) for flaw in flaws)


def first_found(toy: Toy, seeds: Iterable[int]) -> int | None:
    """The first of the seeds that finds the bug."""
    perform = toy.perform(True)
    return next((seed for seed in seeds if toy.is_found(perform(drawn(seed), None).flaws)), None)


# --- teams that write at the same time


def crew(notes: Block, writers: int) -> Team:
    """Agents who write into one block; the first one calls the others."""
    bell = Block("bell")
    others = (Agent(f"agent-{number}", blocks=[notes, bell.reader()], wakes_on=[bell]) for number in range(1, writers))
    return Team("crew", [Agent("agent-0", blocks=[bell, notes]), *others])


def lines(writers: int, each: int) -> dict[str, list[Line]]:
    """What they say: the first one rings, and each writes so many lines."""
    script: dict[str, list[Line]] = {
        f"agent-{number}": [
            *(edit("memory_insert", "notes", new_string=f"line {line} of {number}") for line in range(each)),
            Say(),
        ]
        for number in range(writers)
    }
    script["agent-0"].insert(0, edit("memory_insert", "bell", new_string="go"))
    return script


def simulated(team: Team, script: Mapping[str, Iterable[Line]], store: Callable[[], MemoryStore]) -> Perform:
    """The team as `simulate` plays it."""
    return performer_of(
        team,
        "Go on.",
        model=ScriptedModel(script),
        faults=None,
        invariants=(),
        latency=None,
        store=store,
        budget=None,
    )


def lost_update(planted: bool) -> Perform:
    """Read, then write the whole text back."""
    return simulated(crew(Block("notes"), 3), lines(3, 2), lambda: Reads(planted=planted))


def lost_update_rare(planted: bool) -> Perform:
    """The same in one write of twenty, by agents who are hardly ever ready at the same time."""
    return simulated(crew(Block("notes"), 4), lines(4, 5), lambda: ReadsNowAndThen(planted=planted))


# --- a list of tasks: "1 open", "1 ann" while ann holds it, "1 done"


def _first(text: str, word: str) -> int | None:
    return next((place for place, line in enumerate(text.split("\n")) if line.split()[1:] == [word]), None)


def _with(text: str, place: int | None, word: str) -> str | None:
    if place is None:
        return None
    entries = text.split("\n")
    entries[place] = f"{entries[place].split()[0]} {word}"
    return "\n".join(entries)


def _open(text: str) -> int:
    return sum(line.endswith(" open") for line in text.split("\n"))


def _claim(text: str, agent: str) -> str | None:
    return _with(text, _first(text, "open"), agent)


def _give_back(text: str, agent: str) -> str | None:
    return _with(text, _first(text, agent), "open")


def double_claim(planted: bool) -> Perform:
    """Who is done takes the next task that it sees: check, then act."""

    async def take_next(context: ToolContext) -> BlockEdit:
        """Settle your task, and take the next one that is open."""
        seen = _first(context.blocks["tasks"], "open")

        def taken(text: str) -> str:
            settled = _with(text, _first(text, context.agent), "done") or text
            place = seen if planted else _first(settled, "open")
            return _with(settled, place, context.agent) or settled

        return BlockEdit("tasks", Update(taken))

    async def add_tasks(titles: str) -> BlockEdit:
        """Add tasks."""
        return BlockEdit("tasks", Update(lambda text: titles))

    tasks = Block("tasks")
    works = Wake(tasks, when=_open, claim=_claim, release=_give_back)
    workers = [Agent(name, blocks=[tasks], wakes_on=[works], tools=[take_next]) for name in ("ann", "bob", "cat")]
    team = Team("queue", [Agent("lead", blocks=[tasks], tools=[add_tasks]), *workers])
    todo = "\n".join(f"{number} open" for number in range(1, 6))
    works_on = [call("take_next"), call("take_next"), Say()] * 6
    script = {"lead": [call("add_tasks", titles=todo), Say()], "ann": works_on, "bob": works_on, "cat": works_on}
    return simulated(team, script, MemoryStore)


# --- checks that are made too early


def over_limit(planted: bool) -> Perform:
    """Is there room? is asked of what was read before the transaction."""
    notes = Block("notes", "Noted:", limit=len("Noted:") + 2 * len("\nline 0 of 0"))
    return simulated(crew(notes, 3), lines(3, 1), lambda: Appends(planted=planted))


# --- scenes that are more than one message


class Enacted(NamedTuple):
    """Plays a scene of a test's own."""

    scene: Callable[[SimulatedEnvironment, Settings], Awaitable[object]]

    def __call__(self, settings: Settings, chooser: Chooser | None = None) -> Performance:
        scene = partial(self.scene, settings=settings)
        played = play(scene, chooser or settings.chooser(), settings.seed)
        return Performance(played, flaws_of(played))


def thinking(script: Mapping[str, Iterable[Line]], environment: Environment, settings: Settings) -> SimulatedModel:
    """A scripted model that takes as long as models do in this schedule."""
    latency = Latency.recorded().scaled(settings.slowness) if settings.slowness else Latency.none()
    plan = Faults.none().drawn(Environment.seeded(f"faults {settings.seed}"))
    return SimulatedModel(ScriptedModel(script), latency, plan, environment)


def readonly_race(planted: bool) -> Perform:
    """Is it read-only? is asked before the transaction, and the owner closes the block in between."""
    team, script = crew(Block("notes"), 3), lines(3, 3)

    async def scene(environment: SimulatedEnvironment, settings: Settings) -> None:
        store, model = ReadsWhetherReadOnly(planted=planted), thinking(script, environment, settings)
        async with (
            Orchestrator(team, store, model=model, environment=environment) as live,
            anyio.create_task_group() as group,
        ):
            group.start_soon(live.run, "Go on.")
            for is_closed in (True, False, True):
                await anyio.sleep(environment.random.random() * 6 * settings.slowness)
                await live.blocks.modify("notes", read_only=is_closed)

    return Enacted(scene)


# --- waiting, giving back, comparing


def lost_wakeup(planted: bool) -> Perform:
    """Who finds the store busy waits for the bell; which may have rung by then."""
    return simulated(crew(Block("notes"), 4), lines(4, 3), lambda: OneAtATime(planted=planted))


@dataclass
class Hands:
    """Where tools find the live team that they belong to."""

    live: Any = None
    #: What was written over which version, and the version that it became.
    written: list[tuple[int, int]] = field(default_factory=list)


def cancel_leak(planted: bool) -> Perform:
    """A turn is cancelled between taking something and the `try` that would give it back."""
    hands = Hands()

    async def use_desk(context: ToolContext) -> str:
        """Work at the desk."""
        desk = hands.live.blocks
        if planted:
            await desk.modify("desk", value=f"taken by {context.agent}")
            await hands.live.blocks.retrieve("desk")  # any wait does
        try:
            if not planted:
                await desk.modify("desk", value=f"taken by {context.agent}")
                await hands.live.blocks.retrieve("desk")
            await anyio.sleep(1)
        finally:
            with anyio.CancelScope(shield=True):
                await desk.modify("desk", value="free")
        return "done"

    team = Team("office", [Agent("ann", tools=[use_desk], blocks=[Block("desk", "free").reader()])])
    script = {"ann": [call("use_desk"), Say()]}

    async def scene(environment: SimulatedEnvironment, settings: Settings) -> None:
        model = thinking(script, environment, settings)
        async with Orchestrator(team, model=model, environment=environment) as live:
            hands.live = live
            with anyio.CancelScope() as caller:
                environment.loop.at_step(10 + int(environment.random.random() * 20), caller.cancel)
                await live.run("Go on.")
            desk = await live.blocks.retrieve("desk")
            assert desk.value == "free", f"the desk is {desk.value}, who is gone"

    return Enacted(scene)


def aba_cas(planted: bool) -> Perform:
    """Nothing has changed? is asked of the text, and not of the version."""
    hands = Hands()

    async def switch() -> str:
        """Switch the lamp off, if it is as it was when you came."""
        before = await hands.live.blocks.retrieve("lamp")
        await anyio.sleep(2)
        now = await hands.live.blocks.retrieve("lamp")
        if now.value != before.value:
            raise ToolError("somebody has switched it")
        known = now if planted else before
        after = await hands.live.blocks.modify("lamp", value="broken", if_version=known.version)
        hands.written.append((before.version, after.version))
        return "done"

    lamp, bell = Block("lamp", "on"), Block("bell")
    team = Team(
        "lamps",
        [
            Agent("ann", blocks=[bell, lamp.reader()], tools=[switch]),
            Agent("bob", blocks=[lamp, bell.reader()], wakes_on=[bell]),
        ],
    )
    script = {
        "ann": [edit("memory_insert", "bell", new_string="go"), call("switch"), Say()],
        "bob": [
            edit("memory_replace", "lamp", old_string="on", new_string="off"),
            edit("memory_replace", "lamp", old_string="off", new_string="on"),
            Say(),
        ],
    }

    async def scene(environment: SimulatedEnvironment, settings: Settings) -> None:
        model = thinking(script, environment, settings)
        async with Orchestrator(team, model=model, environment=environment) as live:
            hands.live = live
            hands.written.clear()
            await live.run("Go on.")
        for before, after in hands.written:
            assert after == before + 1, f"what was based on version {before} became version {after}"

    return Enacted(scene)


TOYS: Mapping[str, Toy] = {
    "lost_update": Toy(lost_update, "P1", r"lost 'line \d of \d', which agent-\d had added in version \d"),
    "lost_update_rare": Toy(lost_update_rare, "P1", r"lost 'line \d of \d', which agent-\d had added in version \d+"),
    "double_claim": Toy(double_claim, "P3", "takes from (ann|bob|cat) what it holds in its turn"),
    "over_limit": Toy(over_limit, "P5", "has 42 characters, and its limit is 30"),
    "readonly_race": Toy(readonly_race, "P4", "was made, though the block was read-only"),
    "lost_wakeup": Toy(lost_wakeup, "outcome|P7", "timed out: took more than 600 seconds|nobody can go on"),
    "cancel_leak": Toy(cancel_leak, "invariant", "the desk is taken by ann, who is gone"),
    "aba_cas": Toy(aba_cas, "invariant", r"what was based on version 1 became version 4"),
}
