"""`orchestrator runs`: the runs that a store holds; and those that were cut off go on."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import anyio
import typer

from orchestrator.cli.lines import Lines, as_ascii, ending, failure, one_line, run_fields, spent
from orchestrator.cli.listing import Column, show_list
from orchestrator.cli.loading import load
from orchestrator.cli.running import Answer, resume
from orchestrator.cli.showing import answered, progress, silence
from orchestrator.cli.stored import look, look_around, moment, saying_why, store_at
from orchestrator.cli.terminal import announce
from orchestrator.cli.wording import choose_prompts
from orchestrator.cli.words import AsJson, Docs, ModelName, Prompts, StorePath, TeamWord, Workers, options_given
from orchestrator.owner.looking import ListedRun, StoredRun, find_run, list_runs
from orchestrator.phrases import brief, counted, visible
from orchestrator.ports import RunRecord

runs = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at the runs of a stored team; resume them.")

_COLUMNS: Final = (
    Column("run", is_id=True),
    Column("status"),
    Column("opened"),
    Column("agent"),
    Column("turns", is_number=True),
    Column("message", is_long=True),
)


@runs.command("list")
def list_all(store: StorePath, as_json: AsJson = False) -> None:
    """List the runs, the oldest first.

    In a pipe, a line for each with tabs between: id, status, when it was opened, agent, turns, message.

    A run that was going on when its process ended is "cut off": orchestrator runs resume goes on with it. Where it
    cannot be told whether a process still works on it, it is "running or cut off".

    Exit code 0. 1: the store cannot be read. 2: wrong use.
    """
    with saying_why():
        listed, cut_off = look(store, list_runs)
    if as_json:
        typer.echo(as_ascii({"runs": [_listed_fields(run, cut_off) for run in listed]}))
        return
    rows = [
        [
            run.id,
            _status(run, cut_off),
            moment(run.at),
            run.agent or "(owner)",
            f"{turns:,}",
            brief(run.text) if run.agent else "a change of the owner's",
        ]
        for run, turns in listed
    ]
    show_list(_COLUMNS, rows, "There are no runs yet.")


@runs.command()
def show(
    part: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="The run's id, or as much of its beginning, or of its end, as no other run has."
        ),
    ],
    store: StorePath,
    as_json: AsJson = False,
) -> None:
    """Show a run whole.

    Its status, budget, cost, message, output or error; its turns in the order in which they started, each with what
    woke the agent, how it ended and what it said; and the changes of blocks that were refused.

    Exit code 0. 1: the store cannot be read. 2: wrong use, such as an id that no run has or that several have.
    """
    with saying_why():
        found, cut_off = look_around(store, lambda opened: find_run(opened, part))
    if as_json:
        typer.echo(as_ascii(_shown_fields(found, cut_off)))
        return
    for line in _shown(found, cut_off):
        typer.echo(line)


@runs.command("resume")
def go_on(
    team: TeamWord,
    part: Annotated[
        str | None,
        typer.Argument(
            metavar="ID",
            show_default=False,
            help="The run's id, or as much of its beginning, or of its end, as no other run has. Without it: all that"
            " were cut off.",
        ),
    ] = None,
    *,
    store: StorePath,
    model: ModelName = None,
    docs: Docs = None,
    workers: Workers = None,
    prompts: Prompts = None,
    as_json: AsJson = False,
) -> None:
    """Go on with runs that were cut off, and print what they answer.

    A run was cut off when its process ended before it did. It goes on where it was: what a model has answered is not
    asked again, and what a tool call came to stays. Turns and dollars that it has spent stay spent; its seconds begin
    anew. Without ID, all go on side by side; the document for programs then holds a list of runs, which may be empty.

    Exit code 0: they are complete, or nothing was cut off. 1: one failed, or its budget was spent. 2: wrong use.
    130: Ctrl-C, which cancels them.
    """
    # In a document for programs, nothing that the team's own code prints may stand.
    aside = redirect_stdout(sys.stderr) if as_json else nullcontext()
    with saying_why(), aside:
        choose_prompts(prompts)
        answers: list[Answer] = []
        if look(store, lambda rows: part is not None or any(rows.runs("running"))).found:
            loaded = load(team, options_given(docs, workers))
            announce(loaded, model)
            stage = silence if as_json else progress
            answers = anyio.run(partial(resume, loaded, store_at(store), part, model=model, stage=stage))
    _tell(answers, part, as_json)
    _complain(answers)


def _tell(answers: Sequence[Answer], part: str | None, as_json: bool) -> None:
    documents = [run_fields(answer.run) for answer in answers]
    if as_json:
        typer.echo(as_ascii({"runs": documents} if part is None else documents[0]))
    elif not answers:
        typer.echo("No run was cut off.")
    elif len(answers) == 1:
        typer.echo(answered(answers[0]))
    else:
        typer.echo("\n\n".join(f"{one_line(answer.run.id)}:\n{answered(answer)}" for answer in answers))


def _complain(answers: Sequence[Answer]) -> None:
    """Say of each run that is not complete why, and end with 1 if there is one."""
    incomplete = [answer.run for answer in answers if answer.run.status != "complete"]
    for run in incomplete:
        which = f"{run.id}: " if len(answers) > 1 else ""
        typer.echo(f"Error: {visible(which + failure(run))}", err=True)
    if incomplete:
        raise typer.Exit(1)


def tell_cut_off(
    team: str,
    store: str,
    model: str | None,
    docs: Path | None,
    workers: int | None,
    prompts: Path | None,
    found: Sequence[RunRecord],
) -> None:
    """Say on stderr which runs were cut off, and by which commands they go on."""
    were = "was" if len(found) == 1 else "were"
    typer.echo(
        f"{counted(len(found), 'run')} of this store {were} cut off. To go on, before the next message:", err=True
    )
    given = (("--store", store), ("--model", model), ("--docs", docs), ("--workers", workers), ("--prompts", prompts))
    options = [word for name, value in given if value is not None for word in (name, str(value))]
    for run in found:
        typer.echo(f"  {visible(shlex.join(['orchestrator', 'runs', 'resume', team, run.id, *options]))}", err=True)


def _status(run: RunRecord, cut_off: bool | None) -> str:
    if run.status != "running":
        return run.status
    return {True: "cut off", False: "running", None: "running or cut off"}[cut_off]


# --- one run


def _shown(run: StoredRun, cut_off: bool | None) -> Iterator[str]:
    record, lines = run.record, Lines(run.names)
    yield f"run      {one_line(record.id)}"
    yield f"status   {_status(record, cut_off)}"
    yield f"opened   {moment(record.at)}"
    yield f"budget   {_budget(record)}"
    yield f"used     {counted(sum(turn.run == record.id for turn in run.turns), 'turn')}, {spent(run.usage)}"
    if record.agent:
        yield f"message  for {one_line(record.agent)}:"
        yield from _indented(record.text)
    else:
        yield "message  none: a change of the owner's opened it"
    yield from _part("output", record.output)
    yield from _part("error", record.error or "")
    if run.turns:
        yield "turns"
    for number, turn in enumerate(run.turns, 1):
        charged = "" if turn.run == record.id else f", charged to {turn.run}"
        woken = f"{turn.agent} woken by {lines.causes(turn.causes)}"
        ended = ending(turn)
        if turn.status == "running" and record.status == "running":
            ended = ended.replace("running", _status(record, cut_off), 1)
        yield one_line(f"  {number}. {woken}: {ended}{charged}")
        yield from _indented(turn.error or turn.text, 5)
    if run.refused:
        yield "refused"
    for refused in run.refused:
        yield one_line(f"  {refused.operation} of {refused.label} by {refused.by}: {refused.reason}")


def _part(title: str, text: str) -> Iterator[str]:
    if text:
        yield title
        yield from _indented(text)


def _indented(text: str, by: int = 2) -> Iterator[str]:
    """The text, line by line, so that no line of it can pass for one of ours."""
    for line in visible(text).split("\n") if text else ():
        yield " " * by + line if line else ""


def _budget(run: RunRecord) -> str:
    parts = [counted(run.max_turns, "turn")]
    if run.max_usd is not None:
        parts.append(f"${run.max_usd:,.2f}")
    if run.max_seconds is not None:
        parts.append(f"{run.max_seconds:g} s")
    return ", ".join(parts)


# --- for programs


def _head_fields(run: RunRecord, cut_off: bool | None) -> dict[str, Any]:
    return {
        "run": run.id,
        "status": run.status,
        "cut_off": cut_off if run.status == "running" else False,
        "at": run.at,
        "agent": run.agent,
        "message": run.text,
    }


def _listed_fields(run: ListedRun, cut_off: bool | None) -> dict[str, Any]:
    return {**_head_fields(run.record, cut_off), "turns": run.turns}


def _shown_fields(run: StoredRun, cut_off: bool | None) -> dict[str, Any]:
    record = run.record
    refused_fields = {"seq", "at", "key", "label", "operation", "by", "turn", "code", "reason"}
    return {
        **_head_fields(record, cut_off),
        "output": record.output,
        "error": record.error,
        "budget": {"turns": record.max_turns, "usd": record.max_usd, "seconds": record.max_seconds},
        "turns": [turn.model_dump(mode="json") for turn in run.turns],
        "usage": run.usage.model_dump(mode="json"),
        "cost": run.usage.cost,
        "refused": [event.model_dump(mode="json", include=refused_fields) for event in run.refused],
    }
