"""A team as a picture: agents, the blocks between them, and what wakes whom."""

from __future__ import annotations

from importlib import import_module
from typing import Final, Literal, get_args

from orchestrator.errors import DeclarationError
from orchestrator.team import Team

Format = Literal["mermaid", "dot", "svg"]

#: What a picture can be.
FORMATS: Final[tuple[Format, ...]] = get_args(Format)


def draw(team: Team, format: Format = "mermaid") -> str:
    """The picture of a team: a mermaid flowchart, a Graphviz graph, or an SVG image that needs nothing else.

    An arrow to a block says that the agent may change it, one to an agent that it is woken by the block, or only
    reads it; what wakes is drawn bold. The same declaration gives the same text.
    """
    if not isinstance(team, Team):
        raise DeclarationError("draw()", f"needs a Team, not a {type(team).__name__}")
    if format not in FORMATS:
        raise DeclarationError("draw()", f"format is {format!r}; choose {', '.join(map(repr, FORMATS))}")
    from orchestrator.drawing.picture import picture

    # Loaded when somebody draws: programs that run teams need none of it.
    text: str = import_module(f"orchestrator.drawing.{format}").render(picture(team))
    return text
