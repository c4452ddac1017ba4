"""The race report: what may happen where agents change one block at the same time, and that it does."""

from __future__ import annotations

from itertools import accumulate
from random import Random
from typing import Any

import anyio
import pytest
from handing import pass_on

from orchestrator import Agent, Block, Orchestrator, Race, Team, Wake, check
from orchestrator.checking.estimates import SPREAD, refused
from orchestrator.events import ChangeRefused
from orchestrator.stores import MemoryStore
from orchestrator.testing import Say, ScriptedModel, edit, simulated_time
from patterns import curate, supervise, user_preferences


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


def block(label: str = "notes", value: str = "one", **options: Any) -> Block:
    return Block(label, value, "What we found.", **options)


def races(*agents: Agent) -> dict[str, Race]:
    """The races of a team, by code; one that is safe by what it is."""
    found = check(Team("team", agents)).races
    by_code = {race.code or race.grade: race for race in found}
    assert len(by_code) == len(found)
    return by_code


def only(*agents: Agent) -> Race:
    (race,) = races(*agents).values()
    return race


# --- who may do what


def test_insertions_at_the_same_time_are_safe_and_no_finding() -> None:
    notes = block()
    team = Team("pair", [Agent(name, blocks=[notes.contributor()]) for name in ("ann", "bob")])

    report = check(team)

    (race,) = report.races
    assert (race.code, race.grade, race.block, race.agents, race.refused) == (
        None,
        "safe",
        "notes",
        ("ann", "bob"),
        None,
    )
    assert race.schedule == (
        "ann and bob are shown notes, version 1",
        "ann inserts a line: version 2",
        "bob inserts a line: version 3, and both are there",
    )
    assert not [finding for finding in report.findings if finding.code.startswith("R")]


def test_replacing_is_refused_to_who_comes_second() -> None:
    notes = block()
    race = only(Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes]))

    assert (race.code, race.grade, race.rewriters) == ("R004", "refused", ())
    assert race.pairs[0].operations == ("replace", "replace")
    assert race.schedule[-1] == "bob's memory_replace of the old line is refused, and bob is told who changed it"


def test_who_inserts_after_a_line_is_refused_if_that_is_replaced() -> None:
    notes = block()
    race = only(Agent("ann", blocks=[notes.contributor()]), Agent("bob", blocks=[notes]))

    assert (race.code, race.pairs[0].agents, race.pairs[0].operations) == (
        "R004",
        ("bob", "ann"),
        ("replace", "insert"),
    )
    assert race.schedule[1:] == (
        "bob replaces a line: version 2",
        "ann's memory_insert after the old line is refused, and ann is told who changed it",
    )


def test_one_rewriter_is_a_note_and_several_are_a_warning() -> None:
    notes = block()
    ann, bob = Agent("ann", blocks=[notes.curator()]), Agent("bob", blocks=[notes.curator()])
    carol, dave = Agent("carol", blocks=[notes]), Agent("dave", blocks=[notes.contributor()])

    one = races(ann, carol, dave)
    several = races(ann, bob, carol, dave)

    assert {code: (race.agents, race.rewriters) for code, race in one.items()} == {
        "R003": (("ann", "carol", "dave"), ("ann",)),
        "R004": (("carol", "dave"), ()),
    }
    assert {code: (race.agents, race.rewriters) for code, race in several.items()} == {
        "R002": (("ann", "bob"), ("ann", "bob")),
        "R003": (("ann", "carol", "dave", "bob"), ("ann", "bob")),
        "R004": (("carol", "dave"), ()),
    }
    assert one["R003"].refused == refused(2)
    assert several["R002"].refused == several["R003"].refused == refused(3)
    assert several["R002"].schedule[2] == "ann's rewrite from version 1 is refused, and ann is shown version 2"
    report = check(Team("four", [ann, bob, carol, dave]))
    assert [finding.code for finding in report.warnings] == ["R002"]
    assert "about 70% of rewrites, if all of them write with each model call" in report.warnings[0].reason


@pytest.mark.parametrize("grant", ["contributor", "curator", "plain"])
def test_last_write_wins_beside_any_writer_loses(grant: str) -> None:
    notes = block(rethink="last_write_wins")
    other = notes if grant == "plain" else getattr(notes, grant)()
    team = Team("pair", [Agent("ann", blocks=[notes.curator()]), Agent("bob", blocks=[other])])

    report = check(team)

    (finding,) = report.errors
    assert (finding.code, finding.place) == ("R001", "block 'notes'")
    assert "memory_rethink, and the last write wins (rethink='last_write_wins')" in finding.reason
    assert "messages to both at the same time" in finding.reason
    assert report.races[0].grade == "lost"
    assert report.races[0].schedule[-1] == "ann rewrites it from version 1: version 3, and bob's text is gone"


def test_last_write_wins_without_another_writer_loses_nothing() -> None:
    notes = block(rethink="last_write_wins")

    assert races(Agent("ann", blocks=[notes.curator()]), Agent("bob", blocks=[notes.reader()])) == {}


def test_last_write_wins_without_a_rewriter_loses_nothing() -> None:
    notes = block(rethink="last_write_wins")

    assert only(Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes])).code == "R004"


def test_partners_do_not_race_whatever_they_may_do() -> None:
    notes = block(rethink="last_write_wins")
    note = block("note")
    agents = [
        Agent(name, blocks=[notes.curator(), note.curator()], wakes_on=[Wake(note, handoffs=3)], tools=[pass_on])
        for name in ("ann", "bob")
    ]

    assert races(*agents) == {}


def test_what_one_run_is_enough_for_comes_first() -> None:
    notes = block(rethink="last_write_wins")
    carol = Agent("carol", blocks=[notes.curator()], wakes_on=[Wake(notes, by=["bob"])])
    race = only(Agent("ann", blocks=[notes.curator()]), Agent("bob", blocks=[notes]), carol)

    assert [(pair.agents, pair.when) for pair in race.pairs] == [
        (("carol", "bob"), "in one run"),
        (("ann", "bob"), "in several runs"),
        (("ann", "carol"), "in several runs"),
    ]
    assert race.schedule[0] == "carol is shown notes, version 1"


def test_of_many_pairs_the_first_ones_are_kept() -> None:
    notes = block()
    race = only(*(Agent(f"agent-{number}", blocks=[notes]) for number in range(20)))

    assert (race.count, len(race.pairs), len(race.agents)) == (190, 50, 20)


# --- what the engine writes for them


def take(text: str, agent: str) -> str | None:
    return text.replace("open", agent, 1) if "open" in text else None


def test_a_claim_may_change_a_line_that_others_need() -> None:
    queue = block("queue")
    work = Wake(queue, when=lambda text: text.count("open"), claim=take)
    ann, bob = (Agent(name, blocks=[queue.reader()], wakes_on=[work]) for name in ("ann", "bob"))
    found = races(ann, bob, Agent("lead", blocks=[queue.contributor()]), Agent("boss", blocks=[queue]))

    assert found["safe"].pairs[0].operations == ("claim", "claim")
    assert found["safe"].agents == ("ann", "bob")
    operations = {pair.agents: pair.operations for pair in found["R004"].pairs}
    assert operations[("ann", "lead")] == ("claim", "insert")
    assert operations[("ann", "boss")] == ("claim", "replace")
    beside = races(ann, Agent("boss", blocks=[queue]))["R004"]
    assert beside.schedule[1:] == (
        "something is claimed for ann: version 2",
        "boss's memory_replace of the old line is refused, and boss is told who changed it",
    )


def test_who_claims_is_never_the_one_who_is_refused() -> None:
    queue = block("queue")
    work = Wake(queue, when=lambda text: text.count("open"), claim=take)
    boss = Agent("boss", blocks=[queue])
    ann = Agent("ann", blocks=[queue.contributor()], wakes_on=[work])

    race = only(boss, ann)

    assert (race.pairs[0].agents, race.pairs[0].operations) == (("boss", "ann"), ("replace", "claim"))
    assert race.schedule[1] == "something is claimed for ann: version 2"
    assert race.schedule[2].startswith("boss's memory_replace of the old line is refused")


def test_who_fills_a_block_writes_into_its_archive() -> None:
    old = block("old")
    notes = block("notes", overflow=old)
    found = {
        race.block: race
        for race in check(
            Team("two", [Agent("ann", blocks=[notes.contributor()]), Agent("bob", blocks=[old.curator()])])
        ).races
    }

    assert found["old"].code == "R003"
    assert found["old"].pairs[0].operations == ("rethink", "archive")
    assert found["old"].schedule[1] == "ann's insertion elsewhere moves old lines there: version 2"
    assert "notes" not in found


def test_lines_that_move_to_an_archive_are_in_nobodys_way() -> None:
    old = block("old")
    notes = block("notes", overflow=old)

    assert only(Agent("ann", blocks=[notes]), Agent("bob", blocks=[old])).code is None


def test_who_may_insert_into_an_archive_does_more_than_fill_it() -> None:
    old = block("old")
    notes = block("notes", overflow=old)
    found = check(
        Team("two", [Agent("ann", blocks=[notes.contributor(), old]), Agent("bob", blocks=[old])]),
    ).races

    assert [(race.block, race.pairs[0].operations) for race in found] == [("old", ("replace", "replace"))]


# --- of the patterns


def test_a_queue_and_curated_preferences_lose_nothing() -> None:
    crew = supervise(Agent("lead"), [Agent("ann"), Agent("bob")])
    report = check(curate(Agent("curator"), user_preferences(), crew.members) | crew)

    assert {race.block: race.grade for race in report.races if race.code} == {
        "task_queue": "refused",
        "user_preferences": "refused",
    }
    assert report.passes(strict=True)


# --- it does happen


async def test_under_last_write_wins_an_update_is_lost() -> None:
    notes = block(rethink="last_write_wins")
    history, refusals = await history_of(notes, "memory_rethink")

    assert history == [("owner", "one"), ("bob", "one\nbob's"), ("ann", "all of it")]
    assert refusals == []


async def test_otherwise_the_rewrite_is_refused() -> None:
    history, refusals = await history_of(block(), "memory_rethink")

    assert history == [("owner", "one"), ("bob", "one\nbob's")]
    assert refusals == ["changed"]


async def history_of(notes: Block, tool: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Both are shown the block; bob inserts, then ann rewrites."""
    team = Team("pair", [Agent("ann", blocks=[notes.curator()]), Agent("bob", blocks=[notes.contributor()])])
    script = {
        "ann": [edit(tool, "notes", new_memory="all of it", after=10), Say()],
        "bob": [edit("memory_insert", "notes", new_string="bob's", after=5), Say()],
    }
    store = MemoryStore()
    with ScriptedModel(script) as model, anyio.fail_after(100):
        async with Orchestrator(team, store, model=model) as live:
            async with anyio.create_task_group() as group:
                for agent in team.members:
                    group.start_soon(live.agents.message, agent, "go")
            revisions = await live.blocks.history("notes")
    refused_codes = [event.code for event in await store.events(limit=1000) if isinstance(event, ChangeRefused)]
    return [(revision.by, revision.value) for revision in revisions], refused_codes


# --- how often


def drawn(others: int, random: Random, calls: int = 4000) -> float:
    """The same by drawing times: one rewriter and so many others, each call after call, all of one distribution."""
    long = 200.0
    ends: list[float] = []
    for _ in range(others):
        at = -random.random() * long  # each began some time ago
        while at < calls * 2:
            at += random.lognormvariate(0, SPREAD)
            ends.append(at)
    ends.sort()
    mine = [end for end in accumulate(random.lognormvariate(0, SPREAD) for _ in range(calls))]
    starts = [0.0, *mine[:-1]]
    hit = place = 0
    for start, end in zip(starts, mine, strict=True):
        while place < len(ends) and ends[place] <= start:
            place += 1
        hit += place < len(ends) and ends[place] <= end
    return hit / calls


@pytest.mark.parametrize("others", [1, 2, 5])
def test_the_estimate_is_what_drawn_times_come_to(others: int) -> None:
    assert refused(others) == pytest.approx(drawn(others, Random(others)), abs=0.03)


def test_the_more_write_the_more_is_refused() -> None:
    shares = [refused(others) for others in range(6)]

    assert shares[0] == pytest.approx(0, abs=1e-9)
    assert shares == sorted(set(shares))
    assert shares[-1] < 1


def test_calls_that_all_take_the_same_time_always_meet_one_write() -> None:
    assert refused(1, spread=0.01) == pytest.approx(1, abs=0.01)
