"""A bench on a terminal: a bar while it measures, tables at the end."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from orchestrator.cli.figures import Sheet


class Bar:
    """Shows how many of so many are done, while it is entered.

    It is drawn when something is done, and not in between: a thread that draws would be measured, too.
    """

    def __init__(self, total: int, console: Console | None = None) -> None:
        columns = (TextColumn("measuring"), BarColumn(), MofNCompleteColumn())
        self._progress = Progress(*columns, console=console, auto_refresh=False, transient=True)
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> Bar:
        self._progress.start()
        self._progress.refresh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, done: object = None) -> None:
        """One more is done, whatever it is."""
        self._progress.advance(self._task)
        self._progress.refresh()


def draw(sheet: Sheet, console: Console | None = None) -> None:
    """Print a table; texts stand left, figures right, and nothing in it is markup."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for number, name in enumerate(sheet.columns):
        is_figure = all(row[number][:1].isdigit() for row in sheet.rows) and name != "what"
        table.add_column(name, justify="right" if is_figure else "left", no_wrap=name != "what")
    for row in sheet.rows:
        table.add_row(*(Text(value) for value in row))
    (console or Console()).print(table, *([Text(sheet.note, "dim")] if sheet.note else []))
