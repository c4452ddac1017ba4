"""What is known about a user: who adds to it, who tidies it, and what is refused when that is declared."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator import Agent, Block, DeclarationError, Grant, Team
from patterns import curate, domain_knowledge, system_config, user_preferences
from patterns.teams import all_patterns_team

ADDING = (
    "Read the block user_preferences before you answer, and act by it as its description says. When you learn"
    " something that belongs there, add it with memory_insert at the end, one fact on a line; do not repeat what"
    " stands there. Where a line is no longer true, add the newer fact: a curator tidies the block now and then, and"
    " keeps the newer one."
)
TIDYING = (
    "You are woken now and then to tidy the block user_preferences, which others read and add to while you work.\n"
    "Merge lines that say the same, resolve contradictions in favour of the newer line (new lines stand last), and"
    " keep every fact that is still true, one on a line. Add nothing that does not stand there. Rewrite the block as"
    " a whole with memory_rethink. If that is refused because somebody has written meanwhile, base the rewrite on the"
    " fresh text that you are shown. If the block is tidy, change nothing and end your turn."
)


def granted(team: Team) -> dict[str, dict[str, Grant]]:
    return {member.name: {a.block.label: a.grant for a in member.attachments} for member in team.members}


def sleeptime(team: Team, curator: str) -> list[tuple[set[str], int | None, bool]]:
    """Whose turns the curator counts, and when that wakes it."""
    return [(set(wake.authors), wake.every, wake.idle) for wake in team.agent(curator).wakes if wake.is_sleeptime]


def nearly_full(team: Team, curator: str) -> list[tuple[Block | None, float]]:
    """The blocks in which the curator makes room, and from which share of their limits on."""
    return [(wake.block, wake.full) for wake in team.agent(curator).wakes if wake.full is not None]


def test_a_curator_may_be_woken_by_turns_only_or_by_a_full_block_only():
    block, people = user_preferences(), [Agent("ann")]
    turns = curate(Agent("cleo"), block, people, full=None)
    full = curate(Agent("cleo"), block, people, every=None, idle=False, full=0.5)

    assert (sleeptime(turns, "cleo"), nearly_full(turns, "cleo")) == ([({"ann"}, 5, True)], [])
    assert (sleeptime(full, "cleo"), nearly_full(full, "cleo")) == ([], [(block, 0.5)])


def test_it_is_a_block_that_says_what_it_is_for():
    block = user_preferences("likes tea", label="tastes", limit=50, key="ann")

    assert (block.label, block.value, block.limit, block.key, block.read_only) == (
        "tastes",
        "likes tea",
        50,
        "ann",
        False,
    )
    assert block.description == (
        "What is known about the user: preferences, facts and wishes, one on a line, the newest last. Fit your answers"
        " to it. What you learn about the user belongs here."
    )
    assert (user_preferences().label, user_preferences().value) == ("user_preferences", "")


def test_agents_add_to_the_block_and_a_sleeptime_agent_tidies_it():
    block = user_preferences()
    team = curate(Agent("cleo", "Be strict."), block, [Agent("ann", "Be brief."), Agent("bob")])

    assert (team.name, team.entry, [member.name for member in team.members]) == (
        "curated",
        "ann",
        ["ann", "bob", "cleo"],
    )
    assert granted(team) == {
        "ann": {"user_preferences": Grant.INSERT},
        "bob": {"user_preferences": Grant.INSERT},
        "cleo": {"user_preferences": Grant.RETHINK},
    }
    assert [(list(member.wakes) == []) for member in team.members] == [True, True, False]
    assert sleeptime(team, "cleo") == [({"ann", "bob"}, 5, True)]
    assert team.agent("ann").instruction_parts == ("Be brief.", ADDING)
    assert team.agent("bob").instruction_parts == (ADDING,)
    assert team.agent("cleo").instruction_parts == ("Be strict.", TIDYING)


@pytest.mark.parametrize(("every", "idle"), [(1, False), (None, True), (7, True)])
def test_one_says_when_the_curator_is_woken(every: int | None, idle: bool):
    agents = (agent for agent in [Agent("ann")])
    team = curate(Agent("cleo"), user_preferences(), agents, every=every, idle=idle, name="desk")

    assert team.name == "desk"
    assert sleeptime(team, "cleo") == [({"ann"}, every, idle)]


def test_agents_that_have_the_block_already_keep_their_grants():
    block = user_preferences()
    agents = [
        Agent("ann", blocks=[block.reader()]),
        Agent("bob", blocks=[block]),
        Agent("eve", blocks=[block.curator()]),
        Agent("fay", blocks=[Block("user_preferences", "another block")]),
    ]
    team = curate(Agent("cleo", blocks=[block.curator()]), block, agents[:3])

    assert [grants["user_preferences"] for grants in granted(team).values()] == [
        Grant.READ,
        Grant.REPLACE,
        Grant.RETHINK,
        Grant.RETHINK,
    ]
    told = [" ".join(member.instruction_parts) for member in team.members]
    assert told[0] == ADDING.partition(" When you learn")[0], "who cannot add is not told to"
    assert told[1:3] == [ADDING, ADDING]
    with pytest.raises(DeclarationError, match="has two blocks labelled 'user_preferences'"):
        curate(Agent("cleo"), block, agents[3:])


def test_any_block_can_be_tidied_and_one_curator_tidies_several():
    preferences, knowledge = user_preferences(), domain_knowledge()
    people, cleo = [Agent("ann"), Agent("bob")], Agent("cleo")
    team = curate(cleo, preferences, people) | curate(cleo, knowledge, people, name="library")

    assert (team.name, team.entry) == ("curated", "ann")
    assert granted(team)["cleo"] == {"user_preferences": Grant.RETHINK, "domain_knowledge": Grant.RETHINK}
    assert granted(team)["bob"] == {"user_preferences": Grant.INSERT, "domain_knowledge": Grant.INSERT}
    assert sleeptime(team, "cleo") == [({"ann", "bob"}, 5, True)], "two wakes that say the same are one"
    assert team.agent("cleo").instruction_parts == (TIDYING, TIDYING.replace("user_preferences", "domain_knowledge"))
    assert team.agent("ann").instruction_parts == (ADDING, ADDING.replace("user_preferences", "domain_knowledge"))


def test_two_teams_over_one_block_and_one_curator_compose():
    block = user_preferences()
    same = curate(Agent("cleo"), block, [Agent("ann")]) | curate(Agent("cleo"), block, [Agent("ann")])
    assert sleeptime(same, "cleo") == [({"ann"}, 5, True)]
    assert [entry.members for entry in same.wakes] == [("cleo",), ("cleo",)]
    assert nearly_full(same, "cleo") == [(block, 0.8)]

    both = curate(Agent("cleo"), block, [Agent("ann")], every=2) | curate(Agent("cleo"), block, [Agent("bob")], every=9)
    assert [member.name for member in both.members] == ["ann", "cleo", "bob"]
    assert sleeptime(both, "cleo") == [({"ann"}, 2, True), ({"bob"}, 9, True)]
    assert list(both.names.values()) == ["user_preferences"], "it is one block"


def test_two_curators_of_one_block_are_woken_each_for_itself():
    block, people = user_preferences(), [Agent("ann")]
    team = curate(Agent("cleo"), block, people) | curate(Agent("dora"), block, people)

    assert [entry.members for entry in team.wakes] == [("cleo",), ("cleo",), ("dora",), ("dora",)]
    assert nearly_full(team, "cleo") == nearly_full(team, "dora") == [(block, 0.8)]


def test_what_the_agents_of_a_composed_team_do_already_they_still_do():
    """Preferences for all agents of a team of other patterns, which has a curator of its own already."""
    desk = all_patterns_team(workers=2)
    habits = user_preferences(label="habits")
    serving = [member for member in desk.members if member.name != "curator"]
    team = desk | curate(Agent("curator"), habits, serving, every=3)

    assert (team.name, team.entry) == (desk.name, desk.entry)
    assert [member.name for member in team.members] == [member.name for member in desk.members]
    for member in serving:
        after = team.agent(member.name)
        assert (after.wakes, after.toolbox) == (member.wakes, member.toolbox)
        assert after.instruction_parts[:-1] == member.instruction_parts, "each is told of habits, and nothing twice"
    assert [every for _, every, _ in sleeptime(team, "curator")] == [5, 3]
    assert [block.label for block, _ in nearly_full(team, "curator")] == ["user_preferences", "habits"]
    assert granted(team)["curator"] == {**granted(desk)["curator"], "habits": Grant.RETHINK}


@pytest.mark.parametrize(
    ("declare", "problem"),
    [
        (lambda block: curate("cleo", block, [Agent("ann")]), "was given a str in place of an Agent"),
        (lambda block: curate(Agent("ann"), block, [Agent("bob"), Agent("ann")]), "'ann' is both the curator and one"),
        (lambda block: curate(Agent("cleo"), block, []), "needs at least one agent besides the curator"),
        (lambda block: curate(Agent("cleo"), block, Agent("ann")), "its agents are of type Agent; give a list"),
        (lambda block: curate(Agent("cleo"), block, None), "its agents are of type NoneType; give a list"),
        (lambda block: curate(Agent("cleo"), block, "ann"), "has a str among its agents"),
        (lambda block: curate(Agent("cleo"), block, [Agent("ann"), None]), "has a NoneType among its agents"),
        (lambda block: curate(Agent("cleo"), block.curator(), [Agent("ann")]), "of type Attachment; give the Block"),
        (
            lambda _: curate(Agent("cleo"), system_config("x"), [Agent("ann")]),
            "'system_config' is read-only, so nobody",
        ),
        (
            lambda block: curate(Agent("cleo"), block, [Agent("ann")], every=None, idle=False, full=None),
            "nothing would wake",
        ),
        (lambda block: curate(Agent("cleo"), block, [Agent("ann")], full=2), "full is 2; give a share of the limit"),
        (lambda block: curate(Agent("cleo"), block, [Agent("ann")], every=0), "every is 0; give 1 or more"),
        (lambda block: curate(Agent("cleo"), block, [Agent("ann"), Agent("ann")]), "two agents called 'ann'"),
        (lambda block: curate(Agent("cleo", blocks=[block]), block, [Agent("ann")]), "is granted replace on block"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_declared(declare: Callable[[Block], Team], problem: str):
    with pytest.raises(DeclarationError) as raised:
        declare(user_preferences())
    assert problem in str(raised.value)
