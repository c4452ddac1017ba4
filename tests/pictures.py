"""The pictures that stand in `examples/pictures`. A row for each; `python tests/pictures.py` writes them anew."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent
FOLDER = CHECKOUT / "examples" / "pictures"
if __name__ == "__main__":  # whatever is installed: this checkout is drawn
    sys.path.insert(0, str(CHECKOUT))

from orchestrator import Agent, Team, draw  # noqa: E402
from patterns import curate, hand_off, handoff_context, search_documents, supervise, system_config, user_preferences  # noqa: E402
from patterns.teams import all_patterns_team, domain_knowledge_team  # noqa: E402


def five_lines() -> Team:
    """The team in five lines of README.md."""
    return supervise(Agent("lead"), [Agent(name, tools=[search_documents()]) for name in ("ann", "bob")])


def pair() -> Team:
    """Two who hand over to each other, and a third one who does not hand back."""
    sales, tech, law = Agent("sales"), Agent("tech"), Agent("law")
    note = handoff_context()
    return hand_off(sales, tech, note=note) | hand_off(sales, law, note=note, back=False)


def profile() -> Team:
    """Two who serve a user, and a curator."""
    return curate(Agent("curator"), user_preferences(), [Agent("concierge"), Agent("cook")], name="profile")


def configured() -> Team:
    """Two under one configuration."""
    config = system_config("Answer in English.")
    return Team("desk", [Agent("ann", blocks=[config]), Agent("bob", blocks=[config])])


#: What is drawn in each file.
PICTURES: dict[str, Callable[[], Team]] = {
    "task_queue.svg": five_lines,
    "domain_knowledge.svg": domain_knowledge_team,
    "handoff_context.svg": pair,
    "user_preferences.svg": profile,
    "system_config.svg": configured,
    "all_patterns.svg": all_patterns_team,
}


def drawn(name: str) -> str:
    """The picture as it is drawn today."""
    return draw(PICTURES[name](), "svg")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in PICTURES:
        (FOLDER / name).write_bytes(drawn(name).encode())
