"""Who takes the next turn, as a table: this has happened, so these may start. No event loop, no store."""

from __future__ import annotations

from orchestrator import Agent, Block, Team, Usage, Wake
from orchestrator.events import (
    BlockChanged,
    BlockCreated,
    Cause,
    RunEnded,
    RunStarted,
    StepTaken,
    TurnEnded,
    TurnStarted,
)
from orchestrator.scheduler import Scheduler, Start


class Table:
    """A scheduler, and what happens to its team. Runs are given as one text: "r s" are two."""

    def __init__(self, *agents: Agent, slots: int | None = None) -> None:
        self.team = Team("team", agents)
        self.scheduler = Scheduler(self.team, slots)
        self.seq = 0
        self.texts: dict[str, str] = {}
        self.versions: dict[str, int] = {}
        self.turns: dict[str, TurnStarted] = {}
        for key in self.team.blocks:
            self.create(key)

    def observe(self, kind, **fields):
        self.seq += 1
        event = kind(seq=self.seq, at=0.0, **fields)
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

    def end(self, *agents, shown=None, status="done", cost=None):
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
            self.observe(TurnEnded, runs=turn.runs, status=status, error=None, steps=1, shown=last, **known)

    def sees(self, agent, block):
        return any(attachment.block is block for attachment in self.team.agent(agent).attachments)

    def verdicts(self) -> dict[str, str]:
        """How runs have come to an end: run by run."""
        assert self.hand_out() == {}
        return {verdict.run: verdict.outcome for verdict in self.scheduler.verdicts()}


def why(start: Start) -> list[str]:
    """The causes in words."""
    words = {"message": "{0.run}", "change": "{0.label} {0.version} by {0.by}", "call": "{0.label} {0.version} calls"}
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


def test_a_message_starts_the_entry_and_nobody_else():
    table = pair()
    table.run("r")

    (start,) = table.hand_out().values()
    assert start == Start("ann", ("r",), (Cause(kind="message", run="r"),), None)


def test_nothing_starts_before_there_is_a_message():
    assert pair().hand_out() == {}


def test_a_message_may_be_for_another_agent():
    table = pair()
    table.run("r", agent="bob")
    assert list(table.begin()) == ["bob"]


def test_a_change_wakes_the_others_but_not_its_author():
    table = pair()
    table.run("r")
    table.begin()
    table.write("notes", "hello", "ann")
    starts = table.begin()
    table.end("ann")

    assert list(starts) == ["bob"]
    assert why(starts["bob"]) == ["notes 2 by ann"]
    assert starts["bob"].runs == ("r",)
    assert table.begin() == {}, "not its author, when its turn has ended either"


def test_by_names_whose_changes_wake():
    notes = Block("notes")
    ann, cat = Agent("ann", blocks=[notes]), Agent("cat", blocks=[notes])
    table = Table(ann, cat, Agent("bob", blocks=[notes], wakes_on=[Wake(notes, by=(cat,))]))
    table.run("r")
    table.run("s", agent="cat")
    table.begin()

    table.write("notes", "hello", "ann")
    assert table.begin() == {}
    table.write("notes", "hi", "cat")
    assert list(table.begin()) == ["bob"]


def test_changes_coalesce_into_one_turn_for_the_runs_of_all():
    notes, news = Block("notes"), Block("news")
    bob = Agent("bob", blocks=[notes, news], wakes_on=[notes, news])
    table = Table(bob, Agent("ann", blocks=[notes, news]), Agent("cat", blocks=[notes, news]))
    for run, agent in (("q", "bob"), ("r", "ann"), ("s", "cat")):
        table.run(run, agent)
    table.begin()
    for label, text, by in (("notes", "1", "ann"), ("notes", "2", "cat"), ("news", "3", "cat")):
        table.write(label, text, by)
    assert table.begin() == {}, "bob is busy"

    table.end("bob", shown={})
    starts = table.begin()
    assert why(starts["bob"]) == ["notes 3 by cat", "news 2 by cat"]
    assert starts["bob"].runs == ("r", "s")
    table.end("bob", "ann", "cat")
    assert table.begin() == {}


def test_a_message_and_changes_are_one_turn():
    table = pair()
    table.run("r")
    table.begin()
    table.write("notes", "hello", "ann")
    table.run("s", agent="bob")

    starts = table.begin()
    assert why(starts["bob"]) == ["s", "notes 2 by ann"]
    assert starts["bob"].runs == ("s", "r"), "the turn is charged to the run of the message"
    table.end("bob")
    assert table.begin() == {}


def test_a_change_that_the_last_step_has_shown_does_not_wake_again():
    table = pair()
    table.run("r")
    table.run("s", agent="bob")
    table.begin()
    table.write("notes", "hello", "ann")
    table.end("bob", shown={"notes": 2})
    assert table.begin() == {}


def test_a_change_after_the_last_step_wakes_again():
    table = pair()
    table.run("r")
    table.run("s", agent="bob")
    table.begin()
    table.write("notes", "hello", "ann")
    table.write("notes", "hello again", "ann")
    table.end("bob", shown={"notes": 2})
    assert why(table.begin()["bob"]) == ["notes 3 by ann"]


def test_claims_and_releases_wake_nobody():
    table = pair()
    table.run("r")
    table.begin()
    table.write("notes", "taken", "engine", "r", operation="claim")
    table.write("notes", "given back", "engine", "r", operation="release")
    table.end("ann")
    assert table.begin() == {}


def test_a_turn_that_failed_before_it_was_shown_anything_has_had_its_wake():
    table = pair()
    table.run("r")
    table.begin()
    table.write("notes", "hello", "ann")
    table.begin()
    table.end("bob", shown={}, status="failed")
    assert table.begin() == {}
    table.write("notes", "hello again", "ann")
    assert list(table.begin()) == ["bob"]


def test_an_agent_takes_one_turn_at_a_time():
    table = pair()
    table.run("r")
    table.begin()
    table.write("notes", "1", "ann")
    assert list(table.hand_out()) == ["bob"], "and is busy from here on"
    table.write("notes", "2", "ann")
    table.run("s", agent="bob")
    assert table.hand_out() == {}


def test_messages_queue_behind_each_other_with_a_turn_and_a_run_each():
    table = pair()
    for run in ("r", "s", "t"):
        table.run(run)
    for run in ("r", "s", "t"):
        (start,) = table.begin().values()
        assert (start.runs, why(start)) == ((run,), [run])
        table.end("ann")
        assert table.begin() == {} if run == "t" else True


def test_the_owners_change_waits_for_a_message_and_is_charged_to_its_run():
    table = pair()
    table.write("notes", "hello")
    assert table.begin() == {}
    table.run("r")
    starts = table.begin()
    assert why(starts["ann"]) == ["r", "notes 2 by owner"]
    assert why(starts["bob"]) == ["notes 2 by owner"]
    assert starts["bob"].runs == ("r",)


# --- blocks that call


def test_a_text_calls_once():
    table = board(when=lambda text: "?" in text)
    table.run("r")
    table.begin()
    table.write("board", "why?", "ann")

    assert why(table.begin()["p1"]) == ["board 2 calls"]
    table.end("p1")
    assert table.begin() == {}
    table.write("board", "why now?", "ann")
    assert list(table.begin()) == ["p1"]


def test_the_declared_text_calls_in_the_first_run():
    table = board(when=lambda text: "?" in text, text="why?")
    assert table.begin() == {}
    table.run("r")
    assert why(table.begin()["p1"]) == ["board 1 calls"]


def test_a_block_that_is_created_while_a_run_goes_may_call():
    table = board(when=lambda text: "?" in text, text="why?")
    table.scheduler = Scheduler(table.team)
    table.run("r")
    table.begin()
    table.create(table.team.key("board"))
    assert list(table.begin()) == ["p1"]


def test_own_writes_call():
    table = board(when=lambda text: "?" in text)
    table.run("r", agent="p1")
    table.begin()
    table.write("board", "why?", "p1")
    table.end("p1")
    assert why(table.begin()["p1"]) == ["board 2 calls"]


def test_a_call_is_not_answered_by_a_turn_that_was_not_shown_it():
    table = board(when=lambda text: "?" in text)
    table.run("r")
    table.begin()
    table.write("board", "why?", "ann")
    table.begin()
    table.write("board", "why not?", "ann")
    table.end("p1", shown={"board": 2})

    assert why(table.begin()["p1"]) == ["board 3 calls"]
    table.write("board", "and why here?", "ann")
    table.end("p1", shown={"board": 4})
    assert table.begin() == {}, "a later step of the turn was shown the last text"


def test_a_turn_that_failed_has_answered_the_call():
    table = board(when=lambda text: "?" in text)
    table.run("r")
    table.begin()
    table.write("board", "why?", "ann")
    table.begin()
    table.end("p1", shown={}, status="failed")
    assert table.begin() == {}


def test_claims_and_releases_do_not_call_again():
    table = board(when=lambda text: "?" in text)
    table.run("r")
    table.begin()
    table.write("board", "why?", "ann")
    table.begin()
    table.end("p1")
    table.write("board", "why? (taken)", "engine", "r", operation="claim")
    table.write("board", "why?", "engine", "r", operation="release")
    assert table.begin() == {}


def test_a_run_pays_for_no_call_that_came_after_its_own_was_answered():
    table = board(when=lambda text: "?" in text)
    table.run("r")
    table.begin()
    table.write("board", "why?", "ann", "r")
    table.begin()
    table.end("p1")
    table.write("board", "why not?", "owner", "s")
    table.run("s", agent="p1")
    table.begin()
    table.end("p1", shown={})
    assert table.begin()["p1"].runs == ("s",)
