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

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from orchestrator.board import Board, Made
from orchestrator.calls import Asked, Desk, Refusal
from orchestrator.charging import Accounts
from orchestrator.events import (
    AgentCreated,
    AgentDeleted,
    BlockAttached,
    BlockChanged,
    BlockCreated,
    BlockDeleted,
    BlockDetached,
    Cause,
    Event,
    HandedOver,
    RunEnded,
    RunResumed,
    RunSettled,
    RunStarted,
    StepTaken,
    TurnEnded,
    TurnStarted,
)
from orchestrator.ports import Sleep
from orchestrator.starts import Start, next_start
from orchestrator.team import Team
from orchestrator.verdicts import Verdict, verdicts


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
        self._board = Board(team)
        self._turns: dict[str, TurnStarted] = {}
        #: Turns that were cut off, and that nobody has taken up yet; and the messages of runs that were, with whose
        #: desk they belong on.
        self._cut_off: dict[str, TurnStarted] = {}
        self._unread: dict[str, list[tuple[str, Cause]]] = {}
        #: Agents that are being deleted; it is not known yet whether they still have to answer anything.
        self._held: set[str] = set()

    # --- what happened

    def observe(self, event: Event) -> None:
        """Take one event into account. Events must come in order, each once."""
        on = _HANDLERS.get(event.type)
        if on is not None:
            on(self, event)

    def _on_attached(self, event: BlockAttached) -> None:
        self._board.attached(event.agent, event.key)

    def _on_detached(self, event: BlockDetached) -> None:
        self._board.detached(event.agent, event.key)

    def _on_created(self, event: BlockCreated) -> None:
        self._board.block_created(event)

    def _on_changed(self, event: BlockChanged) -> None:
        turn = self._turns.get(event.turn or "")
        self._board.block_changed(event, event.by if turn is None else turn.agent)

    def _on_deleted(self, event: BlockDeleted) -> None:
        self._board.block_deleted(event.key)

    def _on_agent_created(self, event: AgentCreated) -> None:
        self._board.created(event.agent)

    def _on_agent_deleted(self, event: AgentDeleted) -> None:
        self._board.deleted(event.agent)

    def _on_run_started(self, event: RunStarted) -> None:
        board = self._board
        if self._accounts.are_all_cut_off:  # what was left undone is done after the message
            board.line.clear()
        self._accounts.open(event)
        if desk := board.desks.get(event.agent):
            desk.messages.append(Cause.made(kind="message", run=event.run))
            self._accounts.asked(event.run, True)
            board.line_up(desk)
        board.line_up_all()  # what earlier runs left undone becomes this run's to do

    def _on_run_resumed(self, event: RunResumed) -> None:
        self._accounts.resume(event.run)
        for agent, message in self._unread.pop(event.run, ()):
            if desk := self._board.desks.get(agent):
                desk.messages.appendleft(message)
                self._accounts.asked(event.run, True)
                self._board.line_up(desk)
        self._board.line_up_all()

    def _on_step_taken(self, event: StepTaken) -> None:
        self._accounts.spend(event.run, event.usage.cost or 0.0)

    def _on_turn_started(self, event: TurnStarted) -> None:
        board = self._board
        self._turns[event.turn] = event
        desk = board.desks.get(event.agent)
        if desk is None:
            self._accounts.hand_out(event.runs)
            return
        if not desk.busy:  # known only from the log: it was handed out by an earlier scheduler
            self._hand_out(event.agent, event.runs, event.causes)
        for count in desk.counts if any(cause.counts_turns for cause in event.causes) else ():
            count.begin_anew()
        for cause in event.causes:
            if cause.kind == "message":
                desk.take_away(cause.run)
                self._accounts.asked(cause.run or "", False)
                desk.message_is_next = False
            elif cause.kind == "handoff":
                self._accounts.handed(desk.go_on(cause, event.runs), -1)
                desk.message_is_next = True
            if pool := board.pool(cause, event.agent):
                pool.starting -= 1
                pool.running += 1
                board.line.pop(pool.entry.number, None)
                board.line_up(pool)
            else:
                board.line.pop(desk.name, None)
        desk.at_work = True
        board.line_up(desk)

    def _on_handed_over(self, event: HandedOver) -> None:
        desk = self._board.desks.get(event.to)
        if desk is not None:
            wake = self._board.handoffs.wake(event.agent, event.key, event.to)
            block = {"key": event.key, "label": event.label, "version": event.version}
            cause = Cause.made(kind="handoff", by=event.agent, wake=wake, **block)
            self._put(desk, Asked(cause, event.runs), len(desk.handed))

    def _put(self, desk: Desk, handoff: Asked, place: int) -> None:
        """A handoff lies on the desk for those of its runs that have not ended; for none, it needs no answer."""
        runs = tuple(id for id in handoff.runs if id in self._accounts)
        if runs:
            desk.handed.insert(place, Asked(handoff.cause, runs))
            self._accounts.handed(runs, 1)
            self._board.line_up(desk)

    def _on_turn_ended(self, event: TurnEnded) -> None:
        board = self._board
        started = self._turns.pop(event.turn)
        self._accounts.put_down(started.runs)
        if not event.cut_off and not all(cause.is_tidying for cause in started.causes):
            board.turn_ended(event.agent, event.runs)
        desk = board.desks.get(event.agent)
        if desk is None:
            return
        if event.cut_off:
            self._take_back(desk, started)
        else:
            self._answer(desk, started, event)
        desk.going_on = None
        board.become_free(desk)

    def _answer(self, desk: Desk, started: TurnStarted, event: TurnEnded) -> None:
        """What the turn was shown needs no other answer."""
        # A turn that is not done has looked at nothing but what woke it: that it has had.
        shown = dict(event.shown) if event.status == "done" else {}
        for cause in started.causes:
            if cause.key is not None:
                shown[cause.key] = max(shown.get(cause.key, 0), cause.version)
        for cause in started.causes:
            if pool := self._board.pool(cause, desk.name):
                pool.running -= 1
                pool.answered += shown.get(pool.entry.key, 0) >= pool.version
        for key, version in shown.items():
            desk.was_shown(key, version)

    def _take_back(self, desk: Desk, started: TurnStarted) -> None:
        """What woke a turn that came to nothing is still to be answered."""
        if desk.going_on is not None:
            self._put(desk, desk.going_on, 0)
        for count in desk.counts if any(cause.counts_turns for cause in started.causes) else ():
            count.take_back(started.runs)
        for cause in started.causes:
            if pool := self._board.pool(cause, desk.name):
                pool.running -= 1
                self._board.line_up(pool)
            if cause.kind == "message" and cause.run is not None and cause.run in self._accounts:
                if self._accounts.is_cut_off(cause.run):
                    self._unread.setdefault(cause.run, []).append((desk.name, cause))
                else:
                    desk.messages.appendleft(cause)
                    self._accounts.asked(cause.run, True)

    def _on_run_settled(self, event: RunSettled) -> None:
        self._accounts.settle(event.run)
        self._board.ask_round(event.run)

    def _on_run_ended(self, event: RunEnded) -> None:
        self._board.end_round(event.run)
        is_asked = self._accounts.is_asked(event.run)
        self._accounts.end(event.run)
        self._unread.pop(event.run, None)
        for desk in list(self._board.laden.values()) if is_asked else ():
            desk.end_run(event.run)
            self._board.line_up(desk)

    # --- a store was opened, and the log that is in it observed

    def cut_off(self) -> None:
        """Whatever still goes on was cut off: it waits to be resumed, or to be ended."""
        self._cut_off = dict(self._turns)
        self._accounts.cut()
        for desk in list(self._board.laden.values()):  # a message that waits for its run must not hold up later ones
            for message in desk.messages:
                self._accounts.asked(message.run or "", False)
                self._unread.setdefault(message.run or "", []).append((desk.name, message))
            desk.messages.clear()
            self._board.line_up(desk)
        self._board.all_are_there()

    @property
    def runs_cut_off(self) -> list[str]:
        """The runs that were cut off and not resumed, oldest first."""
        return self._accounts.cut_off

    def is_cut_off(self, run: str) -> bool:
        """Whether the run was cut off and not resumed."""
        return self._accounts.is_cut_off(run)

    def take_up(self, run: str | None = None) -> list[str]:
        """The turns that were cut off, all or those that work for a run; from here on they are at work."""
        found = [id for id, turn in self._cut_off.items() if run is None or run in turn.runs]
        for id in found:
            del self._cut_off[id]
        self._accounts.active += len(found)
        return found

    def in_the_way(self) -> list[str]:
        """The turns that were cut off, if nothing else keeps a run from going on; from here on they are at work."""
        rests = self._accounts.active == 0 and any(not run.closing for run in self._accounts.resting.values())
        return self.take_up() if rests and self._cut_off else []

    def set_aside(self, turns: Iterable[str]) -> None:
        """Turns that were taken up are neither resumed nor ended after all."""
        for id in turns:
            self._cut_off[id] = self._turns[id]
            self._accounts.active -= 1

    # --- agents that the owner makes

    def join(self, agent: str, wakes: Mapping[str, tuple[str, ...]], sleeps: Iterable[Sleep]) -> None:
        """An agent that is not declared, with the keys of the blocks that wake it, and whose changes count.

        It is there when the log says that it was created.
        """
        self._board.join(agent, Made(wakes, tuple(sleeps)))

    def leave(self, agent: str) -> None:
        """The agent is gone."""
        self._held.discard(agent)
        self._board.leave(agent)

    def hold(self, agent: str) -> bool:
        """Start no turn of the agent, until it is released or leaves; False if it has one, or was asked for one.

        Until then it is not known whether it still has to answer what woke it: no run is stuck.
        """
        desk = self._board.desks.get(agent)
        if desk is None or desk.busy or desk.messages or desk.handed:
            return False
        self._held.add(agent)
        self._board.hand_out(agent, ())
        return True

    def release(self, agent: str) -> None:
        """The agent may have turns again."""
        self._held.discard(agent)
        self._board.become_free(self._board.desks[agent])

    def would_wake(self, key: str, author: str, text: str | None, limit: int) -> bool:
        """Whether a change of the block by this author to this text, and this limit, would start somebody's turn."""
        return self._board.would_wake(key, author, text, limit)

    # --- what should happen

    def next(self) -> Start | None:
        """The turn to start now, or None. The agent counts as busy from here on."""
        if self._slots is not None and self._accounts.active >= self._slots:
            return None
        start = next_start(self._board, self._accounts)
        if start is not None:
            self._hand_out(start.agent, start.runs, start.causes)
        return start

    def withdraw(self, start: Start, version: int, reason: str) -> None:
        """The turn could not start: at this version of the block its claim was refused, or took nothing."""
        self._accounts.put_down(start.runs, started=False)
        for cause in start.causes:
            if pool := self._board.pool(cause, start.agent):
                pool.starting -= 1
                pool.refused[start.agent] = Refusal(version, reason)
        self._board.become_free(self._board.desks[start.agent])

    def close(self, run: str) -> None:
        """The run is being ended from outside: start nothing more for it."""
        self._accounts.close(run)

    def verdicts(self) -> list[Verdict]:
        """The runs that have come to an end: each is told once. Ask only when `next` has nothing."""
        if not self._accounts.resting:
            return []
        return verdicts(self._board, self._accounts, self._team.names, held=bool(self._held), cut=bool(self._cut_off))

    # --- the books

    def _hand_out(self, agent: str, runs: Iterable[str], causes: Iterable[Cause]) -> None:
        self._accounts.hand_out(runs)
        self._board.hand_out(agent, causes)


#: What each event means to the scheduler, by its type; most mean nothing.
_HANDLERS: Final[Mapping[str, Callable[[Scheduler, Any], None]]] = {
    "agent_created": Scheduler._on_agent_created,
    "agent_deleted": Scheduler._on_agent_deleted,
    "block_attached": Scheduler._on_attached,
    "block_changed": Scheduler._on_changed,
    "block_created": Scheduler._on_created,
    "block_deleted": Scheduler._on_deleted,
    "block_detached": Scheduler._on_detached,
    "block_modified": lambda scheduler, event: scheduler._board.block_modified(event),
    "change_refused": lambda scheduler, event: scheduler._board.change_refused(event),
    "handed_over": Scheduler._on_handed_over,
    "run_ended": Scheduler._on_run_ended,
    "run_resumed": Scheduler._on_run_resumed,
    "run_settled": Scheduler._on_run_settled,
    "run_started": Scheduler._on_run_started,
    "step_taken": Scheduler._on_step_taken,
    "turn_ended": Scheduler._on_turn_ended,
    "turn_started": Scheduler._on_turn_started,
}
