"""The file of a `SQLiteStore`: made, brought up to date, opened to read, opened to write by one at a time."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal, NamedTuple
from urllib.parse import quote

from orchestrator.errors import StoreError

Durability = Literal["power", "process"]

#: How long is waited for a foreign program that has the file locked: by a writer, in a thread; and by a reader,
#: who is only ever held up by a recovery, and holds up the event loop.
PATIENCE_SECONDS: Final = 5.0
_READERS_PATIENCE_SECONDS: Final = 1.0

_APPLICATION_ID: Final = 0x73626C6B
#: What brings a file from version n to n + 1, as one transaction that also says so in the file.
MIGRATIONS: tuple[str, ...] = tuple(
    path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parent / "schema").glob("*.sql"))
)


@contextmanager
def sqlite_trouble(path: str) -> Iterator[None]:
    """What SQLite raises becomes a `StoreError`."""
    try:
        yield
    except sqlite3.Error as error:
        raise store_error(path, error) from error


def store_error(path: str, error: BaseException) -> StoreError:
    """What to tell the caller when the file could not be read or written."""
    if isinstance(error, sqlite3.Error):
        code = _code(error)
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoreError(f"{path!r} is locked by another program; try again when it has let go")
        if code == sqlite3.SQLITE_NOTADB:
            return StoreError(f"{path!r} is not a database; give another path, or remove the file")
        if code == sqlite3.SQLITE_CANTOPEN:
            return StoreError(f"{path!r} cannot be opened: {error}; check the rights of the file and of its folder")
        if code == sqlite3.SQLITE_READONLY:
            return StoreError(f"{path!r} cannot be written to: {error}; check the rights of the file and of its folder")
    return StoreError(f"{path!r}: {str(error) or type(error).__name__}")


def is_busy(error: sqlite3.Error) -> bool:
    """Whether somebody else has the file locked."""
    return _code(error) == sqlite3.SQLITE_BUSY


class Owner:
    """The right to write to a file: a lock that ends with its process, however that ends.

    It is on a file of its own, because to close the database file a second time, as a lock on it would,
    takes SQLite's own locks away.
    """

    def __init__(self, path: str) -> None:
        lock_path = f"{path}-owner"
        try:
            self._descriptor = _create(lock_path)
        except FileExistsError:
            self._descriptor = os.open(lock_path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            self.release()
            if isinstance(error, BlockingIOError):
                raise StoreError(_owned_by(path, holder)) from None
            raise
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others write. May be called once."""
        os.close(self._descriptor)


def own(path: str) -> Owner:
    """Become the one who writes to the file, which is made if there is none, for its owner's eyes only."""
    try:
        if _there_is(path):
            # Before anything is written: another program's file is left as it is, without a lock beside it.
            # What cannot be read at this moment is told when it is opened.
            with sqlite_trouble(path), suppress(sqlite3.OperationalError):
                connection = _connect(path, "mode=ro", PATIENCE_SECONDS)
                try:
                    _version(connection, path)
                finally:
                    connection.close()
        owner = Owner(path)
        with suppress(FileExistsError):
            os.close(_create(path))
    except OSError as error:
        raise StoreError(f"{path!r} cannot be opened to write: {error.strerror}") from error
    return owner


def open_to_write(path: str, durability: Durability) -> sqlite3.Connection:
    """A connection for the owner of the file, which it brings up to date. Statements wait for nobody."""
    connection = _connect(path, "mode=rw", PATIENCE_SECONDS)
    try:
        with sqlite_trouble(path):
            version = _version(connection, path)
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise StoreError(f"{path!r} is on a file system that SQLite cannot share; choose a local folder")
            full = durability == "power"
            connection.execute("PRAGMA synchronous = FULL" if full else "PRAGMA synchronous = NORMAL")
            if full:  # macOS: to the disk, not only to the drive
                connection.execute("PRAGMA fullfsync = ON")
                connection.execute("PRAGMA checkpoint_fullfsync = ON")
            connection.execute("PRAGMA cache_size = -64000")  # KiB: of the indexes, which are written all over
            connection.execute("PRAGMA wal_autocheckpoint = 0")  # when nobody reads: see Writer.tidy
            for migration in MIGRATIONS[version:]:
                _migrate(connection, migration)
            connection.execute("PRAGMA busy_timeout = 0")
    except BaseException:
        connection.close()
        raise
    return connection


class ToRead(NamedTuple):
    """A connection that cannot write; and whether it may be kept: one that sees no later changes may not."""

    connection: sqlite3.Connection
    lasting: bool


def open_to_read(path: str) -> ToRead:
    """A connection for a reader, beside whoever writes."""
    if not _there_is(path):
        raise StoreError(f"{path!r} does not exist: nobody has opened it to write yet")
    try:
        return ToRead(_checked_reader(path, "mode=ro"), lasting=True)
    except sqlite3.OperationalError as error:
        # Beside a file in WAL mode even a reader makes two files, which a folder may not let it make.
        if _code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY) or os.path.exists(f"{path}-wal"):
            raise store_error(path, error) from error
    with sqlite_trouble(path):
        return ToRead(_checked_reader(path, "mode=ro&immutable=1"), lasting=False)


def _checked_reader(path: str, options: str) -> sqlite3.Connection:
    connection = _connect(path, options, _READERS_PATIENCE_SECONDS)
    try:
        version = _version(connection, path)
        if version < len(MIGRATIONS):
            raise StoreError(
                f"{path!r} has schema version {version}, and this program reads version {len(MIGRATIONS)}; "
                "open it to write once, which brings it up to date"
            )
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            raise store_error(path, error) from error
        raise
    return connection


def _there_is(path: str) -> bool:
    """Whether there is such a file; `StoreError` for what stands there instead of one."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            raise StoreError(f"the folder {folder!r} does not exist; make it first") from None
        return False
    except OSError as error:
        raise StoreError(f"{path!r} cannot be opened: {error.strerror}") from error
    if stat.S_ISLNK(mode):
        raise StoreError(f"{path!r} is a symbolic link; give the path of the file itself")
    if stat.S_ISDIR(mode):
        raise StoreError(f"{path!r} is a folder; give the path of a file in it")
    if not stat.S_ISREG(mode):
        raise StoreError(f"{path!r} is not a regular file")
    return True


def _create(path: str) -> int:
    """Make a file that only its owner may read, whatever the umask, and open it. SQLite's own files inherit that."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_RDWR, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor


def _connect(path: str, options: str, patience: float) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(path)}?{options}",
        uri=True,
        timeout=patience,
        isolation_level=None,  # transactions are begun where it says BEGIN
        check_same_thread=False,  # the event loop's thread and a thread for commits, never both at once
        cached_statements=256,
    )


def _version(connection: sqlite3.Connection, path: str) -> int:
    """The version of the file's schema, 0 for an empty one; `StoreError` for what is not ours or too new."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application == 0 and version == 0 and tables == 0:
        return 0
    if application != _APPLICATION_ID:
        raise StoreError(f"{path!r} is a database of another program; give another path")
    found = int(version)
    if found > len(MIGRATIONS):
        raise StoreError(
            f"{path!r} has schema version {found}, and this program knows versions up to {len(MIGRATIONS)}; "
            "a newer version of the program wrote it: install that one, or give another path"
        )
    return found


def _migrate(connection: sqlite3.Connection, migration: str) -> None:
    try:
        connection.executescript(migration)
    except sqlite3.Error:
        connection.rollback()
        raise


def _owned_by(path: str, holder: str) -> str:
    if holder == str(os.getpid()):
        where = "elsewhere in this process"
    else:
        where = f"in process {holder}" if holder else "in another process"
    return (
        f"{path!r} is open to write {where}, and one at a time may write to it: wait until that has closed it. "
        "Others may read it meanwhile, for which it need not be opened. Many processes that write are what PostgreSQL "
        "is for, which this version does not have yet"
    )


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; -1 for what the Python module raises by itself."""
    code: int = getattr(error, "sqlite_errorcode", -1)
    return code & 0xFF if code >= 0 else -1
