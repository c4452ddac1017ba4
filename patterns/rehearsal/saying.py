"""What the stand-in says and writes: with its sign, and never more than it was given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from orchestrator import ModelRequest, ModelResponse, ToolCall, escape
from patterns.rehearsal.reading import for_findings

SIGN: Final = "[rehearsal, no language model]"
NOTHING: Final = "Not found in the documents."
NO_QUESTION: Final = "There was no question to look into."


def say(text: str, *calls: ToolCall) -> ModelResponse:
    """An answer, with the sign before it."""
    return ModelResponse(f"{SIGN} {text}".strip(), calls)


def report(answered: Iterable[tuple[str, list[str]]]) -> ModelResponse:
    """Questions, with what was found below each."""
    lines = ["Sentences that a search by words found; nobody has understood them."]
    for question, found in answered:
        lines += ["", question, *(f"  {line}" for line in found or [NOTHING])]
    return say("\n".join(lines))


def insert(request: ModelRequest, label: str, lines: list[str]) -> list[ToolCall]:
    """Add those lines to a block that are not in it yet; no call where all are."""
    new = [line for line in lines if line not in request.blocks[label].split("\n")]
    return [ToolCall("memory_insert", {"label": label, "new_string": escape("\n".join(new))})] if new else []


def share(request: ModelRequest, lines: list[str], besides: str = "") -> list[ToolCall]:
    """Add lines to the first shared block that is for findings, but for the one named."""
    labels = [label for label in for_findings(request) if label != besides]
    return insert(request, labels[0], lines) if labels else []
