"""Words that several commands take, each with what its help says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.models import VARIABLE
from orchestrator.templates import VARIABLE as PROMPTS_VARIABLE

TeamWord = Annotated[
    str, typer.Argument(metavar="TEAM", help="file.py:object, module:object or the name of a pattern.")
]

ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help=f"Every agent's model, such as rehearsal. Without it: each agent's own, or what {VARIABLE} names.",
    ),
]

Docs = Annotated[
    Path | None,
    typer.Option(
        "--docs",
        metavar="FOLDER",
        exists=True,
        file_okay=False,
        help="A folder of .md, .txt or .rst files in UTF-8, for a team that takes one.",
    ),
]

Workers = Annotated[
    int | None, typer.Option("--workers", metavar="N", help="How many workers, for a team that lets you choose.")
]

Prompts = Annotated[
    Path | None,
    typer.Option(
        "--prompts",
        metavar="FOLDER",
        exists=True,
        file_okay=False,
        help="Templates in place of those that come with the package, as made by: orchestrator prompts copy. Without"
        f" it: what {PROMPTS_VARIABLE} names.",
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]

#: Of a store that is there.
StorePath = Annotated[
    str, typer.Option("--store", metavar="PATH", help="The file in which the team is kept, as given to: run --store.")
]

BlockName = Annotated[
    str,
    typer.Argument(metavar="NAME", help="label; agent/label where several blocks have the label; or the block's id."),
]


def options_given(docs: Path | None, workers: int | None) -> dict[str, object]:
    """What a function that makes a team is called with."""
    words = {"docs": None if docs is None else str(docs), "workers": workers}
    return {name: given for name, given in words.items() if given is not None}
