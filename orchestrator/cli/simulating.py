"""`orchestrator simulate`: a team under many schedules, under every schedule with few switches, or under one again."""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from orchestrator.cli.stored import saying_why
from orchestrator.cli.words import AsJson, Docs, ModelName, Prompts, Workers
from orchestrator.errors import DeclarationError
from orchestrator.runs import Budget

if TYPE_CHECKING:  # the simulation itself is loaded when it is asked for
    from orchestrator.cli.simulation_lines import Told
    from orchestrator.cli.simulation_words import Asked


def simulate(
    team: Annotated[
        str | None, typer.Argument(metavar="TEAM", help="file.py:object, module:object or the name of a pattern.")
    ] = None,
    message: Annotated[str | None, typer.Argument(metavar="MESSAGE", help="What the team is told.")] = None,
    schedules: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="How many schedules; with --exhaustive, the most. [1000, or 10000]"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="The first seed; in 0, nobody is late. [0]")
    ] = None,
    model: ModelName = None,
    answers: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Speak the answers of a recording, or of a store in which a team was kept."),
    ] = None,
    faults: Annotated[
        bool, typer.Option("--faults", help="Models, tools and processes fail, runs are cancelled; then it heals.")
    ] = False,
    store: Annotated[
        Literal["memory", "sqlite"] | None, typer.Option(help="Where each schedule keeps its team. [memory]")
    ] = None,
    invariant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="file.py:FUNCTION",
            help="Called with each finished run; its AssertionError fails the schedule. May be given several times.",
        ),
    ] = None,
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="Every schedule with few switches; models answer at once.")
    ] = False,
    switches: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="With --exhaustive: the most switches. [2]")
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Play a saved schedule again. Needs no TEAM, but takes one."),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            file_okay=False,
            help="Save failing schedules in this folder. [.orchestrator/sim; with --json: nowhere]",
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="So many processes. [one for each processor, up to 4; 1 for few]"),
    ] = None,
    max_turns: Annotated[
        int | None, typer.Option(metavar="N", min=1, help=f"The most turns for a message. [{Budget().turns}]")
    ] = None,
    docs: Docs = None,
    workers: Workers = None,
    prompts: Prompts = None,
    as_json: AsJson = False,
    part: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run a team under many schedules; tell, and replay, what fails.

    The team gets the same message in each of them, and then what is promised of blocks, tasks, turns and runs is
    looked for, and what an --invariant demands. Each schedule has virtual time and a seed of its own, which says
    who goes on where several could, how long models think, and with --faults what goes wrong. Engine, store and
    tools are the real ones; tools do what they do. No model is contacted: rehearsal, scripts and recorded answers
    are what can be simulated.

    The first schedule of each kind that fails is made as small as it can be, told as a story, and saved.

    Exit code 0: everything holds. 1: something does not; with --replay, it still fails. 2: wrong use. 130: Ctrl-C.
    """
    given = {
        "model": model,
        "answers": answers,
        "faults": faults or None,
        "store": store,
        "invariants": tuple(invariant) if invariant else None,
        "max_turns": max_turns,
        "schedules": schedules,
        "seed": seed,
        "exhaustive": exhaustive or None,
        "switches": switches,
        "processes": processes,
        "save": save,
    }
    made_with = {"docs": _text(docs), "workers": workers, "prompts": _text(prompts)}
    typed = Typed(team, message, _only_given(given), _only_given(made_with), replay, as_json)
    if part is not None:
        from orchestrator.cli.simulation_part import play_part

        raise typer.Exit(play_part(typed.asked(), part))
    # In a document for programs, nothing that the team's own code prints may stand.
    aside = redirect_stdout(sys.stderr) if as_json else nullcontext()
    with saying_why(), aside:
        typed.check()
        text, passed = _came(typed)
    typer.echo(text)
    if not passed:
        raise typer.Exit(1)


class Typed(NamedTuple):
    """What was typed."""

    team: str | None
    message: str | None
    #: The options that were given, but for those that say how the team is made.
    given: dict[str, Any]
    made_with: dict[str, Any]
    replay: Path | None
    as_json: bool

    def check(self) -> None:
        """Refuse what does not go together."""
        if self.replay is not None:
            wrong = [_flag(name) for name in self.given] + ["MESSAGE"] * (self.message is not None)
            if wrong:
                raise DeclarationError("--replay", f"plays what was saved; leave out {', '.join(wrong)}")
            return
        if self.team is None or self.message is None:
            raise DeclarationError("simulate", "say which TEAM, and the MESSAGE that it is given; or --replay FILE")
        if "exhaustive" in self.given:
            if wrong := [_flag(name) for name in ("seed", "faults", "processes") if name in self.given]:
                raise DeclarationError("--exhaustive", f"draws nothing by chance; leave out {', '.join(wrong)}")
        elif "switches" in self.given:
            raise DeclarationError("--switches", "bounds the search; add --exhaustive")
        if "answers" in self.given and "model" in self.given:
            raise DeclarationError("--answers", "and --model: either recorded answers or a model")

    def asked(self) -> Asked:
        """The team, what it is told, and under which circumstances."""
        from orchestrator.cli.simulation_words import Asked

        names = ("model", "answers", "faults", "store", "invariants", "max_turns")
        circumstances = {name: self.given[name] for name in names if name in self.given}
        return Asked(team=self.team or "", message=self.message or "", **circumstances, **self.made_with)


def _came(typed: Typed) -> Told:
    """What is to be said of what was asked for."""
    given = typed.given
    if typed.replay is not None:
        from orchestrator.cli.replaying import replayed

        return replayed(typed.replay, typed.team, typed.made_with, as_json=typed.as_json)
    from orchestrator.cli.simulation_runs import Wish, sampled, searched

    wish = Wish(typed.asked(), given.get("save"), typed.as_json)
    if "exhaustive" in given:
        return searched(wish, given.get("switches", 2), given.get("schedules", 10_000))
    return sampled(wish, given.get("seed", 0), given.get("schedules", 1000), given.get("processes"))


def _only_given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _flag(name: str) -> str:
    return "--invariant" if name == "invariants" else f"--{name.replace('_', '-')}"
