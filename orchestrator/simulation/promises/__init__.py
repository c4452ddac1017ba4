"""The promises P1 to P8, looked for in what a witness of a run has seen."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.simulation.history import History
from orchestrator.simulation.promises.endings import unended_runs, unended_turns
from orchestrator.simulation.promises.grants import trespassing
from orchestrator.simulation.promises.inserts import lost
from orchestrator.simulation.promises.lives import Lives
from orchestrator.simulation.promises.pools import Pools, pools
from orchestrator.simulation.promises.tasks import handed, misheld, overlapping
from orchestrator.simulation.promises.versions import disagreeing
from orchestrator.simulation.promises.violation import Violation
from orchestrator.simulation.promises.wholes import halved

__all__ = ["Violation", "violations"]


def violations(history: History, *, closed: bool = True) -> list[Violation]:
    """The promises that were not kept, in their order; none if all is well.

    A pure function, in time about linear to the length of the log.

    Args:
        closed: everything was closed in order. Then no run and no turn is left, but for those in `History.cut_off`.
            False for a store that is in use, or whose process was killed.
    """
    declared = None if history.team is None else pools(history.team)
    return sorted(_found(Lives(history), declared, closed=closed), key=lambda violation: violation.promise)


def _found(lives: Lives, declared: Pools | None, *, closed: bool) -> Iterator[Violation]:
    yield from lost(lives, declared)
    yield from disagreeing(lives)
    if declared is not None:
        yield from misheld(lives, declared)
    yield from overlapping(lives, declared)
    yield from handed(lives)
    yield from trespassing(lives)
    yield from unended_turns(lives, closed=closed)
    yield from unended_runs(lives, closed=closed)
    yield from halved(lives)
