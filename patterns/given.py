"""What the functions that join agents are given: what is of the wrong kind is said where it was given."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator import Agent, Block, DeclarationError


def one_agent(where: str, given: object) -> Agent:
    """The agent, or `DeclarationError`."""
    if not isinstance(given, Agent):
        raise DeclarationError(where, f"was given a {type(given).__name__} in place of an Agent")
    return given


def several_agents(where: str, what: str, given: object) -> list[Agent]:
    """The agents, or `DeclarationError`."""
    if isinstance(given, Agent) or not isinstance(given, Iterable):
        raise DeclarationError(where, f"its {what} are of type {type(given).__name__}; give a list of them")
    found = list(given)
    for agent in found:
        if not isinstance(agent, Agent):
            raise DeclarationError(where, f"has a {type(agent).__name__} among its {what}")
    return found


def one_block(where: str, given: object) -> Block:
    """The block, or `DeclarationError`: `block.contributor()` is none."""
    if not isinstance(given, Block):
        raise DeclarationError(where, f"its block is of type {type(given).__name__}; give the Block itself")
    return given
