"""Who may start a turn, of those who stand in line: why, and who pays for it."""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.board import Board
from orchestrator.calls import Asked, Desk, Pool, united
from orchestrator.charging import Accounts
from orchestrator.events import Cause
from orchestrator.team import WakeEntry


class Start(NamedTuple):
    """A turn that should start now; it must be answered with a `TurnStarted` event or `withdraw`."""

    agent: str
    #: The runs it works for; it is charged to the first.
    runs: tuple[str, ...]
    causes: tuple[Cause, ...]
    #: The wake whose claim has to be made in the transaction that starts the turn.
    claim: WakeEntry | None


def next_start(board: Board, accounts: Accounts) -> Start | None:
    """The turn of the first in line who may take one; None if nobody may."""
    kept: set[str] = set()
    for waiting in board.line.values():
        if isinstance(waiting, Desk):
            start = None if waiting.busy else _of_desk(waiting, board, accounts)
            if start is not None and not board.is_kept_back(start.agent, kept):
                return start
        elif (start := _of_pool(waiting, board, accounts, kept)) is not None:
            return start
    return None


def _asked(desk: Desk, accounts: Accounts) -> Asked | None:
    """The message or the handoff that the agent's next turn is for, and the runs, the one that pays first."""
    message = desk.next_message
    first = Asked(desk.messages[0], (message,)) if message and accounts.can_pay(message) else None
    if not desk.handed or (first is not None and desk.message_is_next):
        return first
    for asked in desk.handed:
        if charged := accounts.charged(asked.runs):
            return Asked(asked.cause, charged)
    return first


def _of_desk(desk: Desk, board: Board, accounts: Accounts) -> Start | None:
    asked = _asked(desk, accounts)
    causes = [] if asked is None else [asked.cause]
    runs = () if asked is None else asked.runs
    payer = None if asked is None else asked.runs[0]
    for pool in board.pools_of(desk.name) if asked else ():
        # A block that calls on behalf of the same run is answered by the same turn.
        free = pool.need > 0 and not pool.broken and not pool.entry.wake.claim
        if free and accounts.going(pool.runs) == runs:
            causes.append(pool.call())
    for key, writes in desk.writes.items():
        last = writes[-1]
        change = {"key": key, "label": last.label, "version": last.version, "by": last.by}
        causes.append(Cause.made(kind="change", **change, wake=last.wake))
        runs = united(runs, *(write.runs for write in writes))
    for count in desk.counts:
        if count.is_reached:
            causes.append(Cause.made(kind="every", wake=count.wake))
            runs = united(runs, count.runs)
    charged = accounts.charged(runs, payer) if causes else ()
    return Start(desk.name, charged, tuple(causes), None) if charged else _of_round(desk, accounts)


def _of_round(desk: Desk, accounts: Accounts) -> Start | None:
    """The turn of a sleeptime agent before a run ends."""
    for count in desk.counts:
        if count.before is not None and accounts.can_pay_round(count.before):
            cause = Cause.made(kind="idle", run=count.before, wake=count.wake)
            return Start(desk.name, (count.before,), (cause,), None)
    return None


def _of_pool(pool: Pool, board: Board, accounts: Accounts, kept: set[str]) -> Start | None:
    if pool.need <= 0 or pool.broken or not pool.idle:
        return None
    charged = accounts.charged(pool.runs)
    if not charged:
        return None
    for name in pool.idle:
        if _asked(board.desks[name], accounts) or not pool.can_claim(name) or board.is_kept_back(name, kept):
            continue
        return Start(name, charged, (pool.call(),), pool.entry if pool.entry.wake.claim else None)
    return None
