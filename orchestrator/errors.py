"""Everything that can go wrong, for three readers.

OrchestratorError
├── DeclarationError         for the programmer: a declaration that cannot work, raised while declaring
│   ├── UnknownName          a block or an agent that the team does not have
│   └── AmbiguousLabel       a bare label that several blocks of the team have
├── BlockError               for the agent: a change that was refused; becomes the answer of its tool
│   ├── UnknownLabel         no such block is attached to the agent
│   ├── NotGranted           the agent may read the block, but not change it this way
│   ├── ReadOnly             agents may not change this block
│   ├── OverLimit            the change would make the block longer than its limit
│   ├── NotArchived          the block is full, and its oldest lines cannot move to its archive
│   ├── TextNotFound         the text to replace is not there (any more)
│   ├── TextNotUnique        the text to replace is there more than once
│   ├── LineMoved            the line to insert after is not where it was shown
│   ├── OutdatedRewrite      a rewrite would overwrite what somebody else wrote meanwhile
│   ├── Guarded              the block's guard refused the change
│   └── UnusableText         the text holds what no block may hold
├── ToolError                for the agent: a tool that says why it did not do what it was asked
├── RunError                 for the caller: why a run failed
│   ├── Stuck                quiescent, with a call that nobody is able to answer
│   └── TurnFailed           an agent's last turn failed and nobody made it good
├── ModelError               for the caller: the model could not answer
│   ├── ModelNotFound        no model was named, or none of that name is known
│   ├── ModelUnavailable     there was no answer, for a reason that may pass: ask again later
│   │   └── RateLimited      the provider wants to be asked less often
│   ├── ModelRefused         the request will not be answered as it is: something has to be changed first
│   │   ├── ContextTooLong   it has more text than the model can read
│   │   └── ContentRefused   the provider's rules about content forbid it, or its answer
│   └── NotRecorded          a recorded model was asked for what it has no answer to
└── StoreError               for the caller: the store could not do it
    └── TurnLost             the turn was ended or taken over by somebody else; nothing was written
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

#: Of a text that was not found, or found twice, so many characters are quoted.
_MOST_QUOTED: Final = 120


class OrchestratorError(Exception):
    """Whatever this package raises on purpose."""


class DeclarationError(OrchestratorError):
    """A team, agent, block, wake or tool was declared in a way that cannot work."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem


class UnknownName(DeclarationError, KeyError):
    """A name that no block, or no agent, of the team has; the message lists those there are."""

    __str__ = Exception.__str__  # KeyError would show the repr of the message


class AmbiguousLabel(DeclarationError):
    """A bare label that names several blocks of the team: use one of the candidates instead."""

    def __init__(self, label: str, candidates: Sequence[str]) -> None:
        super().__init__(f"label {label!r}", f"names several blocks; say which: {', '.join(candidates)}")
        self.candidates = tuple(candidates)


class Fresh(NamedTuple):
    """The block as it stood when a change was refused: what the next attempt has to start from."""

    value: str
    version: int
    by: str


class BlockError(OrchestratorError):
    """A change of a block was refused; nothing was written.

    `fresh` is the block as stored at that moment (`None` where the agent cannot see it),
    `code` a stable word for logs.
    """

    code = "refused"

    def __init__(self, label: str, problem: str, fresh: Fresh | None = None) -> None:
        super().__init__(f"block {label!r} {problem}")
        self.label = label
        self.problem = problem
        self.fresh = fresh


class UnknownLabel(BlockError):
    """No block of that label is attached to the agent; the message lists those that are."""

    code = "unknown_label"

    def __init__(self, label: str, known: Sequence[str]) -> None:
        there_are = f"the blocks you have are: {', '.join(known)}" if known else "you have no blocks"
        super().__init__(label, f"is not attached to you; {there_are}")
        self.known = tuple(known)


class NotGranted(BlockError):
    """The agent may not change the block in this way, whatever the text."""

    code = "not_granted"

    def __init__(self, label: str, operation: str, grant: str, fresh: Fresh) -> None:
        super().__init__(label, f"does not grant you {operation}; your grant is {grant}", fresh)
        self.operation = operation
        self.grant = grant


class ReadOnly(BlockError):
    """Agents may not change the block at all; its owner may, from outside."""

    code = "read_only"

    def __init__(self, label: str, fresh: Fresh) -> None:
        super().__init__(label, "is read-only and cannot be changed by agents", fresh)


class OverLimit(BlockError):
    """The change would make the block longer than its limit, counted in characters."""

    code = "over_limit"

    def __init__(self, label: str, size: int, limit: int, fresh: Fresh) -> None:
        problem = f"would have {size:,} characters and its limit is {limit:,}; shorten the text or the block"
        super().__init__(label, problem, fresh)
        self.size = size
        self.limit = limit


class NotArchived(BlockError):
    """The block is full, and its oldest lines cannot move to its archive, for the reason given."""

    code = "not_archived"

    def __init__(self, label: str, archive: str, why: str, fresh: Fresh) -> None:
        super().__init__(label, f"is full, and its oldest lines cannot move to its archive {archive!r}: {why}", fresh)
        self.archive = archive
        self.why = why


class TextNotFound(BlockError):
    """The text to replace is not in the block (any more): somebody else was there first.

    `by` says who removed it, where the history knows that it was ever there.
    """

    code = "not_found"

    def __init__(self, label: str, text: str, by: str | None, fresh: Fresh) -> None:
        why = f"; {by} changed it" if by else "; it never stood there in these words"
        super().__init__(label, f"does not contain {_shortened(text)!r}{why}", fresh)
        self.text = text
        self.by = by


class TextNotUnique(BlockError):
    """The text to replace stands in the block more than once, on the lines named."""

    code = "not_unique"

    def __init__(self, label: str, text: str, lines: Sequence[int], fresh: Fresh) -> None:
        places = f"in lines {', '.join(map(str, lines))}" if lines else "everywhere"
        super().__init__(label, f"contains {_shortened(text)!r} {places}; give more of the text around it", fresh)
        self.text = text
        self.lines = tuple(lines)


class LineMoved(BlockError):
    """The line to insert after is not, or not clearly, where the agent was shown it."""

    code = "line_moved"

    def __init__(self, label: str, line: int, problem: str, fresh: Fresh) -> None:
        super().__init__(label, f"cannot take a text after line {line}: {problem}", fresh)
        self.line = line


class Since(NamedTuple):
    """How a text differs from what somebody was shown."""

    #: Lines that are new, each with who wrote it, and lines that are gone.
    added: tuple[tuple[str, str], ...] = ()
    removed: tuple[str, ...] = ()


class OutdatedRewrite(BlockError):
    """A rewrite was based on an older text than the one that is stored now, or (`shown` is 0) on none.

    `since` says what changed.
    """

    code = "changed"

    def __init__(self, label: str, shown: int, by: str, fresh: Fresh, since: Since | None = None) -> None:
        why = f"was changed by {by} since you were shown version {shown}" if shown else "was never shown to you"
        problem = f"{why}; base your rewrite on version {fresh.version}, given below"
        super().__init__(label, problem, fresh)
        self.shown = shown
        self.by = by
        self.since = since or Since()


class Guarded(BlockError):
    """The block's guard refused the change, for the reason given."""

    code = "guarded"

    def __init__(self, label: str, reason: str, fresh: Fresh) -> None:
        super().__init__(label, f"refuses this change: {reason}", fresh)
        self.reason = reason


class UnusableText(BlockError):
    """The text holds a NUL or half of a surrogate pair, which no block may hold."""

    code = "unusable_text"

    def __init__(self, label: str, problem: str, fresh: Fresh | None = None) -> None:
        super().__init__(label, f"cannot hold {problem}", fresh)


class ToolError(OrchestratorError):
    """Raise it in a tool to tell the model why the tool did not do what it was asked."""


class RunError(OrchestratorError):
    """Why a run failed; found at `Run.error`."""


class Waiting(NamedTuple):
    """A call that nobody answers: the block that calls, who could answer, and why they do not."""

    block: str
    agents: tuple[str, ...]
    why: str


class Stuck(RunError):
    """Nobody is awake and something still calls: `waiting` says who waits for what."""

    def __init__(self, waiting: Sequence[Waiting]) -> None:
        calls = "; ".join(f"block {w.block!r} calls for {' or '.join(w.agents)}: {w.why}" for w in waiting)
        super().__init__(f"stuck: {calls}")
        self.waiting = tuple(waiting)


class TurnFailed(RunError):
    """The last turn of an agent ended badly, and no later turn made it good."""

    def __init__(self, agent: str, status: str, reason: str) -> None:
        super().__init__(f"the last turn of {agent!r} {status}: {reason}")
        self.agent = agent
        self.status = status
        self.reason = reason


class ModelError(OrchestratorError):
    """The model could not answer; the turn that asked it ends as failed."""


class ModelNotFound(ModelError):
    """No model was named for an agent, or nothing of that name is known here."""


class ModelUnavailable(ModelError):
    """There was no answer, for a reason that may pass: connection, deadline, overload. It was tried `attempts` times.

    `status` is the HTTP status of the last answer, if there was one. When the request itself is at fault,
    `ModelRefused` is raised instead.
    """

    def __init__(
        self, model: str, reason: str, *, status: int | None = None, attempts: int = 1, seconds: float = 0.0
    ) -> None:
        super().__init__(f"model {model!r} gave no answer{_tried(attempts, seconds)}: {reason}{_status(status)}")
        self.model = model
        self.reason = reason
        self.status = status
        self.attempts = attempts


class RateLimited(ModelUnavailable):
    """The provider wants to be asked less often; `retry_after` is for how many seconds it wants to be left alone."""

    def __init__(
        self,
        model: str,
        reason: str,
        *,
        status: int | None = 429,
        attempts: int = 1,
        seconds: float = 0.0,
        retry_after: float | None = None,
    ) -> None:
        asked = f"; it asks for a pause of {retry_after:.3g} s" if retry_after else ""
        super().__init__(model, f"rate limited: {reason}{asked}", status=status, attempts=attempts, seconds=seconds)
        self.retry_after = retry_after


class ModelRefused(ModelError):
    """The request will not be answered as it is, so it was not repeated; `advice` says what may have to be changed.

    `status` is the HTTP status, if there was an answer. When it may help to ask again later, `ModelUnavailable`
    is raised instead.
    """

    def __init__(self, model: str, reason: str, *, status: int | None = None, advice: str = "") -> None:
        told = f"model {model!r} refused the request: {reason}{_status(status)}"
        super().__init__(f"{told}. {advice}" if advice else told)
        self.model = model
        self.reason = reason
        self.status = status


class ContextTooLong(ModelRefused):
    """The request has more text than the model can read: blocks and history are too long for it."""


class ContentRefused(ModelRefused):
    """The provider's rules about content forbid the request, or what the model had to say."""


class NotRecorded(ModelError):
    """A recorded model has no answer to what it was asked: the team does something else than when it was recorded."""

    def __init__(self, agent: str, turn: int, step: int, there_is: str) -> None:
        asked = f"agent {agent!r}, turn {turn}, step {step}"
        super().__init__(f"no answer is recorded for {asked}; {there_is}. If the team has changed, record it again")
        self.agent = agent
        self.turn = turn
        self.step = step


class StoreError(OrchestratorError):
    """The store could not do what it was asked; nothing was written."""


class TurnLost(StoreError):
    """The turn had been ended or taken over when it wanted to write; nothing was written."""

    def __init__(self, turn: str, problem: str) -> None:
        super().__init__(f"turn {turn!r} {problem}")
        self.turn = turn


def _tried(attempts: int, seconds: float) -> str:
    return f" after {attempts} attempts in {seconds:.0f} s" if attempts > 1 else ""


def _status(status: int | None) -> str:
    return "" if status is None else f" (status {status})"


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_QUOTED else f"{text[: _MOST_QUOTED - 1]}…"
