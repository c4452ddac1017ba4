"""A store in the memory of this process: everything but surviving it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping, Sequence
from typing import TypeVar

from orchestrator.blocks import BlockState, Revision
from orchestrator.environment import Environment
from orchestrator.errors import StoreError
from orchestrator.events import Event, RunStatus
from orchestrator.messages import Message
from orchestrator.ports import AgentRecord, Committed, Effect, JournalEntry, Reader, RunRecord, Transaction, TurnRecord

_T = TypeVar("_T")
_K = TypeVar("_K")
_V = TypeVar("_V")


class MemoryStore:
    """Keeps everything in dictionaries. The default store; and the plainest example of one."""

    def __init__(self) -> None:
        self._rows = _Rows()
        self._is_open = False
        self._environment = Environment()

    async def open(self, environment: Environment | None = None) -> None:
        """Two orchestrators at once would each miss the events of the other."""
        if self._is_open:
            raise StoreError("this MemoryStore is in use by another orchestrator; give each its own, or close that one")
        self._is_open = True
        self._environment = environment or Environment()

    async def transact(self, work: Callable[[Transaction], _T]) -> Committed[_T]:
        """Run `work`; nothing else can run in between, since it does not wait."""
        await self._environment.pause()
        rows = self._rows
        logged = len(rows.log)
        try:
            result = work(rows)
        except BaseException:
            rows.roll_back()
            raise
        rows.undo.clear()
        committed = Committed(result, tuple(rows.log[logged:]))
        await self._environment.pause_shielded()
        return committed

    async def read(self, work: Callable[[Reader], _T]) -> _T:
        """Run `work` on the rows as they are."""
        await self._environment.pause()
        return work(self._rows)

    async def events(self, after: int = 0, limit: int = 1000) -> list[Event]:
        """The log is a list, and an event's number is its place."""
        await self._environment.pause()
        return self._rows.log[after : after + limit]

    async def close(self) -> None:
        """It can be opened again."""
        self._is_open = False


class _Rows:
    """The rows, and how to take back what the transaction under way has written."""

    def __init__(self) -> None:
        self.heads: dict[str, BlockState] = {}
        self.history: dict[str, list[Revision]] = {}
        self.agents_by_name: dict[str, AgentRecord] = {}
        self.runs_by_id: dict[str, RunRecord] = {}
        self.turns_by_id: dict[str, TurnRecord] = {}
        self.turns_of: dict[str, list[str]] = {}
        self.said: dict[str, list[Message]] = {}
        self.answers: dict[tuple[str, int], JournalEntry] = {}
        self.effects: dict[str, Effect] = {}
        self.log: list[Event] = []
        self.undo: list[Callable[[], object]] = []

    def roll_back(self) -> None:
        while self.undo:
            self.undo.pop()()

    # --- reading

    def block(self, key: str) -> BlockState | None:
        return self.heads.get(key)

    def blocks(self) -> Iterable[BlockState]:
        return self.heads.values()

    def revisions(self, key: str, after: int = 0) -> Iterable[Revision]:
        history = self.history.get(key, [])
        return (history[at] for at in range(len(history) - 1, after - 1, -1))

    def agent(self, name: str) -> AgentRecord | None:
        return self.agents_by_name.get(name)

    def agents(self) -> Iterable[AgentRecord]:
        return self.agents_by_name.values()

    def run(self, id: str) -> RunRecord | None:
        return self.runs_by_id.get(id)

    def runs(self, status: RunStatus | None = None) -> Iterable[RunRecord]:
        return [run for run in self.runs_by_id.values() if status in (None, run.status)]

    def turn(self, id: str) -> TurnRecord | None:
        return self.turns_by_id.get(id)

    def turns(self, run: str) -> Sequence[TurnRecord]:
        return [self.turns_by_id[id] for id in self.turns_of.get(run, ())]

    def messages(self, agent: str) -> Sequence[Message]:
        return self.said.get(agent, ())

    def journal(self, turn: str, step: int) -> JournalEntry | None:
        return self.answers.get((turn, step))

    def effect(self, key: str) -> Effect | None:
        return self.effects.get(key)

    # --- writing

    def put_block(self, block: BlockState, revision: Revision | None = None) -> None:
        if revision is not None:
            history = self.history.setdefault(block.key, [])
            if revision.version != block.version or revision.version != len(history) + 1:
                raise StoreError(
                    f"block {block.key!r} has {len(history)} versions; it cannot be given version {block.version}"
                )
            self._add(history, revision)
        self._put(self.heads, block.key, block)

    def delete_block(self, key: str) -> None:
        self._delete(self.heads, key)

    def put_agent(self, agent: AgentRecord) -> None:
        self._put(self.agents_by_name, agent.name, agent)

    def delete_agent(self, name: str) -> None:
        self._delete(self.agents_by_name, name)
        self._delete(self.said, name)

    def put_run(self, run: RunRecord) -> None:
        self._put(self.runs_by_id, run.id, run)

    def put_turn(self, turn: TurnRecord) -> None:
        if turn.id not in self.turns_by_id:
            for run in turn.runs:
                self._add(self.turns_of.setdefault(run, []), turn.id)
        self._put(self.turns_by_id, turn.id, turn)

    def add_message(self, agent: str, message: Message) -> None:
        self._add(self.said.setdefault(agent, []), message)

    def put_journal(self, turn: str, step: int, entry: JournalEntry) -> None:
        if (turn, step) in self.answers:
            raise StoreError(f"step {step} of turn {turn!r} has an answer already")
        self._put(self.answers, (turn, step), entry)

    def put_effect(self, key: str, effect: Effect) -> None:
        if key in self.effects:
            raise StoreError(f"the call {key!r} has had its effect already")
        self._put(self.effects, key, effect)

    def next_seq(self) -> int:
        return len(self.log) + 1

    def add_event(self, event: Event) -> None:
        if event.seq != len(self.log) + 1:
            raise StoreError(f"event {event.seq} cannot follow event {len(self.log)}")
        self._add(self.log, event)

    def _put(self, rows: MutableMapping[_K, _V], key: _K, row: _V) -> None:
        if key in rows:
            old = rows[key]
            self.undo.append(lambda: rows.__setitem__(key, old))
        else:
            self.undo.append(lambda: rows.__delitem__(key))
        rows[key] = row

    def _delete(self, rows: dict[_K, _V], key: _K) -> None:
        if key in rows:
            before = dict(rows)  # their order is the order of their creation
            self.undo.append(lambda: rows.update(before))
            self.undo.append(rows.clear)
            del rows[key]

    def _add(self, rows: list[_V], row: _V) -> None:
        rows.append(row)
        self.undo.append(rows.pop)
