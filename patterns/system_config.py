"""What a team works by, in a block that all of it sees and none of it can change."""

from __future__ import annotations

from orchestrator import Block, prompt


def system_config(text: str, *, label: str = "system_config", limit: int = 10_000, key: str | None = None) -> Block:
    """A read-only block: its owner changes it from outside, and every agent that has it acts by it at its next step.

    Give it to agents as it is. No agent can be granted more than to read it:

        await live.blocks.modify("system_config", value="Answer in German.")
    """
    return Block(label, text, prompt("system_config_block"), limit=limit, read_only=True, key=key)
