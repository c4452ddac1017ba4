"""Who may rewrite a block tidies it: lines that stand there twice, and empty ones, go."""

from __future__ import annotations

from typing import Final, NamedTuple

from orchestrator import AssistantMessage, ModelRequest, ModelResponse, ToolCall, escape
from patterns.rehearsal.reading import answers, may_edit, turn
from patterns.rehearsal.saying import SIGN, say

_ATTEMPTS: Final = 2


class _Attempt(NamedTuple):
    """A rewrite that was asked for in this turn."""

    label: str
    did: str
    ok: bool


def curate(request: ModelRequest) -> ModelResponse:
    """Rewrite the blocks that are untidy; of one that was written meanwhile, once more on its fresh text."""
    labels, tried = may_edit(request, "memory_rethink"), _attempts(request)
    wanted: list[str] = []
    calls: list[ToolCall] = []
    for label in labels:
        mine = [attempt for attempt in tried if attempt.label == label]
        text, did = _tidied(label, request.blocks[label])
        if did and len(mine) < _ATTEMPTS and not any(attempt.ok for attempt in mine):
            wanted.append(did)
            calls.append(ToolCall("memory_rethink", {"label": label, "new_memory": escape(text)}))
    return say("\n".join(wanted or [_came_to(label, tried) for label in labels]), *calls)


def _tidied(label: str, text: str) -> tuple[str, str]:
    """The text without empty lines and with each line once, where it first stood; and what that does, if anything."""
    lines = text.split("\n") if text else []
    full = [line for line in lines if line.strip()]
    kept: dict[str, str] = {}
    for line in full:
        kept.setdefault(line.strip().casefold(), line)
    merged, dropped = len(full) - len(kept), len(lines) - len(full)
    did = [f"merged {_lines(merged)}"] * bool(merged) + [f"dropped {_lines(dropped, 'empty ')}"] * bool(dropped)
    return "\n".join(kept.values()), f"{' and '.join(did)} of {label}" if did else ""


def _lines(count: int, kind: str = "") -> str:
    return f"{count} {kind}line{'s' * (count != 1)}"


def _came_to(label: str, tried: list[_Attempt]) -> str:
    mine = [attempt for attempt in tried if attempt.label == label]
    if not mine:
        return f"no line of {label} stands there twice; to condense it takes a language model"
    return mine[-1].did if mine[-1].ok else f"the rewrite of {label} was refused"


def _attempts(request: ModelRequest) -> list[_Attempt]:
    """The rewrites of this turn that were answered; what each does stands in the text that asked for them."""
    made = {answer.call: answer.ok for answer in answers(request)}
    return [
        _Attempt(str(call.arguments["label"]), did, made[call.id])
        for said in turn(request)
        if isinstance(said, AssistantMessage)
        for call, did in zip(said.tool_calls, said.text.removeprefix(f"{SIGN} ").split("\n"), strict=False)
        if call.name == "memory_rethink" and isinstance(call.arguments, dict) and call.id in made
    ]
