"""A list as a table on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.cli.listing import Column

_GAP: Final = 2

#: What a long column gets, if it needs it, before ids are shown whole; and what is left of an id.
_ENOUGH: Final = 20
_END: Final = 9


def show_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], console: Console | None = None) -> None:
    """Print the rows; what is in them is shown as it is, without markup. Long columns share the room that is left.

    Where that is too little, ids are shown by their ends.
    """
    console = console or Console()
    rows = _fitting(columns, rows, console.width)
    widths = _widths(columns, rows, console.width)
    # Where even the short ones do not fit, lines are longer than the terminal: nothing is left out.
    console.width = max(console.width, sum(widths) + _GAP * len(widths))
    table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="bold")
    for column, width in zip(columns, widths, strict=True):
        table.add_column(
            column.title,
            justify="right" if column.is_number else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=width,
        )
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table, crop=False)


def _fitting(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int) -> Sequence[Sequence[str]]:
    """The rows, with ids cut down where whole ones would leave too little for the rest."""
    needed = _needed(columns, rows)
    wanted = (min(need, _ENOUGH) if column.is_long else need for column, need in zip(columns, needed, strict=True))
    if sum(wanted) + _GAP * len(columns) <= room:
        return rows
    return [[_end(cell) if column.is_id else cell for column, cell in zip(columns, row, strict=True)] for row in rows]


def _end(id: str) -> str:
    return id if len(id) <= _END else f"…{id[1 - _END :]}"


def _needed(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(column.title), *(cell_len(row[place]) for row in rows)) for place, column in enumerate(columns)]


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int) -> list[int]:
    widths = _needed(columns, rows)
    left = room - sum(_GAP + width for column, width in zip(columns, widths, strict=True) if not column.is_long)
    long = sorted((place for place, column in enumerate(columns) if column.is_long), key=lambda place: widths[place])
    for number, place in enumerate(long):  # the narrowest first: what it does not need is the others'
        share = left // (len(long) - number) - _GAP
        widths[place] = max(len(columns[place].title), min(widths[place], share))
        left -= widths[place] + _GAP
    return widths
