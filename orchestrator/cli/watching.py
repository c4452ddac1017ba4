"""`orchestrator watch`: what happens in a stored team, while another process runs it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Annotated, NamedTuple

import typer

from orchestrator.cli.lines import Lines, event_as_ascii
from orchestrator.cli.stored import saying_why, store_there, use
from orchestrator.cli.words import StorePath
from orchestrator.events import Event
from orchestrator.feed import chosen, follow_from_outside
from orchestrator.owner.looking import changes_names, key_called, last_event, names, run_called
from orchestrator.ports import Reader, Store


class _Choice(NamedTuple):
    """What was asked for, as it was typed."""

    block: str | None
    run: str | None
    after: int | None
    follow: bool
    as_json: bool


def watch(
    store: StorePath,
    block: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only changes of this block: label, agent/label, or the block's id."),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Only what happens for this run; the beginning or end of its id is enough.",
        ),
    ] = None,
    after: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Begin after the event with this number (0: with the first). Without it: with the next one that"
            " happens; with --no-follow, with the first.",
        ),
    ] = None,
    no_follow: Annotated[bool, typer.Option("--no-follow", help="Print what is there, and end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every event, as one line of JSON, in place of lines to read.")
    ] = False,
) -> None:
    """Follow what happens in a stored team.

    Prints a line for each thing that happens, with the number of its event before it, until Ctrl-C; also while another
    process runs the team, which does not notice.

    Exit code 0, also after Ctrl-C. 1: the store cannot be read. 2: wrong use.
    """
    choice = _Choice(block, run, after, not no_follow, as_json)
    with saying_why():
        opened = store_there(store)
        try:
            use(opened, lambda: _watch(opened, choice))
        except KeyboardInterrupt:  # how it is meant to end
            raise typer.Exit from None


async def _watch(store: Store, choice: _Choice) -> None:
    def typed(rows: Reader) -> tuple[str | None, str | None, Mapping[str, str]]:
        key = None if choice.block is None else key_called(rows, choice.block)
        run = None if choice.run is None else run_called(rows, choice.run).id
        return key, run, names(rows)

    key, run, known = await store.read(typed)
    wanted = chosen(key, run)
    after = choice.after
    if after is None:
        after = await last_event(store) if choice.follow else 0
    lines = Lines(known, ends=True)
    async with aclosing(follow_from_outside(store, after, wait=choice.follow)) as events:
        async for event in events:
            if not choice.as_json and changes_names(event):
                lines.names = await store.read(names)
            if wanted(event):
                _tell(event, lines, choice.as_json)


def _tell(event: Event, lines: Lines, as_json: bool) -> None:
    if as_json:
        print(event_as_ascii(event), flush=True)
    elif (line := lines.line(event)) is not None:
        print(f"{event.seq:>6}  {line}", flush=True)
