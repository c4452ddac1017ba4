"""What is known about a user, in a block that agents add to and a curator tidies."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator import Agent, Attachment, Block, DeclarationError, Grant, Team, Wake, prompt
from patterns.given import one_agent, one_block, several_agents


def user_preferences(
    value: str = "",
    *,
    label: str = "user_preferences",
    limit: int = 10_000,
    overflow: Block | None = None,
    key: str | None = None,
) -> Block:
    """A block for what is known about one user: agents fit their answers to it, and add what they learn.

    Give it to agents as `.contributor()`, and to who tidies it as `.curator()`; `curate()` does both.
    """
    return Block(label, value, prompt("user_preferences_block"), limit=limit, overflow=overflow, key=key)


def curate(
    curator: Agent,
    block: Block,
    agents: Iterable[Agent],
    *,
    every: int | None = 5,
    idle: bool = True,
    full: float | None = 0.8,
    name: str = "curated",
) -> Team:
    """A team in which agents add to a block, and a sleeptime agent tidies it. Messages go to the first agent.

    The curator is woken after `every` turns of the agents, with `idle` when nobody has anything left to do, and when
    more than the share `full` of the block's limit is used.
    Its rewrite is refused, with the fresh text, where somebody has written since it was shown the block; so it
    never destroys what it has not seen. Agents may insert into the block, unless they have it with a grant of
    their own. Any block that is not read-only can be tidied, not only a user's preferences.
    """
    where = "curate()"
    one_agent(where, curator)
    one_block(where, block)
    members = several_agents(where, "agents", agents)
    if not members:
        raise DeclarationError(where, "needs at least one agent besides the curator")
    if block.read_only:
        raise DeclarationError(where, f"block {block.label!r} is read-only, so nobody can tidy it")
    if any(agent.name == curator.name for agent in members):
        raise DeclarationError(where, f"{curator.name!r} is both the curator and one of the agents")
    if every is None and not idle and full is None:
        raise DeclarationError(where, "has neither every=, idle=True nor full=, so nothing would wake the curator")
    wakes = [Wake(every=every, idle=idle, by=members)] if every is not None or idle else []
    wakes += [Wake(block, full=full)] if full is not None else []
    tidying = prompt("user_preferences_curator", label=block.label)
    return Team(
        name,
        [
            *(_adding(agent, block) for agent in members),
            curator.merged(Agent(curator.name, tidying, blocks=[block.curator()], wakes_on=wakes)),
        ],
    )


def _adding(agent: Agent, block: Block) -> Agent:
    """The agent, with the block and with how to use it."""
    attachment = next((a for a in agent.attachments if a.block is block), Attachment(block, Grant.INSERT))
    using = prompt("user_preferences_agent", label=block.label, may_add=attachment.grant >= Grant.INSERT)
    return agent.merged(Agent(agent.name, using, blocks=[attachment]))
