"""The live fan-out of events. A watcher is never waited for: it reads the log at its own pace."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator

import anyio

from orchestrator.events import Event
from orchestrator.ports import Store

_BATCH = 500


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
