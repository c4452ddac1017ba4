"""The six teams that the simulation is tried with: the patterns, with something for everybody to do."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator import Agent, Team, Wake
from patterns import curate, domain_knowledge, user_preferences
from patterns.documents import search_documents
from patterns.teams import (
    all_patterns_team,
    domain_knowledge_team,
    handoff_context_team,
    system_config_team,
    task_queue_team,
)

#: Two questions, so that two have work at the same time; and something to note for the curator's block.
MESSAGE = "I prefer short answers. What are memory blocks? Who can change a read-only block?"


def curated_team() -> Team:
    """Specialists who add to a block while a curator rewrites it: there is something to tidy at once."""
    knowledge = domain_knowledge("Blocks are text.\n\nBlocks are text.")
    names = ("specialist-1", "specialist-2")
    analyst = Agent("analyst", blocks=[knowledge.contributor()], wakes_on=[Wake(knowledge, by=names)])
    specialists = [
        Agent(
            name,
            blocks=[knowledge.contributor()],
            wakes_on=[Wake(knowledge, by=("analyst",))],
            tools=[search_documents(part=part, of=2)],
        )
        for part, name in enumerate(names)
    ]
    desk, curator = [analyst, *specialists], Agent("curator")
    preferences = user_preferences("I prefer tea.\n\nI prefer tea.")
    return curate(curator, preferences, desk, every=2) | curate(curator, knowledge, desk, every=1)


TEAMS: Mapping[str, Team] = {
    "task_queue": task_queue_team(),
    "domain_knowledge": domain_knowledge_team(),
    "curator": curated_team(),
    "handoff": handoff_context_team(),
    "system_config": system_config_team(),
    "all_together": all_patterns_team(),
}
