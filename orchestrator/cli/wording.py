"""`orchestrator prompts`: the templates of what models read, and copies of them to edit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from orchestrator.cli.lines import as_ascii
from orchestrator.cli.listing import Column, show_list
from orchestrator.cli.stored import saying_why
from orchestrator.cli.words import AsJson
from orchestrator.cli.writing import write_all
from orchestrator.errors import DeclarationError
from orchestrator.phrases import visible
from orchestrator.prompting import load_prompts, use_prompts
from orchestrator.templates import SUFFIX, VARIABLE, shipped_templates

templates = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="List the words that models read; copy them, to edit them."
)

_COLUMNS: Final = (Column("template"), Column("what it is", is_long=True), Column("variables", is_long=True))


def choose_prompts(folder: Path | None) -> None:
    """Use the templates of the folder that was typed, or of the one that the environment names.

    Before a team is loaded: its patterns render their instructions then.
    """
    if folder is None:
        load_prompts()
    else:
        use_prompts(folder)


@templates.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the templates that come with the package.

    In a pipe, a line for each with tabs between: name, what it is, its variables.
    """
    found = shipped_templates()
    if as_json:
        fields = [{"name": each.name, "about": each.about, "variables": each.variables} for each in found]
        typer.echo(as_ascii({"prompts": fields}))
        return
    show_list(_COLUMNS, [[each.name, each.about, each.variables] for each in found], "There are no templates.")


@templates.command("copy")
def copy(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to put the copies; made if missing.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", show_default=False, help="Which templates. Without it: all."),
    ] = None,
) -> None:
    """Copy templates into a folder, to be edited there.

    No file is overwritten. Keep those that you change, and delete the others: then they come from the package, and
    get better with it. What a template may use is what the one in the package uses; anything else is refused when
    the folder is read, with file and line.

    Exit code 0. 2: wrong use, such as a name that no template has, or a file that is there already.
    """
    with saying_why():
        copies = _copies(folder, names or [])
        write_all(copies)
    for path in copies:
        typer.echo(visible(str(path)))
    typer.echo(f"Use them with --prompts {visible(str(folder))}, or with {VARIABLE} in the environment.", err=True)


def _copies(folder: Path, names: list[str]) -> dict[Path, str]:
    """The texts of the templates that are named, or of all, by where to write them."""
    there = {template.name: template.text for template in shipped_templates()}
    if unknown := [name for name in names if name not in there]:
        raise DeclarationError("prompts", f"there is no {unknown[0]!r}; there are: {', '.join(there)}")
    return {folder / (name + SUFFIX): there[name] for name in names or there}
