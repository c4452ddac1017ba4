"""Which agents can have turns at the same time, and why.

Worked out from what is declared, by the rules by which the scheduler starts turns:

* a change wakes others when it is written, while the turn that wrote it goes on;
* control that is handed over, and turns that are counted, are looked at when a turn has ended;
* one `Wake(full=)` has one turn at a time; the members of a pool have as many as its text calls for;
* when nobody has anything left to do, sleeptime agents take their turns, and whom those wake waits for the next run;
* partners in handing over never have turns at the same time, and nobody overlaps with itself.

What two agents may do at the same time in one run is a fixed point: two are at work side by side if one wakes the
other and goes on, or if one is at work beside somebody who wakes the other. What several messages, writes of the owner
or leavings of an earlier run bring together is everybody but partners, since any agent can be given a message.

In doubt two are said to overlap: what a `when=` calls for is not known, nor in which order those begin who wait for
one and the same partner.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import combinations
from typing import Final, Literal, NamedTuple

from orchestrator.blocks import OWNER
from orchestrator.checking.report import When
from orchestrator.checking.waking import Waking, calls_at_first, counts
from orchestrator.team import Team, WakeEntry

_SEVERAL: Final = "messages to both at the same time"


class Overlap(NamedTuple):
    """Two agents may have turns at the same time."""

    first: str
    second: str
    #: Whether one message is enough for it, or only several runs that go on at once bring it about.
    when: When
    #: How that may come to be, in words.
    reason: str


class Overlaps:
    """Who may have turns at the same time, in a team."""

    def __init__(self, team: Team, waking: Waking | None = None) -> None:
        self._waking = waking or Waking(team)
        self._order = {agent.name: place for place, agent in enumerate(team.members)}

    @cached_property
    def _in_one_run(self) -> dict[frozenset[str], str]:
        return _Fixpoint(self._waking).reasons()

    def between(self, one: str, other: str) -> Overlap | None:
        """How the two may have turns at the same time; None if they never do."""
        if one == other or other in self._waking.handoffs.partners.get(one, ()):
            return None
        first, second = sorted((one, other), key=self._order.__getitem__)
        reason = self._in_one_run.get(frozenset((one, other)))
        if reason is not None:
            return Overlap(first, second, "in one run", reason)
        return Overlap(first, second, "in several runs", _SEVERAL)

    def among(self, names: Iterable[str]) -> Iterator[Overlap]:
        """The overlaps among these agents, in the order of their declaration."""
        for one, other in combinations(sorted(set(names), key=self._order.__getitem__), 2):
            if (overlap := self.between(one, other)) is not None:
                yield overlap


class _Turn(NamedTuple):
    """A turn of an agent, by what it is for: its work, or only to tidy up."""

    agent: str
    #: The number of the wake that it tidies up for, and of which kind that is; None for work.
    wake: int | None = None
    kind: Literal["work", "full", "every", "idle"] = "work"


class _Calls(NamedTuple):
    """Turns that another turn may call for."""

    targets: tuple[int, ...]
    #: Whether the turn that calls goes on beside them; else they begin when it has ended.
    goes_on: bool
    #: What is said of two of them, where one is beside the other.
    together: str
    #: What calls, with a gap for the one that is called.
    why: str
    kind: Literal["write", "handoff", "count"] = "write"


class _Fixpoint:
    """Computes which turns may go on side by side in one run."""

    def __init__(self, waking: Waking) -> None:
        self._team = team = waking.team
        self._waking = waking
        self._turns: list[_Turn] = [_Turn(agent.name) for agent in team.members]
        for key in waking.full:
            for entry in waking.full[key]:
                self._turns += [_Turn(name, entry.number, "full") for name in entry.members]
        for entry in waking.sleeping:
            kinds: list[Literal["every", "idle"]] = ["every"] if entry.wake.every is not None else []
            kinds += ["idle"] if entry.wake.idle else []
            self._turns += [_Turn(name, entry.number, kind) for name in entry.members for kind in kinds]
        self._number = {turn: number for number, turn in enumerate(self._turns)}
        #: By turn, those that may go on, or wait to begin, while it goes on; one bit each. Of two partners one waits.
        self._beside = [0] * len(self._turns)
        self._partners = [self._partners_of(turn.agent) for turn in self._turns]
        self._why: dict[frozenset[str], str] = {}
        #: Turns that something new goes on beside, in order.
        self._fresh: dict[int, None] = {}
        self._calls = [tuple(self._called_by(turn)) for turn in self._turns]

    def _partners_of(self, name: str) -> int:
        partners = self._waking.handoffs.partners.get(name, frozenset())
        return sum(1 << number for number, turn in enumerate(self._turns) if turn.agent in partners)

    def reasons(self) -> dict[frozenset[str], str]:
        """By pair of agents that may overlap in one run, how."""
        self._begin()
        while self._fresh:
            turn = next(iter(self._fresh))
            del self._fresh[turn]
            for calls in self._calls[turn]:
                self._spread(turn, calls)
        return self._why

    # --- what begins a run, and what turns call for

    def _begin(self) -> None:
        """Who is at work together as soon as one thing has called: in words, the plainest reason comes first."""
        for entries in self._waking.pools.values():
            for entry in entries:
                self._all_beside([self._of_pool(entry, "")])
        for turn, calls in enumerate(self._calls):
            for called in calls:
                if called.goes_on:
                    self._beside_its_caller(turn, called)
        for calls in self._calls:
            self._all_beside([called for called in calls if called.goes_on])
            counted = [called for called in calls if called.kind == "count"]
            self._all_beside(counted)
            for called in calls:
                if called.kind == "handoff":  # one of them at a time
                    self._all_beside([called, *counted])
        self._begin_alone()
        self._fresh = dict.fromkeys(range(len(self._turns)))

    def _begin_alone(self) -> None:
        """Who is called together though nobody was at work: by the owner, by the declared text, at a run's end."""
        for key in dict.fromkeys((*self._waking.pools, *self._waking.changes, *self._waking.full)):
            self._all_beside([*self._by_block(key, OWNER, OWNER)])
        idle = tuple(number for number, turn in enumerate(self._turns) if turn.kind == "idle")
        self._all_beside([_Calls(idle, False, "both are woken when nobody has anything left to do", "")])
        for entries in self._waking.pools.values():
            for entry in entries:
                if calls_at_first(entry):
                    self._beside_a_message(entry)

    def _beside_its_caller(self, turn: int, calls: _Calls) -> None:
        name = self._turns[turn].agent
        for target in calls.targets:
            why = f"{calls.why.format(self._turns[target].agent)} while {name} goes on"
            self._put(turn, target, why, either_first=self._is_called_again(name))

    def _beside_a_message(self, entry: WakeEntry) -> None:
        """The declared text calls for a pool, so whoever gets the first message is at work beside it."""
        name = self._team.names[entry.key]
        for agent in self._team.members:
            for member in entry.members:
                why = f"{name} calls for {member} from the first message on, whoever that is for"
                self._put(self._number[_Turn(agent.name)], self._number[_Turn(member)], why)

    def _all_beside(self, called: list[_Calls]) -> None:
        """All that one thing calls for go on side by side."""
        by_target: dict[int, _Calls] = {}
        for calls in called:
            for target in calls.targets:
                by_target.setdefault(target, calls)
        everybody = sum(1 << target for target in by_target)
        for one, calls in by_target.items():
            for other in _bits(everybody & ~self._beside[one] & ~(1 << one)):
                self._put(one, other, self._both(one, calls, other, by_target[other]))

    def _both(self, one: int, calls: _Calls, other: int, others: _Calls) -> str:
        if calls.together == others.together:
            return calls.together
        named = self._turns[one].agent, self._turns[other].agent
        return f"{calls.why.format(named[0])} while {others.why.format(named[1])}"

    def _called_by(self, turn: _Turn) -> Iterator[_Calls]:
        if turn.kind == "idle":  # what the run comes to is fixed: whom this wakes waits for the next one
            return
        name = turn.agent
        for key, by in self._waking.writings[name]:
            yield from self._by_block(key, by, name)
        if turn.kind == "work":  # who only tidies up claims nothing, hands nothing over, and is not counted
            for key in self._waking.claims(name):
                yield from self._by_text(key, name)
            yield from self._at_its_end(name)

    def _by_block(self, key: str, by: str, writer: str) -> Iterator[_Calls]:
        """Those that a change calls for."""
        block = self._team.names[key]
        change = f"{_said(writer)}'s change of {block}"
        yield from self._by_text(key, writer)
        for entry in self._waking.changes.get(key, ()):
            if counts(entry.wake, by):
                woken = tuple(self._number[_Turn(member)] for member in entry.members if member != writer)
                yield _Calls(woken, True, f"both are woken by changes of {block}", f"{change} wakes {{}}")
        for entry in self._waking.full.get(key, ()):
            if writer not in entry.members:
                makers = tuple(self._number[_Turn(name, entry.number, "full")] for name in entry.members)
                yield _Calls(makers, True, f"both make room in {block}", f"{change} wakes {{}} to make room")

    def _by_text(self, key: str, writer: str) -> Iterator[_Calls]:
        """Those that a text calls for, whoever has written it."""
        for entry in self._waking.pools.get(key, ()):
            yield self._of_pool(entry, writer)

    def _of_pool(self, entry: WakeEntry, writer: str) -> _Calls:
        block = self._team.names[entry.key]
        members = tuple(self._number[_Turn(member)] for member in entry.members if member != writer)
        together = f"members of one pool, which {block} calls for"
        return _Calls(members, True, together, f"{block} calls for {{}} after a change by {_said(writer)}")

    def _at_its_end(self, name: str) -> Iterator[_Calls]:
        for to, _ in self._waking.hands(name):
            yield _Calls((self._number[_Turn(to)],), False, "", f"{name} hands over to {{}}", "handoff")
        again = self._is_called_again(name)
        for entry in self._waking.sleeping:
            if entry.wake.every is not None and counts(entry.wake, name):
                others = [member for member in entry.members if member != name]
                sleepers = tuple(self._number[_Turn(member, entry.number, "every")] for member in others)
                turns = "every turn" if entry.wake.every == 1 else f"every {entry.wake.every} turns"
                together, why = f"both are woken after {turns} of others", f"{{}} is woken after {turns} of others"
                yield _Calls(sleepers, again, together, why, "count")

    def _is_called_again(self, name: str) -> bool:
        """Whether a text may call for somebody whose turn has only just ended."""
        return any(name in entry.members for entries in self._waking.pools.values() for entry in entries)

    # --- the fixed point

    def _spread(self, turn: int, calls: _Calls) -> None:
        """Whoever is there while a turn goes on is so beside those that it calls for."""
        for target in calls.targets:
            news = self._beside[turn] & (~self._beside[target] | self._partners[target]) & ~(1 << target)
            for other in _bits(news):
                why = calls.why.format(self._turns[target].agent)
                self._put(target, other, f"{why} while {self._turns[other].agent} is at work")

    def _put(self, one: int, other: int, why: str, *, either_first: bool = True) -> None:
        """The other one is there while this one goes on; and this one while the other goes on, but for partners of
        whom this one comes first.
        """
        first, second = self._turns[one], self._turns[other]
        # A wake that makes room has one turn at a time.
        if one == other or (first.kind == "full" and first.kind == second.kind and first.wake == second.wake):
            return
        is_mutual = either_first or not self._partners[one] >> other & 1
        for at_work, there in ((one, other), (other, one)) if is_mutual else ((one, other),):
            if not self._beside[at_work] >> there & 1:
                self._beside[at_work] |= 1 << there
                self._fresh[at_work] = None
        if first.agent != second.agent:
            self._why.setdefault(frozenset((first.agent, second.agent)), why)


def _said(writer: str) -> str:
    return "the owner" if writer == OWNER else writer


def _bits(mask: int) -> Iterator[int]:
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest
