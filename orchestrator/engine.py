"""A team alive: messages come in, turns run side by side, runs come to an end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, TypeVar, overload

import anyio
from anyio.abc import TaskGroup

from orchestrator.changes import ClaimRefused
from orchestrator.checks import check_count, unusable
from orchestrator.environment import Environment
from orchestrator.errors import DeclarationError, RunError, Stuck, TurnFailed
from orchestrator.events import BlockChanged, Event, RunStatus
from orchestrator.feed import Feed
from orchestrator.ledger import Ledger
from orchestrator.messages import Usage
from orchestrator.models import choose_models
from orchestrator.ports import Model, RunRecord, Store, Transaction, TurnRecord
from orchestrator.runs import Blocks, Budget, Run
from orchestrator.scheduler import Scheduler, Start, Verdict
from orchestrator.stores import MemoryStore
from orchestrator.team import Team
from orchestrator.turn import Activation

_T = TypeVar("_T")

#: How many events are read at a time when a store is opened that was used before.
_REPLAY: Final = 1000


@dataclass(slots=True)
class _Going:
    """A run that has not ended, for those who wait for it."""

    ended: anyio.Event = field(default_factory=anyio.Event)
    result: Run | None = None
    #: The turns that are charged to it, each with the runs it works for; and a bell for when one ends.
    turns: dict[anyio.CancelScope, tuple[str, ...]] = field(default_factory=dict)
    turn_ended: anyio.Event = field(default_factory=anyio.Event)
    #: It is being ended from outside: no turn goes on for its sake.
    stopping: bool = False
    #: Whether it is in the store, or never will be, is known.
    opened: anyio.Event = field(default_factory=anyio.Event)


class Orchestrator:
    """Runs a team. Use it as an async context manager; leaving it cancels what still runs.

    Args:
        team: what to run.
        store: where blocks, history and log are kept; a new `MemoryStore` by default.
        model: a name or a `Model`, for every agent, whatever model it names itself.
        environment: clock, ids, randomness, and how blocking work is run.
        max_concurrency: the most turns at once; None for no limit.

    Raises:
        ModelNotFound: an agent has no model, or one that is not known; at once, before anything is opened.
    """

    def __init__(
        self,
        team: Team,
        store: Store | None = None,
        *,
        model: str | Model | None = None,
        environment: Environment | None = None,
        max_concurrency: int | None = None,
    ) -> None:
        if not isinstance(team, Team):
            raise DeclarationError("an orchestrator", f"needs a Team, not {type(team).__name__}")
        if max_concurrency is not None:
            check_count("an orchestrator", "max_concurrency", max_concurrency)
        if store is not None and (isinstance(store, type) or not hasattr(store, "transact")):
            raise DeclarationError("an orchestrator", f"store is {store!r}; give a Store, such as MemoryStore()")
        if environment is not None and not isinstance(environment, Environment):
            raise DeclarationError("an orchestrator", f"environment is {environment!r}; give an Environment")
        self.team = team
        self._models = choose_models(team, model)
        self._store = MemoryStore() if store is None else store
        self._environment = environment or Environment()
        self._ledger = Ledger(team, self._environment)
        self._scheduler = Scheduler(team, max_concurrency)
        self._feed = Feed(self._store)
        self._going: dict[str, _Going] = {}
        self._failures: dict[str, Exception] = {}
        self._group: TaskGroup | None = None
        self._is_open = False

    async def __aenter__(self) -> Self:
        if self._group is not None:
            raise RunError("this orchestrator was opened before; make a new one")
        await self._store.open()
        try:
            while events := await self._store.events(self._feed.last, _REPLAY):
                self._observe(events)
            await self._commit(self._ledger.declare)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._store.close()
            raise
        group = anyio.create_task_group()
        await group.__aenter__()
        self._group = group
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._is_open = False  # from here on nothing is started
        with anyio.CancelScope(shield=True):
            unended = await self._stop_all()
        self._feed.close()
        try:
            swallowed = await self._leave(kind, error, traceback)
        finally:
            with anyio.CancelScope(shield=True):
                await self._store.close()
        if unended is not None:
            raise unended
        return swallowed

    async def _stop_all(self) -> Exception | None:
        """End what still runs; where the store fails, let go of it all the same, and return the failure."""
        failure = None
        for id, going in list(self._going.items()):
            try:
                await self._stop(id, "cancelled")
            except Exception as error:
                failure = error
                going.ended.set()
        return failure

    async def _leave(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """Leave the task group, with errors as they were raised and not in a group."""
        assert self._group is not None, "a context manager is entered before it is left"
        self._group.cancel_scope.cancel()
        try:
            if error is None or isinstance(error, anyio.get_cancelled_exc_class()):
                return await self._group.__aexit__(kind, error, traceback)
            await self._group.__aexit__(None, None, None)
            return None  # the caller's own error passes as it is
        except BaseExceptionGroup as group:
            if len(group.exceptions) > 1:
                raise
            raise group.exceptions[0] from group.exceptions[0].__cause__

    async def run(self, message: str, *, agent: str | None = None, budget: Budget | None = None) -> Run:
        """Give the team a message and wait until nobody is awake, or the budget is spent.

        Several runs may go on at once; each agent takes one turn at a time. A run that fails is
        returned, with `Run.error`, not raised. Cancelling this call cancels the run.

        Args:
            agent: who gets the message; by default the team's entry.
        """
        if not self._is_open:
            raise RunError("the orchestrator is not open; use: async with Orchestrator(…) as live")
        if not isinstance(message, str) or unusable(message):
            raise RunError("a message must be text without NUL characters and halves of surrogate pairs")
        to = self.team.agent(agent or self.team.entry).name
        budget = Budget() if budget is None else budget
        if not isinstance(budget, Budget):
            raise RunError(f"budget is {budget!r}; give a Budget, such as Budget(turns=50)")
        record = RunRecord(id=self._environment.new_id("run"), agent=to, text=message)
        going = self._going[record.id] = _Going()
        try:
            await self._commit(lambda tx: self._ledger.start_run(tx, record, budget.turns, budget.usd))
        except BaseException:
            del self._going[record.id]  # it was not recorded, so there is nothing to end
            raise
        finally:
            going.opened.set()
        try:
            with anyio.move_on_after(budget.seconds) as deadline:
                await going.ended.wait()
            if deadline.cancelled_caught:
                await self._stop(record.id, "budget")
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._stop(record.id, "cancelled")
            raise
        if going.result is None:
            raise RunError("the orchestrator was closed before the run had ended")
        return going.result

    @overload
    def watch(
        self, *, block: str, run: str | None = None, after: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[BlockChanged]]: ...

    @overload
    def watch(
        self, *, block: None = None, run: str | None = None, after: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]: ...

    def watch(
        self, *, block: str | None = None, run: str | None = None, after: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
        """Events as they happen, in the order of the log; what the watcher is too slow for is not lost.

        It goes on when a run ends, and ends when the orchestrator is closed: let a task watch beside the runs.

            async with live.watch(block="organization") as changes:
                async for change in changes: ...

        Args:
            block: only changes of this block.
            run: only what happens for this run.
            after: begin after the event with this number (0: with the first); by default, with the next one.
        """
        if not self._is_open:
            raise RunError("the orchestrator is not open; use: async with Orchestrator(…) as live")
        if after is not None and (not isinstance(after, int) or after < 0):
            raise RunError(f"after is {after!r}; give the number of an event, or 0 to begin with the first")
        key = None if block is None else self.team.key(block)

        def wanted(event: Event) -> bool:
            if key is not None and not (isinstance(event, BlockChanged) and event.key == key):
                return False
            return run is None or run == getattr(event, "run", None) or run in getattr(event, "runs", ())

        return self._watched(self._feed.last if after is None else after, wanted)

    @asynccontextmanager
    async def _watched(self, after: int, wanted: Callable[[Event], bool]) -> AsyncIterator[AsyncIterator[Event]]:
        async with aclosing(self._feed.follow(after, wanted)) as events:  # type: ignore[type-var]
            yield events

    # --- deciding

    async def _commit(self, work: Callable[[Transaction], _T]) -> _T:
        result, events = await self._store.transact(work)
        self._observe(events)
        self._decide()
        return result

    def _observe(self, events: Sequence[Event]) -> None:
        for event in self._feed.put(events):
            self._scheduler.observe(event)

    def _decide(self) -> None:
        """Start what is ready, and end what has come to its end. Synchronous: nothing changes in between."""
        if self._group is None or not self._is_open:
            return
        batch: list[tuple[Start, anyio.CancelScope]] = []
        while (start := self._scheduler.next()) is not None:
            scope = anyio.CancelScope()
            batch.append((start, scope))
            for id in start.runs:
                if going := self._going.get(id):
                    going.turns[scope] = start.runs
        if batch:
            self._group.start_soon(self._begin, batch, name="start of turns")
        for verdict in self._scheduler.verdicts():
            self._group.start_soon(self._conclude, verdict, name=f"end of {verdict.run}")

    # --- acting

    async def _begin(self, batch: list[tuple[Start, anyio.CancelScope]]) -> None:
        """Start turns, all in one transaction, so that claims are made in the order of the decisions."""
        assert self._group is not None, "turns are decided on while it is open"
        try:
            outcomes = await self._commit(lambda tx: [self._started(tx, start) for start, _ in batch])
        except BaseException:
            for start, scope in batch:
                self._forget(start, scope)  # whoever waits for these turns would wait for ever
            raise
        refused = False
        for (start, scope), outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, ClaimRefused):
                self._scheduler.withdraw(start, outcome.version, outcome.reason)
                self._forget(start, scope)
                refused = True
            else:
                self._group.start_soon(self._take, start, scope, outcome, name=f"turn of {start.agent}")
        if refused:
            self._decide()

    def _started(self, tx: Transaction, start: Start) -> TurnRecord | ClaimRefused:
        try:
            return self._ledger.start_turn(tx, start, self._environment.new_id("turn"))
        except ClaimRefused as refusal:
            return refusal

    async def _take(self, start: Start, scope: anyio.CancelScope, turn: TurnRecord) -> None:
        """See a turn through."""
        activation = Activation(
            turn,
            self.team.agent(turn.agent),
            self._models[turn.agent],
            store=self._store,
            ledger=self._ledger,
            environment=self._environment,
            commit=self._commit,
        )
        try:
            with scope:
                failure = await activation.run()
                if failure is not None:
                    self._failures[turn.id] = failure
        finally:
            self._forget(start, scope)

    def _forget(self, start: Start, scope: anyio.CancelScope) -> None:
        for id in start.runs:
            if going := self._going.get(id):
                going.turns.pop(scope, None)
                going.turn_ended.set()
                going.turn_ended = anyio.Event()

    async def _conclude(self, verdict: Verdict) -> None:
        """A run has come to an end by itself."""
        if verdict.outcome == "budget":
            await self._close(verdict.run, "budget")
        else:
            await self._close(verdict.run, "complete", Stuck(verdict.waiting) if verdict.waiting else None)

    async def _stop(self, id: str, status: RunStatus) -> None:
        """End a run from outside: cancel its turns, but not those that other runs wait for as well."""
        going = self._going.get(id)
        if going is None:
            return
        await going.opened.wait()
        if id not in self._going:
            return
        self._scheduler.close(id)
        going.stopping = True
        mine = [
            scope
            for scope, runs in going.turns.items()
            if all(run not in self._going or self._going[run].stopping for run in runs)
        ]
        for scope in mine:
            scope.cancel()
        while any(scope in going.turns for scope in mine):
            await going.turn_ended.wait()
        await self._close(id, status)

    async def _close(self, id: str, status: RunStatus, error: RunError | None = None) -> None:
        """Record the end of a run and tell whoever waits for it."""
        run = await self._commit(lambda tx: self._ended(tx, id, status, error))
        for turn in run.turns:
            self._failures.pop(turn.id, None)  # the run's error has it, or it was made good
        if going := self._going.pop(id, None):
            going.result = run
            going.ended.set()

    def _ended(self, tx: Transaction, id: str, status: RunStatus, error: RunError | None) -> Run:
        """End the run in the store; what it came to is read in the same transaction."""
        record, turns = tx.run(id), tx.turns(id)
        assert record is not None, "a run is stored when it is opened"
        if status == "complete":
            error = error or self._failed(turns)
            status = "failed" if error else "complete"
        said = [turn.text for turn in turns if turn.agent == record.agent and turn.status == "done"]
        record = self._ledger.end_run(tx, record, status, said[-1] if said else "", str(error) if error else None)
        if record.error is None:
            error = None
        elif error is None:  # it had ended before, from outside or by itself
            error = RunError(record.error)
        charged = tuple(turn for turn in turns if turn.run == id)
        states = {key: block for key in self.team.blocks if (block := tx.block(key))}
        return Run(
            id=id,
            status=record.status,
            output=record.output,
            blocks=Blocks(self.team, states),
            turns=charged,
            usage=sum((turn.usage for turn in charged), Usage()),
            error=error,
        )

    def _failed(self, turns: Sequence[TurnRecord]) -> TurnFailed | None:
        """The failure that nobody made good: an agent's last turn, unless its task went back to others."""
        last = {turn.agent: turn for turn in turns}
        for turn in last.values():
            if turn.status in ("failed", "timed_out") and not (turn.claimed and turn.given_back):
                failure = TurnFailed(turn.agent, turn.status.replace("_", " "), turn.error or "")
                failure.__cause__ = self._failures.get(turn.id)
                return failure
        return None
