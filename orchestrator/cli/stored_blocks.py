"""`orchestrator blocks`: the blocks that a store holds, their history, and the owner's write."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from difflib import unified_diff
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from orchestrator.blocks import Revision
from orchestrator.cli.lines import as_ascii, block_fields, filled, one_line
from orchestrator.cli.listing import Column, show_list
from orchestrator.cli.loading import load
from orchestrator.cli.stored import look, moment, saying_why, store_there, use
from orchestrator.cli.words import AsJson, BlockName, Docs, StorePath, Workers, options_given
from orchestrator.errors import DeclarationError
from orchestrator.owner.looking import BlockHistory, SeenBlock, find_block, find_history, find_revision, list_blocks
from orchestrator.owner.offline import set_text
from orchestrator.phrases import brief, counted, visible

blocks = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Look at the blocks of a stored team, and write to them."
)

_COLUMNS: Final = (
    Column("block"),
    Column("version", is_number=True),
    Column("characters"),
    Column("by"),
    Column("seen by", is_long=True),
    Column("description", is_long=True),
)
_HISTORY_COLUMNS: Final = (
    Column("version", is_number=True),
    Column("when"),
    Column("operation"),
    Column("by", is_long=True),
    Column("turn", is_id=True),
    Column("size", is_number=True),
    Column("change", is_number=True),
)


@blocks.command("list")
def list_all(store: StorePath, as_json: AsJson = False) -> None:
    """List the blocks, in the order of their creation.

    In a pipe, a line for each with tabs between: name, version, characters, who wrote last, who sees it, description.

    Exit code 0. 1: the store cannot be read. 2: wrong use.
    """
    with saying_why():
        found = look(store, list_blocks).found
    if as_json:
        typer.echo(as_ascii({"blocks": {block.name: _fields(block) for block in found}}))
        return
    rows = [
        [
            block.name,
            f"{block.state.version:,}",
            filled(block.state).removesuffix(" characters"),
            block.state.by,
            ", ".join(block.agents) or "nobody",
            brief(block.state.description),
        ]
        for block in found
    ]
    show_list(_COLUMNS, rows, "There are no blocks.")


@blocks.command()
def show(
    name: BlockName,
    store: StorePath,
    version: Annotated[
        int | None, typer.Option(metavar="N", help="The text of this version, in place of the latest.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a block: what it is, an empty line, and its text.

    Control characters in the text are written out; the document for programs has it as it is stored.

    Exit code 0. 1: the store cannot be read. 2: wrong use, such as a name that no block has or that several have.
    """
    with saying_why():
        if version is not None:
            history = look(store, lambda rows: find_history(rows, name)).found
            _tell_revision(history, find_revision(history, version), as_json)
            return
        block = look(store, lambda rows: find_block(rows, name)).found
    if as_json:
        typer.echo(as_ascii({"block": block.name, **_fields(block)}))
        return
    state = block.state
    typer.echo(one_line(f"{block.name}: version {state.version} by {state.by}, {filled(state)}"))
    if state.read_only:
        typer.echo("read-only: agents cannot change it")
    if state.overflow is not None:
        typer.echo(one_line(f"when it is full, its oldest lines move to: {state.overflow}"))
    typer.echo(one_line(f"id: {state.key}"))
    typer.echo(one_line(f"seen by: {', '.join(f'{who} ({what})' for who, what in block.agents.items()) or 'nobody'}"))
    if state.description:
        typer.echo(one_line(f"description: {state.description}"))
    typer.echo(f"\n{visible(state.value)}")


@blocks.command()
def history(
    name: BlockName,
    store: StorePath,
    diff: Annotated[bool, typer.Option("--diff", help="Show what each version changed, line by line.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the versions of a block, the newest last.

    The history of a block that was deleted is found by the block's id.

    In a pipe, a line for each with tabs between: version, when, operation, by whom, turn, characters, and by how many
    characters it grew. The document for programs has the text of every version.

    Exit code 0. 1: the store cannot be read. 2: wrong use, such as a name that no block has or that several have.
    """
    if diff and as_json:
        raise typer.BadParameter("give --diff or --json, not both", param_hint="--diff")
    with saying_why():
        found = look(store, lambda rows: find_history(rows, name)).found
    if as_json:
        versions = [_revision_fields(revision) for revision in found.revisions]
        typer.echo(as_ascii({"block": found.name, "id": found.key, "versions": versions}))
    elif diff:
        for line in _differences(found):
            typer.echo(line)
    else:
        show_list(_HISTORY_COLUMNS, _history_rows(found), "It has no versions.")


@blocks.command("set")
def set_block(
    name: BlockName,
    value: Annotated[
        str | None,
        typer.Argument(metavar="VALUE", show_default=False, help="The text. -: what comes in by the standard input."),
    ] = None,
    *,
    store: StorePath,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take the text from this file, in UTF-8, as it is.")
    ] = None,
    team: Annotated[
        str | None,
        typer.Option(
            metavar="TEAM",
            help="The team whose guards are asked: file.py:object, module:object or the name of a pattern."
            " Without it, no guard is asked; the block's limit holds all the same.",
        ),
    ] = None,
    docs: Docs = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Give a block another text, as its owner.

    The text becomes a new version, and what it removes stays in the history. read_only and grants bind agents, not the
    owner. No model is asked, and nobody is woken at once: whoever is woken by the change takes a turn when the team is
    next given a message. The team must not be open in another process.

    A text in a file or from the standard input is taken with the newline at its end, if it has one.

    Exit code 0. 1: the block cannot have the text, or the store cannot be written to. 2: wrong use, such as a name that
    no block has or that several have.
    """
    with saying_why():
        opened = store_there(store)
        text = _given(value, file)
        guards = None if team is None else load(team, options_given(docs, workers))
        written = use(opened, lambda: set_text(opened, name, text, team=guards))
    state = written.state
    if as_json:
        typer.echo(
            as_ascii({"block": written.name, "id": state.key, "changed": written.changed, **block_fields(state)})
        )
    elif written.changed:
        typer.echo(one_line(f"{written.name} changed to version {state.version}: {filled(state)}"))
    else:
        typer.echo(one_line(f"{written.name} stays at version {state.version}, which has this text already"))


def _given(value: str | None, file: Path | None) -> str:
    """The text that was typed, or that stands where it was said."""
    if (value is None) == (file is None):
        raise DeclarationError("blocks set", "give the text either as VALUE or by --file")
    if file is None and value != "-":
        assert value is not None, "one of the two is given"
        return value
    try:
        raw = sys.stdin.buffer.read() if file is None else file.read_bytes()
        return raw.decode("utf-8")
    except OSError as error:
        raise DeclarationError(str(file), f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        where = "the standard input" if file is None else str(file)
        raise DeclarationError(where, f"is not text in UTF-8: {error.reason} at byte {error.start:,}") from error


# --- blocks and versions, for people and for programs


def _fields(block: SeenBlock) -> dict[str, Any]:
    state = block.state
    return {"id": state.key, "agents": dict(block.agents), **block_fields(state), "overflow": state.overflow}


def _tell_revision(history: BlockHistory, revision: Revision, as_json: bool) -> None:
    if as_json:
        typer.echo(as_ascii({"block": history.name, "id": history.key, **_revision_fields(revision)}))
        return
    typer.echo(one_line(f"{history.name}: {_told(revision)}, {counted(len(revision.value), 'character')}"))
    typer.echo(f"\n{visible(revision.value)}")


def _told(revision: Revision) -> str:
    turn = f" in {revision.turn}" if revision.turn else ""
    return f"version {revision.version}, {revision.operation} by {revision.by}{turn}, {moment(revision.at)}"


def _revision_fields(revision: Revision) -> dict[str, Any]:
    return {**revision.model_dump(mode="json"), "characters": len(revision.value)}


def _history_rows(history: BlockHistory) -> Iterator[list[str]]:
    before = 0
    for revision in history.revisions:
        size = len(revision.value)
        yield [
            f"{revision.version:,}",
            moment(revision.at),
            revision.operation,
            revision.by,
            revision.turn or "",
            f"{size:,}",
            f"{size - before:+,}",
        ]
        before = size


def _differences(history: BlockHistory) -> Iterator[str]:
    """Each version: what it is, and the lines that are in it and not in the one before, and the other way round."""
    nothing = Revision(version=0, value="", operation="", by="", at=0)
    for before, after in pairwise((nothing, *history.revisions)):
        yield one_line(_told(after))
        old, new = before.value.split("\n"), after.value.split("\n")
        for line in list(unified_diff(old if before.value else [], new if after.value else [], lineterm="", n=1))[2:]:
            yield f"  {one_line(line)}"
