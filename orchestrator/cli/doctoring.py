"""`orchestrator check --store`: who has which block, what was refused, who overwrote whom, and what is to be mended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import typer

from orchestrator.checking.doctor import Diagnosis, concluded, gather
from orchestrator.checking.findings import GRAVEST_FIRST
from orchestrator.checking.overwriting import Overwriting
from orchestrator.cli.lines import as_ascii, one_line
from orchestrator.cli.listing import Column, show_list
from orchestrator.cli.stored import look_around, moment, saying_why
from orchestrator.cli.terminal import is_terminal
from orchestrator.phrases import brief, counted

_BLOCKS: Final = (
    Column("block"),
    Column("version", is_number=True),
    Column("by"),
    Column("characters"),
    Column("full", is_number=True),
    Column("seen by", is_long=True),
)
_REFUSED: Final = (
    Column("agent"),
    Column("block"),
    Column("times", is_number=True),
    Column("why"),
    Column("last"),
    Column("last reason", is_long=True),
)
_OVERWRITTEN: Final = (
    Column("block"),
    Column("version", is_number=True),
    Column("operation"),
    Column("by"),
    Column("shown", is_number=True),
    Column("lines", is_number=True),
    Column("never shown", is_number=True),
    Column("of", is_long=True),
)

#: Of the rewrites that removed lines of others, the last ones are listed; the document for programs has all.
_MOST: Final = 20


def diagnosed(path: str) -> Diagnosis:
    """What is found in the store at a path, also while another process writes to it."""
    seen = look_around(path, gather)
    return concluded(seen.found, seen.cut_off)


def doctor(path: str, *, as_json: bool = False, strict: bool = False) -> int:
    """Print what is found in a store: lists and findings, or a document for programs. The exit code: 1 for errors.

    In a pipe, a line for each row with tabs between, which begins with what it is: block, refused, overwritten, error,
    warning or note. Ends the command where the store cannot be read.

    Args:
        strict: 1 for warnings, too.
    """
    with saying_why():
        diagnosis = diagnosed(path)
    if as_json:
        typer.echo(as_ascii(diagnosis.document()))
    else:
        _tell(diagnosis)
    return 0 if diagnosis.passes(strict) else 1


def _tell(diagnosis: Diagnosis) -> None:
    _list("block", "Blocks", _BLOCKS, list(_block_rows(diagnosis)))
    _list("refused", "Refused", _REFUSED, list(_refused_rows(diagnosis)))
    _list("overwritten", "Overwritten", _OVERWRITTEN, [_overwritten_row(o) for o in diagnosis.overwritten[-_MOST:]])
    for finding in diagnosis.findings:
        if is_terminal():
            typer.echo(one_line(f"{finding.severity} {finding.code}  {finding.place}: {finding.reason}"))
            typer.echo(one_line(f"    {finding.mend}"))
        else:
            cells = (finding.severity, finding.code, finding.place, finding.reason, finding.mend)
            typer.echo("\t".join(map(one_line, cells)))
    if is_terminal():
        typer.echo(_summary(diagnosis))


def _summary(diagnosis: Diagnosis) -> str:
    return ", ".join(counted(len(diagnosis.of(severity)), severity) for severity in GRAVEST_FIRST)


def _list(word: str, title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """A table under a title; in a pipe, lines that begin with the word."""
    if is_terminal():
        if rows:
            typer.echo(title)
            show_list(columns, rows, "")
            typer.echo()
    else:
        show_list((Column("what"), *columns), [[word, *row] for row in rows], "")


def _block_rows(diagnosis: Diagnosis) -> Iterator[list[str]]:
    for block in diagnosis.blocks:
        agents = (
            f"{sight.agent} ({sight.grant}, {'not shown yet' if sight.shown is None else f'shown {sight.shown:,}'})"
            for sight in block.agents
        )
        yield [
            block.name,
            f"{block.version:,}",
            block.by,
            f"{block.characters:,} of {block.limit:,}",
            f"{block.characters * 100 // block.limit} %",
            ", ".join(agents) or "nobody",
        ]


def _refused_rows(diagnosis: Diagnosis) -> Iterator[list[str]]:
    for refused in diagnosis.refused:
        yield [
            refused.by,
            refused.block,
            f"{refused.times:,}",
            refused.code,
            moment(refused.last_at),
            brief(refused.last_reason),
        ]


def _overwritten_row(overwriting: Overwriting) -> list[str]:
    gone = (*overwriting.removed, *overwriting.unseen)
    return [
        overwriting.block,
        f"{overwriting.version:,}",
        overwriting.operation,
        overwriting.by,
        "" if overwriting.shown is None else f"{overwriting.shown:,}",
        f"{len(gone):,}",
        f"{len(overwriting.unseen):,}",
        ", ".join(dict.fromkeys(line.by for line in gone)),
    ]
