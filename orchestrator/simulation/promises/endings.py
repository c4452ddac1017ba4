"""P6 and P7: what starts ends exactly once, and nothing comes after."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.events import RunEnded, StepTaken, ToolAnswered, TurnEnded, TurnResumed, TurnStarted
from orchestrator.ports import RunRecord, TurnRecord
from orchestrator.simulation.promises.lives import Lives, RunLife, TurnLife
from orchestrator.simulation.promises.violation import Violation


def unended_turns(lives: Lives, *, closed: bool) -> Iterator[Violation]:
    """Turns that do not end, or end twice, or go on after their end; rows that say something else."""
    rows = {turn.id: turn for turn in lives.history.turns}
    for id in dict.fromkeys([*lives.turns, *rows]):
        life = lives.turns.get(id, _NO_TURN)
        subject = f"{id} of {life.agent}" if life.agent else id
        yield from _turn(id, subject, life)
        if closed and life.started and not life.ended and not lives.history.cut_off.intersection(life.started[0].runs):
            yield Violation("P6", f"{subject} has started and not ended", (life.started[0].seq,))
        yield from _turn_row(subject, life, rows.get(id))


_NO_TURN = TurnLife()


def _turn(id: str, subject: str, life: TurnLife) -> Iterator[Violation]:
    if len(life.started) != 1:
        times = "without having started" if not life.started else f"and started {len(life.started)} times"
        told = [event.seq for event in (*life.started, *life.untimely, *life.ended, *life.claims)]
        yield Violation("P6", f"{subject} is in the log {times}", tuple(sorted(told)))
    if len(life.ended) > 1:
        ways = " and ".join(event.status.replace("_", " ") for event in life.ended)
        yield Violation("P6", f"{subject} ended {len(life.ended)} times: {ways}", tuple(e.seq for e in life.ended))
    if life.started and life.ended and life.untimely:
        kinds = ", ".join(dict.fromkeys(event.type.replace("_", " ") for event in life.untimely))
        seqs = (life.ended[0].seq, *(event.seq for event in life.untimely))
        yield Violation("P6", f"{subject} goes on after its end: {kinds}", seqs)
    for end in life.ended:
        if end.status == "running":
            yield Violation("P6", f"{subject} ended as running", (end.seq,))
    yield from _course(id, subject, life)


def _course(id: str, subject: str, life: TurnLife) -> Iterator[Violation]:
    """Attempts and steps are 1, 2, … and 0, 1, …, all by the same agent."""
    for at, resumed in enumerate(life.resumed):
        if resumed.attempt != at + 2:
            what = f"{subject} was resumed {at + 1} times, the last time as attempt {resumed.attempt}"
            yield Violation("P6", what, (resumed.seq,))
    for at, step in enumerate(life.steps):
        if step.step != at:
            yield Violation("P6", f"{subject} took step {step.step} in place of step {at}", (step.seq,))
            break
    told: list[TurnStarted | TurnResumed | StepTaken | ToolAnswered | TurnEnded]
    told = [*life.started, *life.resumed, *life.steps, *life.answers, *life.ended]
    for event in told:
        if event.agent != life.agent and life.agent:
            kind = event.type.replace("_", " ")
            what = f"{id} is a turn of {life.agent}, and the log has a {kind} of it by {event.agent}"
            yield Violation("P6", what, (event.seq,))
            break


def _turn_row(subject: str, life: TurnLife, row: TurnRecord | None) -> Iterator[Violation]:
    if row is None or not life.started:
        if row is not None or life.started:
            where = "in the log and not among the turns" if row is None else "among the turns and not in the log"
            yield Violation("P6", f"{subject} is {where} of the store", tuple(event.seq for event in life.started))
        return
    end = life.ended[0] if life.ended else None
    if differing := _differing(row, life, end):
        seq = (end or life.started[0]).seq
        yield Violation("P6", f"{subject} has another {' and '.join(differing)} in the store than in the log", (seq,))


def _differing(row: TurnRecord, life: TurnLife, end: TurnEnded | None) -> list[str]:
    start = life.started[0]
    differing = [name for name in ("run", "runs", "agent") if getattr(row, name) != getattr(start, name)]
    if row.attempt != start.attempt + len(life.resumed):
        differing.append("attempt")
    if row.claimed != bool(life.claims):
        differing.append("claim")
    if end is None:
        return differing if row.status == "running" else [*differing, "status"]
    return differing + [
        name for name in ("status", "text", "error", "steps", "usage") if getattr(row, name) != getattr(end, name)
    ]


def unended_runs(lives: Lives, *, closed: bool) -> Iterator[Violation]:
    """Runs that do not end, or end twice or without a reason, or before their turns; rows that say something else."""
    rows = {run.id: run for run in lives.history.runs}
    for id in dict.fromkeys([*lives.runs, *rows]):
        life = lives.runs.get(id, _NO_RUN)
        yield from _run(id, life)
        if closed and life.started and not life.ended and id not in lives.history.cut_off:
            yield Violation("P7", f"{id} has started and not ended", (life.started[0].seq,))
        yield from _run_row(id, life, rows.get(id))
    yield from _overtaken(lives)


_NO_RUN = RunLife()


def _run(id: str, life: RunLife) -> Iterator[Violation]:
    if len(life.started) != 1:
        times = "without having started" if not life.started else f"and started {len(life.started)} times"
        seqs = sorted(event.seq for event in (*life.started, *life.settled, *life.ended))
        yield Violation("P7", f"{id} is in the log {times}", tuple(seqs))
    if len(life.ended) > 1:
        ways = " and ".join(event.status for event in life.ended)
        yield Violation("P7", f"{id} ended {len(life.ended)} times: {ways}", tuple(event.seq for event in life.ended))
    if len(life.settled) > 1:
        yield Violation("P7", f"what {id} comes to was fixed twice", tuple(event.seq for event in life.settled))
    for end in life.ended:
        yield from _run_end(id, life, end)


def _run_end(id: str, life: RunLife, end: RunEnded) -> Iterator[Violation]:
    if end.status == "running":
        yield Violation("P7", f"{id} ended as running", (end.seq,))
    if end.status == "failed" and not end.error:
        yield Violation("P7", f"{id} failed, and nothing says why", (end.seq,))
    for settled in life.settled:
        if settled.seq > end.seq:
            yield Violation("P7", f"what {id} comes to was fixed after its end", (end.seq, settled.seq))
            continue
        fields = ("status", "output", "error")
        if differing := [name for name in fields if getattr(settled, name) != getattr(end, name)]:
            what = f"{id} ended with another {' and '.join(differing)} than was fixed before"
            yield Violation("P7", what, (settled.seq, end.seq))


def _run_row(id: str, life: RunLife, row: RunRecord | None) -> Iterator[Violation]:
    if row is None or not life.started:
        if row is not None or life.started:
            where = "in the log and not among the runs" if row is None else "among the runs and not in the log"
            yield Violation("P7", f"{id} is {where} of the store", tuple(event.seq for event in life.started))
        return
    told = life.ended or life.settled
    fixed = (told[0].output, told[0].error) if told else ("", None)
    status = life.ended[0].status if life.ended else "running"
    differing = ["status"] if row.status != status else []
    if row.settled != (life.settled[0].status if life.settled else None):
        differing.append("fixed status")
    if (row.output, row.error) != fixed:
        differing.append("output")
    if (row.agent, row.text) != (life.started[0].agent, life.started[0].text):
        differing.append("message")
    if differing:
        seq = (told or life.started)[0].seq
        yield Violation("P7", f"{id} has another {' and '.join(differing)} in the store than in the log", (seq,))


def _overtaken(lives: Lives) -> Iterator[Violation]:
    """Turns work for runs that go on, and end before them."""
    going: set[str] = set()
    turns: dict[str, tuple[str, ...]] = {}
    for event in lives.bounds:
        if event.type == "run_started":
            going.add(event.run)
        elif event.type == "turn_started":
            turns[event.turn] = event.runs
            if going.isdisjoint(event.runs):
                what = f"{event.turn} of {event.agent} started for {', '.join(event.runs)}, which had ended"
                yield Violation("P7", what, (event.seq,))
        elif event.type == "turn_ended":
            turns.pop(event.turn, None)
        elif event.type == "run_ended":
            going.discard(event.run)
            for turn, runs in turns.items():
                if event.run in runs and going.isdisjoint(runs) and not _is_cut_off(lives.turns[turn]):
                    agent = lives.turns[turn].agent
                    yield Violation(
                        "P7", f"{event.run} ended while {turn} of {agent} was going on for it", (event.seq,)
                    )


def _is_cut_off(life: TurnLife) -> bool:
    return any(event.cut_off for event in life.ended)
