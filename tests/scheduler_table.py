"""A scheduler as a table: what has happened to a team, so who may start. No event loop, no store."""

from __future__ import annotations

from orchestrator import Agent, Block, Team, Usage, Wake
from orchestrator.events import (
    BlockChanged,
    BlockCreated,
    HandedOver,
    RunEnded,
    RunStarted,
    StepTaken,
    TurnEnded,
    TurnStarted,
)
from orchestrator.scheduler import Scheduler
from orchestrator.starts import Start

# A queue for the tests: each word is a task; "a" is open, "a:ann" is ann's, "A" is done.


class Table:
    """A scheduler, and what happens to its team. Runs are given as one text: "r s" are two."""

    def __init__(self, *agents: Agent, slots: int | None = None) -> None:
        self.team = Team("team", agents)
        self.scheduler = Scheduler(self.team, slots)
        self.seq = 0
        self.log = []
        self.texts: dict[str, str] = {}
        self.versions: dict[str, int] = {}
        self.turns: dict[str, TurnStarted] = {}
        for key in self.team.blocks:
            self.create(key)

    def observe(self, kind, **fields):
        self.seq += 1
        event = kind(seq=self.seq, at=0.0, **fields)
        self.log.append(event)
        self.scheduler.observe(event)
        return event

    def create(self, key):
        block = self.team.blocks[key]
        self.texts[key], self.versions[key] = block.value, 1
        known = {"key": key, "label": block.label, "agent": None, "limit": block.limit, "read_only": False}
        self.observe(BlockCreated, value=block.value, **known)

    def run(self, id, agent=None, turns=100, usd=None):
        """A message opens a run."""
        agent = agent or self.team.entry
        self.observe(RunStarted, run=id, agent=agent, text="go", max_turns=turns, max_usd=usd)

    def finish(self, run):
        self.observe(RunEnded, run=run, status="complete", output="", error=None)

    def write(self, label, text, by="owner", runs=None, operation="replace"):
        """Somebody changes a block; agents do it for the runs of their turn."""
        key = self.team.key(label)
        self.texts[key], self.versions[key] = text, self.versions[key] + 1
        self.observe(
            BlockChanged,
            key=key,
            label=self.team.blocks[key].label,
            version=self.versions[key],
            value=text,
            limit=1000,
            operation=operation,
            by=by,
            turn=None,
            runs=self.turns[by].runs if runs is None and by in self.turns else tuple((runs or "").split()),
        )

    def hand_over(self, agent, to, label):
        """An agent writes a note and hands control over; its turn ends."""
        self.write(label, f"{self.texts[self.team.key(label)]} to {to}", agent)
        key, turn = self.team.key(label), self.turns[agent]
        known = {"turn": turn.turn, "run": turn.run, "runs": turn.runs, "agent": agent, "number": 1}
        label = self.team.blocks[key].label
        return self.observe(HandedOver, to=to, key=key, label=label, version=self.versions[key], **known)

    def hand_out(self) -> dict[str, Start]:
        """The turns that may start now, by agent, in their order. They have not started yet."""
        starts: dict[str, Start] = {}
        while (start := self.scheduler.next()) is not None:
            assert start.agent not in starts
            starts[start.agent] = start
        return starts

    def start(self, start: Start):
        """A turn that was handed out starts, with its claim."""
        if start.claim is not None:
            text = start.claim.wake.claim(self.texts[start.claim.key], start.agent)
            assert text not in (None, self.texts[start.claim.key])
            self.write(self.team.names[start.claim.key], text, "engine", " ".join(start.runs), "claim")
        known = {"run": start.runs[0], "runs": start.runs, "agent": start.agent, "causes": start.causes}
        self.turns[start.agent] = self.observe(TurnStarted, turn=f"turn-{self.seq}", attempt=1, **known)

    def begin(self) -> dict[str, Start]:
        """Start all that may start."""
        starts = self.hand_out()
        for start in starts.values():
            self.start(start)
        return starts

    def end(self, *agents, shown=None, status="done", cost=None, cut_off=False):
        """Turns end; they give back what they hold. They were shown all as it is now, or the given versions."""
        for agent in agents:
            turn = self.turns.pop(agent)
            known = {"turn": turn.turn, "run": turn.run, "agent": agent, "text": "", "usage": Usage(cost=cost)}
            self.observe(StepTaken, step=0, shown={}, tool_calls=(), **known)
            saw = {key: self.versions[key] for key, block in self.team.blocks.items() if self.sees(agent, block)}
            for wake in self.team.agent(agent).wakes:
                key = self.team.key_of(wake.block)
                if wake.release and (text := wake.release(self.texts[key], agent)) != self.texts[key]:
                    self.write(self.team.names[key], text, "engine", " ".join(turn.runs), "release")
            last = saw if shown is None else {self.team.key(label): version for label, version in shown.items()}
            how = {"status": status, "error": None, "cut_off": cut_off}
            self.observe(TurnEnded, runs=turn.runs, steps=1, shown=last, **how, **known)

    def sees(self, agent, block):
        return any(attachment.block is block for attachment in self.team.agent(agent).attachments)

    def verdicts(self) -> dict[str, str]:
        """How runs have come to an end: run by run."""
        assert self.hand_out() == {}
        return {verdict.run: verdict.outcome for verdict in self.scheduler.verdicts()}


def why(start: Start) -> list[str]:
    """The causes in words."""
    words = {"message": "{0.run}", "change": "{0.label} {0.version} by {0.by}", "call": "{0.label} {0.version} calls"}
    words["full"] = "{0.label} {0.version} is nearly full, by {0.by}"
    words["handoff"] = "{0.by} hands over {0.label} {0.version}"
    return [words[cause.kind].format(cause) for cause in start.causes]


def pair(**wake) -> Table:
    """ann writes notes; bob and ann are woken by them."""
    notes = Block("notes")
    wakes = [Wake(notes, **wake)]
    return Table(Agent("ann", blocks=[notes], wakes_on=wakes), Agent("bob", blocks=[notes], wakes_on=wakes))


def board(when, members=1, text="") -> Table:
    """ann writes on a board that calls for a pool of others: p1, p2, …"""
    block = Block("board", text)
    wakes = [Wake(block, when=when)]
    return Table(
        Agent("ann", blocks=[block]),
        *(Agent(f"p{n}", blocks=[block], wakes_on=wakes) for n in range(1, members + 1)),
    )


# --- messages and changes


def open_tasks(text):
    return sum(word.islower() and ":" not in word for word in text.split())


def take(text, agent):
    if f":{agent}" in text or not open_tasks(text):
        return None
    task = next(word for word in text.split() if word.islower() and ":" not in word)
    return " ".join(f"{task}:{agent}" if word == task else word for word in text.split())


def put_back(text, agent):
    return text.replace(f":{agent}", "")


def crew(workers: int, *extra: Agent, slots: int | None = None, text: str = "") -> Table:
    """A lead that fills a queue, and workers w1, w2, … that take tasks from it."""
    queue = Block("queue", text)
    works = Wake(queue, when=open_tasks, claim=take, release=put_back)
    pool = [Agent(f"w{n}", blocks=[queue], wakes_on=[works]) for n in range(1, workers + 1)]
    return Table(Agent("lead", blocks=[queue]), *pool, *extra, slots=slots)


def settle(table: Table, worker: str):
    """A worker's task is done, and so is its turn."""
    done = [word.split(":")[0].upper() if word.endswith(f":{worker}") else word for word in queue_of(table).split()]
    table.write("queue", " ".join(done), worker)
    table.end(worker)


def queue_of(table: Table) -> str:
    return table.texts[table.team.key("queue")]


# --- how many
