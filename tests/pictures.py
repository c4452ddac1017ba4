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
from patterns import search_documents, supervise  # noqa: E402
from patterns.teams import domain_knowledge_team  # noqa: E402


def five_lines() -> Team:
    """The team in five lines of README.md."""
    return supervise(Agent("lead"), [Agent(name, tools=[search_documents()]) for name in ("ann", "bob")])


#: What is drawn in each file.
PICTURES: dict[str, Callable[[], Team]] = {
    "task_queue.svg": five_lines,
    "domain_knowledge.svg": domain_knowledge_team,
}


def drawn(name: str) -> str:
    """The picture as it is drawn today."""
    return draw(PICTURES[name](), "svg")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in PICTURES:
        (FOLDER / name).write_bytes(drawn(name).encode())
