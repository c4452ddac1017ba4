"""What a user says to prefer becomes a line in a block for that, word for word."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from orchestrator import AssistantMessage, Message, ModelRequest, ModelResponse, ToolMessage, UserMessage
from patterns.rehearsal.reading import PREFERENCES, may_edit, message, sentences, turn
from patterns.rehearsal.saying import insert, say

_PREFERENCE: Final = re.compile(
    r"\bI (?:really |also )?(?:prefer|like|love|dislike|hate|don['’]t like|do not like)\b"  # noqa: RUF001
    r"|\bplease (?:always|never)\b|\bcall me\b",
    re.IGNORECASE,
)


def note(request: ModelRequest) -> ModelResponse | None:
    """Once in a turn, write the preferences that are new into the first block for them; None if there are none."""
    labels = _labels(request)
    if not labels or _noted(request):
        return None
    preferences = [sentence for sentence in sentences(message(request) or "") if _is_preference(sentence)]
    calls = insert(request, labels[0], preferences)
    return say("", *calls) if calls else None


def without_preferences(request: ModelRequest) -> ModelRequest:
    """The request as if preferences had neither been said nor been noted, for who goes on with the rest of it."""
    said = message(request)
    if said is None or not _labels(request):
        return request
    noted, at = _noted(request), len(request.messages) - len(turn(request))
    rest = "\n".join(sentence for sentence in sentences(said) if not _is_preference(sentence))
    before: tuple[Message, ...] = (*request.messages[:at], UserMessage(text=rest))
    return replace(request, messages=before + tuple(m for m in request.messages[at + 1 :] if not _is_of(m, noted)))


def _labels(request: ModelRequest) -> list[str]:
    return [label for label in may_edit(request, "memory_insert") if PREFERENCES.search(label)]


def _is_preference(sentence: str) -> bool:
    return bool(_PREFERENCE.search(sentence)) and not sentence.endswith("?")


def _noted(request: ModelRequest) -> set[str]:
    """The ids of the calls that noted a preference in this turn."""
    calls = [call for said in turn(request) if isinstance(said, AssistantMessage) for call in said.tool_calls]
    labels = _labels(request)
    return {
        call.id or ""
        for call in calls
        if call.name == "memory_insert" and isinstance(call.arguments, dict) and call.arguments.get("label") in labels
    }


def _is_of(message: Message, calls: set[str]) -> bool:
    """Whether the message makes one of the calls, or answers one."""
    if isinstance(message, AssistantMessage):
        return any(call.id in calls for call in message.tool_calls)
    return isinstance(message, ToolMessage) and message.call in calls
