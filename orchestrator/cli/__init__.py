"""Words typed at a terminal. What they do is done on the floors below."""

from __future__ import annotations

import io
import sys
from contextlib import nullcontext, redirect_stdout
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import anyio
import typer

from orchestrator.cli.benching import bench
from orchestrator.cli.checking import check_team
from orchestrator.cli.graphing import graph
from orchestrator.cli.lines import document, failure
from orchestrator.cli.loading import DISTRIBUTION, load
from orchestrator.cli.running import ask
from orchestrator.cli.showing import answered, progress, silence
from orchestrator.cli.simulating import simulate
from orchestrator.cli.starting import new
from orchestrator.cli.stored import saying_why, store_at
from orchestrator.cli.stored_blocks import blocks
from orchestrator.cli.stored_runs import runs, tell_cut_off
from orchestrator.cli.terminal import announce, fail
from orchestrator.cli.watching import watch
from orchestrator.cli.wording import choose_prompts, templates
from orchestrator.cli.words import AsJson, Docs, ModelName, Prompts, TeamWord, Workers, options_given
from orchestrator.runs import Budget

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
    team: TeamWord,
    message: Annotated[str, typer.Argument(metavar="MESSAGE", help="What the team is told.")],
    model: ModelName = None,
    docs: Docs = None,
    workers: Workers = None,
    prompts: Prompts = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Keep the team in this file, and go on with what is in it; made if missing. [in memory]",
        ),
    ] = None,
    as_json: AsJson = False,
    max_turns: Annotated[
        int, typer.Option(metavar="N", min=1, help="The most turns that the team may take.")
    ] = Budget().turns,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="The most seconds that it may take; without it, no bound.")
    ] = None,
) -> None:
    """Give a team a message and print what it answers.

    Patterns by name: task_queue, domain_knowledge, handoff_context, user_preferences, system_config, and all_patterns,
    which has them all. In a pipe there is a line for each thing that happens, an empty line, and the answer.

    An object is a Team, or a function that returns one; its parameters docs and workers get --docs and --workers.

    Exit code 0: the run is complete. 1: it failed, or its budget was spent. 2: wrong use. 130: Ctrl-C, which cancels
    it; so does a reader of the pipe that goes away. A run that was cancelled is not resumed.
    """
    # In a document for programs, nothing that the team's own code prints may stand.
    aside = redirect_stdout(sys.stderr) if as_json else nullcontext()
    with saying_why(), aside:
        choose_prompts(prompts)
        loaded = load(team, options_given(docs, workers))
        announce(loaded, model)
        asked = partial(
            ask,
            loaded,
            message,
            model=model,
            budget=Budget(turns=max_turns, seconds=timeout),
            stage=silence if as_json else progress,
            store=None if store is None else store_at(store),
            tell_cut_off=None if store is None else partial(tell_cut_off, team, store, model, docs, workers, prompts),
        )
        answer = anyio.run(asked)
    typer.echo(document(answer.run) if as_json else answered(answer))
    if answer.run.status != "complete":
        fail(failure(answer.run), 1)


# In this order they are listed, the groups last: what one needs first, and side by side what looks into a store.
app.command()(new)
app.command()(graph)
app.command("check")(check_team)
app.command()(bench)
app.command()(simulate)
app.command()(watch)
app.add_typer(runs, name="runs")
app.add_typer(blocks, name="blocks")
app.add_typer(templates, name="prompts")
