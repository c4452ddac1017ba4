"""Where models come from: a name becomes an object that answers requests."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from orchestrator.agents import Agent
from orchestrator.environment import Environment
from orchestrator.errors import DeclarationError, ModelNotFound
from orchestrator.models.litellm import LiteLLMModel
from orchestrator.ports import Model

#: The entry-point group in which a package offers a model that needs no arguments.
GROUP: Final = "orchestrator.models"

#: Names the model of a team that names none.
VARIABLE: Final = "ORCHESTRATOR_MODEL"

#: Where the model of every agent is named.
OVERRIDE: Final = "Orchestrator(model=…)"


def find_model(name: str, environment: Environment) -> Model:
    """The model of that name: one that a package offers, or, as "provider/model", one of a provider's.

    `ModelNotFound` says which names there are. Whether there is such a provider is known at the first request.
    """
    from importlib.metadata import entry_points  # slow to import, and seldom needed

    offered = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name in offered:
        try:
            model: Model = offered[name].load()()
        except Exception as error:  # whatever another package does while it is imported
            raise ModelNotFound(f"model {name!r} cannot be loaded: {type(error).__name__}: {error}") from error
        return model
    provider, slash, of_provider = name.partition("/")
    if provider and of_provider:
        return LiteLLMModel(name, environment=environment)
    known = ", ".join(sorted(offered)) or "none"
    form = f"; models of providers are named provider/model, such as {_example(name)}"
    if slash:
        raise ModelNotFound(f"{name!r} names no model{form}")
    raise ModelNotFound(f"there is no model {name!r}. Models that run here: {known}{form}")


def check_model(where: str, model: object) -> None:
    """Raise `DeclarationError` unless it is an object that answers requests."""
    if isinstance(model, type) or not hasattr(model, "respond"):
        raise DeclarationError(where, f"{model!r} is no model; give a name or an object with respond()")


def is_known(name: str) -> bool:
    """Whether `find_model` would find a model of that name; nothing is loaded."""
    from importlib.metadata import entry_points  # slow to import, and seldom needed

    provider, _, of_provider = name.partition("/")
    return bool(provider and of_provider) or name in entry_points(group=GROUP).names


def _example(name: str) -> str:
    """How to name a model of a provider's, for somebody who typed `name`."""
    if name.startswith(("gpt-", "o1", "o3", "o4", "chatgpt-")):
        return f"openai/{name}"
    if name.startswith("claude-"):
        return f"anthropic/{name}"
    if name.startswith("gemini-"):
        return f"gemini/{name}"
    return "openai/gpt-5-mini"


class Models:
    """Who answers for which agent: the override, its own model, or the one that the environment names.

    Each name is looked up once. `ModelNotFound` says which agent has none, or who named one that is not known.
    """

    def __init__(self, agents: Iterable[Agent], override: str | Model | None, environment: Environment) -> None:
        self._override = override
        self._environment = environment
        self._found: dict[str, Model] = {}
        self._of: dict[str, Model] = {}
        for agent in agents:
            self.put(agent)

    def put(self, agent: Agent) -> None:
        """From here on the agent is answered by the model that it names."""
        self.keep(agent.name, self.find(agent))

    def find(self, agent: Agent) -> Model:
        """The model that would answer for the agent."""
        return _model_of(agent, self._override, self._found, self._environment)

    def keep(self, agent: str, model: Model) -> None:
        """From here on this model answers for the agent."""
        self._of[agent] = model

    def forget(self, agent: str) -> None:
        """The agent is gone."""
        self._of.pop(agent, None)

    def of(self, agent: str) -> Model:
        """The model of the agent."""
        return self._of[agent]


def _model_of(agent: Agent, override: str | Model | None, found: dict[str, Model], environment: Environment) -> Model:
    named_by: list[tuple[str, str | Model | None]] = [
        (OVERRIDE, override),
        (f"agent {agent.name!r}", agent.model),
        (f"{VARIABLE} in the environment", os.environ.get(VARIABLE)),
    ]
    for source, wanted in named_by:
        if wanted is None or wanted == "":
            continue
        if not isinstance(wanted, str):
            check_model(source, wanted)
            return wanted
        if wanted not in found:
            try:
                found[wanted] = find_model(wanted, environment)
            except ModelNotFound as missing:
                raise ModelNotFound(f"{source}: {missing}") from missing
        return found[wanted]
    raise ModelNotFound(
        f"agent {agent.name!r} has no model. Name one: Agent({agent.name!r}, model=…), "
        f"Orchestrator(team, model=…), --model on the command line, or {VARIABLE} in the environment; "
        "'rehearsal' is a stand-in that needs no key"
    )
