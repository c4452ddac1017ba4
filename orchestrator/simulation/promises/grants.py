"""P4 and P5: no agent changes what it was not granted, nobody writes more than the limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from orchestrator.blocks import ENGINE, Grant
from orchestrator.events import (
    AgentDeleted,
    BlockAttached,
    BlockChanged,
    BlockCreated,
    BlockDeleted,
    BlockDetached,
    BlockModified,
    Event,
)
from orchestrator.simulation.promises.lives import Lives
from orchestrator.simulation.promises.violation import Violation, is_agent, written

_NEEDED: Final[Mapping[str, Grant]] = {"insert": Grant.INSERT, "replace": Grant.REPLACE, "rethink": Grant.RETHINK}


def trespassing(lives: Lives) -> Iterator[Violation]:
    """What was changed without a right to do so, and what is too long."""
    rights = _Rights(lives)
    for place, event in enumerate(lives.log):
        if event.type == "block_changed":
            yield from rights.changed(event)
        elif event.type in _RIGHTS:
            yield from rights.told(event, place)
    yield from rights.stored()


_RIGHTS: Final = frozenset(
    {
        "block_created",
        "block_modified",
        "block_deleted",
        "block_attached",
        "block_detached",
        "agent_deleted",
    }
)


class _Rights:
    """Who may do what, as the log has told so far."""

    def __init__(self, lives: Lives) -> None:
        self._lives = lives
        self._grants: dict[str, dict[str, Grant]] = {}
        self._read_only: set[str] = set()
        self._limits: dict[str, int] = {}
        self._sizes: dict[str, int] = {}

    def told(self, event: Event, place: int) -> Iterator[Violation]:
        """The owner, or the declaration, gives and takes rights."""
        match event:
            case BlockCreated() | BlockModified():
                yield from self._described(event, place)
            case BlockAttached():
                self._grants.setdefault(event.agent, {})[event.key] = Grant[event.grant.upper()]
            case BlockDetached():
                self._grants.get(event.agent, {}).pop(event.key, None)
            case BlockDeleted():
                for grants in self._grants.values():
                    grants.pop(event.key, None)
            case AgentDeleted():
                self._grants.pop(event.agent, None)

    def _described(self, event: BlockCreated | BlockModified, place: int) -> Iterator[Violation]:
        key = event.key
        self._limits[key] = event.limit
        (self._read_only.add if event.read_only else self._read_only.discard)(key)
        if event.type == "block_created":
            self._sizes[key] = len(event.value)
        following = self._lives.next(place)
        # The owner may give a block another limit and another text at once.
        if following is not None and following.type == "block_changed" and following.key == key:
            return
        if self._sizes.get(key, 0) > event.limit:
            what = (
                f"{self._lives.name(key)} has {self._sizes[key]:,} characters, and was given a limit of {event.limit:,}"
            )
            yield Violation("P5", what, (event.seq,), key)

    def changed(self, event: BlockChanged) -> Iterator[Violation]:
        """A block has a new version."""
        key, size = event.key, len(event.value)
        self._sizes[key] = size
        limit = self._limits.get(key, event.limit)
        if size > limit or size > event.limit:
            what = f"{written(event)} has {size:,} characters, and its limit is {min(limit, event.limit):,}"
            yield Violation("P5", what, (event.seq,), key)
        elif limit != event.limit:
            what = f"{written(event)} was made under a limit of {event.limit:,}, while that of the block was {limit:,}"
            yield Violation("P5", what, (event.seq,), key)
        if (problem := self._problem(event)) is not None:
            yield Violation("P4", f"{written(event)} was made, though {problem}", (event.seq,), key)

    def _problem(self, event: BlockChanged) -> str | None:
        agent = event.by if is_agent(event.by) else self._lives.agent(event.turn)
        if is_agent(event.by):
            if problem := self._not_its_turn(event):
                return problem
        elif event.by != ENGINE or event.operation == "release":  # whatever the block says, it goes back
            return None
        if event.key in self._read_only:
            return "the block was read-only"
        if event.operation == "archive":  # nobody needs a grant on an archive
            return None
        grant = self._grants.get(agent, {}).get(event.key)
        if grant is None:
            return f"{agent} did not see the block"
        if is_agent(event.by) and grant < (needed := _NEEDED.get(event.operation, Grant.RETHINK)):
            return f"{agent} was granted to {grant} and not to {needed}"
        return None

    def _not_its_turn(self, event: BlockChanged) -> str | None:
        if event.turn is None:
            return f"{event.by} had no turn"
        agent = self._lives.agent(event.turn)
        if agent != event.by:
            return f"{event.turn} is a turn of {agent}" if agent else f"{event.turn} never started"
        if event.operation not in _NEEDED:
            return f"no agent may {event.operation} a block"
        return None

    def stored(self) -> Iterator[Violation]:
        """What the store holds, at the end."""
        lives = self._lives
        for agent in lives.history.agents:
            grants = {attached.key: attached.grant for attached in agent.attached}
            told = self._grants.get(agent.name, {})
            for key in dict.fromkeys([*grants, *told]):
                if grants.get(key) != told.get(key):
                    stored, known = _grant(grants.get(key)), _grant(told.get(key))
                    what = f"{agent.name} may {stored} {lives.name(key)} by the store, and {known} by the log"
                    yield Violation("P4", what, (), key)
        for key, block in lives.history.blocks.items():
            name, known_limit = lives.name(key), self._limits.get(key, block.limit)
            if len(block.value) > block.limit:
                what = f"{name} has {len(block.value):,} characters, and its limit is {block.limit:,}"
                yield Violation("P5", what, (), key)
            if known_limit != block.limit:
                what = f"{name} has a limit of {block.limit:,} by the store, and {known_limit:,} by the log"
                yield Violation("P5", what, (), key)
            if (key in self._read_only) != block.read_only:
                is_closed = "read-only" if block.read_only else "not read-only"
                yield Violation("P4", f"{name} is {is_closed} by the store, and by the log it is otherwise", (), key)


def _grant(grant: Grant | None) -> str:
    return "not see" if grant is None else str(grant)
