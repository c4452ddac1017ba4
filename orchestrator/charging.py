"""Who pays: the budgets of the runs that have not ended, and what has been charged to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.events import RunStarted


@dataclass(slots=True)
class Account:
    """What a run may spend, and has spent."""

    max_turns: int
    max_usd: float | None
    #: Turns charged to it, started or only handed out.
    turns: int = 0
    usd: float = 0.0
    #: Turns that work for it and have not ended, started or only handed out.
    active: int = 0
    #: It is being ended: nothing more is started for it. And: from outside, whatever it comes to by itself.
    closing: bool = False
    stopped: bool = False
    #: Its message lies on a desk: until that is taken up, it can only end because it has spent all.
    asked: bool = False
    #: Handoffs for it that lie on desks, and keep it from its end in the same way.
    handed: int = 0
    #: What it comes to is fixed: only sleeptime agents may still take turns.
    settled: bool = False
    #: It was cut off, and nobody has resumed it yet: nothing is started for it, and it does not end.
    cut_off: bool = False

    @property
    def is_spent(self) -> bool:
        """Whether it can pay for no other turn."""
        return self.turns >= self.max_turns or (self.max_usd is not None and self.usd >= self.max_usd)


class Accounts:
    """The accounts of the runs that have not ended, oldest first."""

    def __init__(self) -> None:
        self._runs: dict[str, Account] = {}
        #: Those for which nobody is active, so that they may have come to their end.
        self.resting: dict[str, Account] = {}
        #: And of these, those that may have while others are active.
        self.ending: dict[str, Account] = {}
        #: Those whose outcome is fixed, and that have not ended.
        self.settled: dict[str, Account] = {}
        #: How many turns there are, started or only handed out.
        self.active = 0

    def __contains__(self, id: str) -> bool:
        return id in self._runs

    @property
    def cut_off(self) -> list[str]:
        """The runs that were cut off and not resumed."""
        return [id for id, run in self._runs.items() if run.cut_off]

    def is_cut_off(self, id: str) -> bool:
        """Whether the run was cut off and not resumed."""
        return id in self._runs and self._runs[id].cut_off

    def is_asked(self, id: str) -> bool:
        """Whether the message of the run lies on a desk, or a handoff for it."""
        return id in self._runs and (self._runs[id].asked or self._runs[id].handed > 0)

    @property
    def are_all_cut_off(self) -> bool:
        """Whether nobody is there to pay, not even somebody who has spent all."""
        return all(run.cut_off for run in self._runs.values())

    def open(self, event: RunStarted) -> None:
        """A run begins."""
        self._runs[event.run] = run = Account(event.max_turns, event.max_usd)
        self._rest(event.run, run)

    def _rest(self, id: str, run: Account) -> None:
        self.resting[id] = run
        if not (run.asked or run.handed) or run.is_spent:
            self.ending[id] = run

    def asked(self, id: str, is_asked: bool) -> None:
        """The message of the run is put on a desk, or taken away from there."""
        if run := self._runs.get(id):
            run.asked = is_asked
            self.ending.pop(id, None)
            if id in self.resting:
                self._rest(id, run)

    def handed(self, runs: Iterable[str], count: int) -> None:
        """So many handoffs for the runs are put on a desk, or, less than none, taken away from there."""
        for id in runs:
            if run := self._runs.get(id):
                run.handed += count
                self.ending.pop(id, None)
                if id in self.resting:
                    self._rest(id, run)

    def settle(self, id: str) -> None:
        """What the run comes to is fixed."""
        if found := self._runs.get(id):
            found.settled, found.closing = True, found.stopped
            self.settled[id] = found

    def close(self, id: str) -> None:
        """The run is being ended from outside."""
        if found := self._runs.get(id):
            found.closing = found.stopped = True

    def end(self, id: str) -> None:
        """The run has ended."""
        self._runs.pop(id, None)
        self.resting.pop(id, None)
        self.ending.pop(id, None)
        self.settled.pop(id, None)

    def cut(self) -> None:
        """All that goes on was cut off: the runs are set aside, and no turn is at work."""
        self.active = 0
        self.resting.clear()
        self.ending.clear()
        for run in self._runs.values():
            run.cut_off = True

    def resume(self, id: str) -> None:
        """A run that was cut off goes on."""
        if (found := self._runs.get(id)) and found.cut_off:
            found.cut_off = False
            if not found.active:
                self._rest(id, found)

    def spend(self, id: str, usd: float) -> None:
        """Charge dollars."""
        if found := self._runs.get(id):
            found.usd += usd
            if id in self.resting:
                self._rest(id, found)

    def hand_out(self, runs: Iterable[str]) -> None:
        """A turn is handed out; the first run pays for it."""
        self.active += 1
        for place, id in enumerate(runs):
            if run := self._runs.get(id):
                run.active += 1
                run.turns += place == 0
                self.resting.pop(id, None)
                self.ending.pop(id, None)

    def put_down(self, runs: tuple[str, ...], *, started: bool = True) -> None:
        """A turn has ended; or, not started after all, it is not charged."""
        self.active -= 1
        for place, id in enumerate(runs):
            if run := self._runs.get(id):
                run.active -= 1
                run.turns -= place == 0 and not started
                if not run.active and not run.cut_off:
                    self._rest(id, run)

    def can_pay(self, id: str | None) -> bool:
        """Whether another turn may be charged to the run."""
        found = self._runs.get(id or "")
        return found is not None and not (found.is_spent or found.closing or found.cut_off or found.settled)

    def can_pay_round(self, id: str) -> bool:
        """Whether the turn of a sleeptime agent may be charged to the run before it ends."""
        found = self._runs.get(id)
        return found is not None and found.settled and not (found.is_spent or found.closing or found.cut_off)

    def is_over_with(self, ended: Iterable[str]) -> bool:
        """Whether nothing would go on any more if these runs had ended, but for what was cut off."""
        going = {id for id, run in self._runs.items() if not (run.closing or run.cut_off)}
        return self.active == 0 and going.issubset(ended)

    def charged(self, runs: tuple[str, ...], message: str | None = None) -> tuple[str, ...]:
        """The runs that a turn works for, the one that pays first; none if nobody can pay.

        A message's turn is paid by its run, if that can; any other by the oldest run that can.
        """
        if len(runs) == 1 and message is None and self.can_pay(runs[0]):
            return runs
        going = self.going(runs)
        payers = {id for id in going if self.can_pay(id)}
        if not payers:
            return ()
        first = message if message in payers else next(id for id in self._runs if id in payers)
        assert first is not None, "None is no payer"
        return (first, *(id for id in going if id != first))

    def going(self, runs: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the runs that have not ended; or the one that inherits what they left: the oldest that can pay."""
        going = tuple(id for id in runs if id in self._runs)
        if going or not self._runs:
            return going
        return (next((id for id in self._runs if self.can_pay(id)), next(iter(self._runs))),)
