"""kill -9, at any moment, of a process in which control goes to and fro: note and control pass together, or not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import anyio
from handoff_process import HANDOFFS, RUNS
from killing import lived

from orchestrator.events import BlockChanged, Event, HandedOver, RunEnded, TurnEnded, TurnStarted
from orchestrator.stores import SQLiteStore

KILLS = 15


def test_fifteen_kills_part_no_note_from_its_handoff(tmp_path: Path) -> None:
    random, kills, completed = Random(2026), 0, 0
    while kills < KILLS or not completed:
        folder = tmp_path / f"pair-{completed}"
        folder.mkdir(exist_ok=True)
        was_killed = True
        while was_killed:
            was_killed = lived("handoff_process.py", folder, random.expovariate(1 / 0.2) if kills < KILLS else None)
            kills += was_killed
            log = anyio.run(read, folder)
            assert_together(log)
        completed += 1
        assert_all_is_done(log)


async def read(folder: Path) -> list[Event]:
    store = SQLiteStore(folder / "pair.db")
    try:
        return await store.events(limit=1_000_000)
    finally:
        await store.close()


def assert_together(log: list[Event]) -> None:
    """Each handoff has one note and one end, by its turn; no note is without one; and who acts, acts alone."""
    handed = [event for event in log if isinstance(event, HandedOver)]
    notes = [event for event in log if isinstance(event, BlockChanged)]
    assert [(event.turn, event.version) for event in handed] == [(event.turn, event.version) for event in notes]
    ends = Counter(event.turn for event in log if isinstance(event, TurnEnded) and event.status == "done")
    assert all(ends[event.turn] == 1 for event in handed)
    at_work: set[str] = set()
    for event in log:
        if isinstance(event, TurnStarted):
            assert not at_work
            at_work.add(event.agent)
        elif isinstance(event, TurnEnded):
            at_work.remove(event.agent)


def assert_all_is_done(log: list[Event]) -> None:
    ended = [event for event in log if isinstance(event, RunEnded)]
    assert len(ended) == RUNS
    for run in ended:
        assert (run.status, run.output) == ("complete", f"ann for {run.run}")
        numbers = [event.number for event in log if isinstance(event, HandedOver) and event.run == run.run]
        assert numbers == list(range(1, HANDOFFS + 1))
