"""What may happen where several agents change one block, graded by what they may do to it and by who overlaps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from orchestrator.blocks import Block, Grant
from orchestrator.checking.estimates import ASSUMED, refused
from orchestrator.checking.findings import Finding
from orchestrator.checking.overlapping import Overlap, Overlaps
from orchestrator.checking.report import Grade, Operation, Pair, Race
from orchestrator.checking.rules import found
from orchestrator.checking.schedules import both_there, edit_refused, lost, rewrite_refused
from orchestrator.checking.waking import Waking
from orchestrator.phrases import listed
from orchestrator.team import Team

#: Of the pairs of a race, so many are kept.
_MOST: Final = 50

#: What is granted by each operation at least; archive lines are put at the end, and a claim may change any.
_GRANTED: Final[dict[Operation, Grant]] = {
    "archive": Grant.INSERT,
    "insert": Grant.INSERT,
    "claim": Grant.REPLACE,
    "replace": Grant.REPLACE,
    "rethink": Grant.RETHINK,
}


class _Kind(NamedTuple):
    """What comes of the changes of two writers."""

    code: str | None
    grade: Grade


_LOST: Final = _Kind("R001", "lost")
_REWRITERS: Final = _Kind("R002", "refused")
_REWRITER: Final = _Kind("R003", "refused")
_EDITORS: Final = _Kind("R004", "refused")
_SAFE: Final = _Kind(None, "safe")


def races(team: Team, waking: Waking | None = None) -> tuple[Race, ...]:
    """The races of a team, block by block, the gravest first. The owner is no agent, and takes part in none."""
    waking = waking or Waking(team)
    overlaps = Overlaps(team, waking)
    writers = _writers(team, waking)
    return tuple(
        race
        for key, block in team.blocks.items()
        for race in _of_block(team.names[key], block, writers.get(key, {}), overlaps)
    )


def _writers(team: Team, waking: Waking) -> dict[str, dict[str, Operation]]:
    """By key of a block, who may change it, and how at most."""
    found: dict[str, dict[str, Operation]] = {}

    def may(name: str, key: str, operation: Operation) -> None:
        known = found.setdefault(key, {}).setdefault(name, operation)
        if _GRANTED[known] < _GRANTED[operation]:
            found[key][name] = operation

    by_grant: dict[Grant, Operation] = {Grant.RETHINK: "rethink", Grant.REPLACE: "replace", Grant.INSERT: "insert"}
    for agent in team.members:
        for attachment in agent.attachments:
            if attachment.grant in by_grant:
                may(agent.name, team.key_of(attachment.block), by_grant[attachment.grant])
        for key in waking.claims(agent.name):
            may(agent.name, key, "claim")
        for key, by in waking.writings[agent.name]:
            if by != agent.name:
                may(agent.name, key, "archive")
    return found


def _of_block(name: str, block: Block, writers: dict[str, Operation], overlaps: Overlaps) -> Iterator[Race]:
    by_kind: dict[_Kind, list[Pair]] = {kind: [] for kind in (_LOST, _REWRITERS, _REWRITER, _EDITORS, _SAFE)}
    for overlap in overlaps.among(writers):
        pair = _pair(overlap, writers)
        by_kind[_kind(block, pair.operations)].append(pair)
    for kind, pairs in by_kind.items():
        if pairs:
            pairs.sort(key=lambda pair: pair.when != "in one run")
            yield _race(name, kind, pairs, by_kind[_REWRITERS] + by_kind[_REWRITER])


def _pair(overlap: Overlap, writers: dict[str, Operation]) -> Pair:
    names = sorted((overlap.first, overlap.second), key=lambda name: -_GRANTED[writers[name]])
    agents = (names[0], names[1])
    operations = (writers[names[0]], writers[names[1]])
    return Pair.made(agents=agents, operations=operations, when=overlap.when, reason=overlap.reason)


def _kind(block: Block, operations: tuple[Operation, Operation]) -> _Kind:
    more, less = operations
    if more == "rethink":
        if block.rethink == "last_write_wins":
            return _LOST
        return _REWRITERS if less == "rethink" else _REWRITER
    if less == "archive" or more == less == "claim":  # at the end; and each a function of the text as it stands
        return _SAFE
    return _EDITORS if _GRANTED[more] >= Grant.REPLACE else _SAFE


def _race(name: str, kind: _Kind, pairs: Sequence[Pair], rewriting: Sequence[Pair]) -> Race:
    agents = _names(agent for pair in pairs for agent in pair.agents)
    rewriters = _names(
        agent
        for pair in pairs
        for agent, operation in zip(pair.agents, pair.operations, strict=True)
        if operation == "rethink"
    )
    share = refused(_most_others(rewriting, rewriters)) if kind in (_REWRITERS, _REWRITER) else None
    return Race.made(
        code=kind.code,
        grade=kind.grade,
        block=name,
        agents=agents,
        rewriters=rewriters,
        count=len(pairs),
        pairs=tuple(pairs[:_MOST]),
        schedule=_schedule(name, kind, pairs[0]),
        refused=share,
    )


def _names(agents: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(agents))


def _most_others(pairs: Sequence[Pair], rewriters: Sequence[str]) -> int:
    """How many others meet the rewriter that most others meet."""
    return max(sum(name in pair.agents for pair in pairs) for name in rewriters)


def _schedule(name: str, kind: _Kind, pair: Pair) -> tuple[str, ...]:
    first, second = pair.agents
    less = pair.operations[1]
    if kind == _LOST:
        return lost(name, first, second, less)
    if kind in (_REWRITERS, _REWRITER):
        return rewrite_refused(name, first, second, less)
    if kind == _EDITORS:
        return edit_refused(name, pair.agents, pair.operations)
    return both_there(name, pair.agents, pair.operations)


# --- what is told of them


def race_finding(race: Race) -> Finding | None:
    """What is told of a race; None of one that is safe."""
    if race.code is None:
        return None
    told = {"R001": _told_of_loss, "R002": _told_of_rewriters, "R003": _told_of_rewriter, "R004": _told_of_editors}
    return found(race.code, f"block {race.block!r}", f"{told[race.code](race)}; {_when(race)}")


def _told_of_loss(race: Race) -> str:
    others = race.agents if len(race.rewriters) > 1 else [name for name in race.agents if name not in race.rewriters]
    return (
        f"{listed(race.rewriters)} may rewrite it with memory_rethink, and the last write wins"
        f" (rethink='last_write_wins'): what {listed(others, 'or')} has written since a rewriter was shown it is lost"
    )


def _told_of_rewriters(race: Race) -> str:
    return f"{listed(race.rewriters)} may rewrite it and will refuse one another: {_often(race)}"


def _told_of_rewriter(race: Race) -> str:
    others = [name for name in race.agents if name not in race.rewriters]
    return (
        f"a rewrite by {listed(race.rewriters, 'or')} is refused where {listed(others, 'or')} has written meanwhile:"
        f" {_often(race)}"
    )


def _told_of_editors(race: Race) -> str:
    may_change = [pair.agents[0] for pair in race.pairs]
    may_change += [pair.agents[1] for pair in race.pairs if _GRANTED[pair.operations[1]] >= Grant.REPLACE]
    return (
        f"{listed(name for name in race.agents if name in may_change)} may change a line that"
        f" {listed(race.agents, 'or')} is about to change, or to insert after: who comes second is refused, and told"
        " who was faster"
    )


def _often(race: Race) -> str:
    return f"about {race.refused or 0:.0%} of rewrites, {ASSUMED}"


def _when(race: Race) -> str:
    first, more = race.pairs[0], race.count - 1
    others = "" if not more else "; and one more pair" if more == 1 else f"; and {more:,} more pairs"
    how = "in one run" if first.when == "in one run" else "only when several runs go on at once"
    return f"{listed(first.agents)} overlap {how} ({first.reason}){others}"
