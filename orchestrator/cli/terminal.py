"""What every command does with the terminal that it was typed at."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import typer

from orchestrator.models import VARIABLE
from orchestrator.phrases import visible
from orchestrator.team import Team


def is_terminal() -> bool:
    """Whether somebody looks at what is printed, on something that can be drawn on."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def announce(team: Team, model: str | None) -> None:
    """Say so where the rehearsal model plays a part, so that nobody takes it for a language model."""
    if "rehearsal" in [model or agent.model or os.environ.get(VARIABLE) for agent in team.members]:
        typer.echo("rehearsal: rule-based stand-in, no language model is asked", err=True)


def fail(message: str, code: int) -> NoReturn:
    """Say why, and end with the exit code."""
    typer.echo(f"Error: {visible(message)}", err=True)
    raise typer.Exit(code)
