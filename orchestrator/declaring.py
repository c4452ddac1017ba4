"""What a store holds is brought in line with what is declared, when a team is opened."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.agents import Agent
from orchestrator.blocks import BlockState
from orchestrator.changes import Changes
from orchestrator.errors import StoreError
from orchestrator.events import BlockAttached, BlockDetached
from orchestrator.ports import AgentRecord, AgentSettings, Attached, Reader, Transaction
from orchestrator.roster import Roster
from orchestrator.team import Team
from orchestrator.telling import tell


def declare(tx: Transaction, changes: Changes) -> None:
    """The stored value wins, what else is declared wins; what the owner attached, detached and deleted stays so.

    `StoreError` if the store is another team's, `DeclarationError` if a stored value does not fit its limit.
    """
    team = changes.roster.team
    check_team(tx, team)
    for key in team.blocks:
        declared, stored = team.initial_state(key), tx.block(key)
        if stored is not None:
            changes.redeclare(tx, stored, declared)
        elif not _is_deleted(tx, team, key):
            changes.create(tx, declared, _former(tx, team, key))
    for agent in team.members:
        known = tx.agent(agent.name)
        record = _declared(tx, team.attached(agent), known or AgentRecord(name=agent.name))
        _tell(tx, changes, record, known)
        if record != known:
            tx.put_agent(record)


def recalled(rows: Reader, roster: Roster) -> list[tuple[Agent, AgentSettings]]:
    """The agents that the owner made while the team was live, as they are now.

    A tool is found by its name among the tools of the declared agents; one that is not there is left out.
    """
    tools = {tool.name: tool for agent in roster.team.members for tool in agent.toolbox}
    found: list[tuple[Agent, AgentSettings]] = []
    for record in rows.agents():
        settings = record.settings
        if settings is None or record.name in roster:
            continue
        agent = Agent(
            record.name,
            settings.instructions,
            model=settings.model,
            tools=[tools[name] for name in settings.tools if name in tools],
            max_steps=settings.max_steps,
            timeout=settings.timeout,
        )
        found.append((agent, settings))
    return found


def _is_deleted(rows: Reader, team: Team, key: str) -> bool:
    """Whether the owner has deleted the block; own blocks of an agent that comes back come back with it."""
    agents = {name for name, _ in team.holders[key]}
    comes_with_its_agent = len(agents) == 1 and rows.agent(agents.pop()) is None
    return not comes_with_its_agent and any(rows.revisions(key))


def check_team(rows: Reader, team: Team) -> None:
    """`StoreError` if the store is another team's: agents of one name in two would be taken for one another."""
    for block in rows.blocks():
        other = block.key.partition(":")[0]
        if other != team.name:
            raise StoreError(f"this store holds the team {other!r}; give team {team.name!r} a store of its own")


def _former(rows: Reader, team: Team, key: str) -> BlockState | None:
    """The own block of one agent that has become this shared one, if there is exactly one such; or the archive that now
    is somebody's own, or nobody's any more.
    """
    declared, seen_by = team.blocks[key], [agent for agent, _ in team.holders[key]]
    keys = [team.own_key(agent, declared) for agent in seen_by if len(seen_by) > 1]
    if len(seen_by) <= 1 and any(block.overflow is declared for block in team.blocks.values()):
        keys = [team.shared_key(declared), *(team.own_key(agent.name, declared) for agent in team.members)]
    found = [block for other in keys if other not in team.blocks and (block := rows.block(other)) is not None]
    return found[0] if len(found) == 1 else None


def _declared(rows: Reader, declared: Iterable[Attached], known: AgentRecord) -> AgentRecord:
    """The agent with what is declared, less what its owner detached, and what its owner attached besides."""
    there = [a for a in declared if a.key not in known.detached and rows.block(a.key) is not None]
    keys, labels = {a.key for a in there}, {a.label for a in there}
    added = [a for a in known.added if a.key not in keys and a.label not in labels and rows.block(a.key) is not None]
    return known.having(attached=(*there, *added), added=tuple(added), settings=None)


def _tell(tx: Transaction, changes: Changes, record: AgentRecord, known: AgentRecord | None) -> None:
    """The events of what is attached and detached by this."""
    before = known.attached if known else ()
    for attached in record.attached:
        if attached not in before:
            tell(
                tx,
                changes.environment.now(),
                BlockAttached,
                agent=record.name,
                key=attached.key,
                label=attached.label,
                grant=str(attached.grant),
            )
    keys = {attached.key for attached in record.attached}
    for attached in before:
        if attached.key not in keys:
            tell(
                tx, changes.environment.now(), BlockDetached, agent=record.name, key=attached.key, label=attached.label
            )
