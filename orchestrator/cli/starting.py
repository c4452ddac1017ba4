"""`orchestrator new`: a team of one's own to start from, and its test."""

from __future__ import annotations

import importlib.util
import keyword
import re
import shlex
import sys
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer

from orchestrator.checks import NAME
from orchestrator.cli.loading import DISTRIBUTION
from orchestrator.cli.stored import saying_why
from orchestrator.cli.writing import write_all
from orchestrator.errors import DeclarationError
from orchestrator.phrases import visible

#: The entry-point group of skeletons: a pattern's name, and the module that is copied with the test beside it.
GROUP: Final = "orchestrator.skeletons"

#: What a skeleton calls its team.
_TEAM: Final = "my_team"

#: Where a skeleton says how it is run; of the message nothing may mean anything to a shell.
_RUN: Final = re.compile(rf'orchestrator run {_TEAM}\.py:team "([\w ,.?]+)"')

#: Modules that pytest takes for its own.
_OF_PYTEST: Final = frozenset({"conftest", "pytest"})


class _Skeleton(NamedTuple):
    module: str
    team: str
    test: str


def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What the team and its file are called, such as my_team.")
    ],
    pattern: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What to start from: task_queue, domain_knowledge, user_preferences, handoff_context, system_config.",
        ),
    ] = "task_queue",
    folder: Annotated[
        Path, typer.Option(metavar="FOLDER", file_okay=False, help="Where to put the files; made if missing.")
    ] = Path(),
) -> None:
    """Write a small team and its test, to start from.

    NAME.py and test_NAME.py run as they are, without a key; comments say where to change what. It prints the commands
    that run, test and draw the team. No file is overwritten.

    Exit code 0. 2: wrong use, such as a name that Python cannot import, or a file that is there already.
    """
    with saying_why():
        module = _module_name(name, folder)
        skeleton = _skeleton(pattern)
        team, test = folder / f"{module}.py", folder / f"test_{module}.py"
        write_all({team: _named(skeleton, skeleton.team, module), test: _named(skeleton, skeleton.test, module)})
    typer.echo(f"Wrote {visible(str(team))} and {visible(str(test))}.", err=True)
    if importlib.util.find_spec("pytest") is None:
        typer.echo("Its test needs pytest: pip install pytest", err=True)
    there = shlex.quote(f"{team}:team")
    for line in (
        f'orchestrator run {there} "{_message(skeleton.team)}" --model rehearsal',
        f"python -m pytest {shlex.quote(str(test))}",
        f"orchestrator graph {there}",
    ):
        typer.echo(visible(line))


def _module_name(typed: str, folder: Path) -> str:
    """The name that was typed, as a module's; `DeclarationError` suggests another where it cannot be one."""
    name = typed.replace("-", "_")
    where = f"the name {typed!r}"
    if not (name.isidentifier() and NAME.fullmatch(name)) or keyword.iskeyword(name) or name.startswith("__"):
        raise DeclarationError(where, f"is none that a Python file and a team can have; try: {_suggestion(name)}")
    if _is_taken(name, folder):
        raise DeclarationError(where, f"is that of a module, which {name}.py would hide; try: {_suggestion(name)}")
    if (folder / name / "__init__.py").exists():
        raise DeclarationError(where, f"is that of a package there, which would hide {name}.py; take another one")
    return name


def _suggestion(name: str) -> str:
    word = re.sub(r"\W+", "_", name.removesuffix(".py"), flags=re.ASCII).strip("_")[:40]
    if not word:
        return _TEAM
    if not word[0].isalpha():
        return f"team_{word}"
    return word if word != name and not keyword.iskeyword(word) else f"{word}_team"


def _is_taken(name: str, folder: Path) -> bool:
    """Whether Python, pytest or an installed package has a module of this name; one that stands here does not count."""
    if name in sys.stdlib_module_names or name in _OF_PYTEST:
        return True
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # a module that was made, not found
        return True
    if spec is None:
        return False
    at = list(spec.submodule_search_locations or ()) or [spec.origin or ""]
    return {Path(place).resolve().parent for place in at}.isdisjoint({Path.cwd(), folder.resolve()})


def _skeleton(pattern: str) -> _Skeleton:
    """What there is to start from; `DeclarationError` says which patterns have something."""
    offered = {entry.name: entry.value for entry in entry_points(group=GROUP)}
    if not offered:
        problem = f"there are skeletons only where {DISTRIBUTION} is installed; in a checkout: pip install -e ."
        raise DeclarationError("--pattern", problem)
    if pattern not in offered:
        raise DeclarationError("--pattern", f"there is no {pattern!r}; there are: {', '.join(sorted(offered))}")
    package, _, stem = offered[pattern].rpartition(".")
    try:
        beside = files(package)
        team, test = ((beside / f"{name}.py").read_text(encoding="utf-8") for name in (stem, f"test_{stem}"))
    except (ImportError, OSError) as error:
        raise DeclarationError("--pattern", f"{offered[pattern]} cannot be read: {error}") from error
    return _Skeleton(offered[pattern], team, test)


def _message(text: str) -> str:
    """What the skeleton says to send to its team."""
    said = _RUN.search(text)
    return said[1] if said else "What are memory blocks?"


def _named(skeleton: _Skeleton, text: str, module: str) -> str:
    """The text for a team of this name, which stands in a file of this name."""
    return re.sub(f"{re.escape(skeleton.module)}|{_TEAM}", module, text)
