"""What stands in a request: why the agent was woken, what it was asked, and what its tools have answered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from orchestrator import Message, ModelRequest, ToolMessage, UserMessage

_WAKE: Final = "[wake]"
_SENTENCE_END: Final = re.compile(r"(?<=[.?!;])\s+|\n+")
_BULLET: Final = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")
_HANDED: Final = re.compile(r"^\[wake\] (\S+) handed control over to you", re.MULTILINE)
#: Every other reason to be woken has to do with time, or with room in a block: then it is for tidying.
_TO_ACT: Final = re.compile(r"changed the block|had something for you to do|calls for you|handed control over")
#: One entry of a note, up to the next one.
_NOTE: Final = re.compile(r"^From (\S+) to (\S+): (.*?)(?=^From \S+ to \S+: |\Z)", re.MULTILINE | re.DOTALL)
_ASKED: Final = re.compile(r"(?:^|\s)Asked: ")

#: Blocks that are for what they are called after, and not for what was found, by their labels.
PREFERENCES: Final = re.compile(r"preferences$")
_NOT_FOR_FINDINGS: Final = re.compile(r"preferences$|handoff")


def offered(request: ModelRequest) -> set[str]:
    """The names of the tools."""
    return {spec.name for spec in request.tools}


def may_edit(request: ModelRequest, tool: str) -> list[str]:
    """The labels of the blocks that a memory tool works on; none where it is not offered."""
    labels = [spec.parameters["properties"]["label"]["enum"] for spec in request.tools if spec.name == tool]
    return list(labels[0]) if labels else []


def for_findings(request: ModelRequest) -> list[str]:
    """The labels of the shared blocks that take what was asked and found."""
    labels = may_edit(request, "memory_insert")
    return [label for label in labels if f"<{label}>" in request.tail and not _NOT_FOR_FINDINGS.search(label)]


def sentences(text: str) -> list[str]:
    """The sentences of a text, each once, without the bullets of a list."""
    parts = [_BULLET.sub("", part).strip() for part in _SENTENCE_END.split(text)]
    return list(dict.fromkeys(part for part in parts if re.search(r"\w", part)))


def message(request: ModelRequest) -> str | None:
    """The user's message that this turn answers; None if something else woke the agent."""
    said = _said(request)
    return None if said is None or said.startswith(_WAKE) else said


def woken_to_tidy(request: ModelRequest) -> bool:
    """Whether the agent was woken after so many turns, because all is quiet, or because a block is full."""
    lines = (_said(request) or "").split("\n")
    return any(line.startswith(_WAKE) and not _TO_ACT.search(line) for line in lines)


def handed_over(request: ModelRequest) -> bool:
    """Whether the agent was woken by somebody who handed control over to it."""
    return _handed_by(request) is not None


def asked(request: ModelRequest) -> list[str] | None:
    """What this turn is to answer: the sentences of a message, or what was handed over. None if a block woke it."""
    said = message(request)
    if said is not None:
        return sentences(said)
    giver = _handed_by(request)
    return None if giver is None else _handed(request, giver)


def written(request: ModelRequest) -> list[str]:
    """The questions that somebody wrote into a block for others."""
    return list(dict.fromkeys(re.findall(r"^Asked: (.+)$", "\n".join(request.blocks.values()), re.MULTILINE)))


def turn(request: ModelRequest) -> Sequence[Message]:
    """What was said in this turn, from what woke the agent on."""
    woken = max((at for at, said in enumerate(request.messages) if isinstance(said, UserMessage)), default=0)
    return request.messages[woken:]


def answers(request: ModelRequest) -> list[ToolMessage]:
    """What tools have answered in this turn."""
    return [said for said in turn(request) if isinstance(said, ToolMessage)]


def _said(request: ModelRequest) -> str | None:
    said = [message.text for message in request.messages if isinstance(message, UserMessage)]
    return said[-1] if said else None


def _handed_by(request: ModelRequest) -> str | None:
    said = _said(request) or ""
    found = _HANDED.search(said) if said.startswith(_WAKE) else None
    return found[1] if found else None


def _handed(request: ModelRequest, giver: str) -> list[str]:
    """What the latest note to the agent asks; of a note without `Asked:`, every sentence."""
    found = [entry for text in request.blocks.values() for entry in _NOTE.findall(text)]
    notes = [note for source, target, note in found if (source, target) == (giver, request.agent)]
    last = notes[-1] if notes else ""
    questions = [part.partition("\n")[0].strip() for part in _ASKED.split(last)[1:]]
    return list(dict.fromkeys(filter(None, questions))) or sentences(last)
