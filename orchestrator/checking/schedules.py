"""A race told step by step: who is shown which version, who writes which, and what becomes of it."""

from __future__ import annotations

from typing import Final

from orchestrator.checking.report import Operation

_WRITES: Final[dict[Operation, str]] = {
    "insert": "{} inserts a line",
    "replace": "{} replaces a line",
    "rethink": "{} rewrites it",
    "archive": "{}'s insertion elsewhere moves old lines there",
    "claim": "something is claimed for {}",
}


def lost(block: str, rewriter: str, writer: str, operation: Operation) -> tuple[str, ...]:
    """A rewrite overwrites what its author was never shown."""
    return (
        f"{rewriter} is shown {block}, version 1",
        f"{_WRITES[operation].format(writer)}: version 2",
        f"{rewriter} rewrites it from version 1: version 3, and {writer}'s text is gone",
    )


def rewrite_refused(block: str, rewriter: str, writer: str, operation: Operation) -> tuple[str, ...]:
    """A rewrite is refused, as somebody else was faster."""
    return (
        f"{rewriter} is shown {block}, version 1",
        f"{_WRITES[operation].format(writer)}: version 2",
        f"{rewriter}'s rewrite from version 1 is refused, and {rewriter} is shown version 2",
        f"{rewriter} rewrites it from version 2, unless somebody is faster again: version 3",
    )


def edit_refused(block: str, agents: tuple[str, str], operations: tuple[Operation, Operation]) -> tuple[str, ...]:
    """The text that a change needs is there no more. Of the two agents the first may change any line."""
    (first, second), (more, less) = agents, operations
    if less == "claim":  # which is never refused for that: it takes the text as it stands
        first, second, more, less = second, first, less, more
    needs = "memory_replace of the old line" if less == "replace" else "memory_insert after the old line"
    return (
        f"{first} and {second} are shown {block}, version 1",
        f"{_WRITES[more].format(first)}: version 2",
        f"{second}'s {needs} is refused, and {second} is told who changed it",
    )


def both_there(block: str, agents: tuple[str, str], operations: tuple[Operation, Operation]) -> tuple[str, ...]:
    """Nothing stands in the way of either."""
    first, second = (_WRITES[operation].format(name) for name, operation in zip(agents, operations, strict=True))
    return (
        f"{agents[0]} and {agents[1]} are shown {block}, version 1",
        f"{first}: version 2",
        f"{second}: version 3, and both are there",
    )
