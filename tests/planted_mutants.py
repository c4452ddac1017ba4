"""Bugs that are planted in the project itself, each for as long as a test looks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from unittest.mock import patch

import anyio
from planted_in_stores import MUTANTS, planted

from orchestrator import edits
from orchestrator.activity import Activity
from orchestrator.board import Board
from orchestrator.calls import Desk
from orchestrator.changes import Changes
from orchestrator.charging import Accounts
from orchestrator.edits import Update
from orchestrator.errors import TurnLost
from orchestrator.events import BlockChanged
from orchestrator.feed import Feed
from orchestrator.ledger import Ledger
from orchestrator.outcomes import Ending
from orchestrator.ports import Effect
from orchestrator.stores.memory import _Rows
from orchestrator.tools import BlockEdit, HandOff
from orchestrator.turn import Activation

__all__ = ["MUTANTS"]


# --- blocks


@planted
def curator_without_the_check() -> Iterator[None]:
    """A rewrite is made whatever was written since its author read the block."""
    with patch.object(edits, "_check_unchanged", lambda *arguments: None):
        yield


@contextmanager
def _looked_at_before(problem: Callable[[Any, Any], str | None]) -> Iterator[None]:
    """Whether a change may be made is asked in a transaction of its own, before that which makes it."""
    answer = Activation._answer

    async def looked_at(self: Any, call: Any, context: Any, result: Any) -> Any:
        if isinstance(result, BlockEdit):
            found = await self._store.read(lambda rows: self._ledger.changes._find(rows, context.agent, result.label))
            if reason := problem(found[1], result.edit):
                result = Effect.made(text=reason, ok=False)
        return await answer(self, call, context, result)

    with patch.object(Activation, "_answer", looked_at):
        yield


@planted
def limit_checked_before_the_transaction() -> Iterator[None]:
    """Whether there is room is asked before the transaction, and not in it."""
    applied = Changes._applied

    def without_limit(self: Any, tx: Any, block: Any, *others: Any) -> Any:
        return applied(self, tx, block.having(limit=1_000_000), *others)

    def problem(block: Any, edit: Any) -> str | None:
        return "too long" if len(block.value) + 1 + len(edit.text) > block.limit else None

    with patch.object(Changes, "_applied", without_limit), _looked_at_before(problem):
        yield


@planted
def read_only_checked_before_the_transaction() -> Iterator[None]:
    """Whether the block is read-only is asked before the transaction, and not in it."""
    allowed = edits._check_allowed

    def writable(block: Any, *others: Any) -> None:
        allowed(block.having(read_only=False), *others)

    def problem(block: Any, edit: Any) -> str | None:
        return "read-only" if block.read_only else None

    with patch.object(edits, "_check_allowed", writable), _looked_at_before(problem):
        yield


# --- turns


@planted
def claim_after_the_start() -> Iterator[None]:
    """A turn starts, and takes its task in the next transaction."""

    async def start(self: Any, batch: Any) -> None:
        for taking in batch:
            claim = taking.start.claim
            start, id = taking.start._replace(claim=None), self.environment.new_id("turn")
            turn = await self.commit(partial(self.ledger.start_turn, start=start, id=id))
            if claim is not None:
                turn = turn.having(claimed=True)
                await self.commit(partial(_claimed, self.ledger, turn, claim))
            self._take(taking, turn)

    with patch.object(Activity, "_start", start):
        yield


def _claimed(ledger: Any, turn: Any, entry: Any, tx: Any) -> None:
    tx.put_turn(turn)
    ledger.changes.claim(tx, turn, entry.wake, entry.key)


@planted
def end_without_a_shield() -> Iterator[None]:
    """A turn that is cancelled is cancelled once more when it wants to write that it has ended."""

    async def finish(self: Any, status: Any, error: str) -> None:
        with suppress(TurnLost):
            await self._commit(lambda tx: self._ledger.end_turn(tx, self._turn, self._end(status, error=error)))

    with patch.object(Activation, "_finish", finish):
        yield


@planted
def turns_that_end_twice() -> Iterator[None]:
    """Who is cancelled at the moment of its end ends once more: nobody looks at what is stored."""
    run = Activation._run

    async def and_again(self: Any) -> Any:
        result = await run(self)
        if self._scope.cancel_called:
            with anyio.CancelScope(shield=True):
                await self._commit(
                    lambda tx: self._ledger.close_turn(tx, self._turn, self._end("cancelled", error="cancelled"))
                )
        return result

    with patch.object(Activation, "_run", and_again):
        yield


@planted
def context_of_the_first_step() -> Iterator[None]:
    """A later step is shown the blocks as the first one was."""
    context = Activation._context

    def remembered(self: Any, rows: Any) -> Any:
        self.first = getattr(self, "first", None) or context(self, rows)
        return self.first

    with patch.object(Activation, "_context", remembered):
        yield


@planted
def effects_made_again() -> Iterator[None]:
    """A turn that goes on after a crash makes all its calls again, whatever came of them."""
    repeat, answer = Activation._repeat, Ledger.record_answer

    async def all_of_it(self: Any, step: int, past: Any) -> bool:
        return await repeat(self, step, past._replace(effects={}))

    def recorded(self: Any, tx: Any, *others: Any) -> Any:
        forgetful = _Forgetful(tx)
        return answer(self, forgetful, *others)

    def put_effect(self: Any, key: str, effect: Any) -> None:
        self._put(self.effects, key, effect)

    with (
        patch.object(Activation, "_repeat", all_of_it),
        patch.object(Ledger, "record_answer", recorded),
        patch.object(_Rows, "put_effect", put_effect),
    ):
        yield


class _Forgetful:
    def __init__(self, tx: Any) -> None:
        self._tx = tx

    def effect(self, key: str) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)


@planted
def release_of_done_turns_only() -> Iterator[None]:
    """A turn that fails keeps what it holds."""
    release = Changes.release
    close = Ledger.close_turn

    def closed(self: Any, tx: Any, turn: Any, end: Any) -> Any:
        keep = patch.object(Changes, "release", (lambda *_: True) if end.status != "done" else release)
        with keep:
            return close(self, tx, turn, end)

    with patch.object(Ledger, "close_turn", closed):
        yield


# --- handoffs


@planted
def note_and_control_in_two_commits() -> Iterator[None]:
    """The note of a handoff is written, and then control passes."""
    act = Activation._act

    async def in_two(self: Any, step: int, response: Any, shown: Any, answered: Any = ()) -> bool:
        commit = self._commit

        async def noted(work: Any) -> Any:
            handing = getattr(work, "keywords", {}).get("handing")
            if handing is None:
                return await commit(work)
            to, note = handing.wanted
            await commit(lambda tx: self._ledger.changes.edit(tx, self._turn, handing.call.name, note, self._shown))
            unchanged = HandOff(to, note._replace(edit=Update(lambda text: None)))
            return await commit(partial(work, handing=handing._replace(wanted=unchanged)))

        self._commit = noted
        try:
            return await act(self, step, response, shown, answered)
        finally:
            self._commit = commit

    with patch.object(Activation, "_act", in_two):
        yield


@planted
def partners_at_the_same_time() -> Iterator[None]:
    """Nobody waits for the end of a partner's turn."""
    with patch.object(Board, "is_kept_back", lambda *arguments: False):
        yield


# --- who is next, and what runs come to


@planted
def changes_forgotten_at_work() -> Iterator[None]:
    """A change that comes while an agent is at work does not wake it later."""
    changed = Board.block_changed

    def forgotten(self: Any, event: BlockChanged, writer: str) -> None:
        changed(self, event, writer)
        for desk in list(self.desks.values()):
            if desk.at_work and desk.writes.pop(event.key, None):
                self.line_up(desk)

    with patch.object(Board, "block_changed", forgotten):
        yield


@planted
def who_was_last_is_first() -> Iterator[None]:
    """Of a pool, the member that has just become free gets the next turn."""
    idle = Board._become_idle

    def in_front(self: Any, desk: Desk) -> None:
        idle(self, desk)
        for pool in self.pools_of(desk.name):
            if desk.name in pool.idle:
                del pool.idle[desk.name]
                pool.idle = {desk.name: None, **pool.idle}

    with patch.object(Board, "_become_idle", in_front):
        yield


@planted
def events_as_they_come() -> Iterator[None]:
    """Commits are taken into account in the order in which they are reported, not in that of the log."""

    def put(self: Any, events: Any) -> Iterator[Any]:
        for event in events:
            self.last = max(self.last, event.seq)
            yield event
        if self._waiting:
            self._ring()

    with patch.object(Feed, "put", put):
        yield


@planted
def runs_that_do_not_wait_for_their_turns() -> Iterator[None]:
    """A run that is cancelled cancels its turns, and ends before they have."""

    async def stop(self: Any, id: str, status: Any) -> None:
        going = self.going.get(id)
        if going is None:
            return
        await going.opened.wait()
        if id not in self.going:
            return
        self.scheduler.close(id)
        going.stopping = True
        for taking in list(going.turns):
            taking.stop(cut_off=False)
        await self._close([Ending(id, status)])

    with patch.object(Activity, "stop", stop):
        yield


@planted
def charged_in_the_end() -> Iterator[None]:
    """A turn is charged to its run when it ends, so that many can begin that nobody can pay for."""
    hand_out, put_down = Accounts.hand_out, Accounts.put_down

    def for_nothing(self: Any, runs: Any) -> None:
        hand_out(self, runs)
        _charge(self, runs, -1)

    def charged(self: Any, runs: Any, *, started: bool = True) -> None:
        _charge(self, runs, 1)
        put_down(self, runs, started=started)

    with patch.object(Accounts, "hand_out", for_nothing), patch.object(Accounts, "put_down", charged):
        yield


def _charge(accounts: Accounts, runs: Any, turns: int) -> None:
    for id in tuple(runs)[:1]:
        if account := accounts._runs.get(id):
            account.turns += turns
