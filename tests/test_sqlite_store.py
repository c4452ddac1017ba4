"""The SQLite store keeps the contract of stores, in a file that is its owner's, of one program and of one version."""

# ruff: noqa: ASYNC240 -- a look at a file is what is asserted, and nobody else is on the event loop

from __future__ import annotations

import gc
import os
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator import Agent, Block, DeclarationError, Orchestrator, Team
from orchestrator.errors import StoreError
from orchestrator.messages import UserMessage
from orchestrator.ports import Reader, RunRecord, Transaction
from orchestrator.stores import MemoryStore, SQLiteStore, sqlite_file
from orchestrator.testing import FunctionModel, Say, ScriptedModel, StoreContract, edit
from orchestrator.testing.sample_rows import a_turn, an_end, everything, write, write_everything


class TestSQLiteStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> SQLiteStore:
        return SQLiteStore(tmp_path / "team.db")


class TestSQLiteStoreThatSurvivesItsProcess(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> SQLiteStore:
        return SQLiteStore(os.fspath(tmp_path / "odd name?#%41 ü.db"), durability="process")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "team.db"


async def filled(path: Path) -> Path:
    """A file that somebody has written and closed."""
    store = SQLiteStore(path)
    await store.open()
    await store.transact(write_everything)
    await store.close()
    return path


@contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """The file, as another program sees it."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def test_the_room_has_what_it_says():
    from orchestrator import stores

    assert stores.SQLiteStore is SQLiteStore
    assert stores.__all__ == ["MemoryStore", "SQLiteStore"]
    with pytest.raises(AttributeError, match="has no attribute 'PostgresStore'"):
        stores.PostgresStore  # noqa: B018 -- asking is the test


# --- the file


@pytest.mark.parametrize("umask", [0o000, 0o777])
async def test_only_its_owner_can_read_what_it_makes_whatever_the_umask(path: Path, umask: int):
    before = os.umask(umask)
    try:
        store = SQLiteStore(path)
        await store.open()
        await store.transact(write_everything)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        await store.close()
    finally:
        os.umask(before)

    assert modes == dict.fromkeys(["team.db", "team.db-wal", "team.db-shm", "team.db-owner"], 0o600)
    assert sorted(file.name for file in path.parent.iterdir()) == ["team.db", "team.db-owner"]


async def test_a_file_that_is_there_keeps_its_mode(path: Path):
    path.touch()
    path.chmod(0o640)
    await filled(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o640


async def test_what_is_no_file_of_its_own_is_refused(tmp_path: Path):
    await filled(tmp_path / "real.db")
    (tmp_path / "link.db").symlink_to(tmp_path / "real.db")
    (tmp_path / "dangling.db").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a").write_text("a file, not a folder")

    for name, problem in {
        "link.db": "is a symbolic link",
        "dangling.db": "is a symbolic link",
        "folder": "is a folder; give the path of a file in it",
        "pipe": "is not a regular file",
        "missing/team.db": "folder .* does not exist",
        "a/team.db": "cannot be opened: Not a directory",
    }.items():
        store = SQLiteStore(tmp_path / name)
        with pytest.raises(StoreError, match=problem):
            await store.open()
        with pytest.raises(StoreError, match=problem):
            await store.events()
    assert not (tmp_path / "nowhere").exists()
    assert not list(tmp_path.glob("link*-owner"))


async def test_a_lock_that_is_a_link_is_not_followed(path: Path):
    victim = path.parent / "victim"
    victim.write_text("precious")
    Path(f"{path}-owner").symlink_to(victim)

    with pytest.raises(StoreError, match="cannot be opened to write"):
        await SQLiteStore(path).open()
    assert victim.read_text() == "precious"
    assert not path.exists()


async def test_a_file_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path):
    with raw(tmp_path / "foreign.db") as connection:
        connection.execute("CREATE TABLE t (x)")
    with raw(tmp_path / "named.db") as connection:
        connection.execute("PRAGMA application_id = 7")
    (tmp_path / "text.db").write_text("no database, but long enough to be taken for one\n" * 100)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    for name, problem in {
        "foreign.db": "is a database of another program",
        "named.db": "is a database of another program",
        "text.db": "is not a database",
    }.items():
        store = SQLiteStore(tmp_path / name)
        with pytest.raises(StoreError, match=problem):
            await store.open()
        with pytest.raises(StoreError, match=problem):
            await store.events()
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


async def test_reading_what_is_not_there_is_told_and_makes_nothing(path: Path):
    store = SQLiteStore(path)
    with pytest.raises(StoreError, match="does not exist: nobody has opened it to write yet"):
        await store.read(everything)
    with pytest.raises(StoreError, match="does not exist"):
        await store.events()

    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("path", ["", ":memory:", "file:x.db", "a\0b", b"bytes.db", None, 7])
def test_a_path_that_is_none_is_refused_where_it_is_given(path: Any):
    with pytest.raises(DeclarationError, match="MemoryStore" if path == ":memory:" else "give the path of a file"):
        SQLiteStore(path)


def test_a_durability_that_there_is_not_is_refused(path: Path):
    with pytest.raises(DeclarationError, match="durability is 'none'; choose 'power' or 'process'"):
        SQLiteStore(path, durability="none")  # type: ignore[arg-type]


async def test_the_path_does_not_move_with_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    store = SQLiteStore("team.db")
    monkeypatch.chdir(tmp_path / "elsewhere")
    await store.open()
    await store.close()

    assert (tmp_path / "team.db").exists()


@pytest.mark.parametrize(("durability", "level"), [("power", 2), ("process", 1)])
async def test_durability_is_how_sqlite_waits_for_the_disk(path: Path, durability: Any, level: int):
    store = SQLiteStore(path, durability=durability)
    await store.open()
    connection = store._writer._connection  # type: ignore[union-attr]

    def pragma(name: str) -> object:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    assert (pragma("synchronous"), pragma("journal_mode")) == (level, "wal")
    assert (pragma("fullfsync"), pragma("checkpoint_fullfsync")) == ((1, 1) if level == 2 else (0, 0))
    await store.close()


async def test_a_file_system_without_shared_memory_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch):
    class Connection(sqlite3.Connection):
        def execute(self, query: str, *parameters: Any) -> sqlite3.Cursor:
            return super().execute("SELECT 'delete'" if query == "PRAGMA journal_mode = WAL" else query, *parameters)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, factory=Connection))
    with pytest.raises(StoreError, match="choose a local folder"):
        await SQLiteStore(path).open()
    monkeypatch.undo()

    await filled(path)  # the lock was given back


# --- versions


async def test_a_new_file_has_the_newest_version_and_each_migration_makes_the_next(path: Path):
    await filled(path)

    with raw(path) as connection:
        newest = connection.execute("PRAGMA user_version").fetchone()[0]
        assert connection.execute("PRAGMA application_id").fetchone()[0] == int.from_bytes(b"sblk", "big")
    assert newest == len(sqlite_file.MIGRATIONS)
    with sqlite3.connect(":memory:", isolation_level=None) as connection:
        for number, migration in enumerate(sqlite_file.MIGRATIONS, start=1):
            connection.executescript(migration)
            assert connection.execute("PRAGMA user_version").fetchone()[0] == number
    connection.close()


async def test_a_newer_version_is_refused_with_both_numbers_and_what_to_do(path: Path):
    await filled(path)
    with raw(path) as connection:
        connection.execute("PRAGMA user_version = 99")

    for attempt in (SQLiteStore(path).open, SQLiteStore(path).events):
        with pytest.raises(StoreError, match=r"schema version 99, .* up to \d+; a newer version .*: install that one"):
            await attempt()


def newer_by_one() -> tuple[str, ...]:
    number = len(sqlite_file.MIGRATIONS) + 1
    step = f"BEGIN IMMEDIATE; ALTER TABLE blocks ADD COLUMN extra; PRAGMA user_version = {number}; COMMIT;"
    return (*sqlite_file.MIGRATIONS, step)


async def test_an_old_file_is_brought_up_to_date_by_its_writer_and_keeps_its_rows(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    await filled(path)
    monkeypatch.setattr(sqlite_file, "MIGRATIONS", newer_by_one())
    store = SQLiteStore(path)
    old = len(sqlite_file.MIGRATIONS) - 1
    with pytest.raises(StoreError, match=f"schema version {old}, and this program reads version {old + 1}; open it"):
        await store.read(everything)

    await store.open()
    assert await store.read(lambda rows: rows.turn("turn-1")) == a_turn()
    await store.transact(lambda tx: write(tx, "new"))
    await store.close()
    assert (await store.read(lambda rows: list(rows.blocks())))[0].value == "new"
    with raw(path) as connection:
        assert connection.execute("SELECT extra FROM blocks").fetchall() == [(None,)]
    await store.close()


async def test_a_migration_that_fails_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch):
    await filled(path)
    broken = (*newer_by_one()[:-1], newer_by_one()[-1].replace("COMMIT;", "DROP TABLE missing; COMMIT;"))
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_file, "MIGRATIONS", broken)
        with pytest.raises(StoreError, match="no such table: missing"):
            await SQLiteStore(path).open()

    store = SQLiteStore(path)
    await store.open()
    await store.transact(lambda tx: write(tx, "new"))
    await store.close()


async def test_a_file_that_was_made_and_not_filled_is_filled(path: Path):
    path.touch()
    with pytest.raises(StoreError, match="has schema version 0"):
        await SQLiteStore(path).events()
    await filled(path)


# --- one writer


async def test_a_second_writer_is_refused_in_the_same_process(path: Path):
    first, second = SQLiteStore(path), SQLiteStore(path)
    await first.open()
    for store in (first, second):
        with pytest.raises(StoreError, match=r"open to write elsewhere in this process, .* PostgreSQL"):
            await store.open()
    await first.transact(write_everything)
    assert len(await second.events()) == 1
    await second.close()
    await first.close()

    await second.open()
    await second.close()


@pytest.mark.parametrize("holder", ["", "garbled"])
async def test_a_holder_that_is_not_known_is_called_another_process(path: Path, holder: str):
    store = SQLiteStore(path)
    await store.open()
    Path(f"{path}-owner").write_text(holder)
    with pytest.raises(StoreError, match="in another process" if not holder else "in process garbled"):
        await SQLiteStore(path).open()
    await store.close()


async def test_a_folder_that_cannot_lock_is_told(path: Path, monkeypatch: pytest.MonkeyPatch):
    def flock(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(sqlite_file.fcntl, "flock", flock)
    with pytest.raises(StoreError, match="cannot be opened to write: No locks available"):
        await SQLiteStore(path).open()


async def test_what_fails_after_the_lock_was_taken_gives_it_back(path: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object) -> None:
        raise StoreError("not today")

    with monkeypatch.context() as patch:
        patch.setattr("orchestrator.stores.sqlite_writer.open_to_read", broken)
        with pytest.raises(StoreError, match="not today"):
            await SQLiteStore(path).open()
    await filled(path)


async def test_writing_without_opening_is_refused_with_what_to_do(path: Path):
    store = SQLiteStore(await filled(path))
    with pytest.raises(StoreError, match=r"is not open to write; await store.open\(\) first"):
        await store.transact(write_everything)
    await store.open()
    await store.close()
    with pytest.raises(StoreError, match="is not open to write"):
        await store.transact(write_everything)


# --- reading


async def test_a_reader_sees_each_commit_of_a_writer(path: Path):
    writer, reader = SQLiteStore(path), SQLiteStore(path)
    await writer.open()
    for count in range(1, 4):
        await writer.transact(lambda tx: tx.add_event(an_end(tx.next_seq())))
        assert len(await reader.events()) == count
    await reader.close()
    assert len(await reader.events()) == 3, "it opens anew"
    await reader.close()
    await writer.close()


@pytest.mark.parametrize("is_open", [True, False])
async def test_a_view_does_not_change_while_it_is_looked_at(path: Path, is_open: bool):
    store = SQLiteStore(await filled(path))
    if is_open:
        await store.open()

    def look(rows: Reader) -> tuple[str, str]:
        (before,) = rows.blocks()
        with raw(path) as other:
            other.execute("UPDATE blocks SET body = replace(body, '\"text\"', '\"changed\"')")
        (after,) = rows.blocks()
        return before.value, after.value

    assert await store.read(look) == ("text", "text")
    assert (await store.read(lambda rows: list(rows.blocks())))[0].value == "changed"
    await store.close()


@contextmanager
def folder_that_cannot_be_written() -> Iterator[Path]:
    """Also for root, who can write everywhere: as somebody else."""
    folder = Path(tempfile.mkdtemp())
    user = os.geteuid()
    try:
        yield folder
    finally:
        if os.geteuid() != user:
            os.seteuid(user)
        folder.chmod(0o700)
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


async def test_a_file_in_a_folder_that_cannot_be_written_is_read_as_long_as_nobody_writes():
    with folder_that_cannot_be_written() as folder:
        path = await filled(folder / "team.db")
        path.chmod(0o644)
        folder.chmod(0o555)
        if os.geteuid() == 0:
            os.seteuid(65534)
        store = SQLiteStore(path)
        assert await store.read(lambda rows: rows.turn("turn-1")) == a_turn()
        assert len(await store.events()) == 1
        with pytest.raises(StoreError, match="cannot be opened to write: Permission denied"):
            await store.open()
        await store.close()


async def test_rows_that_cannot_be_read_are_told(path: Path):
    await filled(path)
    with raw(path) as connection:
        for table in ("blocks", "messages", "events"):
            connection.execute(f"UPDATE {table} SET body = '{{\"role\": 7}}'")  # noqa: S608 -- names from above
    store = SQLiteStore(path)
    with pytest.raises(StoreError, match="a stored BlockState cannot be read"):
        await store.read(lambda rows: rows.block("t:notes"))
    with pytest.raises(StoreError, match="a stored message cannot be read"):
        await store.read(lambda rows: rows.messages("ann"))
    with pytest.raises(StoreError, match=r"an event of .* cannot be read"):
        await store.events()
    await store.close()


async def test_a_damaged_file_is_told(path: Path):
    await filled(path)
    store = SQLiteStore(path)
    with raw(path) as connection:
        connection.execute("DROP TABLE effects")
    with pytest.raises(StoreError, match="no such table: effects") as trouble:
        await store.read(lambda rows: rows.effect("x"))
    assert isinstance(trouble.value.__cause__, sqlite3.Error)
    await store.open()
    with pytest.raises(StoreError, match="no such table: effects") as trouble:
        await store.transact(lambda tx: tx.effect("x"))
    assert isinstance(trouble.value.__cause__, sqlite3.Error)
    await store.close()


# --- opening and closing


def test_it_belongs_to_no_event_loop(path: Path):
    store = SQLiteStore(path)

    async def go(backend: str) -> int:
        await store.open()
        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(store.transact, lambda tx, n=number: write(tx, "x", f"{backend}{n}"))
        await store.close()
        await store.close()
        return len(await store.read(lambda rows: list(rows.blocks())))

    assert anyio.run(go, "asyncio") == 5
    assert anyio.run(go, "trio", backend="trio") == 10
    assert anyio.run(go, "again") == 15
    anyio.run(store.close)


async def test_a_store_that_is_forgotten_complains_not_and_gives_back_its_lock(path: Path):
    store = SQLiteStore(path)
    await store.open()
    await store.transact(write_everything)
    reader = SQLiteStore(path)
    await reader.events()
    del store, reader
    gc.collect()  # an unclosed connection would warn, which is an error here

    await filled(path.parent / "other.db")
    store = SQLiteStore(path)
    await store.open()
    assert await store.read(lambda rows: rows.turn("turn-1")) == a_turn()
    await store.close()


def test_a_team_goes_on_where_it_was_in_the_file(path: Path):
    notes = Block("notes")
    team = Team("solo", [Agent("ann", blocks=[notes])])

    async def go(text: str, shown: str) -> None:
        def check(line: str) -> None:
            assert line == shown

        with ScriptedModel({"ann": [edit("memory_insert", "notes", new_string=text), Say("done")]}) as model:
            async with Orchestrator(team, SQLiteStore(path), model=model) as live:
                run = await live.run("go")
        assert run.blocks["notes"].value == shown

    anyio.run(go, "first", "first")
    anyio.run(go, "second", "first\nsecond", backend="trio")


async def test_a_file_says_the_same_as_memory(path: Path):
    """One run of a team, in both stores: the same rows come back."""
    notes = Block("notes", "begin")
    team = Team("pair", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes], wakes_on=[notes])])
    memory, file = MemoryStore(), SQLiteStore(path)
    found = []
    for store in (memory, file):
        model = FunctionModel(lambda request: f"{request.agent} {len(request.messages)}")
        async with Orchestrator(team, store, model=model) as live:
            await live.run("one")
            await live.run("two", agent="bob")

        def look(rows: Reader) -> Any:
            runs: list[RunRecord] = list(rows.runs())
            turns = [
                turn.model_copy(update={"id": "", "run": "", "runs": ()}) for r in runs for turn in rows.turns(r.id)
            ]
            turns = [turn.model_copy(update={"causes": ()}) for turn in turns]
            blocks = [block.model_dump() for block in rows.blocks()]
            said = [rows.messages(agent.name) for agent in rows.agents()]
            return blocks, turns, [list(messages) for messages in said], list(rows.agents())

        found.append(await store.read(look))
    assert found[0] == found[1]
    assert len(found[0][1]) == 2
    await file.close()


async def test_what_cannot_be_stored_is_refused_in_its_own_transaction(path: Path):
    deep: Any = {}
    for _ in range(220):
        deep = {"in": deep}

    def too_deep(tx: Transaction) -> None:
        from orchestrator.testing.sample_rows import a_block, a_revision

        tx.put_block(a_block("x", 1).model_copy(update={"metadata": deep}), a_revision("x", 1))

    store = SQLiteStore(path)
    await store.open()
    with pytest.raises(StoreError, match="BlockState holds what cannot be stored"):
        await store.transact(too_deep)
    with pytest.raises(StoreError, match="UserMessage holds what cannot be stored"):
        await store.transact(lambda tx: tx.add_message("ann", UserMessage(text="half \ud800")))
    half = "ann\ud800"
    for work in (
        lambda tx: tx.add_message(half, UserMessage(text="x")),
        lambda tx: tx.delete_block(half),
        lambda tx: tx.delete_agent(half),
    ):
        with pytest.raises(StoreError, match="cannot be stored"):
            await store.transact(work)
    wide = UserMessage(text="[" * 500)
    await store.transact(lambda tx: tx.add_message("ann", wide))
    assert await store.read(lambda rows: list(rows.messages("ann"))) == [wide]
    assert await store.read(lambda rows: list(rows.blocks())) == []
    await store.close()
