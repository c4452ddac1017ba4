"""Who may hand control to whom over which block, who for that reason never acts at the same time, and what came of it.

Only what code declares counts: an agent that is shown the note while the team is live, and was not declared with it,
neither hands over nor is kept from acting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from orchestrator.blocks import Grant
from orchestrator.ports import Reader, TurnRecord
from orchestrator.team import Team, WakeEntry


class HandOffRefused(Exception):
    """Control was not handed over, and nothing was written; `code` is a stable word for logs."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _Way(NamedTuple):
    """From an author over a block to an agent: at most so many handoffs in a run, and by which of the wakes."""

    most: int
    wake: int


class Handoffs:
    """The ways that control may go in a team."""

    def __init__(self, team: Team) -> None:
        self._ways: dict[tuple[str, str], dict[str, _Way]] = {}
        joined: dict[str, set[str]] = {}
        for entry in team.wakes:
            most = entry.wake.handoffs
            if most is None:
                continue
            authors = entry.wake.authors or _writers(team, entry)
            joined.setdefault(entry.key, set()).update(authors, entry.members)
            for author in authors:
                ways = self._ways.setdefault((author, entry.key), {})
                for member in entry.members:
                    if member != author and (member not in ways or ways[member].most < most):
                        ways[member] = _Way(most, entry.number)
        #: By agent, those who never have a turn at the same time: all that some block joins with it by handoffs.
        self.partners: Mapping[str, frozenset[str]] = {
            name: frozenset().union(*(names for names in joined.values() if name in names)) - {name}
            for name in set().union(*joined.values())
        }

    def wake(self, author: str, key: str, to: str) -> int | None:
        """Which of the team's wakes it is that a handoff is for; None if the team was declared without it."""
        way = self._ways.get((author, key), {}).get(to)
        return None if way is None else way.wake

    def number(self, rows: Reader, turn: TurnRecord, to: str, key: str, label: str) -> int:
        """Which of the run's handoffs over the block this one would be, from 1; or `HandOffRefused`."""
        if turn.is_tidying:
            why = "you were woken to tidy up, and such a turn changes nothing of what a run comes to"
            raise HandOffRefused("only_tidying", f"not handed over: {why}")
        ways = self._ways.get((turn.agent, key), {})
        there = {name: _sees(rows, name, key) for name in ways}
        if to not in ways:
            why = f"{to!r} takes no control from you with a note in {label}"
            raise HandOffRefused("no_handoff", f"not handed over: {why}; {_choice(there)}")
        if not there[to]:
            why = f"{to!r} does not see the block {label} any more, or has left the team"
            raise HandOffRefused("no_handoff", f"not handed over: {why}; {_choice(there)}")
        before = sum(other.handed_by == key for other in rows.turns(turn.run))
        if before >= ways[to].most:
            times = "once" if before == 1 else f"{before} times"
            why = f"control was handed over {times} in this run, the most allowed: finish it yourself"
            raise HandOffRefused("handoffs_spent", f"not handed over: {why}")
        return before + 1


def _writers(team: Team, entry: WakeEntry) -> list[str]:
    """Those who are declared with the block and may write into it."""
    return [name for name, attachment in team.holders[entry.key] if attachment.grant > Grant.READ]


def _sees(rows: Reader, name: str, key: str) -> bool:
    agent = rows.agent(name)
    return agent is not None and any(attached.key == key for attached in agent.attached)


def _choice(there: Mapping[str, bool]) -> str:
    names = [name for name, is_there in there.items() if is_there]
    return f"you can hand over to: {', '.join(names)}" if names else "there is nobody you can hand over to"


def output_of(turns: Sequence[TurnRecord], agent: str) -> str:
    """What a run came to: the text of the last turn that was done by the agent that was addressed, or by whoever it
    handed over to, and so on. The last words of a turn that ended with a handoff are it only if nobody answered after.
    """
    text, asked = "", {agent}
    for turn in turns:
        if turn.agent in asked and turn.status == "done":
            text = turn.text
            asked.update([turn.handed_to] if turn.handed_to else [])
    return text


def handed_and_waiting(turns: Sequence[TurnRecord]) -> list[str]:
    """The agents that control was handed to in a run, and that have not come to the end of a turn for it."""
    waiting = Counter(turn.handed_to for turn in turns if turn.handed_to is not None)
    for turn in turns:
        if turn.status not in ("running", "cancelled"):
            waiting[turn.agent] -= sum(cause.kind == "handoff" for cause in turn.causes)
    return [name for name, count in waiting.items() if count > 0]
