"""What agents were refused, why, and what to do about it; and who was in whose way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from orchestrator.checking.findings import Finding
from orchestrator.checking.past import Past
from orchestrator.checking.rules import found
from orchestrator.phrases import counted, listed
from orchestrator.records import Record

#: Two authors are in each other's way who were refused so often for what the other wrote, and at least at one in so
#: many of their attempts to replace or rewrite.
_OFTEN: Final = 5
_ONE_IN: Final = 5

_OTHERS_FIRST: Final = "it was given the fresh text, to try again; if this is frequent, see D203: contention"

#: What to do about a refusal, by its code.
_MENDS: Final[Mapping[str, str]] = {
    "unknown_label": "attach the block: await live.agents.blocks.attach(AGENT, BLOCK); or name only blocks in the"
    " instructions that the agent has",
    "not_granted": "if it should, grant more: .contributor(), plain, or .curator() in the declaration, or"
    " live.agents.blocks.attach(…, grant=…); else say in the instructions what it may do",
    "read_only": "change it from outside: live.blocks.modify, orchestrator blocks set; or declare it without read_only",
    "over_limit": "raise the limit (live.blocks.modify(…, limit=…), and in the declaration), or give the block an"
    " archive (overflow=)",
    "not_archived": "see the reason: raise the archive's limit, or give the block another archive",
    "not_found": _OTHERS_FIRST,
    "changed": _OTHERS_FIRST,
    "line_moved": _OTHERS_FIRST,
    "not_unique": "keep lines apart from each other: with a number, a name or a time in each",
    "guarded": "see the reason: the block's guard allows no such change; say in the description what it allows",
    "unusable_text": "see the reason; a tool may have passed on what is no text",
    "tool_refused": "see the reason: the tool refused it",
    "tool_failed": "mend the tool: it raised an error",
    "release_failed": "mend release=: what a turn held was not given back; orchestrator blocks set mends the text",
    "no_handoff": "declare the way with hand_off(…), or say in the instructions to whom control may go",
    "handoffs_spent": "allow more handoffs in a run, or say in the instructions when to finish",
    "only_tidying": "let no sleeptime agent hand over",
}


class Refused(Record):
    """What one author was refused of one block for one reason."""

    by: str
    #: What the block is called, or, where the author has no such block, how it called it.
    block: str
    key: str | None
    #: A stable word for the reason.
    code: str
    times: int
    #: How often each operation was.
    operations: dict[str, int]
    last_reason: str
    #: When, in Unix seconds.
    last_at: float
    #: The author has changed the block since; or, where it has no such block, any.
    made_good: bool
    mend: str


def refusals(past: Past, names: Mapping[str, str]) -> list[Refused]:
    """All refusals, the most frequent first.

    Args:
        names: what blocks are called, by key.
    """
    listed_ones = [
        Refused(
            by=refusing.by,
            block=names.get(refusing.key or "", tally.label),
            key=refusing.key,
            code=refusing.code,
            times=tally.times,
            operations=dict(tally.operations),
            last_reason=tally.last_reason,
            last_at=tally.last_at,
            made_good=not tally.is_open,
            mend=_MENDS.get(refusing.code, ""),
        )
        for refusing, tally in past.refused.items()
    ]
    return sorted(listed_ones, key=lambda refused: -refused.times)


def told_refusals(refused_ones: Iterable[Refused]) -> Iterator[Finding]:
    """A finding for each."""
    for refused in refused_ones:
        what = listed(f"{number:,} {operation}" for operation, number in refused.operations.items())
        reason = f"{refused.by} was refused {what} ({refused.code}); the last time: {refused.last_reason}"
        yield found("D201" if refused.made_good else "D202", f"block {refused.block!r}", reason, refused.mend)


def contention(past: Past, names: Mapping[str, str]) -> Iterator[Finding]:
    """Pairs of authors who were often in each other's way at one block."""
    pairs: Counter[tuple[str, str, str]] = Counter()
    for (key, one, other), times in past.in_the_way.items():
        first, second = sorted((one, other))
        pairs[key, first, second] += times
    for (key, first, second), times in pairs.most_common():
        tries = past.tries[key, first] + past.tries[key, second]
        if times >= _OFTEN and times * _ONE_IN >= tries:
            reason = (
                f"{first} and {second} were in each other's way: of their {counted(tries, 'attempt')} to replace or"
                f" rewrite, {counted(times, 'was', 'were')} refused for what the other had written"
            )
            yield found("D203", f"block {names.get(key, key)!r}", reason)
