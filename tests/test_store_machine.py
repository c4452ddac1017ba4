"""Both stores against the pure rules of blocks: whatever agents and owner do in whatever order, they agree."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from orchestrator import Agent, BlockEdit, Environment, Grant, Insert, Replace, Rethink, Team
from orchestrator.blocks import ENGINE, OWNER, Author, BlockState, Revision
from orchestrator.changes import Changes
from orchestrator.edits import UNSEEN, Edit, Shown, apply, archived, operation
from orchestrator.errors import BlockError
from orchestrator.events import ChangeRefused
from orchestrator.ports import AgentRecord, Attached, Effect, Reader, Store, Transaction, TurnRecord
from orchestrator.roster import Roster
from orchestrator.stores import MemoryStore, SQLiteStore

_T = TypeVar("_T")

#: Memory, where there is such a folder: nobody cuts the power here, and a disk would be waited for ten thousand times.
_QUICK = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 -- the folder in it is this test's own

NAMES = ("ann", "bob", "cid")
TEAM = Team("machine", [Agent(name) for name in NAMES])

words = st.sampled_from(["a", "b", "ab", "aba", "ü", "𝄞", "a\nb", "<&>", " "])
texts = st.one_of(words, st.lists(words, max_size=6).map("\n".join))
edits: st.SearchStrategy[Edit] = st.one_of(
    st.builds(Insert, texts, st.integers(-1, 4)),
    st.builds(Replace, words, texts),
    st.builds(Rethink, texts),
)
names = st.sampled_from(NAMES)
grants = st.sampled_from(list(Grant))


class Inline(Environment):
    """No threads, and a clock that stands."""

    def now(self) -> float:
        return 1.5

    async def run_blocking(self, function: Callable[[], _T]) -> _T:
        return function()


@dataclass
class Modelled:
    """A block as it must be, with its history, oldest first."""

    head: BlockState
    history: list[Revision] = field(default_factory=list)
    is_deleted: bool = False


class StoreMachine(RuleBasedStateMachine):
    """What is done to the store is done to dictionaries, by `apply` alone; then everything is compared."""

    kind: ClassVar[str]
    keys = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(dir=_QUICK))
        self.crashes = 0
        self.store: Store = MemoryStore() if self.kind == "memory" else self.in_file()
        self.changes = Changes(Roster(TEAM), Inline())
        self.blocks: dict[str, Modelled] = {}
        self.agents = {name: AgentRecord(name=name) for name in NAMES}
        self.shown: dict[str, dict[str, Shown]] = {name: {} for name in NAMES}
        self.logged = 0
        self.do(self.store.open(Inline()))
        self.write(lambda tx: [tx.put_agent(agent) for agent in self.agents.values()])

    def in_file(self) -> SQLiteStore:
        return SQLiteStore(self.folder / f"{self.crashes}.db", durability="process")

    def do(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self.loop.run_until_complete(work)

    def write(self, work: Callable[[Transaction], _T]) -> _T:
        return self.do(self.store.transact(work)).result

    def teardown(self) -> None:
        self.do(self.store.close())
        self.loop.close()
        shutil.rmtree(self.folder)

    # --- what the owner does

    @rule(
        target=keys,
        value=texts,
        room=st.integers(0, 12),
        read_only=st.booleans(),
        last=st.booleans(),
        into=st.integers(0, 6),
    )
    def create(self, value: str, room: int, read_only: bool, last: bool, into: int) -> Any:
        if len(self.blocks) >= 6:
            return multiple()
        key = f"key{len(self.blocks)}"
        block = BlockState(
            key=key,
            label=key,
            value=value,
            limit=len(value) + room,
            read_only=read_only,
            rethink="last_write_wins" if last else "if_unchanged",
            overflow=f"key{into}" if into < len(self.blocks) else None,  # one that was there before: no circles
        )
        self.write(lambda tx: self.changes.create(tx, block, None))
        first = Revision(version=1, value=value, operation="create", by=OWNER, at=1.5)
        self.blocks[key] = Modelled(block, [first])
        self.logged += 1
        return key

    @rule(key=keys, room=st.integers(0, 12), read_only=st.booleans())
    def set_attributes(self, key: str, room: int, read_only: bool) -> None:
        block = self.blocks[key]
        if not block.is_deleted:
            changed = {"limit": len(block.head.value) + room, "read_only": read_only}
            block.head = block.head.model_copy(update=changed)
            self.write(lambda tx: tx.put_block(block.head))

    @rule(key=keys)
    def delete(self, key: str) -> None:
        self.write(lambda tx: tx.delete_block(key))
        self.blocks[key].is_deleted = True

    @rule(name=names, key=keys, grant=grants)
    def attach(self, name: str, key: str, grant: Grant) -> None:
        others = tuple(attached for attached in self.agents[name].attached if attached.key != key)
        self.put_agent(name, (*others, Attached(key, key, grant)))

    @rule(name=names, key=keys)
    def detach(self, name: str, key: str) -> None:
        self.put_agent(name, tuple(attached for attached in self.agents[name].attached if attached.key != key))

    def put_agent(self, name: str, attached: tuple[Attached, ...]) -> None:
        self.agents[name] = AgentRecord(name=name, attached=attached)
        self.write(lambda tx: tx.put_agent(self.agents[name]))

    # --- what agents do

    @rule(name=names)
    def look(self, name: str) -> None:
        context = self.do(self.store.read(lambda rows: self.changes.context(rows, name)))
        attached = [a for a in self.agents[name].attached if not self.blocks[a.key].is_deleted]
        assert context.attached == tuple(attached)
        assert context.blocks == tuple(self.blocks[a.key].head for a in attached)
        self.shown[name] = {block.key: Shown(block.version, block.value) for block in context.blocks}

    @rule(name=names, key=keys, edit=edits)
    def edit(self, name: str, key: str, edit: Edit) -> None:
        turn = TurnRecord(id="turn", run="run", runs=("run",), agent=name)
        shown = self.shown[name]
        effect = self.write(lambda tx: self.changes.edit(tx, turn, "tool", BlockEdit(key, edit), shown))
        code = self.expect(name, key, edit)
        assert isinstance(effect, Effect)
        assert effect.ok == (code is None), effect.text
        if code is not None:
            *of_archive, event = self.do(self.store.events(self.logged))
            assert isinstance(event, ChangeRefused)
            assert event.code == code
            assert len(of_archive) <= (code == "not_archived")  # none of one that was deleted
            self.logged += 1 + len(of_archive)

    def expect(self, name: str, key: str, edit: Edit) -> str | None:
        """Do it to the model; the code of the refusal, if it must be refused."""
        block = self.blocks[key]
        grant = {attached.key: attached.grant for attached in self.agents[name].attached}.get(key)
        if grant is None or block.is_deleted:
            return "unknown_label"

        def history(after: int) -> list[Revision]:
            return block.history[after:][::-1]

        author, head = Author(name, "turn"), block.head
        try:
            value, moved = apply(
                head, edit, author, grant=grant, shown=self.shown[name].get(key, UNSEEN), history=history
            )
        except BlockError as refusal:
            return refusal.code
        archives: list[tuple[Modelled, str]] = []
        source = head
        while moved:
            archive = self.blocks[source.overflow or ""]
            if archive.is_deleted:
                return "not_archived"
            try:
                text, moved = archived(archive.head, moved, Author(ENGINE, "turn"))
            except BlockError:
                return "not_archived"
            archives.append((archive, text))
            source = archive.head
        assert not head.read_only, "no agent changes a read-only block"
        for archive, text in archives:
            self.put(archive, text, "archive", ENGINE)
        self.put(block, value, operation(edit), name)
        return None

    def put(self, block: Modelled, value: str, operation: str, by: str) -> None:
        if value != block.head.value:
            version = block.head.version + 1
            block.head = block.head.model_copy(update={"value": value, "version": version, "by": by})
            made = {"value": value, "operation": operation, "by": by, "turn": "turn", "at": 1.5}
            block.history.append(Revision(version=version, **made))
            self.logged += 1

    # --- what fate does

    @rule(is_killed=st.booleans())
    def reopen(self, is_killed: bool) -> None:
        """After it was closed; or as a kill at this moment leaves the file and what lies beside it."""
        if is_killed and isinstance(self.store, SQLiteStore):
            old, self.crashes = self.folder / f"{self.crashes}.db", self.crashes + 1
            for suffix in ("", "-wal", "-shm"):
                shutil.copyfile(f"{old}{suffix}", f"{self.folder / str(self.crashes)}.db{suffix}")
            self.do(self.store.close())
            self.store = self.in_file()
        else:
            self.do(self.store.close())
        self.do(self.store.open(Inline()))

    # --- what must be so

    @invariant()
    def the_store_says_what_the_rules_say(self) -> None:
        async def look() -> None:
            await self.store.read(self.compare)
            numbers = [event.seq for event in await self.store.events()]
            assert numbers == list(range(1, self.logged + 1))

        self.do(look())

    def compare(self, rows: Reader) -> None:
        living = {key: block for key, block in self.blocks.items() if not block.is_deleted}
        assert list(rows.blocks()) == [block.head for block in living.values()]
        for key, block in self.blocks.items():
            revisions = list(rows.revisions(key))
            assert revisions == block.history[::-1]
            assert [revision.version for revision in revisions] == list(range(len(revisions), 0, -1))
            head = rows.block(key)
            assert head == (None if block.is_deleted else block.head)
            if head is not None:
                assert (head.value, head.version) == (revisions[0].value, revisions[0].version)
                assert len(head.value) <= head.limit
        assert list(rows.agents()) == list(self.agents.values())


class MemoryMachine(StoreMachine):
    kind = "memory"


class SQLiteMachine(StoreMachine):
    kind = "sqlite"


_MANY = settings(
    max_examples=200,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = _MANY
TestSQLiteMachine = SQLiteMachine.TestCase
TestSQLiteMachine.settings = _MANY
