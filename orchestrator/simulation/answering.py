"""Who answers in a simulated schedule: the models that agents have, with what they remember forgotten."""

from __future__ import annotations

from typing import cast

from orchestrator.errors import DeclarationError
from orchestrator.models import Models
from orchestrator.models.litellm import LiteLLMModel
from orchestrator.ports import Model, ModelRequest, ModelResponse
from orchestrator.team import Team


class Each:
    """Each agent's own model, or the one for all, as it is at the beginning of a schedule.

    A model with a method `anew` is made anew by it, once for all agents that have it.
    """

    def __init__(self, team: Team, models: Models) -> None:
        made: dict[int, Model] = {}
        self._of: dict[str, Model] = {}
        for agent in team.members:
            model = models.find(agent)
            if id(model) not in made:
                made[id(model)] = cast(Model, model.anew()) if hasattr(model, "anew") else model
            self._of[agent.name] = made[id(model)]

    async def respond(self, request: ModelRequest) -> ModelResponse:
        return await self._of[request.agent].respond(request)


def check_nobody_is_contacted(team: Team, models: Models) -> None:
    """Refuse providers' models: a simulation contacts nobody, and nobody would pay for a thousand schedules.

    Raises:
        DeclarationError: which agent has such a model, and what to give instead.
    """
    for agent in team.members:
        model = models.of(agent.name)
        if isinstance(model, LiteLLMModel):
            raise DeclarationError(
                "a simulation",
                f"contacts nobody, and {agent.name!r} would ask {model.name!r}; give the model 'rehearsal', a"
                " scripted one, or recorded answers",
            )
