"""Words typed at a terminal. What they do is done on the floors below."""

from __future__ import annotations

import io
import sys
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import anyio
import typer

from orchestrator.cli.benching import bench
from orchestrator.cli.lines import Lines, Show, document, failure, summary, visible
from orchestrator.cli.loading import DISTRIBUTION, load
from orchestrator.cli.running import Answer, ask
from orchestrator.cli.terminal import announce as _announce
from orchestrator.cli.terminal import fail as _fail
from orchestrator.cli.terminal import is_terminal as _is_terminal
from orchestrator.errors import DeclarationError, ModelNotFound, RunError
from orchestrator.models import VARIABLE
from orchestrator.runs import Budget
from orchestrator.team import Team

# Plain help and plain errors: they read the same on a terminal, in a pipe and in a README, and need no rich.
app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


def main() -> None:
    """Run the command line; ends the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what the terminal's encoding lacks must not end a run
    app(prog_name="orchestrator")


def _version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(f"{DISTRIBUTION} {version(DISTRIBUTION)}")
        except PackageNotFoundError:
            typer.echo(f"{DISTRIBUTION} (not installed)")
        raise typer.Exit


@app.callback()
def _orchestrator(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Teams of agents that share memory blocks."""


@app.command()
def run(
    team: Annotated[
        str, typer.Argument(metavar="TEAM", help="file.py:object, module:object or the name of a pattern.")
    ],
    message: Annotated[str, typer.Argument(metavar="MESSAGE", help="What the team is told.")],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Every agent's model, such as rehearsal. Without it: each agent's own, or what {VARIABLE} names.",
        ),
    ] = None,
    docs: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            help="A folder of .md, .txt or .rst files in UTF-8, for a team that takes one.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="How many workers, for a team that lets you choose.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
    max_turns: Annotated[
        int, typer.Option(metavar="N", min=1, help="The most turns that the team may take.")
    ] = Budget().turns,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="The most seconds that it may take; without it, no bound.")
    ] = None,
) -> None:
    """Give a team a message and print what it answers.

    Patterns by name: task_queue, domain_knowledge. In a pipe there is a line for each thing that happens, an empty
    line, and the answer.

    An object is a Team, or a function that returns one and is called with the options --docs and --workers.

    Exit code 0: the run is complete. 1: it failed, or its budget was spent. 2: wrong use. 130: Ctrl-C.
    """
    words = {"docs": None if docs is None else str(docs), "workers": workers}
    options = {name: given for name, given in words.items() if given is not None}
    # In a document for programs, nothing that the team's own code prints may stand.
    aside = redirect_stdout(sys.stderr) if as_json else nullcontext()
    try:
        with aside:
            budget = Budget(turns=max_turns, seconds=timeout)
            loaded = load(team, options)
            _announce(loaded, model)
            with _progress(loaded, as_json) as show:
                answer = anyio.run(partial(ask, loaded, message, model=model, budget=budget, show=show))
    except (DeclarationError, ModelNotFound, RunError) as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        typer.echo("Cancelled.", err=True)
        raise typer.Exit(130) from None
    typer.echo(document(answer.run) if as_json else _told(answer))
    if answer.run.status != "complete":
        _fail(failure(answer.run), 1)


app.command()(bench)


def _progress(team: Team, as_json: bool) -> AbstractContextManager[Show | None]:
    """Who is told what happens: nobody, a table on a terminal, or lines in a pipe."""
    if as_json:
        return nullcontext()
    if _is_terminal():
        from orchestrator.cli.view import View  # rich is needed nowhere else

        return View(team)
    return nullcontext(Lines(team))


def _told(answer: Answer) -> str:
    """The output, and what the run came to: after it on a terminal, before it in a pipe, where lines go before."""
    output, came_to = visible(answer.run.output), summary(answer.run, answer.seconds)
    return f"\n{output}\n\n{came_to}" if _is_terminal() else f"{came_to}\n\n{output}"
