"""Where litellm's requests run: it needs asyncio, so under trio they get an asyncio loop of their own, in a thread.

Whatever a loop's requests leave open is closed when that loop ends. litellm keeps its connections by the id of
the loop, never closes them, and would hand them to a later loop that was given the same id.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import cache, partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from weakref import WeakKeyDictionary

import anyio
from anyio.abc import TaskGroup

if TYPE_CHECKING:
    import asyncio

    import trio

_T = TypeVar("_T")

#: For each asyncio loop that made requests, what runs at its end: loops finalize their asynchronous generators.
_ends: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[None, None]]] = WeakKeyDictionary()


async def on_asyncio(work: Callable[[], Awaitable[_T]]) -> _T:
    """Await `work()` on an asyncio loop: the running one, or, under trio, one that lives as long as the trio run.

    When the caller is cancelled, `work` is cancelled as well, and has ended when this returns.
    """
    if _is_trio():
        return await (await _neighbour()).ask(work)
    return await work()


async def keep_clients(clients: Any) -> None:
    """See to it that the clients which litellm keeps in `clients` for the running loop are closed when it ends."""
    import asyncio  # takes longer than all of this room, and is there when a loop runs

    loop = asyncio.get_running_loop()
    if loop in _ends:
        return
    _taken(clients, id(loop))  # what a loop that ended in a hurry has left under the same id
    _ends[loop] = end = _at_the_end(clients, id(loop))
    await anext(end)


async def _at_the_end(clients: Any, loop: int) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        for client in _taken(clients, loop):
            close = getattr(client, "close", None) or getattr(client, "aclose", None)
            closing = close() if close is not None else None
            if isawaitable(closing):
                await closing


def _taken(clients: Any, loop: int) -> list[Any]:
    """Take the clients of a loop out of litellm's cache, whose keys end with the loop's id."""
    kept: dict[str, Any] = clients.cache_dict
    return [kept.pop(key) for key in list(kept) if str(key).endswith(f"-{loop}")]


def _is_trio() -> bool:
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_task())


# --- trio


@dataclass(slots=True, eq=False)
class _Question(Generic[_T]):
    """A piece of work on its way through the neighbour's loop, and back."""

    work: Callable[[], Awaitable[_T]]
    token: trio.lowlevel.TrioToken
    done: trio.Event
    #: Of the asyncio side, so it is made there.
    scope: anyio.CancelScope | None = None
    answer: list[_T] = field(default_factory=list)
    error: Exception | None = None

    async def run(self) -> None:
        assert self.scope is not None, "whoever starts it makes the scope"
        try:
            with self.scope:
                self.answer.append(await self.work())
        except Exception as error:  # raised again on the other side
            self.error = error
        finally:
            self.token.run_sync_soon(self.done.set)

    def cancel(self) -> None:
        assert self.scope is not None, "it comes after the start, through the same queue"
        self.scope.cancel()


class _Neighbour:
    """An asyncio loop in a thread beside a trio run."""

    def __init__(self) -> None:
        import trio

        self.is_ready = trio.Event()
        self._token = trio.lowlevel.current_trio_token()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context: Context | None = None
        self._group: TaskGroup | None = None

    async def live(self) -> None:
        """A trio system task: it is cancelled when the run's main task has ended, and ends the thread."""
        import trio

        async with trio.open_nursery() as nursery:
            own_thread = partial(trio.to_thread.run_sync, limiter=trio.CapacityLimiter(1))
            nursery.start_soon(own_thread, self._in_thread, name="thread of asyncio")
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await self.is_ready.wait()
                self._soon(self._group_cancel)

    async def ask(self, work: Callable[[], Awaitable[_T]]) -> _T:
        import trio

        question = _Question(work, self._token, trio.Event())
        self._soon(partial(self._start, question))
        try:
            await question.done.wait()
        except trio.Cancelled:
            self._soon(question.cancel)
            with trio.CancelScope(shield=True):
                await question.done.wait()
            raise
        if question.error is not None:
            raise question.error
        if not question.answer:
            raise RuntimeError("the request was cancelled from within")
        return question.answer[0]

    def _soon(self, function: Callable[[], object]) -> None:
        assert self._loop is not None, "it was waited for until the loop runs"
        # In a context of the loop's own: in the caller's, anyio would take it for trio.
        self._loop.call_soon_threadsafe(function, context=self._context)

    # In the thread:

    def _in_thread(self) -> None:
        anyio.run(self._serve, backend="asyncio")

    async def _serve(self) -> None:
        import asyncio

        async with anyio.create_task_group() as self._group:
            self._loop, self._context = asyncio.get_running_loop(), copy_context()
            self._token.run_sync_soon(self.is_ready.set)
            await anyio.sleep_forever()

    def _start(self, question: _Question[Any]) -> None:
        assert self._group is not None, "the loop runs inside of it"
        question.scope = anyio.CancelScope()
        self._group.start_soon(question.run, name="request of trio")

    def _group_cancel(self) -> None:
        assert self._group is not None, "the loop runs inside of it"
        self._group.cancel_scope.cancel()


@cache
def _of_this_run() -> trio.lowlevel.RunVar[_Neighbour | None]:
    import trio

    return trio.lowlevel.RunVar("asyncio beside trio", None)


async def _neighbour() -> _Neighbour:
    """The neighbour of this trio run."""
    neighbour = _of_this_run().get()
    if neighbour is None:
        import trio

        neighbour = _Neighbour()
        _of_this_run().set(neighbour)
        trio.lowlevel.spawn_system_task(neighbour.live, name="asyncio beside trio")
    await neighbour.is_ready.wait()
    return neighbour
