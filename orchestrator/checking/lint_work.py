"""Queues that nobody fills, tools without their blocks, and handoffs that lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.agents import Agent
from orchestrator.blocks import Grant
from orchestrator.checking.asked import Asked
from orchestrator.checking.findings import Finding
from orchestrator.checking.rules import found
from orchestrator.checking.waking import block_of, calls_at_first
from orchestrator.phrases import listed
from orchestrator.tools import Tool


def lint_work(asked: Asked) -> Iterator[Finding]:
    """What agents need for their work and do not have."""
    for agent in asked.team.members:
        for tool in agent.toolbox:
            yield from _tool(asked, agent, tool)
    yield from _queues(asked)
    yield from _handing(asked)


def _tool(asked: Asked, agent: Agent, tool: Tool) -> Iterator[Finding]:
    place, its = f"agent {agent.name!r}", {a.block.label: a for a in agent.attachments}
    lacking = False
    for label, grant in tool.needs.items():
        mine = its.get(label)
        if mine is None:
            yield found("L021", place, f"its tool {tool.name!r} needs the block {label!r}, which it does not have")
        elif mine.grant < grant:
            reason = f"its tool {tool.name!r} needs to {grant} in the block {label!r}, and it may only {mine.grant}"
            yield found("L021", place, reason)
        lacking = lacking or mine is None
    if not tool.hands_to or lacking:
        return
    keys = [asked.team.key_of(its[label].block) for label in tool.needs]
    if all(asked.waking.handoffs.wake(agent.name, key, tool.hands_to) is None for key in keys):
        there = tool.hands_to in {other.name for other in asked.team.members}
        why = "who takes no control from it with that note" if there else "who is not in the team"
        yield found("L023", place, f"its tool {tool.name!r} hands over to {tool.hands_to!r}, {why}")


def _queues(asked: Asked) -> Iterator[Finding]:
    for entry in asked.team.wakes:
        if entry.wake.claim is None or calls_at_first(entry):
            continue
        outside = [(name, a) for name, a in asked.team.holders[entry.key] if name not in entry.members]
        if all(attachment.grant == Grant.READ for _, attachment in outside):
            readers = [name for name, _ in outside]
            who = f"of those outside, {listed(readers)} may only read it" if readers else "nobody outside sees it"
            reason = f"a pool ({listed(entry.members)}) claims work from it, and {who}"
            yield found("L022", f"block {asked.team.names[entry.key]!r}", reason)


def _handing(asked: Asked) -> Iterator[Finding]:
    for entry in asked.team.wakes:
        most = entry.wake.handoffs
        if most is None:
            continue
        label = block_of(entry).label
        if most >= asked.budget.turns:
            reason = (
                f"{most:,} handoffs over {label!r} are allowed in a run, which may have {asked.budget.turns:,} turns"
            )
            yield found("L015", f"agent {entry.members[0]!r}", reason)
        for member in entry.members:
            if not asked.waking.can_fire(entry, member):
                reason = f"nobody has a tool that hands control over to it with a note in {label!r}"
                yield found("L016", f"agent {member!r}", reason)
