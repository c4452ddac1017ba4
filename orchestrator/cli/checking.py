"""`orchestrator check`: what may go wrong with a team, before it runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Annotated

import typer

from orchestrator.checking import Report, check
from orchestrator.checking.findings import Rule
from orchestrator.checking.rules import RULES, rule
from orchestrator.cli.check_lines import explained, outcome, report_lines
from orchestrator.cli.doctoring import doctor
from orchestrator.cli.lines import as_ascii
from orchestrator.cli.loading import load
from orchestrator.cli.stored import saying_why
from orchestrator.cli.terminal import fail, is_terminal
from orchestrator.cli.wording import choose_prompts
from orchestrator.cli.words import AsJson, Docs, ModelName, Prompts, Workers, options_given
from orchestrator.errors import DeclarationError
from orchestrator.runs import Budget

#: Stands for all codes.
_ALL = "all"


def check_team(
    team: Annotated[
        str | None, typer.Argument(metavar="TEAM", help="file.py:object, module:object or the name of a pattern.")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Look into a store that was used instead: what was refused, who overwrote whom, what is nearly full.",
        ),
    ] = None,
    explain: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE",
            help=f"Say more about a finding, or, with {_ALL}, about each; needs no TEAM. May be given several times.",
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail for warnings, too.")] = False,
    model: ModelName = None,
    max_turns: Annotated[
        int, typer.Option(metavar="N", min=1, help="The most turns that the team may take.")
    ] = Budget().turns,
    docs: Docs = None,
    workers: Workers = None,
    prompts: Prompts = None,
    as_json: AsJson = False,
) -> None:
    """Say what may go wrong with a team, or what did in a store.

    Races: which agents can change a block at the same time, and whether an update is then lost, refused or safe. Lint:
    blocks that nobody writes, agents that nothing wakes, wakes without end, tools without their blocks, and the like.
    What is all right is waived in the declaration: Team(…, waivers=[Waiver("R002", "notes", reason="…")]).

    No model is asked. Exit code 0: it passes. 1: there are errors, or, with --strict, warnings. 2: wrong use.
    """
    with saying_why():
        if explain:
            _explain(explain, as_json)
            return
        if (team is None) == (store is None):
            raise DeclarationError("check", "say which TEAM, or which --store, or which CODE to --explain; one of them")
        if store is not None:
            raise typer.Exit(doctor(store, as_json=as_json, strict=strict))
        assert team is not None, "one of them is given"
        with redirect_stdout(sys.stderr):  # among the findings, nothing that the team's own code prints may stand
            choose_prompts(prompts)
            loaded = load(team, options_given(docs, workers))
            report = check(loaded, model=model, budget=Budget(turns=max_turns))
    _show(report, strict, as_json)
    if not report.passes(strict):
        fail(f"team {report.team!r} does not pass: {outcome(report)}", 1)


def _show(report: Report, strict: bool, as_json: bool) -> None:
    """Print a report: as a document, for who looks at a terminal, or as lines."""
    if as_json:
        typer.echo(as_ascii(report.document() | {"strict": strict, "passes": report.passes(strict)}))
    elif is_terminal():
        from orchestrator.cli.check_view import show_report  # rich is needed nowhere else

        show_report(report)
    else:
        typer.echo("\n".join(report_lines(report)))


def _explain(codes: Sequence[str], as_json: bool) -> None:
    rules: list[Rule] = [*RULES.values()] if _ALL in codes else [rule(code) for code in codes]
    if as_json:
        typer.echo(as_ascii([known._asdict() for known in rules]))
    elif is_terminal():
        from orchestrator.cli.check_view import show_rules  # rich is needed nowhere else

        show_rules(rules)
    else:
        typer.echo("\n\n".join(map(explained, rules)))
