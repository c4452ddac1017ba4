"""What went wrong with a team, told of the store that it has used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from orchestrator.blocks import BlockState
from orchestrator.checking.failures import bad_runs, bad_turns
from orchestrator.checking.findings import GRAVEST_FIRST, Finding, Severity, in_order
from orchestrator.checking.integrity import check_block, check_log
from orchestrator.checking.overwriting import Overwriting, blind_ones, overwritings, seen_ones
from orchestrator.checking.past import Past
from orchestrator.checking.refused import Refused, contention, refusals, told_refusals
from orchestrator.checking.seeing import KnownBlock, behind, detached, known_blocks, look_alikes, nearly_full, unseen
from orchestrator.ports import AgentRecord, Reader, RunRecord, Store
from orchestrator.records import Record
from orchestrator.runs import names_of

_BATCH: Final = 1000


class Diagnosis(Record):
    """Who has which block, what was refused, who overwrote whom; and what was found, the gravest first."""

    blocks: tuple[KnownBlock, ...] = ()
    refused: tuple[Refused, ...] = ()
    overwritten: tuple[Overwriting, ...] = ()
    findings: tuple[Finding, ...] = ()

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of this severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)

    def passes(self, strict: bool = False) -> bool:
        """Whether there is no error; strictly, no warning either. Notes fail nobody."""
        return not self.of("error") and not (strict and self.of("warning"))

    def document(self) -> dict[str, Any]:
        """The diagnosis as JSON has it."""
        return self.model_dump(mode="json") | {f"{name}s": len(self.of(name)) for name in GRAVEST_FIRST}


@dataclass(slots=True)
class Evidence:
    """What a store holds, as far as it is looked at."""

    past: Past = field(default_factory=Past)
    agents: tuple[AgentRecord, ...] = ()
    blocks: tuple[BlockState, ...] = ()
    runs: tuple[RunRecord, ...] = ()
    #: What blocks are called, by key.
    names: Mapping[str, str] = field(default_factory=dict)
    overwritten: list[Overwriting] = field(default_factory=list)
    #: What was found while histories were read: they are not kept.
    broken: list[Finding] = field(default_factory=list)


async def diagnose(store: Store, *, cut_off: bool | None = True) -> Diagnosis:
    """Look through a store, which need not be open, and may be written to meanwhile.

    Everything is read once; the history of one block at a time is in memory. `StoreError` if it cannot be read.

    Args:
        cut_off: whether the runs that are not over were cut off: False while somebody runs the team, None if unknown.
    """
    return concluded(await gather(store), cut_off)


async def gather(store: Store) -> Evidence:
    """Read what a diagnosis needs.

    Blocks and histories are read between two looks at the log. So what the first look told of must be in them, and all
    that is in them is told of by the time of the second.
    """
    evidence = Evidence()
    await _read_log(store, evidence.past)
    known = {key: max(versions) for key, versions in evidence.past.versions.items()}
    await store.read(partial(_read_rows, into=evidence))
    await _read_log(store, evidence.past)
    heads = {block.key: block for block in evidence.blocks}
    for key in dict.fromkeys([*heads, *evidence.past.versions]):
        await store.read(partial(_read_history, key=key, head=heads.get(key), known=known.get(key, 0), into=evidence))
    return evidence


async def _read_log(store: Store, past: Past) -> None:
    while events := await store.events(past.last, _BATCH):
        past.observe(events)


def _read_rows(rows: Reader, into: Evidence) -> None:
    into.agents = tuple(rows.agents())
    into.blocks = tuple(rows.blocks())
    into.runs = tuple(rows.runs())
    into.names = names_of(rows, "the store").by_key


def _read_history(rows: Reader, key: str, head: BlockState | None, known: int, into: Evidence) -> None:
    """One block with its history, up to the version at which it was seen, or which the log told of last."""
    name, told = into.names.get(key, key), into.past.versions.get(key, {})
    last = max(told, default=0) if head is None else max(head.version, known)
    revisions = [revision for revision in list(rows.revisions(key))[::-1] if revision.version <= last]
    into.broken.extend(check_block(name, key, head, revisions, into.past, known))
    into.overwritten.extend(overwritings(name, key, revisions, told))


def concluded(evidence: Evidence, cut_off: bool | None) -> Diagnosis:
    """What the evidence comes to."""
    past, blocks, names = evidence.past, evidence.blocks, evidence.names
    known = known_blocks(blocks, evidence.agents, past, names)
    refused = refusals(past, names)

    def findings() -> Iterator[Finding]:
        yield from evidence.broken
        yield from check_log(past)
        yield from blind_ones(evidence.overwritten, {block.key: block.version for block in blocks})
        yield from seen_ones(evidence.overwritten)
        yield from told_refusals(refused)
        yield from contention(past, names)
        yield from nearly_full(blocks, past, names)
        yield from unseen(known, blocks)
        yield from look_alikes(known, blocks)
        yield from behind(known, past)
        yield from detached(evidence.agents, past, names)
        yield from bad_runs(evidence.runs, cut_off)
        yield from bad_turns(past)

    return Diagnosis(
        blocks=tuple(known),
        refused=tuple(refused),
        overwritten=tuple(evidence.overwritten),
        findings=in_order(findings()),
    )
