"""What is checked, and for which model and budget."""

from __future__ import annotations

from functools import cached_property

from orchestrator.agents import Agent
from orchestrator.checking.waking import Waking
from orchestrator.ports import Model
from orchestrator.runs import Budget
from orchestrator.team import Team


class Asked:
    """A team, and what it is to be run with.

    Args:
        model: every agent's, as in `Orchestrator(team, model=…)`.
        fallback: the name that the environment has for those who name none.
    """

    def __init__(self, team: Team, model: str | Model | None, budget: Budget, fallback: str | None) -> None:
        self.team = team
        self.budget = budget
        self._model = model
        self._fallback = fallback

    @cached_property
    def waking(self) -> Waking:
        """What sets off which turns."""
        return Waking(self.team)

    def model_of(self, agent: Agent) -> str | Model | None:
        """Who answers for the agent, as far as that is named."""
        return self._model or agent.model or self._fallback or None
