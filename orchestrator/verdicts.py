"""Which runs have come to an end by themselves, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from orchestrator.board import Board
from orchestrator.charging import Accounts
from orchestrator.errors import Waiting
from orchestrator.waiting import Unanswered, waiting


class Verdict(NamedTuple):
    """A run has come to an end by itself."""

    run: str
    #: "settled" for one whose outcome was told before: the sleeptime agents have taken their turns since.
    outcome: Literal["complete", "budget", "stuck", "settled"]
    waiting: tuple[Waiting, ...] = ()
    #: It ends only after a round of the sleeptime agents.
    then_round: bool = False


def verdicts(board: Board, accounts: Accounts, names: Mapping[str, str], *, held: bool, cut: bool) -> list[Verdict]:
    """The runs that have come to an end; each is marked as being closed, so that it is told once.

    Args:
        names: of the declared blocks, by key.
        held: whether it is not known yet what some agent still has to answer.
        cut: whether there are turns that were cut off, and that nobody has taken up.
    """
    resting = accounts.resting
    rounds = [id for id, run in accounts.settled.items() if id in resting and not run.closing]
    in_flux = accounts.active > 0 or held or bool(rounds) or any(run.closing for run in resting.values())
    judged = _judged(board, accounts, names, in_flux=in_flux)
    ended = [verdict for verdict in judged if verdict.outcome != "stuck"]
    # Else a turn that works for others may change things, or what they leave undone, or one that was cut off.
    if not ended and not in_flux and not cut:
        ended = judged
    if ended and not held and board.is_round_due:
        ended = _with_round(accounts, ended)
    ended += [Verdict(id, "settled") for id in rounds if resting[id].is_spent or not board.is_in_round(id)]
    for verdict in ended:
        resting[verdict.run].closing = True
    return ended


def _judged(board: Board, accounts: Accounts, names: Mapping[str, str], *, in_flux: bool) -> list[Verdict]:
    """How the runs stand for which nobody is active, but for those for whose calls another run may pay."""
    looked_at = accounts.ending if in_flux else accounts.resting
    runs = [id for id, run in looked_at.items() if not run.closing and not run.settled]
    calls = waiting(runs, board, accounts, names, messages=not in_flux) if runs else {}
    found = [_verdict(accounts, id, unanswered) for id, unanswered in calls.items()]
    return [verdict for verdict in found if verdict is not None]


def _verdict(accounts: Accounts, id: str, calls: Sequence[Unanswered]) -> Verdict | None:
    if not calls and not accounts.is_asked(id):
        return Verdict(id, "complete")
    if not accounts.resting[id].is_spent:
        return Verdict(id, "stuck", tuple(call.told for call in calls))
    if any(accounts.charged(call.runs) for call in calls):
        return None
    return Verdict(id, "budget")


def _with_round(accounts: Accounts, ended: list[Verdict]) -> list[Verdict]:
    """The same; if nothing else goes on, the first that can pay for it ends after a round of the sleeptime agents."""
    payer = next((verdict for verdict in ended if accounts.can_pay(verdict.run)), None)
    if payer is None or not accounts.is_over_with(verdict.run for verdict in ended):
        return ended
    return [verdict._replace(then_round=True) if verdict is payer else verdict for verdict in ended]
