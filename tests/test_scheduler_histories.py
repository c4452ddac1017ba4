"""The scheduler over whole histories: rebuilt from the log of a real team, and driven by chance."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import anyio
import pytest
from scheduler_table import Table, open_tasks, put_back, take

from orchestrator import Agent, Block, Budget, ModelRequest, ModelResponse, Orchestrator, Team, ToolCall, Wake
from orchestrator.handoffs import Handoffs
from orchestrator.scheduler import Scheduler
from orchestrator.starts import Start
from orchestrator.testing import FunctionModel, simulated_time
from patterns import hand_off, supervise


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


# --- rebuilt from the log


class Recorded(Scheduler):
    """Remembers what it was told, and what it handed out at each moment when all that it had told was in the log."""

    def __init__(self, team, slots=None):
        super().__init__(team, slots)
        self.log: list[Any] = []
        self.moments: dict[int, list[Start]] = {}
        self.starting: set[str] = set()
        self.ending: set[str] = set()

    def observe(self, event):
        self.log.append(event)
        if event.type == "turn_started":
            self.starting.remove(event.agent)
        if event.type in ("run_settled", "run_ended"):
            self.ending.discard(event.run)
        super().observe(event)

    def verdicts(self):
        told = super().verdicts()
        self.ending.update(verdict.run for verdict in told)
        return told

    def next(self):
        if not self.starting and not self.ending:
            assert not self.moments.get(len(self.log)), "nothing was withdrawn"
            self.moments[len(self.log)] = []
        start = super().next()
        if start is not None:
            self.starting.add(start.agent)
            if len(self.log) in self.moments:
                self.moments[len(self.log)].append(start)
        return start


def assert_rebuilt_alike(team: Team, live: Recorded, slots: int | None) -> None:
    """At any of those moments, a scheduler that knows the log only hands out the same, in the same order."""
    moments = sorted(live.moments.items())
    for count, starts in moments[:: len(moments) // 20]:
        rebuilt = Scheduler(team, slots)
        for event in live.log[:count]:
            rebuilt.observe(event)
        again = list(iter(rebuilt.next, None))
        assert [what(start) for start in again] == [what(start) for start in starts], f"after {count} events"


def what(start: Start) -> tuple[Any, ...]:
    """A start, to be compared with one of the same team."""
    return start.agent, start.runs, start.causes, start.claim


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    """The schedulers of the orchestrators that are opened."""
    made: list[Recorded] = []

    def scheduler(team: Team, slots: int | None) -> Scheduler:
        made.append(Recorded(team, slots))
        return made[-1]

    monkeypatch.setattr("orchestrator.activity.Scheduler", scheduler)
    return made


@pytest.mark.parametrize("slots", [None, 1, 2, 3])
@pytest.mark.parametrize("seed", range(6))
async def test_a_scheduler_that_reads_the_log_of_a_supervised_crew_goes_on_as_the_live_one(recorded, seed, slots):
    random = Random(seed)
    titles = [f"task {number}" for number in range(9)]

    async def think(request: ModelRequest) -> ModelResponse:
        await anyio.sleep(random.randint(1, 9))
        if request.agent == "lead":
            return ModelResponse("", [ToolCall("add_tasks", {"tasks": titles})] if request.step == 0 else [])
        settles = request.step == 0 and random.random() < 0.8  # else it gives its task back
        return ModelResponse("", [ToolCall("settle_task", {"result": "ok"})] if settles else [])

    team = supervise(Agent("lead"), [Agent(f"worker-{n}") for n in range(4)])
    async with Orchestrator(team, model=FunctionModel(think), max_concurrency=slots) as live:
        await live.run("go", budget=Budget(turns=30))

    (scheduler,) = recorded
    assert sum(map(len, scheduler.moments.values())) >= 10
    assert_rebuilt_alike(team, scheduler, slots)


@pytest.mark.parametrize("slots", [None, 1, 3])
@pytest.mark.parametrize("seed", range(6))
async def test_a_scheduler_that_reads_the_log_of_agents_who_wake_each_other_goes_on_as_the_live_one(
    recorded, seed, slots
):
    random = Random(seed)

    async def think(request: ModelRequest) -> ModelResponse:
        await anyio.sleep(random.randint(1, 9))
        if request.step == 2 or random.random() < 0.4:
            return ModelResponse("done")
        note = {"label": random.choice(sorted(request.blocks)), "new_string": random.choice(["?", "."])}
        return ModelResponse("", [ToolCall("memory_insert", note)])

    team = mixed_team(random)
    live = Orchestrator(team, model=FunctionModel(think), max_concurrency=slots)
    async with live, anyio.create_task_group() as group:
        for name in ("a0", "a1", "a2"):
            group.start_soon(partial(live.run, "go", agent=name, budget=Budget(turns=15)))

    (scheduler,) = recorded
    assert len(scheduler.log) > 50
    assert_rebuilt_alike(team, scheduler, slots)


@pytest.mark.parametrize("slots", [None, 1, 3])
@pytest.mark.parametrize("seed", range(6))
async def test_a_scheduler_that_reads_the_log_of_a_team_with_sleeptime_agents_goes_on_as_the_live_one(
    recorded, seed, slots
):
    random = Random(seed)

    async def think(request: ModelRequest) -> ModelResponse:
        await anyio.sleep(random.randint(1, 9))
        if request.step == 1 or random.random() < 0.6 or anyio.current_time() > 500:
            return ModelResponse("done")
        label = random.choice(sorted(request.blocks))
        return ModelResponse("", [ToolCall("memory_insert", {"label": label, "new_string": random.choice("?.")})])

    mixed = mixed_team(random)
    block = mixed.members[0].attachments[0].block
    wakes = [Wake(every=3), Wake(every=2, idle=True, by=["a0", "a1"]), Wake(idle=True)]
    sleepers = [Agent(f"s{n}", blocks=[block], wakes_on=[wake]) for n, wake in enumerate(wakes)]
    team = Team("mixed", [*mixed.members, *sleepers])
    live = Orchestrator(team, model=FunctionModel(think), max_concurrency=slots)

    async def ask(name: str) -> None:
        for _ in range(3):
            await live.run("go", agent=name, budget=Budget(turns=15))

    async with live, anyio.create_task_group() as group:
        for name in ("a0", "a1"):
            group.start_soon(ask, name)
        await anyio.sleep(500)  # until nobody writes any more
        group.start_soon(partial(live.run, "the last one", agent="s0", budget=Budget(turns=60)))

    (scheduler,) = recorded
    assert_rebuilt_alike(team, scheduler, slots)
    assert_rounds_come_last(scheduler.log)


def assert_rounds_come_last(log: list[Any]) -> None:
    """For a run whose end is fixed, only sleeptime agents start turns, once each; and it ends as was fixed."""
    settled: dict[str, Any] = {}
    rounds: list[tuple[str, str]] = []
    ended = 0
    for event in log:
        if event.type == "run_settled":
            assert settled.setdefault(event.run, event) is event
        if event.type == "turn_started" and event.run in settled:
            assert [cause.kind for cause in event.causes] == ["idle"]
            assert event.causes[0].run == event.run
            rounds.append((event.run, event.agent))
        if event.type == "run_ended" and event.run in settled:
            fixed = settled[event.run]
            assert (event.status, event.output, event.error) == (fixed.status, fixed.output, fixed.error)
            ended += 1
        last = event
    assert ended == len(settled)
    assert len(set(rounds)) == len(rounds)
    assert rounds or last.status == "budget", "before the last run ends there is a round, if it can pay"


@pytest.mark.parametrize("slots", [None, 1, 3])
@pytest.mark.parametrize("seed", range(4))
async def test_a_scheduler_that_reads_the_log_of_agents_who_hand_over_goes_on_as_the_live_one(recorded, seed, slots):
    random = Random(seed)
    ann, bob, cat = (Agent(name) for name in ("ann", "bob", "cat"))
    team = hand_off(ann, bob, note=Block("one")) | hand_off(bob, cat, note=Block("two"))

    async def think(request: ModelRequest) -> ModelResponse:
        await anyio.sleep(random.randint(1, 9))
        if random.random() < 0.3:
            return ModelResponse("done")
        tools = [tool.name for tool in request.tools if tool.name.startswith("hand_off_to_")]
        return ModelResponse("", [ToolCall(random.choice(tools), {"note": "go on"})])

    live = Orchestrator(team, model=FunctionModel(think), max_concurrency=slots)
    async with live, anyio.create_task_group() as group:
        for name in ("ann", "bob", "cat") * 4:
            group.start_soon(partial(live.run, "go", agent=name, budget=Budget(turns=15)))

    (scheduler,) = recorded
    assert sum(event.type == "handed_over" for event in scheduler.log) > 3
    assert_rebuilt_alike(team, scheduler, slots)


def mixed_team(random: Random) -> Team:
    """Five agents and four blocks; each agent sees some of them, and is woken by some in one way or another."""
    blocks = [Block(f"b{n}") for n in range(4)]
    queue = Block("queue", "a b c")
    names = [f"a{n}" for n in range(5)]
    pools = [Wake(block, when=lambda text: text.count("?") % 3) for block in blocks]
    works = Wake(queue, when=open_tasks, claim=take, release=put_back)
    agents = []
    for name in names:
        mine = random.sample(blocks, random.randint(1, 4))
        wakes = [
            random.choice([Wake(block), Wake(block, by=random.sample(names, 2)), pools[blocks.index(block)]])
            for block in random.sample(mine, random.randint(0, len(mine)))
        ]
        works_too = random.random() < 0.5
        if random.random() < 0.4:
            wakes.append(Wake(random.choice(mine), handoffs=3))
        agents.append(Agent(name, blocks=[*mine, *[queue] * works_too], wakes_on=[*wakes, *[works] * works_too]))
    return Team("mixed", agents)


def test_what_happens_between_a_decision_and_the_start_of_its_turn_does_not_change_the_line():
    queue = Block("queue", "a")
    works = Wake(queue, when=open_tasks, claim=take, release=put_back)
    table = Table(Agent("lead"), Agent("w1", blocks=[queue], wakes_on=[works]), Agent("bob"), slots=2)
    table.run("r")
    starts = table.hand_out()
    assert list(starts) == ["lead", "w1"]
    table.run("s", agent="w1")
    table.start(starts["lead"])
    table.start(starts["w1"])
    table.run("t", agent="bob")
    table.write("queue", "A", "w1")
    table.end("w1")

    rebuilt = Scheduler(table.team, 2)
    for event in table.log:
        rebuilt.observe(event)
    assert what(rebuilt.next()) == what(table.scheduler.next())


# --- driven by chance


class World(Table):
    """A table on which things happen by chance. It keeps its own, simpler books, and checks each start by them."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.slots = self.random.choice([None, None, 1, 2, 3])
        super().__init__(*mixed_team(self.random).members, slots=self.slots)
        self.wakes = self.team.wakes
        self.left: dict[str, int] = {}  # turns that are left to each open run, oldest first
        self.closed: set[str] = set()
        self.told: set[str] = set()
        self.messages: dict[str, list[str]] = {agent.name: [] for agent in self.team.members}
        self.handed: dict[str, Start] = {}
        #: By agent and key, the versions that woke it; by pool, the version that calls, and how often it was answered.
        self.pending: dict[tuple[str, str], set[int]] = {}
        self.called = {entry.number: 1 for entry in self.wakes}
        self.answered = {entry.number: 0 for entry in self.wakes}
        self.refused: dict[tuple[int, str], int] = {}
        #: By agent, the handoffs that it has not taken up: the key and version of the note, and the runs.
        self.passed: dict[str, list[tuple[str, int, set[str]]]] = {agent.name: [] for agent in self.team.members}
        self.handoffs = Handoffs(self.team)
        self.runs = 0

    # What happens.

    def open(self, turns: int) -> None:
        self.runs += 1
        run, agent = f"run-{self.runs}", self.random.choice(list(self.messages))
        self.left[run] = turns
        self.messages[agent].append(run)
        self.run(run, agent, turns)

    def close(self, run: str) -> None:
        self.closed.add(run)
        self.scheduler.close(run)

    def over(self, run: str) -> None:
        del self.left[run]
        for waiting in self.messages.values():
            waiting[:] = [other for other in waiting if other != run]
        for passed in self.passed.values():
            passed[:] = [(key, version, runs - {run}) for key, version, runs in passed if runs - {run}]
        self.finish(run)

    def write(self, label, text, by="owner", runs=None, operation="replace"):
        key = self.team.key(label)
        super().write(label, text, by, runs, operation)
        if operation != "replace":
            return
        for entry in self.wakes:
            if entry.key == key and entry.wake.when:
                self.called[entry.number], self.answered[entry.number] = self.versions[key], 0
            elif entry.key == key and entry.wake.handoffs is None and (not entry.wake.by or by in entry.wake.by):
                for member in set(entry.members) - {by}:
                    self.pending.setdefault((member, key), set()).add(self.versions[key])

    def settle(self) -> None:
        """Hand out all that may start, and let the runs that have come to their end end some time later."""
        while (start := self.scheduler.next()) is not None:
            self.check(start)
            self.handed[start.agent] = start
            self.left[start.runs[0]] -= 1
        self.check_nobody_is_forgotten()
        for verdict in self.scheduler.verdicts():
            assert verdict.run in self.left
            assert verdict.run not in self.told | self.closed
            working = {run for turn in (*self.handed.values(), *self.turns.values()) for run in turn.runs}
            assert verdict.run not in working
            if verdict.outcome == "stuck":
                assert not self.handed
                assert not self.turns
            if verdict.outcome == "budget":
                assert self.left[verdict.run] == 0
            if verdict.outcome == "complete":
                assert not any(verdict.run in waiting for waiting in self.messages.values())
                assert not any(verdict.run in runs for passed in self.passed.values() for _, _, runs in passed)
            self.told.add(verdict.run)

    def start_one(self, agent: str) -> None:
        """A turn that was handed out starts, unless its claim finds nothing, or the store refuses it."""
        start = self.handed.pop(agent)
        if start.claim is not None:
            key, number = start.claim.key, start.claim.number
            if take(self.texts[key], agent) is None or self.random.random() < 0.1:
                if start.runs[0] in self.left:
                    self.left[start.runs[0]] += 1
                self.refused[number, agent] = self.versions[key]
                self.scheduler.withdraw(start, self.versions[key], "refused")
                return
        for cause in start.causes:
            if cause.kind == "message" and cause.run in self.messages[agent]:
                self.messages[agent].remove(cause.run)
            if cause.kind == "handoff":
                self.passed[agent] = [one for one in self.passed[agent] if one[:2] != (cause.key, cause.version)]
        self.start(start)

    def end_one(self, agent: str, writes: bool) -> None:
        """A turn ends. Its last step was shown some version since it began, or it failed before it had one.

        Some end by handing control over, if they can.
        """
        turn = self.turns[agent]
        ways = [
            (entry.key, member)
            for entry in self.wakes
            if entry.wake.handoffs and agent in [name for name, _ in self.team.holders[entry.key]]
            for member in entry.members
            if member != agent
        ]
        if writes and ways and self.random.random() < 0.5:
            key, to = self.random.choice(ways)
            self.hand_over(agent, to, self.team.names[key])
            if runs := set(turn.runs) & set(self.left):
                self.passed[to].append((key, self.versions[key], runs))
        shown = {}
        if self.random.random() < 0.8:
            for attachment in self.team.agent(agent).attachments:
                behind = self.random.choice([0, 0, 0, 1])
                key = self.team.key_of(attachment.block)
                caused = max([cause.version for cause in turn.causes if cause.key == key], default=1)
                shown[key] = max(self.versions[key] - behind, caused)
        self.end(agent, shown={self.team.names[key]: version for key, version in shown.items()})
        for cause in turn.causes:
            if cause.key is not None:
                shown[cause.key] = max(cause.version, shown.get(cause.key, 0))
        for key, version in shown.items():
            self.pending[agent, key] = {known for known in self.pending.get((agent, key), ()) if known > version}
        for cause in turn.causes:
            if cause.kind == "call":
                self.answered[cause.wake] += shown[cause.key] >= self.called[cause.wake]

    def write_something(self, by: str) -> None:
        key = self.random.choice(list(self.team.blocks))
        if by != "owner" and self.team.blocks[key] not in [a.block for a in self.team.agent(by).attachments]:
            return
        text = self.texts[key]
        if self.team.blocks[key].label == "queue":
            done = " ".join(word.split(":")[0].upper() if word.endswith(f":{by}") else word for word in text.split())
            text = self.random.choice([done, f"{text} x{self.seq}"])
        else:
            text = self.random.choice([text + "?", text + ".", "?"])
        self.write(self.team.names[key], text, by)

    # What must be so.

    def may_pay(self, run: str) -> bool:
        return self.left.get(run, 0) > 0 and run not in self.closed | self.told

    def free(self, agent: str) -> bool:
        return agent not in self.handed and agent not in self.turns

    @property
    def at_work(self) -> set[str]:
        return {*self.handed, *self.turns}

    def may_act(self, agent: str) -> bool:
        """Whether it is free, and neither a partner is at work nor one that shares a partner, who may wait longer."""
        partners = self.handoffs.partners
        mine = partners.get(agent, frozenset())
        near = mine.union(*(partners[name] for name in mine))
        return self.free(agent) and not near & self.at_work

    def need(self, number: int) -> int:
        entry = self.wakes[number]
        working = (*self.handed.values(), *self.turns.values())
        going = sum(cause.wake == number and cause.kind == "call" for turn in working for cause in turn.causes)
        wanted = int(entry.wake.when(self.texts[entry.key]))
        if entry.wake.claim:
            return wanted - sum(start.claim is entry for start in self.handed.values())
        return wanted - going - self.answered[number]

    def check(self, start: Start) -> None:
        assert self.free(start.agent), "one turn at a time"
        assert not self.at_work & self.handoffs.partners.get(start.agent, frozenset()), "partners act one at a time"
        assert self.slots is None or len(self.handed) + len(self.turns) < self.slots
        assert self.may_pay(start.runs[0]), "nothing starts for a run that has ended or spent all"
        oldest = min(filter(self.may_pay, start.runs), key=list(self.left).index)
        assert start.runs[0] == oldest or start.causes[0].kind in ("message", "handoff"), (
            "these have payers of their own"
        )
        assert set(start.runs) <= set(self.left)
        for cause in start.causes:
            if cause.kind == "message":
                assert cause.run == start.runs[0] == self.messages[start.agent][0]
            elif cause.kind == "change":
                assert cause.version == max(self.pending[start.agent, cause.key])
            elif cause.kind == "handoff":
                (runs,) = [one[2] for one in self.passed[start.agent] if one[:2] == (cause.key, cause.version)]
                assert start.runs[0] in runs, "the runs of the handing turn pay"
            else:
                assert self.need(cause.wake) > 0, "a pool does not start more than it needs"

    def check_nobody_is_forgotten(self) -> None:
        """Now that nothing is handed out any more, nobody could take a turn."""
        if self.slots is not None and len(self.handed) + len(self.turns) >= self.slots:
            return
        for agent in filter(self.may_act, self.messages):
            assert not any(self.may_pay(run) for _, _, runs in self.passed[agent] for run in runs), f"{agent} is next"
            assert not self.messages[agent] or not self.may_pay(self.messages[agent][0]), f"{agent} has a message"
        if not self.left or not all(map(self.may_pay, self.left)):
            return  # who pays is a question for the tables
        for (agent, key), versions in self.pending.items():
            assert not versions or not self.may_act(agent), f"{agent} has not seen {key}"
        for entry in self.wakes:
            if entry.wake.when and self.need(entry.number) > 0:
                assert not any(self.may_act(member) and self.can_take(entry, member) for member in entry.members)

    def can_take(self, entry: Any, member: str) -> bool:
        if entry.wake.claim is None:
            return True
        seen = self.refused.get((entry.number, member)) != self.versions[entry.key]
        return seen and take(self.texts[entry.key], member) is not None

    # Its course.

    def step(self, writes: bool) -> bool:
        """One thing happens; False if nothing is left that could."""
        can: list[Any] = [lambda agent=agent: self.start_one(agent) for agent in self.handed]
        can += [lambda agent=agent: self.end_one(agent, writes) for agent in self.turns]
        can += [lambda run=run: self.over(run) for run in self.left if run in self.told | self.closed]
        if writes:
            can += [lambda agent=agent: self.write_something(agent) for agent in [*self.turns, "owner"]] * 2
            can += [lambda: self.open(self.random.choice([1, 2, 5, 20]))]
            can += [lambda run=run: self.close(run) for run in list(self.left) if self.random.random() < 0.02]
        if not can:
            return False
        self.random.choice(can)()
        self.settle()
        return True


@pytest.mark.parametrize("seed", range(150))
def test_whatever_happens_nobody_is_forgotten_and_every_run_ends(seed):
    world = World(seed)
    for _ in range(150):
        world.step(writes=True)

    steps = 0
    while world.step(writes=False):
        steps += 1
        assert steps < 5000, "it goes on for ever although nobody writes any more"
    assert not world.left, "every run has ended"

    world.open(turns=200)  # somebody to pay for what the others have left undone
    world.settle()
    while world.step(writes=False):
        pass
    assert not any(world.pending.values()), "every change was looked at by all whom it wakes"
    assert not any(world.messages.values())
    assert not any(world.passed.values())
