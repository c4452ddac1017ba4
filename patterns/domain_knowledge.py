"""What a team has learned, in a block that all of it sees."""

from __future__ import annotations

from orchestrator import Block, prompt


def domain_knowledge(
    value: str = "",
    *,
    label: str = "domain_knowledge",
    limit: int = 20_000,
    overflow: Block | None = None,
    key: str | None = None,
) -> Block:
    """A block for facts: any agent that has it appends, and all see it at their next step.

    Give it to agents as `.contributor()`, so that nobody can change what others have found; to one
    agent that tidies it as `.curator()`.
    """
    return Block(label, value, prompt("domain_knowledge_block"), limit=limit, overflow=overflow, key=key)
