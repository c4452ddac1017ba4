"""The text of a task queue, its rules, and what a pattern refuses when it is declared."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import Agent, Author, Block, Change, DeclarationError, Team
from patterns import domain_knowledge, supervise
from patterns.tasks import Queue, legal
from patterns.teams import domain_knowledge_team, task_queue_team


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: supervise(Agent("lead"), []), "needs at least one worker"),
        (lambda: supervise(Agent("ann"), [Agent("ann")]), "'ann' is both the lead and a worker"),
        (lambda: supervise(Agent("lead"), [Agent("ann")], tries=0), "tries is 0; give 1 or more"),
        (lambda: supervise(Agent("lead"), [Agent("ann")], tasks=Block("todo")), "make it with task_queue()"),
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


def test_an_agent_may_claim_an_open_task_by_hand_and_give_it_back():
    def verdict(old: str, new: str) -> str | None:
        return legal(Change("task_queue", old, new, Author("ann", "turn-1")))

    assert verdict("1. [open] a", "1. [claimed by ann] a") is None
    assert verdict("1. [claimed by ann] a", "1. [claimed by ann] a\n   half done") is None
    assert verdict("1. [claimed by ann] a", "1. [open, try 2] a") is None
    assert verdict("1. [open] a", "1. [open] a better title\n   details") is None
    assert verdict("1. [done by ann] a", "1. [open] a") == "task 1 is settled; add a new task instead"
    held = "1. [claimed by ann] a\n2. [open] b"
    assert "more than one task" in str(verdict(held, held.replace("open", "claimed by ann")))
    assert verdict("1. [claimed by ann] a\nby hand", "1. [done by ann] a") is None
