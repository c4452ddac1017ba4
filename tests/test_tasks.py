"""The text of a task queue, its rules, and what a pattern refuses when it is declared."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import Agent, Author, Block, Change, DeclarationError, Team
from patterns import domain_knowledge, supervise, task_queue
from patterns.tasks import Queue, claim, give_back, legal
from patterns.teams import domain_knowledge_team, task_queue_team


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: supervise(Agent("lead"), []), "needs at least one worker"),
        (lambda: supervise(Agent("ann"), [Agent("ann")]), "'ann' is both the lead and a worker"),
        (lambda: supervise(Agent("lead"), [Agent("ann")], tries=0), "tries is 0; give 1 or more"),
        (lambda: supervise(Agent("lead"), [Agent("ann")], tasks=Block("todo")), "make it with task_queue()"),
        (lambda: supervise("lead", [Agent("ann")]), "was given a str in place of an Agent"),
        (lambda: supervise(Agent("lead"), Agent("ann")), "its workers are of type Agent; give a list of them"),
        (lambda: supervise(Agent("lead"), ["ann"]), "has a str among its workers"),
        (
            lambda: supervise(Agent("lead"), [Agent("ann")], tasks=task_queue().contributor()),
            "its block is of type Attachment; give the Block itself",
        ),
        (lambda: task_queue_team(workers=0), "0 are none; give 1 or more"),
        (lambda: domain_knowledge_team(workers=-1), "-1 are none; give 1 or more"),
        (lambda: task_queue_team(docs="no/such/folder"), "'no/such/folder' is not a folder"),
    ],
)
def test_a_pattern_that_cannot_work_is_refused_when_it_is_declared(make: Any, problem: str):
    with pytest.raises(DeclarationError) as raised:
        make()
    assert problem in str(raised.value)


def test_teams_that_share_agents_compose():
    """A desk where everybody knows what was found, put over a supervised crew: agents are merged by name."""
    knowledge = domain_knowledge()
    crew_team = supervise(Agent("lead"), [Agent("ann"), Agent("bob")])
    desk = Team("desk", [Agent(name, blocks=[knowledge.contributor()]) for name in ("lead", "ann", "bob")])
    both = crew_team | desk

    assert (both.name, both.entry) == ("supervised", "lead")
    assert [agent.name for agent in both.members] == ["lead", "ann", "bob"]
    assert both.names == {"supervised:task_queue": "task_queue", "supervised:domain_knowledge": "domain_knowledge"}
    assert [entry.members for entry in both.wakes] == [("lead",), ("ann", "bob")]


def test_teams_over_one_queue_have_one_pool_of_workers_however_many_queues_there_are():
    tasks = task_queue()
    first = supervise(Agent("lead"), [Agent("ann")], tasks=tasks)
    for number in range(300):
        supervise(Agent("lead"), [Agent("ann")], tasks=task_queue(key=f"other-{number}"))
    both = first | supervise(Agent("lead"), (Agent(name) for name in ("bob", "cat")), tasks=tasks)

    assert [entry.members for entry in both.wakes] == [("lead",), ("ann", "bob", "cat")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "1. [open] a",
        "notes\n\n1. [claimed by w, try 3] (after 2, 5) a\n   body\n   \n     deeper\nnote\n2. [failed] x",
        "01. [open] a\n1. [open, try 1] a\n1. [doing] a\n1. [open] ",
    ],
)
def test_a_queue_is_written_back_as_it_was_read(text: str):
    assert Queue.parse(text).text() == text


def test_the_rules_are_for_agents_and_not_for_those_who_mend():
    def verdict(author: str) -> str | None:
        return legal(Change("task_queue", "1. [claimed by ann] a", "", Author(author)))

    assert verdict("owner") is None
    assert verdict("engine") is None
    assert verdict("ann") == "task 1 would be gone; tasks are settled, not removed"


def test_agents_settle_and_give_back_what_they_hold_and_nobody_claims_by_hand():
    def verdict(old: str, new: str) -> str | None:
        return legal(Change("task_queue", old, new, Author("ann", "turn-1")))

    assert verdict("1. [claimed by ann] a", "1. [claimed by ann] a\n   half done") is None
    assert verdict("1. [claimed by ann] a", "1. [open, try 2] a") is None
    assert verdict("1. [open] a", "1. [open] a better title\n   details") is None
    assert verdict("1. [done by ann] a", "1. [open] a") == "task 1 is settled; add a new task instead"
    assert verdict("1. [claimed by ann] a\nby hand", "1. [done by ann] a") is None
    assert "claimed for a worker when the worker's turn starts" in str(verdict("1. [open] a", "1. [claimed by ann] a"))


def test_one_number_cannot_use_up_all_others():
    def verdict(new: str) -> str | None:
        return legal(Change("task_queue", "7. [open] a", f"7. [open] a\n{new}", Author("ann", "turn-1")))

    assert verdict("1007. [open] b") is None
    assert verdict("1008. [open] b") == "the number 1008 is far from those before it; number on from 8"


def test_two_tasks_that_read_the_same_are_two_tasks():
    """Only a person can write them; still each is claimed, and given back, by itself."""
    text = "1. [open] a\n1. [open] a"
    claimed = claim(text, "ann")

    assert claimed == "1. [claimed by ann] a\n1. [open] a"
    assert give_back(claimed, "ann", tries=3) == "1. [open, try 2] a\n1. [open] a"


def test_teams_over_one_queue_compose_into_one_pool():
    queue = task_queue()
    lead = Agent("lead")
    both = supervise(lead, [Agent("ann")], tasks=queue) | supervise(lead, [Agent("bob")], tasks=queue)

    assert [entry.members for entry in both.wakes] == [("lead",), ("ann", "bob")]
    other = supervise(Agent("boss"), [Agent("cat")], tasks=task_queue(key="other"), name="other")
    assert sorted((both | other).names.values()) == ["boss/task_queue", "lead/task_queue"]


def test_a_pattern_keeps_the_bounds_that_its_agents_were_given():
    team = supervise(Agent("lead", max_steps=3), [Agent("ann", timeout=5), Agent("bob")])

    assert [(a.max_steps, a.timeout) for a in team.members] == [(3, 600.0), (50, 5), (50, 600.0)]
    with pytest.raises(DeclarationError, match="agent 'ann': has timeout 5 in one team and 7 in the other"):
        _ = team | Team("more", [Agent("ann", timeout=7)])
