"""Who cannot answer hands over to whom it may."""

from __future__ import annotations

from typing import Final

from orchestrator import ModelRequest, ModelResponse, ToolCall, escape
from patterns.rehearsal.reading import answers, asked, message
from patterns.rehearsal.saying import NO_QUESTION, say

_TOOL: Final = "hand_off_to_"


def may_hand_over(request: ModelRequest) -> bool:
    """Whether the agent answers a message and can hand over; what was handed over to it is not handed back."""
    return message(request) is not None and bool(_tools(request))


def hand_over(request: ModelRequest) -> ModelResponse:
    """Hand over with the questions as a note; if that was refused, say so."""
    questions, told = asked(request), answers(request)
    if told:
        return say(told[-1].text)
    if not questions:
        return say(NO_QUESTION)
    note = "\n".join(f"Asked: {question}" for question in questions)
    return say("", ToolCall(_tools(request)[0], {"note": escape(note)}))


def _tools(request: ModelRequest) -> list[str]:
    return [spec.name for spec in request.tools if spec.name.startswith(_TOOL)]
