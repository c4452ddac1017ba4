"""kill -9, at any moment, of a process that works through a queue: nothing is lost, nothing is done twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import anyio
from crew_process import TITLES, acknowledgement
from killing import lived

from orchestrator.events import Event, StepTaken, TurnEnded, TurnStarted
from orchestrator.ports import Reader
from orchestrator.stores import SQLiteStore
from patterns.tasks import Queue

KILLS = 50

Asked = tuple[str, int]


def test_fifty_kills_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    random, kills, completed = Random(2026), 0, 0
    while kills < KILLS or not completed:
        folder = tmp_path / f"crew-{completed}"
        folder.mkdir(exist_ok=True)
        in_flight: Counter[Asked] = Counter()
        while True:
            was_killed = lived("crew_process.py", folder, random.expovariate(1 / 0.15) if kills < KILLS else None)
            kills += was_killed
            log, asked = anyio.run(looked_into, folder), asked_in(folder)
            if not was_killed:
                break
            answered = {(event.turn, event.step) for event in log if isinstance(event, StepTaken)}
            in_flight.update(set(asked) - answered)
        completed += 1
        repeated = {key: times - 1 for key, times in asked.items() if times > 1}
        assert all(in_flight[key] >= times for key, times in repeated.items()), "only what was under way is asked again"
        assert_all_is_done(log)
    assert kills >= KILLS


async def looked_into(folder: Path) -> list[Event]:
    """What another process finds in the file: consistent, and with all that was acknowledged."""
    store = SQLiteStore(folder / "crew.db")
    try:
        log = await store.events(limit=1_000_000)
        await store.read(assert_consistent)
    finally:
        await store.close()
    assert [event.seq for event in log] == list(range(1, len(log) + 1))
    told = (folder / "told").read_text().splitlines()
    there = {acknowledgement(event) for event in log}
    assert set(told) <= there, "what was acknowledged is there"
    return log


def assert_consistent(rows: Reader) -> None:
    for block in rows.blocks():
        revisions = list(rows.revisions(block.key))
        assert [revision.version for revision in revisions] == list(range(block.version, 0, -1))
        assert (revisions[0].value, revisions[0].by) == (block.value, block.by)
    by_label = {block.label: block for block in rows.blocks()}
    notes = [line.split()[0] for line in by_label["notes"].value.split("\n") if line]
    assert len(notes) == len(set(notes)), "no insert is applied twice"
    for task in Queue.parse(by_label["task_queue"].value).tasks:
        if task.status == "done":
            assert notes.count(task.title) == 1
            assert task.body == (f"result of {task.title}",)


def asked_in(folder: Path) -> Counter[Asked]:
    lines = (folder / "asked").read_text().splitlines()
    return Counter((turn, int(step)) for turn, step in map(str.split, lines))


def assert_all_is_done(log: list[Event]) -> None:
    started = [event.turn for event in log if isinstance(event, TurnStarted)]
    ended = [event for event in log if isinstance(event, TurnEnded)]
    assert sorted(started) == sorted(event.turn for event in ended), "each turn has ended once"
    assert {event.status for event in ended} == {"done"}, "no turn was given up for a kill"
    queue = next(event for event in reversed(log) if event.type == "block_changed" and event.label == "task_queue")
    tasks = Queue.parse(queue.value).tasks
    assert [(task.title, task.status, task.attempt) for task in tasks] == [(title, "done", 1) for title in TITLES]
    (last,) = [event for event in log if event.type == "run_ended"]
    assert (last.status, last.output) == ("complete", "all done")
