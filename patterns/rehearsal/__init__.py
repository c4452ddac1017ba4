"""A stand-in for a language model: rules instead of understanding, so that a team can be rehearsed for free.

It splits what it is asked into sentences, searches for their words with the tools that any model has, and quotes
what it finds with file and line. It writes no fact of its own, and begins every text with a sign of what it is. The
tokens that it reports are those that a model would have read and written in its place, estimated by their length.
"""

from __future__ import annotations

from collections.abc import Callable

from orchestrator import ModelRequest, ModelResponse
from patterns.rehearsal.counting import usage
from patterns.rehearsal.curating import curate
from patterns.rehearsal.handing import hand_over, may_hand_over
from patterns.rehearsal.leading import held, lead, work
from patterns.rehearsal.preferring import note, without_preferences
from patterns.rehearsal.reading import asked, may_edit, offered, woken_to_tidy, written
from patterns.rehearsal.searching import ask_others, look_up

__all__ = ["RehearsalModel"]


class RehearsalModel:
    """Plays each part by the tools it is offered and by what woke it; the same request gets the same answer."""

    async def respond(self, request: ModelRequest) -> ModelResponse:
        """Note what the user prefers, where there is a block for that; then play the part as if nothing else was."""
        response = note(request) or _part(request)(without_preferences(request))
        return ModelResponse(response.text, response.tool_calls, usage(request, response))


def _part(request: ModelRequest) -> Callable[[ModelRequest], ModelResponse]:
    """Tidy, if woken for that; lead; do the task that it holds; look up; hand over; tidy when asked; ask the others."""
    tools, curates = offered(request), bool(may_edit(request, "memory_rethink"))
    parts = (
        (curate, curates and woken_to_tidy(request)),
        (lead, "add_tasks" in tools),
        (work, "settle_task" in tools and held(request)),
        (look_up, "search_documents" in tools),
        (hand_over, may_hand_over(request)),
        (curate, curates and (asked(request) is not None or not written(request))),
    )
    return next((part for part, is_mine in parts if is_mine), ask_others)
