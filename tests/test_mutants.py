"""Bugs planted in the project itself are found, each for its own reason, and without them nothing is found.

A suite that does not fail on planted bugs is no evidence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest
from log_checks import LogCheck, overspent, stale, unfair, unwoken
from planted_mutants import MUTANTS
from planted_toys import TOYS, Enacted, thinking
from reference_teams import MESSAGE, TEAMS

from orchestrator import Budget, Orchestrator, Run, Team
from orchestrator.events import AgentDeleted
from orchestrator.feed import Feed
from orchestrator.simulation.environment import SimulatedEnvironment
from orchestrator.simulation.exploring import Perform
from orchestrator.simulation.schedules import Settings, drawn
from orchestrator.simulation.simulating import performer_of
from orchestrator.stores import MemoryStore, SQLiteStore
from orchestrator.testing import Faults, Flaw, Say, call
from patterns.teams import handoff_context_team, task_queue_team


class Check(NamedTuple):
    """What finds a mutant: schedules of something, and what is wrong with them then."""

    perform: Callable[[Path], Perform]
    kind: str
    words: str
    #: Within so many schedules.
    within: int = 60
    faulty: bool = True
    log: LogCheck | None = None

    def first_found(self, folder: Path) -> int | None:
        """The first seed that finds what it looks for."""
        perform = self.perform(folder)
        seeds = range(self.within)
        return next((seed for seed in seeds if self.is_among(self.flaws(perform, self.drawn(seed)))), None)

    def drawn(self, seed: int) -> Settings:
        return drawn(seed, faulty=self.faulty)

    def is_among(self, flaws: Iterable[Flaw]) -> bool:
        return any(re.fullmatch(self.kind, flaw.kind) and re.search(self.words, flaw.what) for flaw in flaws)

    def flaws(self, perform: Perform, settings: Settings) -> list[Flaw]:
        """All that is wrong with a schedule."""
        performance = perform(settings, None)
        look = self.log
        if look is None:
            return performance.flaws
        seen = (sentence for history in performance.played.histories for sentence in look(history))
        return [*performance.flaws, *(Flaw(kind="log", what=sentence) for sentence in seen)]


def simulated(
    team: Team,
    faults: Faults,
    *,
    budget: Budget | None = None,
    invariants: Iterable[Callable[[Run], object]] = (),
    sqlite: bool = False,
) -> Callable[[Path], Perform]:
    """The team as `simulate` plays it."""

    def performer(folder: Path) -> Perform:
        files = iter(range(1_000_000))
        return performer_of(
            team,
            MESSAGE,
            model="rehearsal",
            faults=faults,
            invariants=invariants,
            latency=None,
            store=(lambda: SQLiteStore(folder / f"{next(files)}.db", durability="process")) if sqlite else MemoryStore,
            budget=budget,
        )

    return performer


def two_messages(folder: Path) -> Perform:
    """A handoff pair that is given another message while it is at work."""
    team = handoff_context_team()
    hands_over = call("hand_off_to_specialist", note="Asked: when?")
    script = {"receptionist": [hands_over, hands_over, Say()], "specialist": [Say("then"), Say("then")]}

    async def scene(environment: SimulatedEnvironment, settings: Settings) -> None:
        model = thinking(script, environment, settings)
        async with (
            Orchestrator(team, model=model, environment=environment) as live,
            anyio.create_task_group() as group,
        ):
            group.start_soon(live.run, "When?")
            group.start_soon(live.run, "And when else?")

    return Enacted(scene)


async def reported_in_the_other_order(environment: SimulatedEnvironment, settings: Settings) -> None:
    """Of two commits the later one is reported first. No run comes to anything else for it: the order is looked at."""
    feed, first = Feed(MemoryStore()), AgentDeleted(seq=1, at=0.0, agent="ann")
    told = [event.seq for commit in (first.having(seq=2), first) for event in feed.put([commit])]
    assert told == [1, 2], f"the scheduler is told of event {told[0]} first"


def within_three_turns(run: Run) -> None:
    assert len(run.turns) <= 3, f"a budget of 3 turns, and {len(run.turns)} were taken"


QUEUE, CURATOR, HANDOFF = TEAMS["task_queue"], TEAMS["curator"], TEAMS["handoff"]
NONE = Faults.none()
CANCELLED = Faults(cancellations=1.0, steps=150)
KILLED = Faults(kills=1.0, transactions=30)
ERRORS = Faults(model_errors=0.2)

CHECKS: Mapping[str, Check] = {
    "block_and_history_in_two_commits": Check(
        simulated(CURATOR, CANCELLED), "P2", "history of block '\\w+' has version|version \\d+ of its history", 200
    ),
    "events_after_the_transaction": Check(
        simulated(CURATOR, CANCELLED), "P2", "the log has version \\d+ of block '\\w+' after version \\d+", 300
    ),
    "versions_with_gaps": Check(
        simulated(CURATOR, NONE), "P2", "the history of block '\\w+' has version \\d+ after version \\d+"
    ),
    "acknowledged_before_the_commit": Check(
        simulated(QUEUE, KILLED, sqlite=True), "P1", "was acknowledged, and is not in the log"
    ),
    "curator_without_the_check": Check(
        simulated(CURATOR, NONE), "P1", "(rethink by curator in .*) lost .*; curator was shown version"
    ),
    "limit_checked_before_the_transaction": Check(
        lambda folder: TOYS["over_limit"].perform(False), "P5", "has \\d+ characters, and its limit is", faulty=False
    ),
    "read_only_checked_before_the_transaction": Check(
        lambda folder: TOYS["readonly_race"].perform(False), "P4", "though the block was read-only", 200, faulty=False
    ),
    "claim_after_the_start": Check(simulated(QUEUE, NONE), "P3", "was started without a claim"),
    "end_without_a_shield": Check(simulated(QUEUE, CANCELLED), "P6", "though the team was closed in order"),
    "turns_that_end_twice": Check(simulated(QUEUE, CANCELLED), "P6", "ended 2 times: done and cancelled", 200),
    "context_of_the_first_step": Check(simulated(QUEUE, NONE), "log", "was shown version", log=stale),
    "effects_made_again": Check(simulated(QUEUE, KILLED), "P8", "was answered twice"),
    "release_of_done_turns_only": Check(simulated(QUEUE, ERRORS), "P8", "ended as failed and still holds something"),
    "note_and_control_in_two_commits": Check(
        simulated(HANDOFF, NONE), "P8", "is not in one transaction with the answer of its tool"
    ),
    "partners_at_the_same_time": Check(two_messages, "P3", "its partner in handoffs, had", faulty=False),
    "changes_forgotten_at_work": Check(simulated(CURATOR, NONE), "log", "was not woken by version", log=unwoken),
    "who_was_last_is_first": Check(simulated(task_queue_team(3), NONE), "log", "had been free for longer", log=unfair),
    "events_as_they_come": Check(
        lambda folder: Enacted(reported_in_the_other_order), "invariant", "told of event 2", 1
    ),
    "runs_that_do_not_wait_for_their_turns": Check(
        simulated(QUEUE, CANCELLED), "P7", "ended while turn-\\d+ of [\\w-]+ was going on for it"
    ),
    "charged_in_the_end": Check(
        simulated(QUEUE, NONE, budget=Budget(turns=3), invariants=[within_three_turns]),
        "invariant",
        "a budget of 3 turns, and 4 were taken",
        log=overspent,
    ),
}


def test_each_mutant_has_a_check():
    assert CHECKS.keys() == MUTANTS.keys()
    assert len(CHECKS) >= 16


@pytest.mark.parametrize("name", CHECKS)
def test_a_mutant_is_found_for_its_own_reason(name: str, tmp_path: Path):
    check = CHECKS[name]
    with MUTANTS[name]():
        assert check.first_found(tmp_path) is not None


@pytest.mark.parametrize("name", CHECKS)
def test_without_the_mutant_nothing_is_found(name: str, tmp_path: Path):
    check = CHECKS[name]
    perform = check.perform(tmp_path)
    for seed in range(20):
        assert check.flaws(perform, check.drawn(seed)) == []
