"""Who can have turns at the same time: what `check` says of it is what the engine does, no less and no more."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from random import Random
from typing import Any

import anyio
import pytest
from handing import pass_on

from orchestrator import (
    Agent,
    Attachment,
    Block,
    BlockEdit,
    Budget,
    Grant,
    HandOff,
    Insert,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    Team,
    ToolCall,
    Wake,
    tool,
)
from orchestrator.checking.overlapping import Overlaps
from orchestrator.checking.waking import Waking, may_hand_over
from orchestrator.events import TurnEnded, TurnStarted
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel, simulated_time
from patterns import curate, hand_off, supervise, user_preferences

#: So many schedules of each beginning are tried to find something that must not be, and what should be is looked for.
AT_LEAST, AT_MOST = 10, 80

BUDGET = Budget(turns=12)


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


def block(label: str, value: str = "", **options: Any) -> Block:
    return Block(label, value, f"It is called {label}.", **options)


# --- what the engine does


async def seen(team: Team, expected: set[frozenset[str]], most: int = AT_MOST) -> set[frozenset[str]]:
    """The pairs that have turns at the same time in one run, whoever begins it: each agent, and each block's owner."""
    found: set[frozenset[str]] = set()
    beginnings: list[Callable[[Orchestrator], Any]] = [
        *(lambda live, name=agent.name: live.run("go", agent=name, budget=BUDGET) for agent in team.members),
        *(
            lambda live, name=name: live.blocks.modify(name, value="open by the owner, open")
            for name in team.names.values()
        ),
    ]
    for seed in range(most):
        if seed >= AT_LEAST and found >= expected:
            break
        for begin in beginnings:
            found |= await seen_in_a_run(team, begin, Random(seed))
    return found


async def seen_in_a_run(team: Team, begin: Callable[[Orchestrator], Any], random: Random) -> set[frozenset[str]]:
    store = MemoryStore()
    with anyio.fail_after(10_000):
        async with Orchestrator(team, store, model=FunctionModel(restless(team, random))) as live:
            await begin(live)
            await live.wait_idle()
    at_work: set[str] = set()
    found: set[frozenset[str]] = set()
    for event in await store.events(limit=1_000_000):
        if isinstance(event, TurnStarted):
            found |= {frozenset((event.agent, other)) for other in at_work}
            at_work.add(event.agent)
        elif isinstance(event, TurnEnded):
            at_work.discard(event.agent)
    return found


def restless(team: Team, random: Random) -> Callable[[ModelRequest], Any]:
    """Thinks for some time, and does whatever it is granted."""
    steps = 0

    async def think(request: ModelRequest) -> ModelResponse:
        nonlocal steps
        await anyio.sleep(random.random() * random.choice((0.1, 1, 10)))
        steps += 1
        if request.step > 2 or steps > 60 or random.random() < 0.2:
            return ModelResponse("done")
        agent = team.agent(request.agent)
        may: list[ToolCall] = [
            ToolCall("memory_insert", {"label": a.block.label, "new_string": f"open by {agent.name}"})
            for a in agent.attachments
            if a.grant > Grant.READ
        ]
        may += [
            ToolCall("pass_on", {"to": to, "label": label})
            for name in {spec.name for spec in request.tools} & {"pass_on"}
            for to in sorted(other.name for other in team.members if other is not agent)
            for label in sorted(a.block.label for a in agent.attachments if name)
        ]
        return ModelResponse("", [random.choice(may)] if may else [])

    return think


def in_one_run(team: Team) -> set[frozenset[str]]:
    """What is said of it."""
    return {
        frozenset((overlap.first, overlap.second))
        for overlap in Overlaps(team).among(agent.name for agent in team.members)
        if overlap.when == "in one run"
    }


def pairs(*of: str) -> set[frozenset[str]]:
    return {frozenset(words.split()) for words in of}


# --- teams, and who overlaps in one run


def watchers() -> Team:
    notes = block("notes")
    woken = [Agent(name, blocks=[notes.reader()], wakes_on=[notes]) for name in ("bob", "carol")]
    return Team("watchers", [Agent("ann", blocks=[notes]), *woken])


def by_name() -> Team:
    notes = block("notes")
    bob = Agent("bob", blocks=[notes.reader()], wakes_on=[Wake(notes, by=["carol"])])
    return Team("named", [Agent("ann", blocks=[notes]), bob, Agent("carol", blocks=[notes])])


def indirect() -> Team:
    """ann's change wakes bob, whose change wakes carol, while ann goes on."""
    first, second = block("first"), block("second")
    bob = Agent("bob", blocks=[first.reader(), second], wakes_on=[first])
    carol = Agent("carol", blocks=[second.reader()], wakes_on=[second])
    return Team("indirect", [Agent("ann", blocks=[first]), bob, carol])


def chain() -> Team:
    """Control is a token: first, second and third are never at work together in one run, partners or not."""
    one, two = block("one"), block("two")
    first = Agent("first", blocks=[one], tools=[pass_on])
    second = Agent("second", blocks=[one, two], wakes_on=[Wake(one, handoffs=3)], tools=[pass_on])
    third = Agent("third", blocks=[two], wakes_on=[Wake(two, handoffs=3)])
    return Team("chain", [first, second, third])


def note_that_wakes() -> Team:
    note = block("note")
    ann = Agent("ann", blocks=[note], tools=[pass_on])
    bob = Agent("bob", blocks=[note], wakes_on=[Wake(note, handoffs=3, by=["ann"])])
    return Team("note", [ann, bob, Agent("carol", blocks=[note.reader()], wakes_on=[note])])


def two_idle() -> Team:
    notes = block("notes")
    tidy = [Agent(name, blocks=[notes.curator()], wakes_on=[Wake(idle=True)]) for name in ("tidy", "neat")]
    return Team("idle", [Agent("ann", blocks=[notes]), *tidy])


def idle_that_wakes() -> Team:
    """Whom the curator wakes in the round waits for the next run."""
    notes = block("notes")
    curator = Agent("curator", blocks=[notes], wakes_on=[Wake(idle=True)])
    return Team("waking", [Agent("ann"), Agent("bob", blocks=[notes.reader()], wakes_on=[notes]), curator])


def counted_alone() -> Team:
    notes = block("notes")
    return Team("alone", [Agent("ann", blocks=[notes]), Agent("tidy", blocks=[notes], wakes_on=[Wake(every=1)])])


def counted() -> Team:
    """When ann's turn ends, bob may still be at work beside the one who is woken by that, and the other way round."""
    notes = block("notes")
    bob = Agent("bob", blocks=[notes.reader()], wakes_on=[Wake(notes, by=["ann"])])
    return Team("counted", [Agent("ann", blocks=[notes]), bob, Agent("tidy", wakes_on=[Wake(every=1)])])


def take(text: str, agent: str) -> str | None:
    return text.replace("open", "taken", 1) if "open" in text else None


def is_open(text: str) -> int:
    return text.count("open")


def crew() -> Team:
    """ann neither writes into the queue nor is woken by it."""
    queue = block("queue")
    work = Wake(queue, when=is_open, claim=take)
    workers = [Agent(name, blocks=[queue.reader()], wakes_on=[work]) for name in ("bob", "carol")]
    return Team("crew", [Agent("lead", blocks=[queue]), *workers, Agent("ann")])


def crew_with_work() -> Team:
    """There is work from the beginning: whoever gets the first message has workers beside it."""
    queue = block("queue", "open, open")
    work = Wake(queue, when=is_open, claim=take)
    workers = [Agent(name, blocks=[queue.reader()], wakes_on=[work]) for name in ("bob", "carol")]
    return Team("begun", [Agent("ann"), *workers])


def crew_that_is_counted() -> Team:
    """A worker whose turn has ended takes the next task, beside the one who is woken by the end of that turn."""
    queue = block("queue")
    worker = Agent("bob", blocks=[queue.reader()], wakes_on=[Wake(queue, when=is_open, claim=take)])
    return Team("counted-crew", [worker, Agent("tidy", wakes_on=[Wake(every=1)])])


def claims_that_call() -> Team:
    """A claim changes the text, which calls somebody else, while the one it was claimed for goes on."""
    queue = block("queue")
    worker = Agent("bob", blocks=[queue.reader()], wakes_on=[Wake(queue, when=is_open, claim=take)])
    judge = Agent("judge", blocks=[queue.reader()], wakes_on=[Wake(queue, when=lambda text: "taken" in text)])
    return Team("claims", [worker, judge])


def room_makers() -> Team:
    """One wake that makes room has one turn at a time."""
    notes = block("notes", limit=60)
    room = Wake(notes, full=0.3)
    return Team(
        "room",
        [
            Agent("ann", blocks=[notes]),
            *(Agent(name, blocks=[notes.reader()], wakes_on=[room]) for name in ("tidy", "neat")),
        ],
    )


def two_room_wakes() -> Team:
    notes = block("notes", limit=60)
    makers = [Agent(name, blocks=[notes.reader()], wakes_on=[Wake(notes, full=0.3)]) for name in ("tidy", "neat")]
    return Team("rooms", [Agent("ann", blocks=[notes]), *makers])


def archive() -> Team:
    old = block("old")
    notes = block("notes", limit=30, overflow=old)
    return Team(
        "archive", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[old.reader()], wakes_on=[old]), Agent("carol")]
    )


def partner_who_waits() -> Team:
    """bob waits for the end of ann's turn, so whom carol wakes then, after bob, never meets ann."""
    note, news = block("note"), block("news")
    take_over = Wake(note, handoffs=3)
    ann = Agent("ann", blocks=[note])
    bob = Agent("bob", blocks=[note], wakes_on=[Wake(note, by=["ann"])], tools=[pass_on])
    carol = Agent("carol", blocks=[note, news], wakes_on=[take_over])
    return Team("waiting", [ann, bob, carol, Agent("dave", blocks=[news.reader()], wakes_on=[news])])


TEAMS = [
    (partner_who_waits, pairs("carol dave")),
    (watchers, pairs("ann bob", "ann carol", "bob carol")),
    (by_name, pairs("carol bob")),
    (indirect, pairs("ann bob", "bob carol", "ann carol")),
    (chain, set()),
    (note_that_wakes, pairs("ann carol", "bob carol")),
    (two_idle, pairs("tidy neat")),
    (idle_that_wakes, pairs("curator bob")),
    (counted_alone, set()),
    (counted, pairs("ann bob", "ann tidy", "bob tidy")),
    (crew, pairs("lead bob", "lead carol", "bob carol")),
    (crew_with_work, pairs("ann bob", "ann carol", "bob carol")),
    (crew_that_is_counted, pairs("bob tidy")),
    (claims_that_call, pairs("bob judge")),
    (room_makers, pairs("ann tidy", "ann neat")),
    (two_room_wakes, pairs("ann tidy", "ann neat", "tidy neat")),
    (archive, pairs("ann bob")),
]


@pytest.mark.parametrize(("make", "expected"), TEAMS, ids=lambda given: getattr(given, "__name__", ""))
def test_who_overlaps_in_one_run(make: Callable[[], Team], expected: set[frozenset[str]]) -> None:
    assert in_one_run(make()) == expected


@pytest.mark.parametrize(("make", "expected"), TEAMS, ids=lambda given: getattr(given, "__name__", ""))
async def test_the_engine_does_just_that(make: Callable[[], Team], expected: set[frozenset[str]]) -> None:
    assert await seen(make(), expected) == expected


@pytest.mark.parametrize("seed", range(24))
async def test_of_teams_at_random_the_engine_does_no_more_than_is_said(seed: int) -> None:
    team = some_team(Random(seed))
    said = in_one_run(team)

    done = await seen(team, said, most=AT_LEAST)

    assert done <= said
    partners = Waking(team).handoffs.partners
    assert not any(b in partners.get(a, ()) for a, b in map(tuple, done))


def some_team(random: Random) -> Team:
    """A few agents, with blocks, grants and wakes of all kinds."""
    names = ["ann", "bob", "carol", "dave"]
    old = block("old", limit=200)
    blocks = [block("one", limit=70), block("two", overflow=old, limit=40), block("three", random.choice(("", "open")))]
    blocks = random.sample(blocks, 2) + [old] * random.randrange(2)
    shared = [Wake(blocks[0], when=is_open, claim=random.choice((take, None))), Wake(blocks[0], full=0.15)]
    agents: list[Agent] = []
    for name in names:
        grants = [random.choice((each.reader(), each.contributor(), Attachment.of(each))) for each in blocks]
        others = [other for other in names if other != name]
        wakes = [
            Wake(random.choice(blocks)),
            Wake(random.choice(blocks), by=[random.choice(others)]),
            Wake(every=random.choice((1, 2))),
            Wake(idle=True),
            Wake(blocks[1], handoffs=3),
            *shared,
        ]
        agents.append(Agent(name, blocks=grants, wakes_on=random.sample(wakes, random.randrange(3)), tools=[pass_on]))
    return Team("random", agents)


# --- several runs


async def test_messages_to_two_agents_at_once_bring_everybody_together_but_partners() -> None:
    note = block("note")
    first = Agent("first", blocks=[note], tools=[pass_on])
    second = Agent("second", blocks=[note], wakes_on=[Wake(note, handoffs=3)])
    team = Team("three", [first, second, Agent("alone")])
    overlaps = Overlaps(team)
    found: set[frozenset[str]] = set()

    async def all_at_once(live: Orchestrator) -> None:
        async with anyio.create_task_group() as group:
            for agent in team.members * 3:
                group.start_soon(live.agents.message, agent, "go")

    for seed in range(AT_LEAST):
        found |= await seen_in_a_run(team, all_at_once, Random(seed))

    assert found == pairs("first alone", "second alone")
    assert overlaps.between("first", "second") is None
    assert overlaps.between("second", "second") is None
    told = overlaps.between("alone", "first")
    assert told is not None
    assert told == ("first", "alone", "in several runs", "messages to both at the same time")


# --- in words


def reasons(team: Team) -> dict[str, str]:
    overlaps = Overlaps(team)
    return {
        f"{overlap.first} {overlap.second}": overlap.reason
        for a, b in combinations([agent.name for agent in team.members], 2)
        if (overlap := overlaps.between(a, b)) is not None and overlap.when == "in one run"
    }


@pytest.mark.parametrize(
    ("team", "expected"),
    [
        (
            watchers(),
            {
                "ann bob": "ann's change of notes wakes bob while ann goes on",
                "ann carol": "ann's change of notes wakes carol while ann goes on",
                "bob carol": "both are woken by changes of notes",
            },
        ),
        (
            indirect(),
            {
                "ann bob": "ann's change of first wakes bob while ann goes on",
                "bob carol": "bob's change of second wakes carol while bob goes on",
                "ann carol": "bob's change of second wakes carol while ann is at work",
            },
        ),
        (
            note_that_wakes(),
            {
                "ann carol": "ann's change of note wakes carol while ann goes on",
                "bob carol": "bob's change of note wakes carol while bob goes on",
            },
        ),
        (two_idle(), {"tidy neat": "both are woken when nobody has anything left to do"}),
        (
            counted(),
            {
                "ann bob": "ann's change of notes wakes bob while ann goes on",
                "ann tidy": "tidy is woken after every turn of others while ann is at work",
                "bob tidy": "tidy is woken after every turn of others while bob is at work",
            },
        ),
        (
            crew(),
            {
                "lead bob": "queue calls for bob after a change by lead while lead goes on",
                "lead carol": "queue calls for carol after a change by lead while lead goes on",
                "bob carol": "members of one pool, which queue calls for",
            },
        ),
        (crew_that_is_counted(), {"bob tidy": "tidy is woken after every turn of others while bob goes on"}),
        (
            room_makers(),
            {
                "ann tidy": "ann's change of notes wakes tidy to make room while ann goes on",
                "ann neat": "ann's change of notes wakes neat to make room while ann goes on",
            },
        ),
    ],
    ids=lambda given: given.name if isinstance(given, Team) else "",
)
def test_why_they_overlap_is_said_in_words(team: Team, expected: dict[str, str]) -> None:
    assert reasons(team) == expected


def test_the_declared_text_may_call_from_the_first_message_on() -> None:
    said = reasons(crew_with_work())

    assert said["ann bob"] == "queue calls for bob from the first message on, whoever that is for"


def test_two_who_are_woken_by_the_end_of_one_turn_begin_together() -> None:
    tidy = [Agent(name, wakes_on=[Wake(every=every)]) for name, every in (("tidy", 3), ("neat", 3), ("calm", 5))]
    shared = Wake(every=2)
    pool = [Agent(name, wakes_on=[shared]) for name in ("dot", "dash")]

    said = reasons(Team("tidying", [Agent("ann"), *tidy, *pool]))

    assert (
        said["tidy calm"]
        == "tidy is woken after every 3 turns of others while calm is woken after every 5 turns of others"
    )
    assert said["tidy neat"] == "both are woken after every 3 turns of others"
    assert said["dot dash"] == "both are woken after every 2 turns of others"
    assert not any(pair.startswith("ann ") for pair in said)


def test_the_owner_s_write_brings_together_whom_no_agent_could() -> None:
    notes = block("notes")
    woken = [Agent(name, blocks=[notes.reader()], wakes_on=[notes]) for name in ("bob", "carol")]
    only_ann = Agent("dave", blocks=[notes.reader()], wakes_on=[Wake(notes, by=["ann"])])

    said = reasons(Team("owned", [Agent("ann"), *woken, only_ann]))

    assert said == {"bob carol": "both are woken by changes of notes"}


def test_the_patterns_overlap_as_they_say() -> None:
    ann, bob, lead = Agent("ann"), Agent("bob"), Agent("lead")

    assert in_one_run(hand_off(ann, bob)) == set()
    assert in_one_run(supervise(lead, [ann, bob])) == pairs("lead ann", "lead bob", "ann bob")
    tidied = curate(Agent("curator"), user_preferences(), [ann, bob], every=None, full=None)
    assert in_one_run(tidied) == set()
    assert in_one_run(curate(Agent("curator"), user_preferences(), [ann, bob])) == pairs("ann curator", "bob curator")


# --- who may hand over


def quiet() -> str:
    """Say nothing."""
    return ""


def either(to: str) -> BlockEdit | HandOff:
    """Note, or hand over."""
    return HandOff(to, BlockEdit("note", Insert("go on")))


def untold(to):  # type: ignore[no-untyped-def]
    """Whatever."""


untold.__annotations__["to"] = str


def unknown(to: str) -> str:
    """Whatever."""
    return to


def test_what_a_tool_returns_says_whether_it_can_hand_over() -> None:
    assert may_hand_over(pass_on, "bob", "note")
    assert may_hand_over(tool(either), "bob", "note")
    assert may_hand_over(tool(untold), "bob", "note")
    assert not may_hand_over(tool(quiet), "bob", "note")


def test_a_tool_whose_annotations_are_gone_may_hand_over() -> None:
    made = tool(unknown)
    unknown.__annotations__["return"] = "Gone"

    assert may_hand_over(made, "bob", "note")


def test_a_tool_that_says_to_whom_hands_over_to_nobody_else() -> None:
    made = tool(either, needs={"note": Grant.INSERT}, hands_to="bob")

    assert may_hand_over(made, "bob", "note")
    assert not may_hand_over(made, "carol", "note")
    assert not may_hand_over(made, "bob", "other")
