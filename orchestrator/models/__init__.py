"""Where models come from: a name becomes an object that answers requests."""

from __future__ import annotations

from typing import Final

from orchestrator.errors import ModelNotFound
from orchestrator.ports import Model

#: The entry-point group in which a package offers a model that needs no arguments.
GROUP: Final = "orchestrator.models"

#: Names the model of a team that names none.
VARIABLE: Final = "ORCHESTRATOR_MODEL"


def find_model(name: str) -> Model:
    """The model of that name; `ModelNotFound` says which names there are."""
    from importlib.metadata import entry_points  # slow to import, and seldom needed

    offered = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name in offered:
        try:
            model: Model = offered[name].load()()
        except Exception as error:  # whatever another package does while it is imported
            raise ModelNotFound(f"model {name!r} cannot be loaded: {type(error).__name__}: {error}") from error
        return model
    known = ", ".join(sorted(offered)) or "none"
    if "/" in name:
        provider, _, model_name = name.partition("/")
        raise ModelNotFound(
            f"{name!r} is model {model_name!r} of the provider {provider!r}, and this version of sharedblocks"
            f" cannot ask providers yet. Models that run here: {known}; or pass any object with respond()"
        )
    raise ModelNotFound(f"there is no model {name!r}. Models that run here: {known}")
