"""What a declaration says of its blocks, asked again: who holds something, what a claim makes, what a guard says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from types import FunctionType
from typing import Any, Final

from orchestrator.blocks import Change, Guard
from orchestrator.checks import FAILURES
from orchestrator.handoffs import Handoffs
from orchestrator.team import Team

#: A pure edit: the text with something taken, or given back, for an agent.
Edit = Callable[[str, str], str | None]

#: The functions are pure, and schedules of one team write the same texts again and again.
_REMEMBERED: Final = 256


class Pools:
    """The wakes of a team that take something from a block when a turn starts, the guards, and the handoffs."""

    def __init__(self, team: Team) -> None:
        self.claims: dict[str, list[Edit]] = {}
        self.releases: dict[str, list[Edit]] = {}
        #: By key, the agents that may hold something, in the order of their declaration.
        self.members: dict[str, dict[str, None]] = {}
        #: By agent, the blocks of which it gives back what it holds at the end of any turn.
        self.own: dict[str, set[str]] = {agent.name: set() for agent in team.members}
        #: The wakes with a claim, by their number.
        self.claiming: set[int] = set()
        for entry in team.wakes:
            claim, release = entry.wake.claim, entry.wake.release
            if claim is not None:
                self.claims.setdefault(entry.key, []).append(claim)
                self.claiming.add(entry.number)
            if release is not None:
                self.releases.setdefault(entry.key, []).append(release)
                self.members.setdefault(entry.key, {}).update(dict.fromkeys(entry.members))
                for name in entry.members:
                    self.own[name].add(entry.key)
        self.guards: dict[str, Guard] = {
            key: block.guard for key, block in team.blocks.items() if block.guard is not None
        }
        self.partners = Handoffs(team).partners

    def holders(self, key: str, text: str, agents: Iterable[str]) -> frozenset[str]:
        """Those of the agents that hold something in the text."""
        return frozenset(agent for agent in agents if any(_holds(give, text, agent) for give in self.releases[key]))

    def claimed(self, key: str, text: str, agent: str) -> list[str]:
        """The texts that the block's claims make of this one."""
        made = [_made(take, text, agent) for take in self.claims.get(key, ())]
        return [other for other in made if other is not None]

    def released(self, key: str, text: str, agent: str) -> list[str]:
        """The texts that the block's releases make of this one."""
        made = [_made(give, text, agent) for give in self.releases.get(key, ())]
        return [other for other in made if other is not None]

    def objection(self, key: str, change: Change) -> str | None:
        """What the guard of the block has against a change."""
        guard = self.guards.get(key)
        return None if guard is None else _asked(guard, change)


@lru_cache(maxsize=64)
def pools(team: Team) -> Pools:
    """Those of a team; made once for all its schedules."""
    return Pools(team)


def declare_the_same(one: Team, other: Team) -> bool:
    """Whether what was written under one declaration can be judged by the other."""
    return one is other or _declared(one) == _declared(other)


def _declared(team: Team) -> tuple[object, ...]:
    """All that is asked of a declaration."""
    blocks = {key: (block.rethink, _meaning(block.guard)) for key, block in team.blocks.items()}
    wakes = [
        (key, members, _meaning(wake.when), _meaning(wake.claim), _meaning(wake.release))
        for _, wake, key, members in team.wakes
    ]
    return blocks, wakes, Handoffs(team).partners


def _meaning(function: Any) -> object:
    """Equal for two functions that were made of the same line with the same values."""
    if isinstance(function, partial):
        return _meaning(function.func), function.args, function.keywords
    if isinstance(function, FunctionType):
        values = [cell.cell_contents for cell in function.__closure__ or ()]
        return function.__code__, function.__defaults__, function.__kwdefaults__, values
    return function


def _holds(release: Edit, text: str, agent: str) -> bool:
    return _made(release, text, agent) not in (None, text)


@lru_cache(maxsize=_REMEMBERED)
def _made(edit: Edit, text: str, agent: str) -> str | None:
    try:
        return edit(text, agent)
    except FAILURES:  # a user's function; the engine has told of it when it was first asked
        return None


@lru_cache(maxsize=_REMEMBERED)
def _asked(guard: Guard, change: Change) -> str | None:
    try:
        return guard(change)
    except FAILURES as error:  # as above: it has not allowed the change
        return f"it raised {type(error).__name__}: {error}"
