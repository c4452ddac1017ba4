"""`orchestrator bench`: the built-in workloads, or a team of the user's under load."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import anyio
import typer

from orchestrator.cli.loading import load
from orchestrator.cli.terminal import announce, fail, is_terminal
from orchestrator.cli.wording import choose_prompts
from orchestrator.cli.words import Prompts
from orchestrator.errors import DeclarationError, ModelNotFound, OrchestratorError
from orchestrator.runs import Budget

if TYPE_CHECKING:  # the bench itself is loaded when it is asked for
    from orchestrator.bench import Finding, Load, Measured
    from orchestrator.cli.bench_view import Bar
    from orchestrator.cli.figures import Sheet

    Draw = Callable[[Sheet], None]


def bench(
    team: Annotated[
        str | None, typer.Argument(metavar="TEAM", help="file.py:object, module:object or the name of a pattern.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Without TEAM: this workload. May be given several times.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Without TEAM: small and once, to see that it works.")] = False,
    message: Annotated[str | None, typer.Option(metavar="TEXT", help="What the team is told.")] = None,
    messages: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="So many messages at once. [8, or 1 with --tasks]")
    ] = None,
    tasks: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Each message asks for so many things, a line for each.")
    ] = None,
    think: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="How long a model thinks before it answers: 50ms, 0.2s, uniform:20ms..80ms, exponential:50ms (its"
            " mean), lognormal:50ms,0.5 (median and sigma). [rehearsal: 50ms; other models: as long as they take]",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Of think times that are drawn. [0]")] = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Virtual time: thinking costs nothing, and a seed repeats itself.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Every agent's model; own: the one that each agent names. [rehearsal]"),
    ] = None,
    store: Annotated[
        Path | None, typer.Option(metavar="PATH", dir_okay=False, help="Keep the team in this file. [in memory]")
    ] = None,
    max_concurrency: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The most turns at once. [no limit]")
    ] = None,
    repeat: Annotated[int | None, typer.Option(metavar="N", min=1, help="All of it so many times. [1]")] = None,
    max_turns: Annotated[
        int | None, typer.Option(metavar="N", min=1, help=f"The most turns for a message. [{Budget().turns}]")
    ] = None,
    docs: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", exists=True, file_okay=False, help="A folder of documents, as in: run."),
    ] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help="How many workers, as in: run.")] = None,
    prompts: Prompts = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Measure the built-in workloads, or a TEAM under load.

    Without TEAM, each workload is measured beside a bare task group that does the same waiting, in the same run.
    Workloads: uneven, wide, inserts, turns, calls, commits, prompts. Machines are noisy: compare the ratios of one
    run, not the times of two. Prompt tokens are counted in words and signs.

    With TEAM, messages are sent at once, and models think for fixed or drawn times: turns/s, p50, p95 and p99, how
    much faster than one after another, how near the ideal, and refused edits of each block.

    Exit code 0: measured. 1: a run did not complete. 2: wrong use. 130: Ctrl-C.
    """
    given = _given(
        message=message,
        messages=messages,
        tasks=tasks,
        think=think,
        seed=seed,
        simulated=simulated or None,
        model=model,
        store=store,
        max_concurrency=max_concurrency,
        repeat=repeat,
        max_turns=max_turns,
        docs=None if docs is None else str(docs),
        workers=workers,
    )
    # In a document for programs, nothing that the team's own code prints may stand.
    aside = redirect_stdout(sys.stderr) if as_json else nullcontext()
    with _told(), aside:
        choose_prompts(prompts)
        if team is None:
            outcome = _suite(only or [], quick, given, as_json)
        else:
            outcome = _under_load(team, bool(only) or quick, given, as_json)
    if outcome.document is not None:
        typer.echo(outcome.document)
    if outcome.failure is not None:
        fail(outcome.failure, 1)


def _given(**words: Any) -> dict[str, Any]:
    """The options that were typed."""
    return {name: value for name, value in words.items() if value is not None}


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong is told in a line, and becomes an exit code."""
    try:
        yield
    except (DeclarationError, ModelNotFound) as error:
        fail(str(error), 2)
    except OrchestratorError as error:
        fail(str(error), 1)
    except KeyboardInterrupt:
        typer.echo("Cancelled.", err=True)
        raise typer.Exit(130) from None


class _Outcome(NamedTuple):
    """What is still to be said."""

    document: str | None
    failure: str | None = None


def _suite(only: Sequence[str], quick: bool, given: Mapping[str, Any], as_json: bool) -> _Outcome:
    """The built-in workloads."""
    from orchestrator.bench import FULL, QUICK, plan, run_jobs, suite_document
    from orchestrator.cli.figures import line, notes, sheets

    if given:
        raise DeclarationError("bench", f"{_flags(given)}: say which TEAM; without one, there are --only and --quick")
    jobs = plan(only, size=QUICK if quick else FULL)
    bar, draw = _progress(len(jobs), as_json)

    def done(finding: Finding) -> None:
        if draw or as_json:
            bar(finding)
        else:
            print(line(finding), flush=True)  # as it comes, also into a pipe

    with bar:
        findings = anyio.run(run_jobs, jobs, done)
    if as_json:
        return _Outcome(suite_document(findings, quick=quick))
    if draw is None:
        return _Outcome("\n".join(("", *notes(findings))))
    for number, sheet in enumerate(sheets(findings)):
        if number:
            print()
        draw(sheet)
    return _Outcome(None)


def _under_load(typed: str, asks_for_suite: bool, given: dict[str, Any], as_json: bool) -> _Outcome:
    """A team of the user's."""
    from orchestrator.bench import measure, measured_document
    from orchestrator.cli.figures import asked_line

    if asks_for_suite:
        raise DeclarationError(
            "bench", "--only and --quick choose among the built-in workloads; leave out TEAM or them"
        )
    team = load(typed, {name: given.pop(name) for name in ("docs", "workers") if name in given})
    asked = _load(given)
    announce(team, _model(given))
    bar, draw = _progress(asked.messages * asked.repeat, as_json)
    with bar:
        measured = measure(team, asked, bar)
    failure = None if measured.is_complete else f"not every run is complete; the first that is not: {measured.failure}"
    if as_json:
        return _Outcome(measured_document(measured, _options(asked)), failure)
    print(asked_line(team, asked))
    _tell(measured, draw)
    return _Outcome(None, failure)


def _load(given: Mapping[str, Any]) -> Load:
    """The load that was asked for."""
    from orchestrator.bench import MODEL, THINK, Load, Think

    asked = {**given, "model": _model(given)}
    thinks = asked.pop("think", None)
    asked["think"] = Think.parse(thinks) if thinks is not None else THINK if asked["model"] == MODEL else None
    asked.setdefault("messages", 1 if "tasks" in asked else Load().messages)
    if "max_turns" in asked:
        asked["budget"] = Budget(turns=asked.pop("max_turns"))
    return Load(**asked)


def _model(given: Mapping[str, Any]) -> str | None:
    """The name of every agent's model; None for each agent's own."""
    from orchestrator.bench import MODEL

    name: str = given.get("model", MODEL)
    return None if name == "own" else name


def _options(asked: Load) -> dict[str, object]:
    """The load in words that JSON has."""
    options = {field.name: getattr(asked, field.name) for field in fields(asked)}
    budget: Budget = options.pop("budget")
    options["max_turns"] = budget.turns
    return {name: value if value is None or isinstance(value, int) else str(value) for name, value in options.items()}


def _tell(measured: Measured, draw: Draw | None) -> None:
    from orchestrator.cli.figures import measured_lines, measured_sheets, sheet_lines

    for told in measured_lines(measured):
        print(told)
    for sheet in measured_sheets(measured):
        print()
        if draw is not None:
            draw(sheet)
        else:
            print("\n".join(sheet_lines(sheet)))


class _Silent(nullcontext[None]):
    """A bar that nobody looks at."""

    def __call__(self, done: object = None) -> None:
        pass


def _progress(total: int, as_json: bool) -> tuple[Bar | _Silent, Draw | None]:
    """A bar for a terminal, and what draws tables there."""
    if as_json or not is_terminal():
        return _Silent(), None
    from orchestrator.cli.bench_view import Bar, draw  # rich is needed nowhere else

    return Bar(total), draw


def _flags(given: Mapping[str, Any]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in given)
