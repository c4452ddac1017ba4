"""The three tools by which agents change their blocks, under the names that models already know."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Final

from pydantic import Field

from orchestrator.blocks import Grant
from orchestrator.edits import Insert, Replace, Rethink
from orchestrator.escaping import unescape
from orchestrator.messages import ToolSpec
from orchestrator.tools import BlockEdit, Tool, tool

Label = Annotated[str, Field(description="The label of the block.")]


@tool
async def memory_insert(
    label: Label,
    new_string: Annotated[str, Field(description="The text to add, as lines of its own.")],
    insert_line: Annotated[
        int, Field(description="-1 adds at the end, 0 at the top, k after line k of the block as you see it.")
    ] = -1,
) -> BlockEdit:
    """Add text to a memory block. What others add at the same time is kept too."""
    return BlockEdit(label, Insert(unescape(new_string), insert_line))


@tool
async def memory_replace(
    label: Label,
    old_string: Annotated[str, Field(description="Text that stands in the block in exactly one place.")],
    new_string: Annotated[str, Field(description="What shall stand there instead; empty to remove it.")],
) -> BlockEdit:
    """Replace a piece of text in a memory block. Refused if somebody else has changed that piece."""
    return BlockEdit(label, Replace(unescape(old_string), unescape(new_string)))


@tool
async def memory_rethink(
    label: Label,
    new_memory: Annotated[str, Field(description="The whole new text of the block.")],
) -> BlockEdit:
    """Rewrite a memory block as a whole, to tidy or condense it. Keep what is still true."""
    return BlockEdit(label, Rethink(unescape(new_memory)))


_NEEDED: Final[tuple[tuple[Tool, Grant], ...]] = (
    (memory_insert, Grant.INSERT),
    (memory_replace, Grant.REPLACE),
    (memory_rethink, Grant.RETHINK),
)

TOOLS: Final[tuple[Tool, ...]] = tuple(offered for offered, _ in _NEEDED)


def memory_specs(granted: Iterable[tuple[str, Grant]]) -> tuple[ToolSpec, ...]:
    """The memory tools of an agent by its grants; each names the labels that it works on."""
    return _specs(tuple(granted))


@lru_cache(maxsize=1024)
def _specs(granted: tuple[tuple[str, Grant], ...]) -> tuple[ToolSpec, ...]:
    specs = []
    for offered, needed in _NEEDED:
        labels = [label for label, grant in granted if grant >= needed]
        if labels:
            spec = offered.spec
            spec.parameters["properties"]["label"]["enum"] = labels
            specs.append(spec)
    return tuple(specs)
