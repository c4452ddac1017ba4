"""The built-in workloads: complete, exact in simulated time, and honest about what they compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator import DeclarationError, Environment, Orchestrator, RunError, StoreError
from orchestrator.bench import (
    FULL,
    QUICK,
    WORKLOADS,
    Finding,
    Gain,
    Job,
    Refusals,
    Sent,
    Timed,
    plan,
    run_jobs,
    suite_document,
    teams,
    workloads,
)
from orchestrator.bench.measuring import Took
from orchestrator.bench.stores import KINDS, MEMORY, Kind, OneAtATime
from orchestrator.bench.virtual import run_virtually
from orchestrator.events import BlockChanged, ChangeRefused, Event
from orchestrator.stores import MemoryStore
from orchestrator.testing import StoreContract

TINY = QUICK._replace(turns=70, turns_alone=3, crowd=3, inserting=3, writes=3, commits=10, hot_turns=2)

#: Stands for a store that lasts.
LASTING = Kind("file", True, lambda folder: MemoryStore())


def in_simulated_time(job: Job) -> Any:
    async def main(environment: Environment) -> Finding:
        return await job.measure()

    return run_virtually(main, 0)


async def events(store: MemoryStore) -> list[Event]:
    return await store.events(limit=100_000)


# --- exact in simulated time


@pytest.mark.parametrize(
    ("workload", "turns", "seconds"), [("uneven", 6, 0.3), ("wide", 201, 0.05), ("inserts", 101, 0.22)]
)
def test_where_models_think_a_team_takes_no_longer_than_a_bare_task_group(
    workload: str, turns: int, seconds: float
) -> None:
    (job,) = plan([workload], size=FULL._replace(repeats=1), kinds=[MEMORY])

    timed = in_simulated_time(job)

    assert (timed.workload, timed.store, timed.turns) == (workload, "memory", turns)
    assert timed.seconds == pytest.approx(seconds, abs=1e-9)
    assert timed.bare_seconds == pytest.approx(seconds, abs=1e-9)
    assert timed.ratio == pytest.approx(1)
    assert timed.turns_per_second == pytest.approx(turns / seconds)


def test_both_sides_are_repeated_in_turns_and_the_medians_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    story: list[str] = []

    async def bare() -> Took:
        story.append("bare")
        return Took(float(len(story)), 0, 1)

    async def ours(*anything: object) -> Took:
        story.append("ours")
        return Took(float(len(story)), 0.5, 2)

    monkeypatch.setattr(workloads, "_run", ours)
    side = workloads._Side("uneven", "what", lambda: teams.uneven(0), bare)

    timed = anyio.run(workloads._beside, side, MEMORY, 3)

    assert story == ["bare", "ours"] * 3
    assert (timed.seconds, timed.bare_seconds, timed.turns) == (4, 3, 2)
    assert timed.cpu_us_per_turn == 250_000


async def test_a_crowd_inserts_all_its_lines() -> None:
    cast, store = teams.crowd(5, 0, inserts=10), MemoryStore()
    async with Orchestrator(cast.team, store, model=cast.model) as live:
        run = await live.run("go")

    assert sorted(run.blocks["notes"].value.split("\n")) == sorted(
        f"agent-{n}: {k}" for n in range(5) for k in range(10)
    )


async def test_a_pool_takes_as_many_turns_as_it_is_asked_for_and_its_blocks_do_not_grow() -> None:
    cast, store = teams.pool(4, 50, calls=True), MemoryStore()
    async with Orchestrator(cast.team, store, model=cast.model, max_concurrency=4) as live:
        run = await live.run("go")

    counts = [int(run.blocks[f"agent-{n}/scratch"].value.split()[1]) for n in range(4)]
    assert sum(counts) == len(run.turns) == 50
    assert not any(isinstance(event, ChangeRefused) for event in await events(store))


# --- all of them, on real clocks


def test_each_workload_has_its_findings() -> None:
    told: list[Finding] = []

    findings = anyio.run(run_jobs, plan(size=TINY, kinds=[LASTING]), told.append)

    assert told == findings
    assert [(type(found).__name__, found.workload) for found in findings] == [
        ("Timed", "uneven"),
        ("Timed", "wide"),
        ("Timed", "inserts"),
        *[("Timed", "turns")] * 2,
        *[("Timed", "calls")] * 2,
        *[("Gain", "commits")] * 2,
        *[("Sent", "prompts")] * 2,
    ]
    timed = [found for found in findings if isinstance(found, Timed)]
    assert [found.turns for found in timed] == [6, 4, 4, 70, 3, 70, 3]
    assert all(found.ratio > 0 and found.seconds > 0 and found.cpu_us_per_turn > 0 for found in timed)
    gains = [found for found in findings if isinstance(found, Gain)]
    assert [(found.store, found.what.partition(" ")[0]) for found in gains] == [("file", "writes"), ("file", "turns")]
    assert all(found.per_second > 0 and found.alone_per_second > 0 for found in gains)


def test_what_writes_is_measured_on_each_store() -> None:
    jobs = plan(["turns"], size=TINY, kinds=[MEMORY, LASTING])

    findings = anyio.run(run_jobs, jobs, lambda found: None)

    assert [found.store for found in findings if isinstance(found, Timed)] == ["memory", "file"] * 2


def test_workloads_are_chosen_by_name_and_come_in_their_own_order() -> None:
    names = [job.workload for job in plan(["prompts", "uneven"], kinds=[MEMORY])]

    assert names == ["uneven", "prompts", "prompts"]
    assert {job.workload for job in plan(kinds=[LASTING])} == set(WORKLOADS)
    with pytest.raises(DeclarationError, match="there is no workload 'fast'; there are: uneven, wide, "):
        plan(["uneven", "fast"])


async def test_a_store_that_does_not_last_has_nothing_to_commit() -> None:
    assert plan(["commits"], kinds=[MEMORY]) == []


async def test_a_workload_that_does_not_complete_is_an_error_and_no_figure() -> None:
    cast = teams.crowd(1, 0, inserts=60)  # more steps than a turn may have

    with pytest.raises(RunError, match="a built-in workload ended as failed: the last turn of 'agent-0' failed"):
        await workloads._run(cast, MemoryStore())


async def test_a_store_that_fails_is_an_error_and_no_group() -> None:
    class Full(MemoryStore):
        async def transact(self, work: Any) -> Any:
            raise StoreError("no space left")

    jobs = plan(["commits"], size=TINY, kinds=[Kind("full", True, lambda folder: Full())])

    with pytest.raises(StoreError, match="no space left"):
        await run_jobs(jobs, lambda found: None)


# --- one transaction at a time


class TestOneAtATime(StoreContract):
    @pytest.fixture
    def store(self) -> OneAtATime:
        return OneAtATime(MemoryStore())


async def test_one_transaction_at_a_time_reaches_the_store() -> None:
    class Slow(MemoryStore):
        inside = most = 0

        async def transact(self, work: Any) -> Any:
            self.inside += 1
            self.most = max(self.most, self.inside)
            await anyio.lowlevel.checkpoint()
            self.inside -= 1
            return await super().transact(work)

    together, alone = Slow(), Slow()
    with anyio.fail_after(10):
        await workloads._writes(2, together)
        took = await workloads._writes(2, OneAtATime(alone))

    assert took.count == 128
    assert len([event for event in await events(alone) if isinstance(event, BlockChanged)]) == 128
    assert (together.most, alone.most) == (64, 1)


def test_what_group_commit_gains_is_the_number_of_writers_where_a_commit_takes_a_second_for_one_as_for_all() -> None:
    class Second(MemoryStore):
        async def transact(self, work: Any) -> Any:
            await anyio.sleep(1)
            return await super().transact(work)

    writes, _ = plan(["commits"], size=TINY, kinds=[Kind("disk", True, lambda folder: Second())])

    gain = in_simulated_time(writes)

    assert (gain.per_second, gain.alone_per_second, gain.ratio) == (64, 1, 64)


# --- what is sent again


def sent(placement: str, size: workloads.Size = FULL) -> Sent:
    tail, system = plan(["prompts"], size=size)
    found = anyio.run((tail if placement == "tail" else system).measure)
    assert isinstance(found, Sent)
    assert found.placement == placement
    return found


def test_with_a_hot_block_in_the_tail_four_fifths_of_all_prompt_tokens_were_sent_before() -> None:
    tail, system = sent("tail"), sent("system")

    assert tail.what.startswith("8 agents x 20 turns")
    assert tail.requests == system.requests == 8 * 20 * 2
    assert tail.share >= 0.8
    assert system.share < 0.5
    assert tail.said_share > 0.7 > 0.2 > system.said_share
    assert abs(tail.tokens - system.tokens) < 0.02 * tail.tokens  # the same is said, at another place
    assert sent("tail") == tail, "nothing in it is left to chance"


async def test_the_hot_team_has_prompts_as_real_ones_and_changes_its_block_in_every_turn() -> None:
    requests: list[Any] = []
    cast, store = teams.hot_team("tail"), MemoryStore()

    class Kept:
        async def respond(self, request: Any) -> Any:
            requests.append(request)
            return await cast.model.respond(request)

    async with Orchestrator(cast.team, store, model=Kept()) as live:
        for turn in range(4):
            async with anyio.create_task_group() as group:
                for agent, text in teams.hot_messages(turn).items():
                    group.start_soon(lambda agent=agent, text=text: live.run(text, agent=agent))

    log = await events(store)
    writers = [event.by for event in log if isinstance(event, BlockChanged)]
    assert {name: writers.count(name) for name in writers} == {agent.name: 6 for agent in cast.team.members}
    assert not any(isinstance(event, ChangeRefused) for event in log)
    assert all(1000 < len(request.blocks["board"]) < 2000 for request in requests)
    assert all("<board>" in request.tail and "<board>" not in request.system for request in requests)
    assert all(len(agent.instruction_parts[0].split()) < 400 for agent in cast.team.members)
    assert {spec.name for spec in requests[0].tools} == {"memory_insert", "memory_replace"}


# --- the document


def test_the_document_has_a_list_for_each_kind_of_finding() -> None:
    findings: list[Finding] = [
        Timed("uneven", "memory", "what", 6, 0.31, 1234.5678, 0.3, 0.31 / 0.3),
        Gain("commits", "file", "what", 9000.0, 3000.0),
        Sent("prompts", "tail", "what", 320, 1000, 0.85, 0.8),
    ]

    document = json.loads(suite_document(findings, quick=True))

    assert list(document) == ["quick", "python", "system", "machine", "timed", "gains", "prompts"]
    assert document["quick"] is True
    (timed,), (gain,), (prompts,) = document["timed"], document["gains"], document["prompts"]
    assert timed == {
        "workload": "uneven",
        "store": "memory",
        "what": "what",
        "turns": 6,
        "seconds": 0.31,
        "cpu_us_per_turn": 1234.57,
        "bare_seconds": 0.3,
        "ratio": 1.03333,
        "turns_per_second": 19.3548,
    }
    assert gain["ratio"] == 3
    assert (prompts["placement"], prompts["share"]) == ("tail", 0.85)
    assert Refusals("notes", 8, 2).share == 0.25


def test_every_kind_of_store_makes_a_new_one_in_an_empty_folder(tmp_path: Path) -> None:
    for kind in KINDS:
        assert hasattr(kind.make(tmp_path), "transact")
