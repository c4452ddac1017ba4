"""Agents that nothing wakes, and wakes that go round in a circle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from orchestrator.checking.asked import Asked
from orchestrator.checking.findings import Finding
from orchestrator.checking.rules import found
from orchestrator.checking.waking import Waking, counts
from orchestrator.phrases import listed
from orchestrator.team import WakeEntry


def lint_wakes(asked: Asked) -> Iterator[Finding]:
    """Agents that nothing wakes, and those that wake one another without end."""
    yield from _asleep(asked)
    yield from _circles(asked)


def _asleep(asked: Asked) -> Iterator[Finding]:
    team, waking = asked.team, asked.waking
    for agent in team.members:
        if agent.name == team.entry:
            continue
        place = f"agent {agent.name!r}"
        if not agent.wakes:
            yield found("L012", place, "only a message that is addressed to it wakes it")
            continue
        entries = [entry for entry in team.wakes if agent.name in entry.members]
        if all(entry.wake.handoffs is not None for entry in entries):
            continue  # who takes control from nobody is told of elsewhere
        if not any(waking.can_fire(entry, agent.name) for entry in entries):
            yield found("L011", place, f"none of its wakes can ever fire: {listed(map(_why_not, entries))}")


def _why_not(entry: WakeEntry) -> str:
    wake = entry.wake
    if wake.handoffs is not None:
        return "nobody can hand over to it"
    if wake.is_sleeptime:
        return "there are no turns of others to count"
    assert wake.block is not None, "it is woken by changes of a block"
    return f"nobody of by= may change {wake.block.label!r} (its own changes never count)"


# --- circles


class _Link(NamedTuple):
    """A change of a block by one agent wakes another; or its turns are counted for a sleeptime agent."""

    block: str
    #: Whether the declaration says whose changes count.
    is_named: bool


def _circles(asked: Asked) -> Iterator[Finding]:
    from networkx import DiGraph, strongly_connected_components  # takes longer to import than all else here

    graph: DiGraph[str] = DiGraph()
    graph.add_nodes_from(agent.name for agent in asked.team.members)
    for source, target, link in _links(asked.waking):
        known = graph.get_edge_data(source, target, default={"links": []})["links"]
        graph.add_edge(source, target, links=[*known, link])
    order = [agent.name for agent in asked.team.members]
    circles = [sorted(found, key=order.index) for found in strongly_connected_components(graph) if len(found) > 1]
    for names in sorted(circles, key=lambda names: order.index(names[0])):
        links = [link for _, _, link in graph.subgraph(names).edges.data("links") for link in link]
        yield _circle(names, links)


def _circle(names: list[str], links: list[_Link]) -> Finding:
    blocks = listed(sorted({repr(link.block) for link in links if link.block}))
    loose = sorted({repr(link.block) for link in links if not link.is_named})
    who = f"{listed(names)} wake one another by changes of {blocks}"
    if loose:
        reason = f"{who}, and in {listed(loose)} anybody's changes count: only the run's budget ends that"
        return found("L013", f"agent {names[0]!r}", reason)
    return found("L014", f"agent {names[0]!r}", f"{who}: it ends when one of them writes nothing, or with the budget")


def _links(waking: Waking) -> Iterator[tuple[str, str, _Link]]:
    """Who wakes whom by which block: level-triggered wakes, nearly full blocks and handoffs have ends of their own."""
    for source, writings in waking.writings.items():
        for key, by in writings:
            for entry in waking.changes.get(key, ()):
                for target in entry.members if counts(entry.wake, by) else ():
                    if target != source:
                        name = waking.team.names[key]
                        yield source, target, _Link(name, _is_named(waking, entry, target))
    for source, target in _counted_again(waking):
        yield source, target, _Link("", True)


def _is_named(waking: Waking, entry: WakeEntry, target: str) -> bool:
    """Whether it is said whose changes count, or there is only one who can make any."""
    writers = waking.writers[entry.key]
    return bool(entry.wake.authors) or (len(writers) == 1 and target not in writers)


def _counted_again(waking: Waking) -> Iterator[tuple[str, str]]:
    """Turns that are counted for a sleeptime agent whose own change calls as many turns as it is woken after."""
    for entry in waking.sleeping:
        every = entry.wake.every
        for sleeper in entry.members if every is not None else ():
            called = {
                target
                for key, by in waking.writings[sleeper]
                for other in waking.changes.get(key, ())
                if counts(other.wake, by)
                for target in other.members
                if target != sleeper and counts(entry.wake, target)
            }
            if every is not None and len(called) >= every:
                yield from ((source, sleeper) for source in called)
