"""`orchestrator graph`: a team as a picture."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Final

import typer

from orchestrator.cli.loading import load
from orchestrator.cli.stored import saying_why
from orchestrator.cli.terminal import fail
from orchestrator.cli.words import Docs, TeamWord, Workers, options_given
from orchestrator.drawing import Format, draw
from orchestrator.errors import DeclarationError

#: What a file's ending says about what is in it.
_ENDINGS: Final[dict[str, Format]] = {
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".dot": "dot",
    ".gv": "dot",
    ".svg": "svg",
}


def graph(
    team: TeamWord,
    format: Annotated[
        Format | None, typer.Option("--format", help="What to draw it as. [by the ending of --output, else mermaid]")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", dir_okay=False, help="Write the picture to this file. [print it]"),
    ] = None,
    docs: Docs = None,
    workers: Workers = None,
) -> None:
    """Draw a team: agents, the blocks between them, what wakes whom.

    mermaid is a flowchart that GitHub shows in Markdown, dot is for Graphviz, svg is an image that needs nothing else.
    An arrow to a block: the agent may change it. An arrow to an agent: it reads the block, or, bold, is woken by it.

    No model is asked. Exit code 0: drawn. 1: the file cannot be written. 2: wrong use.
    """
    with saying_why():
        chosen = format or _by_ending(output)
        with redirect_stdout(sys.stderr):  # in the picture, nothing that the team's own code prints may stand
            loaded = load(team, options_given(docs, workers))
        text = draw(loaded, chosen).encode()
    if output is None:
        typer.echo(text, nl=False)  # as UTF-8, whatever the terminal's encoding is: it is the beginning of a file
        return
    try:
        output.write_bytes(text)
    except OSError as error:
        fail(f"{output}: cannot be written: {error.strerror}", 1)


def _by_ending(output: Path | None) -> Format:
    if output is None:
        return "mermaid"
    ending = output.suffix.lower()
    if ending not in _ENDINGS:
        known = ", ".join(_ENDINGS)
        raise DeclarationError("--output", f"{str(output)!r} ends in none of {known}; give --format, or another name")
    return _ENDINGS[ending]
