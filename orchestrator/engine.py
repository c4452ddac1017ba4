"""A team alive: messages come in, turns run side by side, runs come to an end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self, overload

import anyio
from anyio.abc import TaskGroup

from orchestrator.activity import Activity
from orchestrator.blocks import Attachment, BlockState
from orchestrator.checks import check_count, unusable
from orchestrator.declaring import declare, recalled
from orchestrator.environment import Environment, ambient
from orchestrator.errors import DeclarationError, RunError, StoreError, UnknownName
from orchestrator.events import BlockChanged, Event
from orchestrator.feed import chosen
from orchestrator.ledger import Ledger
from orchestrator.models import Models
from orchestrator.outcomes import told
from orchestrator.owner import BlockReference, Office, OwnedAgents, OwnedBlocks
from orchestrator.ports import Model, Reader, RunRecord, Store
from orchestrator.prompting import load_prompts
from orchestrator.roster import Roster
from orchestrator.runs import Budget, Run
from orchestrator.stores import MemoryStore
from orchestrator.team import Team

#: How many events are read at a time when a store is opened that was used before.
_REPLAY: Final = 1000

#: A run by its id, as it was read, or as it ended.
RunReference = str | RunRecord | Run


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
        self._environment = environment or ambient()
        self._models = Models(team.members, model, self._environment)
        self._store = self._environment.witnessed(MemoryStore() if store is None else store, team)
        self._roster = Roster(team)
        self._ledger = Ledger(self._roster, self._environment)
        self._activity = Activity(self._store, self._ledger, self._models, self._environment, max_concurrency)
        self._group: TaskGroup | None = None
        self._is_open = False
        self._cut_off: tuple[RunRecord, ...] = ()
        office = Office(self._activity, self._models, self._check_open)
        #: The blocks and the agents of the live team, for its owner.
        self.blocks = OwnedBlocks(office)
        self.agents = OwnedAgents(office, self.run)

    # --- open and closed

    async def __aenter__(self) -> Self:
        if self._group is not None:
            raise RunError("this orchestrator was opened before; make a new one")
        load_prompts()
        await self._store.open(self._environment)
        try:
            await self._recall()
            await self._activity.commit(lambda tx: declare(tx, self._ledger.changes))
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._store.close()
            raise
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._is_open = True
        self._activity.begin(self._group)
        return self

    async def _recall(self) -> None:
        """Take up what the store knows: the agents that the owner made, the log, and what was cut off."""
        activity = self._activity
        for agent, settings in await self._store.read(lambda rows: recalled(rows, self._roster)):
            self._roster.put(agent)
            self._models.put(agent)
            activity.scheduler.join(agent.name, dict(settings.wakes), settings.sleeps)
        while events := await self._store.events(activity.feed.last, _REPLAY):
            activity.observe(events)
        activity.scheduler.cut_off()
        self._cut_off = await self._store.read(lambda rows: tuple(rows.runs("running")))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._is_open = False
        self._activity.end()  # from here on nothing is started
        with anyio.CancelScope(shield=True):
            unended = await self._activity.stop_all()
        self._activity.feed.close()
        try:
            swallowed = await self._leave(kind, error, traceback)
        finally:
            with anyio.CancelScope(shield=True):
                await self._store.close()
        if unended is not None:
            raise unended
        return swallowed

    async def _leave(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """Leave the task group, with errors as they were raised and not in a group."""
        assert self._group is not None, "a context manager is entered before it is left"
        self._activity.close()
        self._group.cancel_scope.cancel()
        try:
            if error is None or isinstance(error, anyio.get_cancelled_exc_class()):
                return await self._group.__aexit__(kind, error, traceback)
            await self._group.__aexit__(None, None, None)
            return None  # the caller's own error passes as it is
        except BaseExceptionGroup as group:
            # A store that fails, fails for all who are about to write.
            if len(group.exceptions) > 1 and group.split(StoreError)[1] is not None:
                raise
            raise group.exceptions[0] from group.exceptions[0].__cause__

    def _check_open(self) -> None:
        if not self._is_open:
            raise RunError("the orchestrator is not open; use: async with Orchestrator(…) as live")

    # --- runs

    async def run(self, message: str, *, agent: str | None = None, budget: Budget | None = None) -> Run:
        """Give the team a message and wait until nobody is awake, or the budget is spent.

        Several runs may go on at once; each agent takes one turn at a time. A run that fails is
        returned, with `Run.error`, not raised. Cancelling this call cancels the run.

        Args:
            agent: who gets the message; by default the team's entry.
        """
        self._check_open()
        if not isinstance(message, str) or unusable(message):
            raise RunError("a message must be text without NUL characters and halves of surrogate pairs")
        to = self._roster.agent(agent or self.team.entry).name
        budget = Budget() if budget is None else budget
        if not isinstance(budget, Budget):
            raise RunError(f"budget is {budget!r}; give a Budget, such as Budget(turns=50)")
        record = self._record(to, message, budget)
        going, _ = await self._activity.open_run(record, lambda tx: self._check_is_there(tx, to))
        return await self._activity.wait(record.id, going, record.max_seconds)

    def _check_is_there(self, rows: Reader, agent: str) -> None:
        """Its owner may be deleting it at the same time: then there is either no agent, or a message to answer."""
        if rows.agent(agent) is None:
            raise UnknownName(f"team {self.team.name!r}", f"has no agent {agent!r} any more")

    def _record(self, agent: str, text: str, budget: Budget) -> RunRecord:
        return RunRecord(
            id=self._environment.new_id("run"),
            agent=agent,
            text=text,
            at=self._environment.now(),
            max_turns=budget.turns,
            max_usd=budget.usd,
            max_seconds=budget.seconds,
        )

    @property
    def cut_off(self) -> tuple[RunRecord, ...]:
        """The runs that were cut off when a process ended before they did, oldest first.

        `await live.resume(run)` goes on with one of them.
        """
        waiting = set(self._activity.scheduler.runs_cut_off)
        return tuple(run for run in self._cut_off if run.id in waiting)

    async def resume(self, run: RunReference) -> Run:
        """Go on with a run that was cut off, and wait until nobody is awake, or its budget is spent.

        Its turns go on where they were: an answer that a model has given is not asked for again, and what a tool call
        came to stays. A tool call that was under way is made again, under the same `ToolContext.key`. Turns and
        dollars that it has spent stay spent; its seconds begin anew. A run that has ended is returned as it ended.

        Turns that go on are not held back by `max_concurrency`; new ones are.

        A message that comes before a run is resumed lets go of the turns that were cut off: their tasks go back, and
        resuming starts other turns for what they left undone.

        Args:
            run: one of `cut_off`, or its id; `RunError` if there is none, or if it goes on already.
        """
        self._check_open()
        id = _id_of(run)
        ended = await self._store.read(lambda rows: self._as_ended(rows, id))
        if isinstance(ended, Run):
            return ended
        self._check_open()  # from here on nothing is waited for until the run is known to go on
        if id in self._activity.going:
            raise RunError(f"run {id!r} goes on already")
        going = await self._activity.resume_run(ended)
        return await self._activity.wait(id, going, ended.max_seconds)

    def _as_ended(self, rows: Reader, id: str) -> Run | RunRecord:
        record = rows.run(id)
        if record is None:
            known = ", ".join(run.id for run in self.cut_off) or "none"
            raise RunError(f"there is no run {id!r} in the store; those that were cut off: {known}")
        return record if record.status == "running" else told(rows, record, rows.turns(id))

    async def cancel(self, run: RunReference) -> Run:
        """End a run that goes on, or that was cut off, as cancelled; one that has ended stays as it ended."""
        self._check_open()
        record = await self._store.read(lambda rows: self._as_ended(rows, _id_of(run)))
        if isinstance(record, Run):
            return record
        return await self._activity.give_up(record)

    async def wait_idle(self) -> None:
        """Wait until every run has ended: those of other callers, and those that the owner's changes have opened."""
        self._check_open()
        await self._activity.wait_idle()

    # --- watching

    @overload
    def watch(
        self, *, block: BlockReference, run: RunReference | None = None, after: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[BlockChanged]]: ...

    @overload
    def watch(
        self, *, block: None = None, run: RunReference | None = None, after: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]: ...

    def watch(
        self, *, block: BlockReference | None = None, run: RunReference | None = None, after: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
        """Events as they happen, in the order of the log; what the watcher is too slow for is not lost.

        It goes on when a run ends, and ends when the orchestrator is closed: let a task watch beside the runs.

            async with live.watch(block="organization") as changes:
                async for change in changes: ...

        Args:
            block: only changes of this block. One that was made while the team is live is named by its id.
            run: only what happens for this run; entering raises `RunError` if there is none of this id.
            after: begin after the event with this number (0: with the first); by default, with the next one.
        """
        self._check_open()
        if after is not None and (not isinstance(after, int) or after < 0):
            raise RunError(f"after is {after!r}; give the number of an event, or 0 to begin with the first")
        key = None if block is None else self._key(block)
        return self._watched(
            self._activity.feed.last if after is None else after, key, None if run is None else _id_of(run)
        )

    @asynccontextmanager
    async def _watched(self, after: int, key: str | None, run: str | None) -> AsyncIterator[AsyncIterator[Event]]:
        if run is not None and await self._store.read(lambda rows: rows.run(run)) is None:
            raise RunError(f"there is no run {run!r} in the store")  # else it would be waited for, for ever
        async with aclosing(self._activity.feed.follow(after, chosen(key, run))) as events:  # type: ignore[type-var]
            yield events

    def _key(self, block: BlockReference) -> str:
        """The stored key of a block that is declared, or that was read."""
        if isinstance(block, BlockState):
            return block.key
        if isinstance(block, str) and block.startswith(f"{self.team.name}:"):
            return block
        declared = block.block if isinstance(block, Attachment) else block
        key = self.team.key(declared) if isinstance(declared, str) else self._roster.key_of(declared)
        if key is None:
            raise UnknownName(f"team {self.team.name!r}", "does not have this Block; create it, or give a name")
        return key


def _id_of(run: RunReference) -> str:
    if not isinstance(run, str | RunRecord | Run):
        raise RunError(f"a run is {run!r}; give its id")
    return run if isinstance(run, str) else run.id
