"""What goes on in a team that is open: turns are started and seen through, runs come to an end.

Whatever is committed is observed; whatever is observed may call for turns to start and runs to end. That is decided
synchronously, and handed to tasks which act on it: what is decided together is written together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

import anyio
from anyio.abc import TaskGroup

from orchestrator.changes import ClaimRefused
from orchestrator.environment import Environment
from orchestrator.errors import RunError, Stuck
from orchestrator.events import Event, RunStatus
from orchestrator.feed import Feed
from orchestrator.ledger import Ledger
from orchestrator.outcomes import Ending, come_to, told
from orchestrator.ports import Model, RunRecord, Store, Transaction, TurnRecord
from orchestrator.roster import Roster
from orchestrator.runs import Run
from orchestrator.scheduler import Scheduler
from orchestrator.seats import Seats, Taking
from orchestrator.starts import Start
from orchestrator.turn import Activation
from orchestrator.verdicts import Verdict

_T = TypeVar("_T")


class Models(Protocol):
    """Who answers for an agent."""

    def of(self, agent: str) -> Model:
        """The model of the agent."""
        ...


@dataclass(slots=True, eq=False)
class Going:
    """A run that has not ended, for those who wait for it."""

    ended: anyio.Event = field(default_factory=anyio.Event)
    result: Run | None = None
    #: The turns that work for it; and a bell for when one ends.
    turns: dict[Taking, None] = field(default_factory=dict)
    turn_ended: anyio.Event = field(default_factory=anyio.Event)
    #: It is being ended from outside: no turn goes on for its sake.
    stopping: bool = False
    #: Whether it is in the store, or never will be, is known.
    opened: anyio.Event = field(default_factory=anyio.Event)

    def outcome(self) -> Run:
        """What it came to; `RunError` if it was let go of before its end."""
        if self.result is None:
            raise RunError("the orchestrator was closed before the run had ended")
        return self.result


class Activity:
    """The turns and runs of a team while it is open."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        models: Models,
        environment: Environment,
        max_concurrency: int | None,
    ) -> None:
        self.store = store
        self.ledger = ledger
        self.environment = environment
        self.roster: Roster = ledger.roster
        self.scheduler = Scheduler(self.roster.team, max_concurrency)
        self.feed = Feed(store)
        self.going: dict[str, Going] = {}
        self._models = models
        self._failures: dict[str, Exception] = {}
        #: Why runs fail, or None, whose outcome is fixed; sleeptime agents still take turns for them.
        self._errors: dict[str, RunError | None] = {}
        self._group: TaskGroup | None = None
        self._is_ended = False
        self._seats = Seats(self._see_through, self._forget)
        #: Turns that are handed out and not written yet, and a bell for them.
        self._handed_out: list[Taking] = []
        self._more = anyio.Event()
        #: Runs that have come to their end by themselves and are not ended yet, and a bell for them.
        self._over: list[Verdict] = []
        self._any_over = anyio.Event()

    # --- open and closed

    def begin(self, group: TaskGroup) -> None:
        """From here on turns are started, in this group."""
        self._group = group
        group.start_soon(self._seats.last, self._start_turns, name="start of turns")
        group.start_soon(self._seats.last, self._end_runs, name="end of runs")
        self._decide()

    def end(self) -> None:
        """From here on nothing is started, but for what is handed out: it is waited for."""
        self._is_ended = True

    def close(self) -> None:
        """All runs have ended: nobody will take a turn any more."""
        self._seats.close()

    # --- deciding

    async def commit(self, work: Callable[[Transaction], _T]) -> _T:
        """Commit a piece of work, and do what follows from it."""
        result, events = await self.store.transact(work)
        self.observe(events)
        self._decide()
        return result

    def observe(self, events: Sequence[Event]) -> None:
        """Take what was committed into account, in the order of the log."""
        for event in self.feed.put(events):
            self.scheduler.observe(event)

    def _decide(self) -> None:
        """Start what is ready, and end what has come to its end. Synchronous: nothing changes in between."""
        if self._group is None or self._is_ended:
            return
        while (start := self.scheduler.next()) is not None:
            self._handed_out.append(self._taking(Taking(start.runs, start)))
        if self._handed_out:
            self._more.set()
        if verdicts := self.scheduler.verdicts():
            self._over += verdicts
            self._any_over.set()
        elif turns := self.scheduler.in_the_way():
            self._group.start_soon(self.commit, partial(self._let_go, turns), name="end of turns that were cut off")

    def _taking(self, taking: Taking) -> Taking:
        for id in taking.runs:
            if going := self.going.get(id):
                going.turns[taking] = None
        return taking

    def release(self, agent: str) -> None:
        """An agent that was held may have turns again."""
        self.scheduler.release(agent)
        self._decide()

    def leave(self, agent: str) -> None:
        """An agent that was held is gone; a run that waited for it may have come to its end."""
        self.scheduler.leave(agent)
        self._seats.leave(agent)
        self._decide()

    # --- turns

    async def _start_turns(self) -> None:
        """Start what was handed out, all in one transaction, so that claims are made in the order of the decisions."""
        while True:
            await self._more.wait()
            batch, self._handed_out, self._more = self._handed_out, [], anyio.Event()
            try:
                await self._start(batch)
            except BaseException:
                self.end()
                for taking in (*batch, *self._handed_out):
                    self._forget(taking)  # whoever waits for these turns would wait for ever
                raise

    async def _start(self, batch: list[Taking]) -> None:
        starts = [taking.start for taking in batch if taking.start is not None]
        outcomes = await self.commit(lambda tx: [self._started(tx, start) for start in starts])
        refused = False
        for taking, start, outcome in zip(batch, starts, outcomes, strict=True):
            if isinstance(outcome, ClaimRefused):
                self.scheduler.withdraw(start, outcome.version, outcome.reason)
                self._forget(taking)
                refused = True
            else:
                self._take(taking, outcome)
        if refused:
            self._decide()

    def _started(self, tx: Transaction, start: Start) -> TurnRecord | ClaimRefused:
        try:
            return self.ledger.start_turn(tx, start, self.environment.new_id("turn"))
        except ClaimRefused as refusal:
            return refusal

    def _take(self, taking: Taking, turn: TurnRecord) -> None:
        """See a turn through, in the task of its agent."""
        activation = Activation(
            turn,
            self.roster.agent(turn.agent),
            self._models.of(turn.agent),
            store=self.store,
            ledger=self.ledger,
            environment=self.environment,
            commit=self.commit,
        )
        assert self._group is not None, "turns are handed out in a team that is open"
        self._seats.take(self._group, turn.agent, taking, activation)

    async def _see_through(self, taking: Taking, activation: Activation) -> None:
        try:
            failure = await activation.run()
            if failure is not None:
                self._failures[activation.id] = failure
        finally:
            self._forget(taking)

    def _forget(self, taking: Taking) -> None:
        for id in taking.runs:
            if going := self.going.get(id):
                going.turns.pop(taking, None)
                if going.stopping:
                    going.turn_ended.set()
                    going.turn_ended = anyio.Event()

    # --- runs

    async def open_run(self, record: RunRecord, work: Callable[[Transaction], _T]) -> tuple[Going, _T]:
        """Open a run, with the work that opens it; turns that were cut off and not resumed are let go of."""
        let_go = self.scheduler.take_up()

        def opened(tx: Transaction) -> _T:
            self._let_go(let_go, tx)
            self.ledger.start_run(tx, record)
            return work(tx)

        return await self._going(record.id, opened, let_go)

    async def resume_run(self, record: RunRecord) -> Going:
        """Go on with a run that was cut off, and with its turns."""
        taken_up = self.scheduler.take_up(record.id)
        going, turns = await self._going(
            record.id, lambda tx: self.ledger.resume_run(tx, record.id, taken_up), taken_up
        )
        for turn in turns:
            self._take(self._taking(Taking(turn.runs)), turn)
        return going

    async def _going(
        self, id: str, work: Callable[[Transaction], _T], taken_up: Sequence[str], *, stopping: bool = False
    ) -> tuple[Going, _T]:
        """The run, from the moment when that is committed which makes it go on."""
        # One that was cut off may have a turn at work, for which another run pays.
        at_work = {taking: None for other in self.going.values() for taking in other.turns if id in taking.runs}
        going = self.going[id] = Going(turns=at_work, stopping=stopping)
        try:
            result = await self.commit(work)
        except BaseException:
            del self.going[id]  # it was not recorded, so there is nothing to end
            going.ended.set()
            self.scheduler.set_aside(taken_up)
            raise
        finally:
            going.opened.set()
        return going, result

    async def wait(self, id: str, going: Going, seconds: float | None) -> Run:
        """Wait until a run has ended; who is cancelled meanwhile cancels it."""
        try:
            with anyio.move_on_after(seconds) as deadline:
                await going.ended.wait()
            if deadline.cancelled_caught:
                await self.stop(id, "budget")
        except anyio.get_cancelled_exc_class():
            try:
                with anyio.CancelScope(shield=True):
                    await self.stop(id, "cancelled")
            except anyio.get_cancelled_exc_class():  # asyncio's own way to cancel knows no shield
                self._stop_soon(id)
                raise
            raise
        return going.outcome()

    async def stop(self, id: str, status: RunStatus) -> None:
        """End a run from outside: cancel its turns, but not those that other runs wait for as well."""
        going = self.going.get(id)
        if going is None:
            return
        await going.opened.wait()
        if id not in self.going:
            return
        self.scheduler.close(id)
        going.stopping = True
        mine = [
            taking
            for taking in going.turns
            if all(run not in self.going or self.going[run].stopping for run in taking.runs)
        ]
        for taking in mine:
            taking.stop(cut_off=any(self.scheduler.is_cut_off(run) for run in taking.runs))
        while any(taking in going.turns for taking in mine):
            await going.turn_ended.wait()
        await self._close([Ending(id, status)])

    def _stop_soon(self, id: str) -> None:
        assert self._group is not None, "runs go on in a team that is open"
        self._group.start_soon(self.stop, id, "cancelled", name="end of a run")

    async def give_up(self, record: RunRecord) -> Run:
        """End a run as cancelled, whether it goes on or was cut off."""
        if going := self.going.get(record.id):
            # Not here: who asks for it may be cancelled, and a run that is being ended must come to its end.
            self._stop_soon(record.id)
            await going.ended.wait()
            return going.outcome()
        let_go = self.scheduler.take_up(record.id)

        def given_up(tx: Transaction) -> Run:
            self._let_go(let_go, tx)
            run = self._ended(tx, Ending(record.id, "cancelled"))
            assert run is not None, "no round is asked for"
            return run

        # It goes on from here to its end, so that nobody resumes it meanwhile; no turn goes on for its sake.
        going, run = await self._going(record.id, given_up, let_go, stopping=True)
        del self.going[record.id]
        going.result = run
        going.ended.set()
        return run

    def _let_go(self, turns: Iterable[str], tx: Transaction) -> None:
        for turn in turns:
            self.ledger.let_go(tx, turn)

    async def wait_idle(self) -> None:
        """Wait until no run goes on."""
        while self.going:
            await next(iter(self.going.values())).ended.wait()

    async def stop_all(self) -> Exception | None:
        """End what still goes on; where the store fails, let go of it all the same, and return the failure."""
        failure = None
        for id, going in list(self.going.items()):
            try:
                await self.stop(id, "cancelled")
            except Exception as error:
                failure = error
                self.going.pop(id, None)
                going.ended.set()
        return failure

    async def _end_runs(self) -> None:
        """End the runs that come to their end by themselves; those together that do so while others are ended."""
        while True:
            await self._any_over.wait()
            verdicts, self._over, self._any_over = self._over, [], anyio.Event()
            await self._conclude(verdicts)

    async def _conclude(self, verdicts: Iterable[Verdict]) -> None:
        """Runs have come to an end by themselves."""
        endings: list[Ending] = []
        for verdict in verdicts:
            stuck = Stuck(verdict.waiting) if verdict.waiting else None
            status: RunStatus = "budget" if verdict.outcome == "budget" else "complete"
            endings.append(Ending(verdict.run, status, stuck, verdict.then_round))
        await self._close(endings)

    async def _close(self, endings: Sequence[Ending]) -> None:
        """Record the ends of runs and tell whoever waits for them."""
        runs = await self.commit(lambda tx: [self._ended(tx, ending) for ending in endings])
        for run in runs:
            if run is None:  # it goes on for a round of the sleeptime agents
                continue
            self._errors.pop(run.id, None)
            for turn in run.turns:
                self._failures.pop(turn.id, None)  # the run's error has it, or it was made good
            if going := self.going.pop(run.id, None):
                going.result = run
                going.ended.set()

    def _ended(self, tx: Transaction, ending: Ending) -> Run | None:
        """End the run in the store, or fix what it comes to: None. What that is, is read in the same transaction."""
        record, turns = tx.run(ending.run), tx.turns(ending.run)
        assert record is not None, "a run is stored when it is opened"
        if record.status != "running":
            return told(tx, record, turns)
        if record.settled is not None:
            return told(tx, self.ledger.end_run(tx, record), turns, self._errors.get(record.id))
        outcome = come_to(record, turns, ending, self.roster.team.entry, self._failures)
        if ending.then_round:
            self._errors[record.id] = outcome.error
            self.ledger.settle_run(tx, record, outcome)
            return None
        return told(tx, self.ledger.end_run(tx, record, outcome), turns, outcome.error)
