"""A simulation on a terminal: a bar while it goes on."""

from __future__ import annotations

from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

#: In seconds: a drawing costs about as much as a schedule of a small team.
_EVERY: Final = 0.1


class Bar:
    """Shows how many schedules have been played, and how many have failed, while it is entered."""

    def __init__(self, total: int | None, console: Console | None = None) -> None:
        columns = (
            TextColumn("simulating"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
        )
        # drawn when something is done, and not by a thread of its own: schedules know of no other threads
        self._progress = Progress(*columns, console=console, auto_refresh=False, transient=True)
        self._task = self._progress.add_task("", total=total)
        self._drawn_at = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        self._progress.refresh()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, played: int, failed: int) -> None:
        """So many schedules have been played, and so many of them have failed."""
        described = f"[red]{failed:,} failed" if failed else ""
        self._progress.update(self._task, completed=played, description=described)
        now = self._progress.get_time()
        if now - self._drawn_at >= _EVERY:
            self._drawn_at = now
            self._progress.refresh()
