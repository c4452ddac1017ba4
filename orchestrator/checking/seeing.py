"""Who sees which block, how full it is, and who does not see what others write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from orchestrator.blocks import OWNER, BlockState
from orchestrator.checking.findings import Finding
from orchestrator.checking.past import Past
from orchestrator.checking.rules import found
from orchestrator.phrases import counted, listed
from orchestrator.ports import AgentRecord
from orchestrator.records import Record

#: A block is nearly full from here on, in percent of its limit.
_NEARLY: Final = 80

_FULL: Final = ("over_limit", "not_archived")


class Sight(NamedTuple):
    """What an agent may do with a block, and the latest version of it that it was shown; None for none."""

    agent: str
    grant: str
    shown: int | None


class KnownBlock(Record):
    """A block as it is now, and who sees it."""

    name: str
    key: str
    version: int
    by: str
    characters: int
    limit: int
    read_only: bool
    agents: tuple[Sight, ...]


def known_blocks(
    blocks: Iterable[BlockState], agents: Sequence[AgentRecord], past: Past, names: Mapping[str, str]
) -> list[KnownBlock]:
    """The blocks, in the order of their creation."""
    seen_by: dict[str, list[Sight]] = {}
    for agent in agents:
        for attached in agent.attached:
            shown = past.shown.get(agent.name, {}).get(attached.key)
            seen_by.setdefault(attached.key, []).append(Sight(agent.name, str(attached.grant), shown))
    return [
        KnownBlock(
            name=names[block.key],
            key=block.key,
            version=block.version,
            by=block.by,
            characters=len(block.value),
            limit=block.limit,
            read_only=block.read_only,
            agents=tuple(seen_by.get(block.key, ())),
        )
        for block in blocks
    ]


def nearly_full(blocks: Iterable[BlockState], past: Past, names: Mapping[str, str]) -> Iterator[Finding]:
    """Blocks with little room left, and those that were full. One whose oldest lines move to an archive may be full."""
    refused: dict[str, int] = {}
    for refusing, tally in past.refused.items():
        if refusing.key is not None and refusing.code in _FULL:
            refused[refusing.key] = refused.get(refusing.key, 0) + tally.times
    for block in blocks:
        size, times = len(block.value), refused.get(block.key, 0)
        is_nearly = size * 100 >= block.limit * _NEARLY and block.overflow is None and not block.read_only
        if is_nearly or times:
            used = f"it has used {size:,} of {block.limit:,} characters ({size * 100 // block.limit} %)"
            in_vain = f", and {counted(times, 'change was', 'changes were')} refused because it was full"
            yield found("D301", f"block {names[block.key]!r}", used + (in_vain if times else ""))


def unseen(known: Iterable[KnownBlock], blocks: Iterable[BlockState]) -> Iterator[Finding]:
    """Blocks that nobody sees, and that are no archives."""
    archives = {block.overflow for block in blocks}
    for block in known:
        if not block.agents and block.key not in archives:
            yield found("D302", f"block {block.name!r}", "no agent sees it")


def look_alikes(known: Iterable[KnownBlock], blocks: Iterable[BlockState]) -> Iterator[Finding]:
    """Labels that several blocks have, of which at least one is shared: some may mean another one than others do."""
    sights = {block.key: block.agents for block in known}
    by_label: dict[str, list[BlockState]] = {}
    for block in blocks:
        if sights[block.key]:
            by_label.setdefault(block.label, []).append(block)
    for label, alike in by_label.items():
        shared = [block for block in alike if block.agent is None]
        if shared and len(alike) > 1:
            whose = [f"{listed(sight.agent for sight in sights[b.key])} in {b.key!r}" for b in alike]
            reason = f"{len(alike)} blocks have this label: what is said in it reaches {'; '.join(whose)}"
            yield found("D305", f"label {label!r}", reason)


def behind(known: Iterable[KnownBlock], past: Past) -> Iterator[Finding]:
    """Agents that were not shown the latest version of what others wrote; one finding for each agent."""
    missed: dict[str, list[str]] = {}
    for block in known:
        for sight in block.agents:
            blocks = missed.setdefault(sight.agent, [])
            if authors := _since(block, sight, past):
                last = "none" if sight.shown is None else f"version {sight.shown:,}"
                blocks.append(f"{last} of {block.name!r}, which is at {block.version:,} (by {listed(authors)})")
    for agent, blocks in missed.items():
        if agent not in past.shown:
            yield found("D303", f"agent {agent!r}", "it has taken no step yet, and was shown none of its blocks")
        elif blocks:
            yield found("D303", f"agent {agent!r}", f"it was last shown {'; '.join(blocks)}")


def _since(block: KnownBlock, sight: Sight, past: Past) -> list[str]:
    """Who else has written since the agent was shown the block."""
    told = past.versions.get(block.key, {})
    later = [told[version] for version in sorted(told) if (sight.shown or 0) < version <= block.version]
    return [author for version in later if (author := version.by or OWNER) != sight.agent]


def detached(agents: Iterable[AgentRecord], past: Past, names: Mapping[str, str]) -> Iterator[Finding]:
    """Agents that saw a block and do not see it any more."""
    there = {agent.name for agent in agents}
    for agent, key in past.detached:
        if agent in there and key in names:
            reason = "it was detached from this block, and does not see what others write into it"
            mend = f"if it should see it: await live.agents.blocks.attach({agent!r}, {names[key]!r})"
            yield found("D304", f"agent {agent!r}, block {names[key]!r}", reason, mend)
