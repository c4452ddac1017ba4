"""What the transactions of one commit write, and the committed rows that are kept at hand."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Final, Generic, TypeVar

from orchestrator.blocks import BlockState, Revision
from orchestrator.events import Event
from orchestrator.messages import Message
from orchestrator.ports import AgentRecord, Effect, JournalEntry, RunRecord, TurnRecord
from orchestrator.records import Record

Row = TypeVar("Row", bound=Record)
_K = TypeVar("_K")
_V = TypeVar("_V")

#: What a row is found by: one or two columns.
Key = tuple[str] | tuple[str, int]


def _paragraphs(text: str) -> dict[str, str]:
    """The queries of a file by name. Each begins with a line `-- name: …`."""
    named = text.split("-- name: ")[1:]
    return {name: query for name, _, query in (paragraph.partition("\n") for paragraph in named)}


SQL: Final = _paragraphs((Path(__file__).parent / "queries.sql").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True, eq=False)
class Table(Generic[Row]):
    """A kind of rows that are found by a key, and the names of its queries."""

    record: type[Row]
    one: str
    put: str
    delete: str = ""
    #: What else than key and body is a column, since rows are found by it.
    beside: Callable[[Row], tuple[str, ...]] = lambda row: ()


BLOCKS: Final = Table(BlockState, "block", "put_block", "delete_block")
AGENTS: Final = Table(AgentRecord, "agent", "put_agent", "delete_agent")
RUNS: Final = Table(RunRecord, "run", "put_run", beside=lambda run: (run.status,))
TURNS: Final = Table(TurnRecord, "turn", "put_turn", beside=lambda turn: (turn.run,))
JOURNAL: Final = Table(JournalEntry, "answer", "put_answer")
EFFECTS: Final = Table(Effect, "effect", "put_effect")
_TABLES: Final[tuple[Table[Any], ...]] = (BLOCKS, AGENTS, RUNS, TURNS, JOURNAL, EFFECTS)


class _Lately(Generic[_K, _V]):
    """A dictionary that forgets what was not asked for longest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[_K, _V] = OrderedDict()

    def get(self, key: _K) -> _V | None:
        value = self._kept.get(key)
        if value is not None:
            self._kept.move_to_end(key)
        return value

    def put(self, key: _K, value: _V) -> None:
        self._kept[key] = value
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def drop(self, key: _K) -> None:
        self._kept.pop(key, None)

    def clear(self) -> None:
        self._kept.clear()


class Recent:
    """Committed rows as they were last read or written, so that hot ones are not decoded again and again."""

    def __init__(self, most_rows: int = 10_000, most_agents: int = 300) -> None:
        self._rows: _Lately[tuple[str, Key], Record] = _Lately(most_rows)
        self.versions: _Lately[str, int] = _Lately(most_rows)
        self.said: _Lately[str, list[Message]] = _Lately(most_agents)
        self.last_seq: int | None = None

    def row(self, table: Table[Row], key: Key) -> Row | None:
        """The row, if it is at hand."""
        row: Any = self._rows.get((table.one, key))
        return row  # type: ignore[no-any-return]  # kept under its table

    def keep(self, table: Table[Row], key: Key, row: Row) -> None:
        """This is the row now."""
        self._rows.put((table.one, key), row)

    def drop(self, table: Table[Any], key: Key) -> None:
        """There is no such row any more."""
        self._rows.drop((table.one, key))

    def clear(self) -> None:
        """Nothing is known of what is committed."""
        self._rows.clear()
        self.versions.clear()
        self.said.clear()
        self.last_seq = None


class Batch:
    """What transactions have written that are committed together, each with the JSON that the file will hold.

    The transaction under way can be taken back, alone.
    """

    def __init__(self) -> None:
        self._rows: dict[str, dict[Key, tuple[Record, str]]] = {table.one: {} for table in _TABLES}
        self._deleted: dict[str, dict[Key, None]] = {BLOCKS.one: {}, AGENTS.one: {}}
        self.history: dict[str, list[tuple[Revision, str]]] = {}
        #: For the runs that a turn works for besides the one that is charged.
        self.turns_of_others: dict[str, list[str]] = {}
        self.said: dict[str, list[tuple[Message, str]]] = {}
        #: The agents of whom nothing is left that was said before.
        self.forgotten: dict[str, None] = {}
        self.log: list[tuple[Event, str]] = []
        self._undo: list[Callable[[], object]] = []
        #: How much there is to write, in rows.
        self.size = 0

    # --- reading

    def written(self, table: Table[Row], key: Key) -> Row | None:
        """The row as it was written, if it was."""
        found: Any = self._rows[table.one].get(key)
        return None if found is None else found[0]

    def rows_written(self, table: Table[Row]) -> Iterator[tuple[Key, Row]]:
        """The rows that were written, in order; one that was deleted in between counts from then on."""
        row: Any
        for key, (row, _) in self._rows[table.one].items():
            yield key, row

    def keys_as_json(self, table: Table[Any]) -> str:
        """The keys of the rows that were written."""
        return json.dumps([key for (key, *_) in self._rows[table.one]])

    def is_deleted(self, table: Table[Any], key: Key) -> bool:
        """Whether the committed row is to be deleted, whatever was written after that."""
        return key in self._deleted.get(table.one, ())

    # --- writing

    def put(self, table: Table[Row], key: Key, row: Row, body: str) -> None:
        rows = self._rows[table.one]
        if key in rows:
            self._undo.append(partial(rows.__setitem__, key, rows[key]))
        else:
            self._undo.append(partial(rows.__delitem__, key))
        rows[key] = (row, body)

    def delete(self, table: Table[Any], key: Key) -> None:
        rows, deleted = self._rows[table.one], self._deleted[table.one]
        if key in rows:
            self._undo.append(partial(rows.update, dict(rows)))  # their order is the order of their coming
            self._undo.append(rows.clear)
            del rows[key]
        if key not in deleted:
            self._undo.append(partial(deleted.__delitem__, key))
            deleted[key] = None

    def forget(self, agent: str) -> None:
        """Nothing that was said to and by the agent is left."""
        said = self.said.get(agent)
        if said is not None:
            self._undo.append(partial(self.said.__setitem__, agent, said))
            self.said[agent] = []
        if agent not in self.forgotten:
            self._undo.append(partial(self.forgotten.__delitem__, agent))
            self.forgotten[agent] = None

    def add(self, lists: dict[str, list[_V]], key: str, item: _V) -> None:
        items = lists.setdefault(key, [])
        self._undo.append(items.pop)
        items.append(item)

    def add_event(self, event: Event, body: str) -> None:
        self._undo.append(self.log.pop)
        self.log.append((event, body))

    def keep(self) -> None:
        """The transaction under way is to be committed."""
        self.size += len(self._undo)
        self._undo.clear()

    def take_back(self) -> None:
        """The transaction under way has written nothing."""
        while self._undo:
            self._undo.pop()()

    # --- committing

    def flush(self, connection: Connection) -> None:
        """Write everything to the file, in the transaction that is open there."""
        for table in _TABLES:
            if deleted := self._deleted.get(table.one):
                connection.executemany(SQL[table.delete], deleted)
            if rows := self._rows[table.one]:
                values = [(*key, body, *table.beside(row)) for key, (row, body) in rows.items()]
                connection.executemany(SQL[table.put], values)
        if self.forgotten:
            connection.executemany(SQL["delete_messages"], [(agent,) for agent in self.forgotten])
        revisions = [(key, revision.version, body) for key, made in self.history.items() for revision, body in made]
        turns = [(run, turn) for run, ids in self.turns_of_others.items() for turn in ids]
        messages = [(agent, body) for agent, said in self.said.items() for _, body in said]
        events = [(event.seq, body) for event, body in self.log]
        for query, values in (
            ("add_revision", revisions),
            ("add_turn_of_another", turns),
            ("add_message", messages),
            ("add_event", events),
        ):
            if values:
                connection.executemany(SQL[query], values)

    def tell(self, recent: Recent) -> None:
        """Everything is committed: this is what the rows are now."""
        for table in _TABLES:
            for key in self._deleted.get(table.one, ()):
                recent.drop(table, key)
            for key, (row, _) in self._rows[table.one].items():
                recent.keep(table, key, row)
        for block, made in self.history.items():
            if made:
                recent.versions.put(block, made[-1][0].version)
        for agent in self.forgotten:
            recent.said.drop(agent)
        for agent, said in self.said.items():
            if (known := recent.said.get(agent)) is not None:
                known.extend(message for message, _ in said)
        if self.log:
            recent.last_seq = self.log[-1][0].seq
