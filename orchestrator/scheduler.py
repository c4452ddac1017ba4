"""Who takes the next turn: a fold over the event log, without await, clock or I/O.

Feed it every event in order (`observe`), ask for turns to start (`next`), and for runs that have come
to an end (`verdicts`). It holds nothing that the log does not say, but for what it has told and the log
does not say yet (turns that have not started, runs that have not ended) and claims that were refused; so
it is rebuilt by feeding it the log, and a crash loses no wake.

A *call* is a reason for a turn: a message, changes that wake an agent, or a block that calls for a
pool of agents. Calls become ready when somebody who may answer them is free, and are answered in the
order in which they became ready. A pool goes to the end of the line with each turn it gets, so a long
queue of work cannot starve the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from orchestrator.blocks import OWNER
from orchestrator.calls import BOOKKEEPING, Desk, Pool, Refusal, united
from orchestrator.charging import Accounts
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


class _Call(NamedTuple):
    """A call that is not answered: what is told of it, and the runs that wait for the answer."""

    told: Waiting
    runs: tuple[str, ...]


class Scheduler:
    """Decides who takes the next turn.

    Args:
        team: whose agents and wakes.
        slots: the most turns at once; None for no limit.
    """

    def __init__(self, team: Team, slots: int | None = None) -> None:
        self._team = team
        self._slots = slots
        self._accounts = Accounts()
        self._desks = {agent.name: Desk(agent.name) for agent in team.members}
        self._turns: dict[str, TurnStarted] = {}
        self._edges: dict[str, list[WakeEntry]] = {}
        self._pools: dict[int, Pool] = {}
        self._pools_on: dict[str, list[Pool]] = {}
        self._pools_of: dict[str, list[Pool]] = {}
        for entry in team.wakes:
            if entry.wake.when is None:
                self._edges.setdefault(entry.key, []).append(entry)
                continue
            pool = self._pools[entry.number] = Pool(entry, idle=dict.fromkeys(entry.members))
            self._pools_on.setdefault(entry.key, []).append(pool)
            for member in entry.members:
                self._pools_of.setdefault(member, []).append(pool)
        #: Agents and pools that may have a turn to take, in the order in which they became ready.
        self._line: dict[str | int, Desk | Pool] = {}
        self._laden: dict[str, Desk] = {}

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
                self._accounts.spend(event.run, event.usage.cost or 0.0)
            case TurnEnded():
                self._on_turn_ended(event)
            case RunEnded():
                self._on_run_ended(event.run)
            case _:
                pass

    def _on_created(self, event: BlockCreated) -> None:
        for pool in self._pools_on.get(event.key, ()):
            pool.version, pool.by = event.version, OWNER
            pool.look(event.value, event.version)
            self._line_up(pool)

    def _on_changed(self, event: BlockChanged) -> None:
        for pool in self._pools_on.get(event.key, ()):
            pool.changed(event)
            self._line_up(pool)
        if event.operation in BOOKKEEPING:
            return
        for entry in self._edges.get(event.key, ()):
            if entry.wake.authors and event.by not in entry.wake.authors:
                continue
            for member in entry.members:
                if member != event.by:
                    self._desks[member].write(event, entry.number)
                    self._line_up(self._desks[member])

    def _on_run_started(self, event: RunStarted) -> None:
        if not self._accounts:  # what was left undone is done after the message
            self._line.clear()
        self._accounts.open(event)
        if desk := self._desks.get(event.agent):
            desk.messages.append(Cause(kind="message", run=event.run))
            self._line_up(desk)
        # What earlier runs left undone becomes this run's to do.
        for laden in self._laden.values():
            self._line_up(laden)
        for pool in self._pools.values():
            self._line_up(pool)

    def _on_turn_started(self, event: TurnStarted) -> None:
        self._turns[event.turn] = event
        desk = self._desks.get(event.agent)
        if desk is None:
            return
        if not desk.busy:  # known only from the log: it was handed out by an earlier scheduler
            self._hand_out(event.agent, event.runs, event.causes)
        for cause in event.causes:
            if cause.kind == "message" and desk.next_message == cause.run:
                desk.messages.popleft()
            if pool := self._pool(cause):
                pool.starting -= 1
                pool.running += 1
                self._line.pop(pool.entry.number, None)
                self._line_up(pool)
            else:
                self._line.pop(desk.name, None)
        desk.at_work = True
        self._line_up(desk)

    def _on_turn_ended(self, event: TurnEnded) -> None:
        started = self._turns.pop(event.turn)
        desk = self._desks.get(event.agent)
        if desk is None:
            return
        self._accounts.put_down(started.runs)
        # A turn that is not done has looked at nothing but what woke it: that it has had.
        shown = dict(event.shown) if event.status == "done" else {}
        for cause in started.causes:
            if cause.key is not None:
                shown[cause.key] = max(shown.get(cause.key, 0), cause.version)
        for cause in started.causes:
            if pool := self._pool(cause):
                pool.running -= 1
                pool.answered += shown.get(pool.entry.key, 0) >= pool.version
        for key, version in shown.items():
            desk.was_shown(key, version)
        self._become_free(desk)

    def _on_run_ended(self, id: str) -> None:
        self._accounts.end(id)
        for desk in list(self._laden.values()):
            desk.messages = deque(cause for cause in desk.messages if cause.run != id)
            self._line_up(desk)

    # --- what should happen

    def next(self) -> Start | None:
        """The turn to start now, or None. The agent counts as busy from here on."""
        if self._slots is not None and self._accounts.active >= self._slots:
            return None
        for waiting in self._line.values():
            start = self._start_of(waiting) if isinstance(waiting, Desk) else self._start_of_pool(waiting)
            if start is not None:
                self._hand_out(start.agent, start.runs, start.causes)
                return start
        return None

    def withdraw(self, start: Start, version: int, reason: str) -> None:
        """The turn could not start: at this version of the block its claim was refused, or took nothing."""
        self._accounts.put_down(start.runs, started=False)
        for cause in start.causes:
            if pool := self._pool(cause):
                pool.starting -= 1
                pool.refused[start.agent] = Refusal(version, reason)
        self._become_free(self._desks[start.agent])

    def close(self, run: str) -> None:
        """The run is being ended from outside: start nothing more for it."""
        self._accounts.close(run)

    def verdicts(self) -> list[Verdict]:
        """The runs that have come to an end: each is told once. Ask only when `next` has nothing."""
        resting = self._accounts.resting
        if not resting:
            return []
        judged = [self._judged(id, calls) for id, calls in self._waiting().items() if not resting[id].closing]
        ended = [verdict for verdict in judged if verdict is not None and verdict.outcome != "stuck"]
        in_flux = self._accounts.active > 0 or any(run.closing for run in resting.values())
        if not ended and not in_flux:  # else a turn that works for others, or what they leave undone, may change things
            ended = [verdict for verdict in judged if verdict is not None]
        for verdict in ended:
            resting[verdict.run].closing = True
        return ended

    def _judged(self, id: str, calls: list[_Call]) -> Verdict | None:
        """How a run for which nobody is active stands; None if another run may pay for what it waits for."""
        if not calls:
            return Verdict(id, "complete")
        if not self._accounts.resting[id].is_spent:
            return Verdict(id, "stuck", tuple(call.told for call in calls))
        if any(self._accounts.charged(call.runs) for call in calls):
            return None
        return Verdict(id, "budget")

    def _start_of(self, desk: Desk) -> Start | None:
        if desk.busy:
            return None
        causes: list[Cause] = []
        runs: tuple[str, ...] = ()
        message = desk.next_message
        if message is not None and self._accounts.can_pay(message):
            causes.append(desk.messages[0])
            runs = (message,)
        for pool in self._pools_of.get(desk.name, ()) if causes else ():
            # A block that calls on behalf of the message's own run is answered by the same turn.
            free = pool.need > 0 and not pool.broken and not pool.entry.wake.claim
            if free and self._accounts.going(pool.runs) == (message,):
                causes.append(self._call(pool))
        for key, writes in desk.writes.items():
            last = writes[-1]
            label = self._team.blocks[key].label
            causes.append(Cause(kind="change", key=key, label=label, version=last.version, by=last.by, wake=last.wake))
            runs = united(runs, *(write.runs for write in writes))
        charged = self._accounts.charged(runs, message)
        return Start(desk.name, charged, tuple(causes), None) if causes and charged else None

    def _start_of_pool(self, pool: Pool) -> Start | None:
        if pool.need <= 0 or pool.broken or not pool.idle:
            return None
        charged = self._accounts.charged(pool.runs)
        if not charged:
            return None
        for name in pool.idle:
            if self._accounts.can_pay(self._desks[name].next_message) or not pool.can_claim(name):
                continue
            return Start(name, charged, (self._call(pool),), pool.entry if pool.entry.wake.claim else None)
        return None

    def _call(self, pool: Pool) -> Cause:
        key = pool.entry.key
        label = self._team.blocks[key].label
        return Cause(kind="call", key=key, label=label, version=pool.version, by=pool.by, wake=pool.entry.number)

    # --- the books

    def _hand_out(self, agent: str, runs: Iterable[str], causes: Iterable[Cause]) -> None:
        self._accounts.hand_out(runs)
        self._desks[agent].busy = True
        for joined in self._pools_of.get(agent, ()):
            joined.idle.pop(agent, None)
        for cause in causes:  # who gets a turn leaves its place in the line; a pool that needs more goes to the end
            if pool := self._pool(cause):
                pool.starting += 1
                self._line.pop(pool.entry.number, None)
                self._line_up(pool)
            else:
                self._line.pop(agent, None)

    def _become_free(self, desk: Desk) -> None:
        desk.busy = desk.at_work = False
        self._line_up(desk)
        for pool in self._pools_of.get(desk.name, ()):
            pool.idle[desk.name] = None
            self._line_up(pool)

    def _line_up(self, waiting: Desk | Pool) -> None:
        """Who has something to answer stands in line, and keeps its place until it gets a turn."""
        if isinstance(waiting, Pool):
            if waiting.need > 0:
                self._line.setdefault(waiting.entry.number, waiting)
            else:
                self._line.pop(waiting.entry.number, None)
        elif not waiting.is_laden:
            self._laden.pop(waiting.name, None)
            self._line.pop(waiting.name, None)
        else:
            self._laden[waiting.name] = waiting
            if not waiting.at_work:
                self._line.setdefault(waiting.name, waiting)

    def _pool(self, cause: Cause) -> Pool | None:
        if cause.kind != "call" or cause.wake is None:
            return None
        pool = self._pools.get(cause.wake)
        return pool if pool is not None and pool.entry.key == cause.key else None

    def _waiting(self) -> dict[str, list[_Call]]:
        """The calls that keep each resting run from being complete."""
        waiting: dict[str, list[_Call]] = {id: [] for id in self._accounts.resting}
        for call in self._calls():
            for id in call.runs:
                if id in waiting:
                    waiting[id].append(call)
        return waiting

    def _calls(self) -> Iterator[_Call]:
        """Everything that is not answered."""
        for desk in self._laden.values():
            told = Waiting("", (desk.name,), "a message was not answered")
            for cause in desk.messages:
                yield _Call(told, (cause.run or "",))
            for key, writes in desk.writes.items():
                runs = united(*(self._accounts.going(write.runs) for write in writes))
                yield _Call(Waiting(self._team.names[key], (desk.name,), "a change was not looked at"), runs)
        for pool in self._pools.values():
            if pool.need > 0 and (runs := self._accounts.going(pool.runs)):
                entry = pool.entry
                yield _Call(Waiting(self._team.names[entry.key], entry.members, pool.why_not), runs)
