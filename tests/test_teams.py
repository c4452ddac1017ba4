"""The patterns as whole teams: who is in them, what they share, and what wakes whom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import DeclarationError, Team, run_sync
from patterns.rehearsal import RehearsalModel
from patterns.teams import all_patterns_team, handoff_context_team, system_config_team, user_preferences_team


def names(team: Team) -> list[str]:
    return [member.name for member in team.members]


def grants(team: Team, label: str) -> dict[str, str]:
    """Who may do what with a block."""
    return {
        member.name: str(attachment.grant)
        for member in team.members
        for attachment in member.attachments
        if attachment.block.label == label
    }


def tools(team: Team, agent: str) -> set[str]:
    return {tool.name for tool in team.agent(agent).toolbox}


def test_a_receptionist_hands_over_to_a_specialist_who_can_search():
    team = handoff_context_team()

    assert (team.name, team.entry, names(team)) == ("handoff_context", "receptionist", ["receptionist", "specialist"])
    assert tools(team, "receptionist") == {"hand_off_to_specialist"}
    assert tools(team, "specialist") == {"search_documents", "hand_off_to_receptionist"}
    assert set(grants(team, "handoff_context")) == {"receptionist", "specialist"}


def test_all_who_serve_a_user_add_to_what_is_known_and_a_curator_tidies_it():
    team = user_preferences_team(workers=2)
    desk = ["analyst", "specialist-1", "specialist-2"]

    assert (team.name, team.entry, names(team)) == ("user_preferences", "analyst", [*desk, "curator"])
    assert grants(team, "user_preferences") == {**dict.fromkeys(desk, "insert"), "curator": "rethink"}
    assert set(grants(team, "domain_knowledge")) == set(desk), "what is known about a subject is not the curator's"
    turns, full = team.agent("curator").wakes
    assert (turns.is_sleeptime, set(turns.authors)) == (True, set(desk))
    assert full.full == 0.8


def test_all_work_under_a_configuration_that_nobody_can_change():
    team = system_config_team(workers=2)

    assert (team.name, team.entry) == ("system_config", "supervisor")
    assert names(team) == ["supervisor", "worker-1", "worker-2"]
    assert grants(team, "system_config") == dict.fromkeys(names(team), "read")
    assert {edge.block for edge in team.edges} == {"task_queue", "domain_knowledge"}
    assert tools(team, "worker-2") == {"search_documents", "settle_task"}


def test_one_team_uses_all_five_patterns():
    team = all_patterns_team(workers=2)
    crew = ["supervisor", "worker-1", "worker-2"]

    assert (team.name, team.entry) == ("all_patterns", "receptionist")
    assert names(team) == ["receptionist", *crew, "curator"]
    assert sorted(team.names.values()) == [
        "domain_knowledge",
        "handoff_context",
        "system_config",
        "task_queue",
        "user_preferences",
    ]
    assert grants(team, "system_config") == dict.fromkeys(names(team), "read")
    assert set(grants(team, "handoff_context")) == {"receptionist", "supervisor"}
    assert set(grants(team, "task_queue")) == set(grants(team, "domain_knowledge")) == set(crew)
    assert grants(team, "user_preferences") == {
        "receptionist": "insert",
        "supervisor": "insert",
        "worker-1": "read",
        "worker-2": "read",
        "curator": "rethink",
    }
    assert tools(team, "receptionist") == {"hand_off_to_supervisor"}
    assert tools(team, "supervisor") == {"add_tasks"}, "who answers at the end does not hand back"
    assert tools(team, "worker-1") == {"search_documents", "settle_task"}
    assert tools(team, "curator") == set()
    kinds = {
        member.name: sorted(
            "turns" if wake.is_sleeptime else "handoff" if wake.handoffs else "full" if wake.full else "text"
            for wake in member.wakes
        )
        for member in team.members
    }
    assert kinds == {
        "receptionist": [],
        "supervisor": ["handoff", "text"],
        "worker-1": ["text"],
        "worker-2": ["text"],
        "curator": ["full", "turns"],
    }


def test_what_all_patterns_share_is_one_block_each():
    team = all_patterns_team(workers=1)
    by_label: dict[str, set[int]] = {}
    for member in team.members:
        for attachment in member.attachments:
            by_label.setdefault(attachment.block.label, set()).add(id(attachment.block))

    assert {label: len(blocks) for label, blocks in by_label.items()} == dict.fromkeys(by_label, 1)


FACTORIES = [user_preferences_team, system_config_team, all_patterns_team]


@pytest.mark.parametrize("make", FACTORIES)
def test_a_team_has_as_many_workers_as_asked_for_and_at_least_one(make: Callable[..., Team]):
    count = len(make().members)
    assert len(make(workers=9).members) - len(make(workers=1).members) == 8
    assert len(make(workers=1).members) < count
    with pytest.raises(DeclarationError, match="0 are none; give 1 or more"):
        make(workers=0)


@pytest.mark.parametrize("make", [handoff_context_team, *FACTORIES])
def test_a_team_searches_the_documents_that_it_is_given(make: Callable[..., Team], tmp_path: Path):
    (tmp_path / "a.md").write_text("The capital of Zorblia is Quux.\n")
    answers = {
        tool("What is the capital of Zorblia?")
        for member in make(docs=str(tmp_path)).members
        for tool in member.toolbox
        if tool.name == "search_documents"
    }

    assert "a.md:1: The capital of Zorblia is Quux." in answers
    with pytest.raises(DeclarationError, match="'no/such/folder' is not a folder"):
        make(docs="no/such/folder")


@pytest.mark.parametrize("make", [handoff_context_team, *FACTORIES])
def test_a_rehearsal_ends_with_what_was_found(make: Callable[..., Team]):
    run = run_sync(make(), "I prefer short answers. What is MemGPT?", model=RehearsalModel())

    assert run.status == "complete", run.error
    assert "MemGPT: Towards LLMs as Operating Systems" in run.output
    if "user_preferences" in run.blocks:
        assert run.blocks["user_preferences"].value == "I prefer short answers."
        assert "prefer" not in run.output + run.blocks["domain_knowledge"].value
