"""The table of costs in patterns/README.md says what the rehearsal model counts today."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import Agent, Team, run_sync
from patterns import search_documents
from patterns.teams import (
    all_patterns_team,
    domain_knowledge_team,
    handoff_context_team,
    system_config_team,
    task_queue_team,
    user_preferences_team,
)

README = Path(__file__).parent.parent / "patterns" / "README.md"

MESSAGE = (
    "What are memory blocks? Who can change a read-only block?"
    " Which tool is safe to use concurrently? Who owns the moon?"
)


def one_agent() -> Team:
    return Team("one", [Agent("researcher", tools=[search_documents()])])


TEAMS: dict[str, Callable[[], Team]] = {
    "one agent": one_agent,
    "handoff_context": handoff_context_team,
    "domain_knowledge": domain_knowledge_team,
    "user_preferences": user_preferences_team,
    "task_queue": task_queue_team,
    "system_config": system_config_team,
    "all_patterns": all_patterns_team,
}


def table() -> dict[str, list[tuple[int, int]]]:
    """By team, the least and the most of turns, calls, tokens read and tokens written."""
    text = README.read_text("utf-8").partition("## What they cost")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n") if line.startswith("| ")]
    return {re.split(r"[`,]| with", name.lstrip("`"))[0]: [_range(cell) for cell in cells] for name, *cells in rows[1:]}


def _range(cell: str) -> tuple[int, int]:
    numbers = [int(number.replace(",", "")) for number in cell.split(" to ")]
    return numbers[0], numbers[-1]


def test_each_team_has_a_row() -> None:
    assert list(table()) == list(TEAMS)


@pytest.mark.parametrize("name", TEAMS)
def test_a_team_costs_what_the_table_says(name: str) -> None:
    run = run_sync(TEAMS[name](), MESSAGE, model="rehearsal")

    turns, calls, read, written = table()[name]
    assert run.status == "complete"
    # Who is woken in which order decides, by a turn and its calls, how many there are.
    assert turns[0] - 1 <= len(run.turns) <= turns[1] + 1
    assert calls[0] - 1 <= run.usage.calls <= calls[1] + 1
    assert read[0] * 0.85 <= run.usage.input_tokens <= read[1] * 1.15
    assert written[0] * 0.85 <= run.usage.output_tokens <= written[1] * 1.15
