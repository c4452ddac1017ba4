"""What is not answered, and which runs wait for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from orchestrator.board import Board
from orchestrator.calls import united
from orchestrator.charging import Accounts
from orchestrator.errors import Waiting


class Unanswered(NamedTuple):
    """A call that is not answered: what is told of it, and the runs that wait for the answer."""

    told: Waiting
    runs: tuple[str, ...]


def waiting(
    runs: Iterable[str], board: Board, accounts: Accounts, names: Mapping[str, str], *, messages: bool
) -> dict[str, list[Unanswered]]:
    """By run, the calls that keep it from being complete.

    Args:
        names: of the declared blocks, by key.
        messages: whether messages count. A run whose message lies on a desk is known without looking.
    """
    found: dict[str, list[Unanswered]] = {id: [] for id in runs}
    for call in _unanswered(board, accounts, names, messages):
        for id in call.runs:
            if id in found:
                found[id].append(call)
    return found


def _unanswered(board: Board, accounts: Accounts, names: Mapping[str, str], messages: bool) -> Iterator[Unanswered]:
    for desk in board.laden.values():
        told = Waiting("", (desk.name,), "a message was not answered")
        for cause in desk.messages if messages else ():
            yield Unanswered(told, (cause.run or "",))
        for asked in desk.handed:
            name = names.get(asked.cause.key or "", asked.cause.label or "")
            yield Unanswered(Waiting(name, (desk.name,), "control was handed over and not taken"), asked.runs)
        for key, writes in desk.writes.items():
            runs = united(*(accounts.going(write.runs) for write in writes))
            name = names.get(key, writes[-1].label)
            yield Unanswered(Waiting(name, (desk.name,), "a change was not looked at"), runs)
    for pool in board.pools.values():
        if pool.makes_room:  # who tidies up keeps no run from its end: the work itself is done
            continue
        if pool.need > 0 and (runs := accounts.going(pool.runs)):
            members, name = board.members(pool), names[pool.entry.key]
            why = pool.why_not if members else "they do not see it any more, or are gone"
            yield Unanswered(Waiting(name, members or pool.entry.members, why), runs)
