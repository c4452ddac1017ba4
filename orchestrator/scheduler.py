"""Who takes the next turn: a fold over the event log, without await, clock or I/O.

Feed it every event in order (`observe`), ask for turns to start (`next`), and for runs that have come
to an end (`verdicts`). It holds nothing that the log does not say, but for the turns that it has handed
out and that have not started yet; so it is rebuilt by feeding it the log, and a crash loses no wake.

A *call* is a reason for a turn: a message, changes that wake an agent, or a block that calls for a
pool of agents. Calls become ready when somebody who may answer them is free, and are answered in the
order in which they became ready. A pool goes to the end of the line with each turn it gets, so a long
queue of work cannot starve the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, NamedTuple

from orchestrator.blocks import OWNER
from orchestrator.errors import Waiting
from orchestrator.events import (
    BlockChanged,
    BlockCreated,
    Cause,
    Event,
    RunEnded,
    RunStarted,
    StepTaken,
    TurnEnded,
    TurnStarted,
)
from orchestrator.team import Team, WakeEntry

#: Changes that the engine makes for a turn; they do not call anybody.
_BOOKKEEPING = ("claim", "release")


class Start(NamedTuple):
    """A turn that should start now; it must be answered with a `TurnStarted` event or `withdraw`."""

    agent: str
    #: The runs it works for; it is charged to the first.
    runs: tuple[str, ...]
    causes: tuple[Cause, ...]
    #: The wake whose claim has to be made in the transaction that starts the turn.
    claim: WakeEntry | None


class Verdict(NamedTuple):
    """A run has come to an end by itself."""

    run: str
    outcome: Literal["complete", "budget", "stuck"]
    waiting: tuple[Waiting, ...] = ()


class _Write(NamedTuple):
    """A change of a block that an agent has not been shown yet."""

    version: int
    by: str
    runs: tuple[str, ...]
    wake: int


class _Refusal(NamedTuple):
    """A claim that the store refused, at which version of the block, and why."""

    version: int
    reason: str


@dataclass(slots=True)
class _Run:
    #: Its place among all runs: the oldest pays for what several have caused.
    order: int
    max_turns: int
    max_usd: float | None
    #: Turns charged to it, started or only handed out.
    turns: int = 0
    usd: float = 0.0
    #: Turns that work for it and have not ended, started or only handed out.
    active: int = 0
    closing: bool = False

    @property
    def spent(self) -> bool:
        return self.turns >= self.max_turns or (self.max_usd is not None and self.usd >= self.max_usd)


@dataclass(slots=True)
class _Pool:
    """A wake with `when`: what its block calls for, and what has been done about it."""

    entry: WakeEntry
    text: str = ""
    #: The version of the text; and of the last change that may call.
    current: int = 0
    version: int = 0
    by: str = ""
    #: How many turns the text calls for, since the last change that is not bookkeeping.
    wanted: int = 0
    runs: tuple[str, ...] = ()
    #: Turns that ended and were shown this version or a later one.
    answered: int = 0
    #: Turns for this wake that have started, and that were handed out only.
    running: int = 0
    starting: int = 0
    #: Members, the one that has been idle longest first; and those whose claim was refused.
    members: list[str] = field(default_factory=list)
    refused: dict[str, _Refusal] = field(default_factory=dict)
    #: What its `when` or `claim` raised on this text, if it did.
    broken: str = ""

    @property
    def need(self) -> int:
        if self.entry.wake.claim is not None:  # what was claimed is no longer asked for by the text
            return self.wanted - self.starting
        return self.wanted - self.answered - self.running - self.starting


@dataclass(slots=True)
class _Desk:
    """What lies before one agent."""

    name: str
    messages: deque[Cause] = field(default_factory=deque)
    #: Changes that wake it, by the key of the block.
    writes: dict[str, list[_Write]] = field(default_factory=dict)
    busy: bool = False


class Scheduler:
    """Decides who takes the next turn.

    Args:
        team: whose agents and wakes.
        slots: the most turns at once; None for no limit.
    """

    def __init__(self, team: Team, slots: int | None = None) -> None:
        self._team = team
        self._slots = slots
        self._active = 0
        self._runs: dict[str, _Run] = {}
        self._desks = {agent.name: _Desk(agent.name) for agent in team.members}
        self._turns: dict[str, TurnStarted] = {}
        self._edges: dict[str, list[WakeEntry]] = {}
        self._pools: dict[str, list[_Pool]] = {}
        self._pools_of: dict[str, list[_Pool]] = {}
        for entry in team.wakes:
            if entry.wake.when is None:
                self._edges.setdefault(entry.key, []).append(entry)
                continue
            pool = _Pool(entry, members=list(entry.members))
            self._pools.setdefault(entry.key, []).append(pool)
            for member in entry.members:
                self._pools_of.setdefault(member, []).append(pool)
        #: Agents and pools that may have a turn to take, in the order in which they became ready.
        self._line: dict[str | int, _Desk | _Pool] = {}
        #: Desks with something on them; and runs for which nobody is active, so that they may have ended.
        self._laden: dict[str, _Desk] = {}
        self._resting: dict[str, _Run] = {}
        self._opened = 0

    # --- what happened

    def observe(self, event: Event) -> None:
        """Take one event into account. Events must come in order, each once."""
        match event:
            case BlockCreated():
                self._on_created(event)
            case BlockChanged():
                self._on_changed(event)
            case RunStarted():
                self._on_run_started(event)
            case TurnStarted():
                self._on_turn_started(event)
            case StepTaken():
                if event.usage.cost and (charged := self._runs.get(event.run)):
                    charged.usd += event.usage.cost
            case TurnEnded():
                self._on_turn_ended(event)
            case RunEnded():
                self._on_run_ended(event.run)
            case _:
                pass

    def _on_created(self, event: BlockCreated) -> None:
        for pool in self._pools.get(event.key, ()):
            pool.version, pool.by = 1, OWNER
            self._look(pool, event.value, 1)

    def _on_changed(self, event: BlockChanged) -> None:
        bookkeeping = event.operation in _BOOKKEEPING
        for pool in self._pools.get(event.key, ()):
            if not bookkeeping:
                pool.version, pool.by, pool.answered = event.version, event.by, 0
            self._look(pool, event.value, event.version)
            # Whoever wrote while the block called, or made it call, waits for the answer.
            pool.runs = _united(pool.runs, event.runs) if pool.wanted else ()
            self._stand_in_line(pool)
        if bookkeeping:
            return
        for entry in self._edges.get(event.key, ()):
            if entry.wake.by and event.by not in entry.wake.by:
                continue
            for member in entry.members:
                if member != event.by:
                    write = _Write(event.version, event.by, event.runs, entry.number)
                    desk = self._desks[member]
                    desk.writes.setdefault(event.key, []).append(write)
                    self._stand_in_line(desk)

    def _look(self, pool: _Pool, text: str, version: int) -> None:
        assert pool.entry.wake.when is not None
        pool.text, pool.current, pool.broken = text, version, ""
        try:
            pool.wanted = max(0, int(pool.entry.wake.when(text)))
        except Exception as error:  # a user's function: the run that needs its answer fails, nothing else
            pool.wanted, pool.broken = 1, f"when= raised {type(error).__name__}: {error}"

    def _on_run_started(self, event: RunStarted) -> None:
        self._opened += 1
        self._runs[event.run] = self._resting[event.run] = _Run(self._opened, event.max_turns, event.max_usd)
        desk = self._desks.get(event.agent)
        if desk is not None:
            desk.messages.append(Cause(kind="message", run=event.run))
            self._stand_in_line(desk)
        self._look_around()  # what earlier runs left undone becomes this run's to do

    def _on_turn_started(self, event: TurnStarted) -> None:
        self._turns[event.turn] = event
        desk = self._desks.get(event.agent)
        if desk is None:
            return
        if not desk.busy:  # known only from the log: it was handed out by an earlier scheduler
            self._hand_out(event.agent, event.runs, event.causes)
        for cause in event.causes:
            if cause.kind == "message" and desk.messages and desk.messages[0].run == cause.run:
                desk.messages.popleft()
            elif pool := self._pool(cause):
                pool.starting -= 1
                pool.running += 1
        self._tidy(desk)

    def _on_turn_ended(self, event: TurnEnded) -> None:
        started = self._turns.pop(event.turn)
        desk = self._desks.get(event.agent)
        if desk is None:
            return
        self._put_down(started.runs)
        # A turn that failed before it was shown anything has still had its wake.
        shown = dict(event.shown)
        for cause in started.causes:
            if cause.key is not None:
                shown[cause.key] = max(shown.get(cause.key, 0), cause.version)
        for cause in started.causes:
            if pool := self._pool(cause):
                pool.running -= 1
                pool.answered += shown[pool.entry.key] >= pool.version
        for key, version in shown.items():
            if key in desk.writes:
                desk.writes[key] = [write for write in desk.writes[key] if write.version > version]
                if not desk.writes[key]:
                    del desk.writes[key]
        self._become_free(desk)

    def _on_run_ended(self, id: str) -> None:
        self._runs.pop(id, None)
        self._resting.pop(id, None)
        for desk in list(self._laden.values()):
            desk.messages = deque(cause for cause in desk.messages if cause.run != id)
            self._tidy(desk)
        self._look_around()

    # --- what should happen

    def next(self) -> Start | None:
        """The turn to start now, or None. The agent counts as busy from here on."""
        if self._slots is not None and self._active >= self._slots:
            return None
        for key in list(self._line):
            waiting = self._line.pop(key)
            start = self._start_of(waiting) if isinstance(waiting, _Desk) else self._start_of_pool(waiting)
            if start is None:
                continue
            self._hand_out(start.agent, start.runs, start.causes)
            if isinstance(waiting, _Pool):
                self._stand_in_line(waiting)
            return start
        return None

    def withdraw(self, start: Start, version: int, reason: str) -> None:
        """The turn could not start: at this version of the block its claim was refused, or took nothing."""
        self._put_down(start.runs)
        if charged := self._runs.get(start.runs[0]):
            charged.turns -= 1
        for cause in start.causes:
            if pool := self._pool(cause):
                pool.starting -= 1
                pool.refused[start.agent] = _Refusal(version, reason)
        self._become_free(self._desks[start.agent])

    def close(self, run: str) -> None:
        """The run is being ended from outside: start nothing more for it."""
        if found := self._runs.get(run):
            found.closing = True

    def verdicts(self) -> list[Verdict]:
        """The runs that have come to an end: each is told once. Ask only when `next` has nothing."""
        ended: list[Verdict] = []
        in_flux = self._active > 0 or any(run.closing for run in self._resting.values())
        for id, run in self._resting.items():
            if run.closing:
                continue
            waiting = tuple(self._waiting(id))
            if not waiting:
                ended.append(Verdict(id, "complete"))
            elif run.spent:
                ended.append(Verdict(id, "budget"))
            elif not in_flux:
                ended.append(Verdict(id, "stuck", waiting))
            # Else a turn that works for others may yet change things.
        for verdict in ended:
            self._resting[verdict.run].closing = True
        return ended

    def _start_of(self, desk: _Desk) -> Start | None:
        if desk.busy:
            return None
        causes: list[Cause] = []
        runs: tuple[str, ...] = ()
        message = desk.messages[0].run if desk.messages else None
        if message is not None and self._may_charge(message):
            causes.append(desk.messages[0])
            runs = (message,)
        for key, writes in desk.writes.items():
            last = writes[-1]
            label = self._team.blocks[key].label
            causes.append(Cause(kind="change", key=key, label=label, version=last.version, by=last.by, wake=last.wake))
            runs = _united(runs, *(write.runs for write in writes))
        charged = self._charged(runs, message)
        return Start(desk.name, charged, tuple(causes), None) if causes and charged else None

    def _start_of_pool(self, pool: _Pool) -> Start | None:
        charged = self._charged(pool.runs, None)
        if pool.need <= 0 or pool.broken or not charged:
            return None
        for name in pool.members:
            desk = self._desks[name]
            if desk.busy or (desk.messages and self._may_charge(desk.messages[0].run)):
                continue
            if not self._can_claim(pool, name):
                continue
            pool.members.remove(name)
            pool.members.append(name)
            entry = pool.entry
            label = self._team.blocks[entry.key].label
            cause = Cause(kind="call", key=entry.key, label=label, version=pool.version, by=pool.by, wake=entry.number)
            return Start(name, charged, (cause,), entry if entry.wake.claim else None)
        return None

    # --- the books

    def _hand_out(self, agent: str, runs: Iterable[str], causes: Iterable[Cause]) -> None:
        self._active += 1
        self._desks[agent].busy = True
        for place, id in enumerate(runs):
            if run := self._runs.get(id):
                run.active += 1
                run.turns += place == 0
                self._resting.pop(id, None)
        for cause in causes:
            if pool := self._pool(cause):
                pool.starting += 1

    def _put_down(self, runs: Iterable[str]) -> None:
        self._active -= 1
        for id in runs:
            if run := self._runs.get(id):
                run.active -= 1
                if not run.active:
                    self._resting[id] = run

    def _become_free(self, desk: _Desk) -> None:
        desk.busy = False
        self._tidy(desk)
        self._stand_in_line(desk)
        for pool in self._pools_of.get(desk.name, ()):
            self._stand_in_line(pool)

    def _stand_in_line(self, waiting: _Desk | _Pool) -> None:
        if isinstance(waiting, _Desk):
            if waiting.messages or waiting.writes:
                self._laden[waiting.name] = waiting
                if not waiting.busy:
                    self._line.setdefault(waiting.name, waiting)
        elif waiting.need > 0:
            self._line.setdefault(waiting.entry.number, waiting)

    def _tidy(self, desk: _Desk) -> None:
        if not desk.messages and not desk.writes:
            self._laden.pop(desk.name, None)

    def _look_around(self) -> None:
        for desk in self._laden.values():
            self._stand_in_line(desk)
        for pool in self._all_pools():
            self._stand_in_line(pool)

    def _pool(self, cause: Cause) -> _Pool | None:
        if cause.kind != "call" or cause.key is None:
            return None
        return next((pool for pool in self._pools.get(cause.key, ()) if pool.entry.number == cause.wake), None)

    def _all_pools(self) -> Iterator[_Pool]:
        return (pool for pools in self._pools.values() for pool in pools)

    def _can_claim(self, pool: _Pool, agent: str) -> bool:
        claim = pool.entry.wake.claim
        if claim is None:
            return True
        refusal = pool.refused.get(agent)
        if refusal is not None and refusal.version == pool.current:
            return False
        try:
            return claim(pool.text, agent) not in (None, pool.text)
        except Exception as error:  # as above
            pool.broken = f"claim= raised {type(error).__name__}: {error}"
            return False

    def _may_charge(self, run: str | None) -> bool:
        found = self._runs.get(run or "")
        return found is not None and not found.spent and not found.closing

    def _charged(self, runs: tuple[str, ...], message: str | None) -> tuple[str, ...]:
        """The runs that a turn works for, the one that pays first; none if nobody can pay."""
        going = self._going(runs)
        payers = [id for id in going if self._may_charge(id)]
        if not payers:
            return ()
        # A message's turn is its run's; else the oldest run pays that still can.
        first = message if message in payers else min(payers, key=lambda id: self._runs[id].order)
        assert first is not None
        return (first, *(id for id in going if id != first))

    def _going(self, runs: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the runs that have not ended; or the oldest run there is, which inherits what they left."""
        return tuple(id for id in runs if id in self._runs) or tuple(islice(self._runs, 1))

    def _waiting(self, run: str) -> Iterator[Waiting]:
        """The calls that keep a run from being complete."""
        for desk in self._laden.values():
            if any(cause.run == run for cause in desk.messages):
                yield Waiting("", (desk.name,), "a message was not answered")
            for key, writes in desk.writes.items():
                if any(run in self._going(write.runs) for write in writes):
                    yield Waiting(self._team.names[key], (desk.name,), "a change was not looked at")
        for pool in self._all_pools():
            if pool.need > 0 and run in self._going(pool.runs):
                refusals = {refusal.reason for refusal in pool.refused.values() if refusal.version == pool.current}
                why = pool.broken or "; ".join(sorted(refusals)) or "none of them can take anything from it"
                yield Waiting(self._team.names[pool.entry.key], pool.entry.members, why)


def _united(first: tuple[str, ...], *others: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *(id for ids in others for id in ids))))
