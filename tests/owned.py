"""Teams whose owner does something to them while they are open."""

from __future__ import annotations

from typing import Any

from orchestrator import Agent, Block, Orchestrator, Store, Team, tool
from orchestrator.testing import FunctionModel

organization = Block("organization", "Organization: Letta", "What all should know.", limit=4000)
policies = Block("company_policies", "Be helpful.", read_only=True)
notes = Block("notes", "start")


@tool
def look_up(word: str) -> str:
    """Look a word up."""
    return f"{word} is a word"


def company() -> Team:
    """A supervisor and a worker who share a block about their organization."""
    supervisor = Agent("supervisor", blocks=[Block("persona", "I am a supervisor"), organization])
    worker = Agent("worker", blocks=[Block("persona", "I am a worker"), organization.contributor(), policies])
    return Team("company", [supervisor, worker])


def pair() -> Team:
    """Two who share notes; one of them can look words up."""
    return Team("pair", [Agent("ann", blocks=[notes], tools=[look_up]), Agent("bob", blocks=[notes])])


def opened(store: Store | None = None, team: Team | None = None) -> Orchestrator:
    """The company, or another team, whose models say ok."""
    return Orchestrator(team or company(), store, model=FunctionModel(lambda request: "ok"))


def quiet(store: Store | None = None, team: Team | None = None, **options: Any) -> Orchestrator:
    """The pair, or another team, whose models say their agents' names."""
    return Orchestrator(team or pair(), store, model=FunctionModel(lambda request: f"{request.agent}: ok"), **options)
