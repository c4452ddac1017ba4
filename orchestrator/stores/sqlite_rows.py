"""The rows of a SQLite file: as committed, and as a transaction sees and writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from sqlite3 import Cursor
from typing import Any, Final, TypeVar

import pydantic
from pydantic import TypeAdapter

from orchestrator.blocks import BlockState, Revision
from orchestrator.errors import StoreError
from orchestrator.events import Event, RunStatus
from orchestrator.messages import Message
from orchestrator.ports import AgentRecord, Effect, JournalEntry, RunRecord, TurnRecord
from orchestrator.records import Record
from orchestrator.stores.sqlite_batch import (
    AGENTS,
    BLOCKS,
    EFFECTS,
    JOURNAL,
    RUNS,
    SQL,
    TURNS,
    Batch,
    Key,
    Recent,
    Row,
    Table,
)

_T = TypeVar("_T")

#: Runs a query with its values.
Execute = Callable[[str, Sequence[Any]], Cursor]

_MESSAGE: Final[TypeAdapter[Message]] = TypeAdapter(Message)

#: How many revisions are read at a time; and a version that is greater than all.
_SOME: Final = 20
_BEYOND: Final = 2**62

#: JSON that is nested more deeply than about 200 is written, but not read again.
_DEEP: Final = 150


class CommittedRows:
    """What is committed: the rows that were used lately, and those of the file."""

    def __init__(self, execute: Execute, recent: Recent) -> None:
        self._execute = execute
        self._recent = recent

    def block(self, key: str) -> BlockState | None:
        return self._one(BLOCKS, (key,))

    def blocks(self) -> Iterable[BlockState]:
        return self._listed(BLOCKS, self._execute(SQL["blocks"], ()))

    def revisions(self, key: str, after: int = 0) -> Iterable[Revision]:
        before = _BEYOND
        while True:
            rows = self._execute(SQL["revisions"], (key, after, before, _SOME)).fetchall()
            for before, body in rows:  # noqa: B007 -- where the next ones begin
                yield _decoded(Revision, body)
            if len(rows) < _SOME:
                return

    def agent(self, name: str) -> AgentRecord | None:
        return self._one(AGENTS, (name,))

    def agents(self) -> Iterable[AgentRecord]:
        return self._listed(AGENTS, self._execute(SQL["agents"], ()))

    def run(self, id: str) -> RunRecord | None:
        return self._one(RUNS, (id,))

    def runs(self, status: RunStatus | None = None) -> Iterable[RunRecord]:
        if status is None:
            return self._listed(RUNS, self._execute(SQL["runs"], ()))
        rows = self._execute(SQL["runs_of_status"], (status, self._written_runs()))
        return [run for run in self._listed(RUNS, rows) if run.status == status]

    def turn(self, id: str) -> TurnRecord | None:
        return self._one(TURNS, (id,))

    def turns(self, run: str) -> Sequence[TurnRecord]:
        rows = self._execute(SQL["turns_of_run"], (run, run)).fetchall()
        return [self._row(TURNS, (id,), body) for id, body in rows]

    def messages(self, agent: str) -> Sequence[Message]:
        return tuple(self._said(agent))

    def journal(self, turn: str, step: int) -> JournalEntry | None:
        return self._one(JOURNAL, (turn, step))

    def effect(self, key: str) -> Effect | None:
        return self._one(EFFECTS, (key,))

    def events(self, after: int, limit: int) -> list[str]:
        """The events with a greater number, as JSON."""
        return [body for (body,) in self._execute(SQL["events"], (after, limit))]

    # --- how they are found

    def _one(self, table: Table[Row], key: Key) -> Row | None:
        row = self._recent.row(table, key)
        if row is None:
            found = self._execute(SQL[table.one], key).fetchone()
            if found is None:
                return None
            row = _decoded(table.record, found[0])
            self._recent.keep(table, key, row)
        return row

    def _row(self, table: Table[Row], key: Key, body: str) -> Row:
        """The row that has this body in the file."""
        return self._recent.row(table, key) or _decoded(table.record, body)

    def _listed(self, table: Table[Row], rows: Iterable[tuple[str, str]]) -> list[Row]:
        return [self._row(table, (key,), body) for key, body in rows]

    def _written_runs(self) -> str:
        return "[]"

    def _said(self, agent: str) -> list[Message]:
        said = self._recent.said.get(agent)
        if said is None:
            rows = self._execute(SQL["messages"], (agent,)).fetchall()
            said = [_decoded_message(body) for (body,) in rows]
            self._recent.said.put(agent, said)
        return said


class BatchRows(CommittedRows):
    """What is committed, under what the transactions of a batch have written: each sees those before it."""

    def __init__(self, execute: Execute, recent: Recent, batch: Batch) -> None:
        super().__init__(execute, recent)
        self._batch = batch
        #: What was looked for in the file and not found. Nothing comes into it while a batch is collected.
        self._absent: set[tuple[str, Key]] = set()

    # --- reading

    def revisions(self, key: str, after: int = 0) -> Iterable[Revision]:
        written = tuple(self._batch.history.get(key, ()))
        return self._revisions(key, after, written)

    def _revisions(self, key: str, after: int, written: Sequence[tuple[Revision, str]]) -> Iterator[Revision]:
        for revision, _ in reversed(written):
            if revision.version <= after:
                return
            yield revision
        yield from super().revisions(key, after)

    def turns(self, run: str) -> Sequence[TurnRecord]:
        known = super().turns(run)
        ids = {turn.id for turn in known}
        return [
            *known,
            *(turn for _, turn in self._batch.rows_written(TURNS) if run in turn.runs and turn.id not in ids),
        ]

    def messages(self, agent: str) -> Sequence[Message]:
        before = () if agent in self._batch.forgotten else self._said(agent)
        return (*before, *(message for message, _ in self._batch.said.get(agent, ())))

    def _one(self, table: Table[Row], key: Key) -> Row | None:
        written = self._batch.written(table, key)
        if written is not None:
            return written
        if self._batch.is_deleted(table, key) or (table.one, key) in self._absent:
            return None
        row = super()._one(table, key)
        if row is None:
            self._absent.add((table.one, key))
        return row

    def _row(self, table: Table[Row], key: Key, body: str) -> Row:
        return self._batch.written(table, key) or super()._row(table, key, body)

    def _listed(self, table: Table[Row], rows: Iterable[tuple[str, str]]) -> list[Row]:
        """In the order of their coming: what was deleted and written again has come again."""
        stayed = {(key,): body for key, body in rows if not self._batch.is_deleted(table, (key,))}
        came = [row for key, row in self._batch.rows_written(table) if key not in stayed]
        return [*(self._row(table, key, body) for key, body in stayed.items()), *came]

    def _written_runs(self) -> str:
        return self._batch.keys_as_json(RUNS)

    # --- writing

    def put_block(self, block: BlockState, revision: Revision | None = None) -> None:
        body = _encoded(block)
        if revision is not None:
            last = self._last_version(block.key)
            if revision.version != block.version or revision.version != last + 1:
                raise StoreError(f"block {block.key!r} has {last} versions; it cannot be given version {block.version}")
            self._batch.add(self._batch.history, block.key, (revision, _encoded(revision)))
        self._batch.put(BLOCKS, (block.key,), block, body)

    def delete_block(self, key: str) -> None:
        self._batch.delete(BLOCKS, (_checked(key),))

    def put_agent(self, agent: AgentRecord) -> None:
        self._put(AGENTS, (agent.name,), agent)

    def delete_agent(self, name: str) -> None:
        self._batch.delete(AGENTS, (_checked(name),))
        self._batch.forget(name)

    def put_run(self, run: RunRecord) -> None:
        self._put(RUNS, (run.id,), run)

    def put_turn(self, turn: TurnRecord) -> None:
        self._put(TURNS, (turn.id,), turn)
        for run in turn.runs:
            if run != turn.run:
                self._batch.add(self._batch.turns_of_others, run, turn.id)

    def add_message(self, agent: str, message: Message) -> None:
        self._batch.add(self._batch.said, _checked(agent), (message, _encoded(message)))

    def put_journal(self, turn: str, step: int, entry: JournalEntry) -> None:
        if self.journal(turn, step) is not None:
            raise StoreError(f"step {step} of turn {turn!r} has an answer already")
        self._put(JOURNAL, (turn, step), entry)

    def put_effect(self, key: str, effect: Effect) -> None:
        if self.effect(key) is not None:
            raise StoreError(f"the call {key!r} has had its effect already")
        self._put(EFFECTS, (key,), effect)

    def next_seq(self) -> int:
        log = self._batch.log
        return (log[-1][0].seq if log else self._last_seq()) + 1

    def add_event(self, event: Event) -> None:
        if event.seq != self.next_seq():
            raise StoreError(f"event {event.seq} cannot follow event {self.next_seq() - 1}")
        self._batch.add_event(event, _encoded(event))

    def _put(self, table: Table[Row], key: Key, row: Row) -> None:
        self._batch.put(table, key, row, _encoded(row))

    def _last_version(self, key: str) -> int:
        if written := self._batch.history.get(key):
            return written[-1][0].version
        last = self._recent.versions.get(key)
        if last is None:
            (last,) = self._execute(SQL["last_version"], (key,)).fetchone()
            self._recent.versions.put(key, last)
        return last

    def _last_seq(self) -> int:
        if self._recent.last_seq is None:
            (self._recent.last_seq,) = self._execute(SQL["last_seq"], ()).fetchone()
        return self._recent.last_seq or 0


def _checked(name: str) -> str:
    """A key that is in no JSON: where it cannot be stored, that is the failure of one transaction only, too."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise StoreError(f"{name!r} cannot be stored: {error}") from error
    return name


def _encoded(record: Record) -> str:
    """The row as JSON that can be read again; here, where a failure is that of one transaction only."""
    try:
        body = record.__pydantic_serializer__.to_json(record).decode()  # model_dump_json() looks at twelve options
        if len(body) > 2 * _DEEP and body.count("[") + body.count("{") > _DEEP:
            type(record).model_validate_json(body)
    except ValueError as error:
        raise StoreError(f"a {type(record).__name__} holds what cannot be stored: {error}") from error
    return body


def _decoded(kind: type[Row], body: str) -> Row:
    try:
        return kind.model_validate_json(body)
    except pydantic.ValidationError as error:
        raise StoreError(f"a stored {kind.__name__} cannot be read: {error}") from error


def _decoded_message(body: str) -> Message:
    try:
        return _MESSAGE.validate_json(body)
    except pydantic.ValidationError as error:
        raise StoreError(f"a stored message cannot be read: {error}") from error
