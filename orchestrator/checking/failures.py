"""Runs that came to no good end, and turns that failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orchestrator.checking.findings import Finding
from orchestrator.checking.past import Past
from orchestrator.checking.rules import found
from orchestrator.phrases import counted
from orchestrator.ports import RunRecord


def bad_runs(runs: Iterable[RunRecord], cut_off: bool | None) -> Iterator[Finding]:
    """Runs that were cut off, each; and those that failed or spent their budget, those of one kind together.

    Args:
        cut_off: whether the runs that are not over were cut off; None where nobody can tell.
    """
    ended: dict[tuple[str, str], list[RunRecord]] = {}
    for run in runs:
        if run.status == "running" and cut_off is not False:
            yield _cut_off(run, is_sure=cut_off is True)
        elif run.status in ("failed", "budget"):
            ended.setdefault((_code(run), run.error or ""), []).append(run)
    for (code, error), those in ended.items():
        what = error or "its budget was spent"
        reason = what if len(those) == 1 else f"the last of {counted(len(those), 'run')} that ended so: {what}"
        yield found(code, f"run {those[-1].id!r}", reason)


def _cut_off(run: RunRecord, *, is_sure: bool) -> Finding:
    whose = f"the run of a message to {run.agent}" if run.agent else "the run of a change of the owner's"
    what = "was cut off" if is_sure else "goes on or was cut off; that cannot be told here"
    mend = f"orchestrator runs resume TEAM {run.id} --store PATH, or: await live.resume({run.id!r})"
    return found("D401", f"run {run.id!r}", f"{whose} {what}", mend)


def _code(run: RunRecord) -> str:
    if run.status == "budget":
        return "D404"
    return "D403" if (run.error or "").startswith("stuck: ") else "D402"


def bad_turns(past: Past) -> Iterator[Finding]:
    """Turns that failed or timed out, those of one agent for one reason together."""
    for (agent, status, error), failing in past.failing.items():
        ended = {"failed": "failed", "timed_out": "timed out"}[status]
        reason = f"{counted(failing.times, 'turn')} {ended}, the last one in run {failing.last_run}: {error}"
        yield found("D405", f"agent {agent!r}", reason)
