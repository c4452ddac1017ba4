"""The live fan-out of events. A watcher is never waited for: it reads the log at its own pace."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator

import anyio

from orchestrator.events import BlockChanged, Event
from orchestrator.ports import Store

_BATCH = 500

#: How often the log of another process is looked at, in seconds.
_PAUSE = 0.25


def chosen(key: str | None, run: str | None) -> Callable[[Event], bool]:
    """Whether an event is a change of the block with this key, and happens for this run; None for any."""

    def wanted(event: Event) -> bool:
        if key is not None and not (isinstance(event, BlockChanged) and event.key == key):
            return False
        return run is None or run == getattr(event, "run", None) or run in getattr(event, "runs", ())

    return wanted


async def follow_from_outside(store: Store, after: int, *, wait: bool = True) -> AsyncGenerator[Event, None]:
    """The events with a greater number, in a store to which another process writes.

    Nobody rings here: it is looked for news four times a second, for ever; or, without `wait`, until there are none.
    """
    while True:
        events = await store.events(after, _BATCH)
        for event in events:
            after = event.seq
            yield event
        if not events and not wait:
            return
        if not events:
            await anyio.sleep(_PAUSE)


class Feed:
    """Puts committed events in order, and wakes those who wait for news."""

    def __init__(self, store: Store) -> None:
        self._store = store
        #: The number of the last event that was let through.
        self.last = 0
        self._early: dict[int, Event] = {}
        self._waiting: list[anyio.Event] = []
        self._closed = False

    def put(self, events: Iterable[Event]) -> Iterator[Event]:
        """Take committed events; yields those whose turn it is, in the order of the log.

        Two commits may be reported in the other order than they were made: the later one then waits.
        """
        for event in events:
            if event.seq != self.last + 1:
                self._early[event.seq] = event
                continue
            self.last += 1
            yield event
            while self._early and self.last + 1 in self._early:
                self.last += 1
                yield self._early.pop(self.last)
        if self._waiting:
            self._ring()

    async def follow(self, after: int, wanted: Callable[[Event], bool]) -> AsyncIterator[Event]:
        """The events with a greater number that are wanted, as they come, until the feed is closed."""
        while True:
            news = anyio.Event()
            self._waiting.append(news)  # before looking, so that nothing can slip through in between
            batch = await self._store.events(after, _BATCH)
            for event in batch:
                after = event.seq
                if wanted(event):
                    yield event
            if batch:
                continue
            if self._closed:
                return
            await news.wait()

    def close(self) -> None:
        """Let the watchers come to their end, when they have read what there is."""
        self._closed = True
        self._ring()

    def _ring(self) -> None:
        waiting, self._waiting = self._waiting, []
        for news in waiting:
            news.set()
