"""A run on its way, and what it came to, for whoever typed the command."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from orchestrator.cli.lines import Lines, Show, summary
from orchestrator.cli.running import Answer
from orchestrator.cli.terminal import is_terminal
from orchestrator.phrases import visible
from orchestrator.runs import Blocks
from orchestrator.team import Team


def silence(team: Team, blocks: Blocks) -> AbstractContextManager[Show | None]:
    """Nobody is told what happens: a program waits for the document."""
    return nullcontext()


def progress(team: Team, blocks: Blocks) -> AbstractContextManager[Show | None]:
    """What happens is told in a table on a terminal, or in lines in a pipe."""
    if is_terminal():
        from orchestrator.cli.view import View  # rich is needed nowhere else

        return View(team, stored=blocks)
    return nullcontext(Lines({block.key: name for name, block in blocks.items()}))


def answered(answer: Answer) -> str:
    """The output, and what the run came to: after it on a terminal, before it in a pipe, where lines go before."""
    output, came_to = visible(answer.run.output), summary(answer.run, answer.seconds)
    return f"\n{output}\n\n{came_to}" if is_terminal() else f"{came_to}\n\n{output}"
