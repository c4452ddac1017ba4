"""A team that is kept in a file: the file is found, and what goes wrong with it is said."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

import anyio
import typer

from orchestrator.cli.terminal import fail
from orchestrator.errors import BlockError, DeclarationError, ModelNotFound, RunError, StoreError
from orchestrator.models import OVERRIDE
from orchestrator.ports import Reader, Store
from orchestrator.stores.sqlite_owner import is_owned

if TYPE_CHECKING:  # SQLite is loaded where somebody names a file
    from orchestrator.stores import SQLiteStore

_T = TypeVar("_T")

_URL: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")


def store_at(path: str) -> SQLiteStore:
    """The store in a file, which need not be there yet; `DeclarationError` for what is no path of one."""
    from orchestrator.stores import SQLiteStore

    if url := _URL.match(path):  # which may hold a password: it is not repeated
        problem = f"{url['scheme']}://… is a URL, and this version keeps a team in a file; give a path, such as team.db"
        raise DeclarationError("--store", problem)
    return SQLiteStore(path)


def store_there(path: str) -> SQLiteStore:
    """The store in a file that must be there; `DeclarationError` otherwise."""
    store = store_at(path)
    if not os.path.lexists(path):
        made = f"orchestrator run TEAM MESSAGE --store {path}"
        raise DeclarationError("--store", f"there is no file {path!r}; one is made by: {made}")
    return store


@contextmanager
def saying_why() -> Iterator[None]:
    """What goes wrong becomes a sentence and an exit code: 2 for wrong words, 1 for what could not be done."""
    try:
        yield
    except ModelNotFound as error:
        fail(as_typed(error), 2)
    except (DeclarationError, RunError) as error:
        fail(str(error), 2)
    except (StoreError, BlockError) as error:
        fail(str(error), 1)
    except KeyboardInterrupt:
        typer.echo("Cancelled.", err=True)
        raise typer.Exit(130) from None


def as_typed(missing: ModelNotFound) -> str:
    """What is wrong with a model's name, in the words of who typed it."""
    return re.sub(rf"^{re.escape(OVERRIDE)}: ", "--model: ", str(missing))


class Seen(NamedTuple, Generic[_T]):
    """What was found in a store; and whether its runs that are not over were cut off, None where nobody can tell."""

    found: _T
    cut_off: bool | None


def look(path: str, work: Callable[[Reader], _T]) -> Seen[_T]:
    """What the work finds in a store that is there, and need not be opened."""
    store = store_there(path)
    return _seen(path, store, lambda: store.read(work))


def look_around(path: str, work: Callable[[Store], Awaitable[_T]]) -> Seen[_T]:
    """The same for work that looks more than once."""
    store = store_there(path)
    return _seen(path, store, lambda: work(store))


def _seen(path: str, store: Store, work: Callable[[], Awaitable[_T]]) -> Seen[_T]:
    owned = [is_owned(path)]  # and again: somebody may come or go while it is looked at
    found = use(store, work)
    owned.append(is_owned(path))
    return Seen(found, False if True in owned else None if None in owned else True)


def use(store: Store, work: Callable[[], Awaitable[_T]]) -> _T:
    """What the work comes to; then the store is closed."""

    async def main() -> _T:
        try:
            return await work()
        finally:
            with anyio.CancelScope(shield=True):
                await store.close()

    return anyio.run(main)


def moment(at: float) -> str:
    """A stored time, as the clock on the wall has it."""
    try:
        return datetime.fromtimestamp(at).isoformat(" ", "seconds")
    except (ValueError, OverflowError, OSError):  # whatever number the file holds
        return str(at)
