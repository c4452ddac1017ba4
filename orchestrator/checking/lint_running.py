"""Models, how much they can read, and budgets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from orchestrator.agents import Agent
from orchestrator.checking.asked import Asked
from orchestrator.checking.findings import Finding
from orchestrator.checking.rules import found
from orchestrator.checking.waking import Waking, counts
from orchestrator.models import is_known
from orchestrator.models.windows import window_of
from orchestrator.phrases import counted, listed

#: Characters of English prose to a token, about.
CHARACTERS: Final = 3.7


def lint_running(asked: Asked) -> Iterator[Finding]:
    """Agents without a model, or with more to read than theirs can, and budgets that are too small."""
    yield from _models(asked)
    for agent in asked.team.members:
        yield from _context(asked, agent)
    yield from _budget(asked)


def _models(asked: Asked) -> Iterator[Finding]:
    without = [agent.name for agent in asked.team.members if asked.model_of(agent) is None]
    if len(without) == len(asked.team.members):
        yield found("L032", f"team {asked.team.name!r}", "no model is named, neither for an agent nor for all")
    elif without:
        yield found(
            "L033", f"team {asked.team.name!r}", f"no model is named for {listed(without)}, while others name theirs"
        )
    named: dict[str, list[str]] = {}
    for agent in asked.team.members:
        if isinstance(model := asked.model_of(agent), str):
            named.setdefault(model, []).append(agent.name)
    for name, agents in named.items():
        if not is_known(name):
            yield found(
                "L035",
                f"team {asked.team.name!r}",
                f"there is no model {name!r}, which is to answer for {listed(agents)}",
            )


def _context(asked: Asked, agent: Agent) -> Iterator[Finding]:
    model = asked.model_of(agent)
    name = model if isinstance(model, str) else getattr(model, "name", None)
    limits = sum(attachment.block.limit for attachment in agent.attachments)
    window = window_of(name) if isinstance(name, str) and limits else None
    tokens = round(limits / CHARACTERS)
    if window is not None and tokens > window:
        grown = f"its blocks may grow to {limits:,} characters, about {tokens:,} tokens"
        reason = f"{grown}, and {name} reads {window:,} at most"
        yield found("L031", f"agent {agent.name!r}", reason)


def _budget(asked: Asked) -> Iterator[Finding]:
    least = fan_out(asked.waking)
    if least > asked.budget.turns:
        allowed = counted(asked.budget.turns, "turn")
        reason = f"a message to {asked.team.entry} may call for {least:,} turns, and a run may have {allowed}"
        yield found("L034", f"team {asked.team.name!r}", reason)


def fan_out(waking: Waking) -> int:
    """How many turns a message to the entry agent calls for, if whoever is woken writes where it may, once.

    One for each agent that is woken by changes, one for each pool, and one more for the entry agent if it is woken.
    """
    entry = waking.team.entry
    seen, rest, used = {entry}, [entry], set[int]()
    is_answered = False
    while rest:
        writer = rest.pop()
        for woken in _woken(waking, writer, seen, used):
            if woken not in seen:
                seen.add(woken)
                rest.append(woken)
            is_answered = is_answered or woken == entry != writer
    return len(seen) + is_answered


def _woken(waking: Waking, writer: str, seen: set[str], used: set[int]) -> Iterator[str]:
    """Those whom changes by one agent wake; of a pool one, and that once."""
    for key, by in waking.writings[writer]:
        for entry in waking.changes.get(key, ()):
            yield from entry.members if counts(entry.wake, by) else ()
        for pool in waking.pools.get(key, ()):
            fresh = [name for name in pool.members if name not in seen]
            if pool.number not in used and fresh:
                used.add(pool.number)
                yield fresh[0]
            elif waking.team.entry in pool.members:
                yield waking.team.entry
