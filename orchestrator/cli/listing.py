"""Rows of a list: a table on a terminal, a line with tabs for each in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import typer

from orchestrator.cli.lines import one_line
from orchestrator.cli.terminal import is_terminal


class Column(NamedTuple):
    """What is in a column, for the head of a table."""

    title: str
    is_number: bool = False
    #: Gives way where the terminal is narrow.
    is_long: bool = False
    #: Where the terminal is narrow, its end is shown: ids that are made one after another begin alike.
    is_id: bool = False


def show_list(columns: Sequence[Column], rows: Iterable[Sequence[str]], empty: str) -> None:
    """Print the rows; where there are none, a terminal is told so, and a pipe gets no line."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    if not is_terminal():
        for row in cells:
            typer.echo("\t".join(row))
    elif not cells:
        typer.echo(empty)
    else:
        from orchestrator.cli.tables import show_table  # rich is needed nowhere else

        show_table(columns, cells)
