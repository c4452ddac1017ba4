"""Who looks things up, and who asks those who can."""

from __future__ import annotations

import re
from typing import Final

from orchestrator import ModelRequest, ModelResponse, ToolCall
from patterns.rehearsal.reading import answers, asked, handed_over, offered, written
from patterns.rehearsal.saying import NO_QUESTION, report, say, share

_HIT: Final = re.compile(r"^(\S.*?:\d+): (.+)$", re.MULTILINE)


def found(request: ModelRequest, questions: list[str]) -> dict[str, list[str]] | None:
    """The sentences that the searches of this turn found, quoted, by question. None before the search."""
    told = [answer for answer in answers(request) if answer.name == "search_documents"]
    quoted = [[f'"{said}" ({place})' for place, said in _HIT.findall(answer.text) if answer.ok] for answer in told]
    return dict(zip(questions, quoted, strict=True)) if told else None


def look_up(request: ModelRequest) -> ModelResponse:
    """Search for what was asked, by a message or by a line in a block; share and say what was found."""
    wanted, told = asked(request), answers(request)
    questions = written(request) if wanted is None else wanted
    if not questions or any(answer.name == "settle_task" for answer in told):
        return say(told[-1].text if told else NO_QUESTION)
    quoted = found(request, questions)
    if quoted is None:
        return say("", *(ToolCall("search_documents", {"query": question}) for question in questions))
    lines = [f"{q} {line}" for q, hits in quoted.items() for line in hits or [f"Not found by {request.agent}."]]
    if not any(answer.name == "memory_insert" for answer in told) and (shared := share(request, lines)):
        return say("", *shared)
    return report(quoted.items())


def ask_others(request: ModelRequest) -> ModelResponse:
    """Write the questions into a block for others to look up; when woken, answer with what they wrote."""
    questions, told, text = asked(request), answers(request), "\n".join(request.blocks.values())
    if questions is None:
        return report((q, re.findall(rf'^{re.escape(q)} (".*)$', text, re.MULTILINE)) for q in written(request))
    shared = [] if told else share(request, [f"Asked: {question}" for question in questions])
    if told or shared:
        return say("Whoever can search has been asked.", *shared)
    if not questions:
        return say(NO_QUESTION)
    nothing = "Nothing was found: there is no tool to search with, and nobody to ask"
    return say(f"{nothing if handed_over(request) else 'There is nobody to ask'}{_beyond(request)}.")


def _beyond(request: ModelRequest) -> str:
    """Which tools no rule calls: without that, a team with tools of its own would seem to have none."""
    unknown = sorted(name for name in offered(request) if not name.startswith(("memory_", "hand_off_to_")))
    return f"; to call {' or '.join(unknown)} takes a language model" if unknown else ""
