"""What a run may spend, and what it came to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from orchestrator.blocks import BlockState
from orchestrator.checks import check_amount, check_count
from orchestrator.errors import RunError
from orchestrator.events import RunStatus
from orchestrator.messages import Usage
from orchestrator.naming import Named, Names
from orchestrator.ports import AgentRecord, Reader, TurnRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a run may spend; when one of them is spent, the run ends with status "budget".

    Turns that have started are let finish when turns or dollars are spent; `seconds` cancels them.
    """

    turns: int = 1000
    #: US dollars, as far as the models' prices are known.
    usd: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        check_count("a budget", "turns", self.turns)
        for name, amount, unit in (
            ("usd", self.usd, "None for no bound, or US dollars"),
            ("seconds", self.seconds, "None for no bound, or seconds"),
        ):
            if amount is not None:
                check_amount("a budget", name, amount, unit)


class Blocks(Mapping[str, BlockState]):
    """Blocks by name: the label, or `agent/label` where several blocks have the label.

    `AmbiguousLabel` lists the candidates of a label that is not enough; `UnknownName`, which is a `KeyError`,
    the names there are.
    """

    def __init__(self, where: str, agents: Sequence[AgentRecord], states: Mapping[str, BlockState]) -> None:
        self._where = where
        self._agents = agents
        self._states = states

    @cached_property
    def _names(self) -> Names:
        return _names(self._where, self._agents, self._states.values())

    def __getitem__(self, name: str) -> BlockState:
        return self._states[self._names.key(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names.by_key.values())

    def __len__(self) -> int:
        return len(self._states)

    def __repr__(self) -> str:
        return f"Blocks({', '.join(self)})"


def names_of(rows: Reader, where: str) -> Names:
    """What the blocks that are there are called now."""
    return _names(where, rows.agents(), rows.blocks())


def _names(where: str, agents: Iterable[AgentRecord], blocks: Iterable[BlockState]) -> Names:
    seen_by: dict[str, list[str]] = {}
    for agent in agents:
        for attached in agent.attached:
            seen_by.setdefault(attached.key, []).append(agent.name)
    return Names(where, [Named(block.key, block.label, tuple(seen_by.get(block.key, ()))) for block in blocks])


def blocks_of(rows: Reader, where: str) -> Blocks:
    """All blocks as they are now, by name; the names are made when somebody asks."""
    return Blocks(where, tuple(rows.agents()), {block.key: block for block in rows.blocks()})


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a message."""

    id: str
    #: "complete", "budget", "failed" or "cancelled".
    status: RunStatus
    #: What the agent that was addressed said last, or whoever it handed control over to.
    output: str
    #: The blocks of the team when the run ended, by label, or by `agent/label`.
    blocks: Blocks
    #: The turns that are charged to the run, in the order in which they started. One that other runs wait for
    #: as well may still be running, when this one was cancelled or has spent its seconds.
    turns: tuple[TurnRecord, ...] = ()
    usage: Usage = field(default_factory=Usage)
    #: Why it failed; what a model or tool of yours raised is its `__cause__`.
    error: RunError | None = None

    @property
    def cost(self) -> float | None:
        """US dollars, as far as the models' prices are known; None if none is."""
        return self.usage.cost
