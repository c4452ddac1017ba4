"""What may happen to a team, each thing as one function over a transaction.

A store runs these functions; they know the rules and it does not. Change, history row and event are
written together, and whoever lost a turn meanwhile can write nothing in its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.changes import Changes
from orchestrator.edits import Shown
from orchestrator.environment import Environment
from orchestrator.errors import RunError, TurnLost
from orchestrator.events import (
    HandedOver,
    RunEnded,
    RunResumed,
    RunSettled,
    RunStarted,
    StepTaken,
    ToolAnswered,
    TurnEnded,
    TurnResumed,
    TurnStarted,
    TurnStatus,
)
from orchestrator.handoffs import HandOffRefused, Handoffs, handed_and_waiting
from orchestrator.messages import AssistantMessage, Message, ToolCall, ToolMessage, Usage, UserMessage
from orchestrator.outcomes import Outcome
from orchestrator.ports import Effect, JournalEntry, ModelResponse, RunRecord, Transaction, TurnRecord
from orchestrator.prompting import wake_text
from orchestrator.roster import Roster
from orchestrator.starts import Start
from orchestrator.telling import tell
from orchestrator.tools import BlockEdit, HandOff, ToolContext


class End(NamedTuple):
    """How a turn ended, and what it came to."""

    status: TurnStatus
    text: str = ""
    error: str | None = None
    steps: int = 0
    usage: Usage = Usage()
    #: The latest version of each block that it was shown, by key.
    shown: Mapping[str, int] = {}
    #: What woke it is still to be answered.
    cut_off: bool = False


class Handing(NamedTuple):
    """A tool call that asks to hand control over."""

    call: ToolCall
    context: ToolContext
    wanted: HandOff


@dataclass(frozen=True, slots=True)
class Ledger:
    """The rules of one team."""

    roster: Roster
    environment: Environment
    changes: Changes = field(init=False)
    handoffs: Handoffs = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "changes", Changes(self.roster, self.environment))
        object.__setattr__(self, "handoffs", Handoffs(self.roster.team))

    # --- runs

    def start_run(self, tx: Transaction, run: RunRecord) -> None:
        """A message opens a run."""
        tx.put_run(run)
        tell(
            tx,
            run.at,
            RunStarted,
            run=run.id,
            agent=run.agent,
            text=run.text,
            max_turns=run.max_turns,
            max_usd=run.max_usd,
        )

    def resume_run(self, tx: Transaction, run: str, turns: Iterable[str]) -> list[TurnRecord]:
        """A run that was cut off goes on, and so do its turns, each in its next attempt; `RunError` if it cannot."""
        record = tx.run(run)
        if record is None or record.status != "running":
            raise RunError(f"run {run!r} was ended at the same moment")
        if record.settled is None:  # else all that is left are turns of sleeptime agents
            self._check_can_go_on(tx, record)
        tell(tx, self.environment.now(), RunResumed, run=run)
        return [turn for id in turns if (turn := self._resume_turn(tx, id)) is not None]

    def _check_can_go_on(self, tx: Transaction, run: RunRecord) -> None:
        problem = "who is not in the team any more; declare it again, or cancel the run"
        if run.agent and run.agent not in self.roster and not self._is_answered(tx, run):
            raise RunError(f"run {run.id!r} is a message to agent {run.agent!r}, {problem}")
        for name in handed_and_waiting(tx.turns(run.id)):
            if name not in self.roster:
                raise RunError(f"run {run.id!r} was handed over to agent {name!r}, {problem}")

    def _is_answered(self, tx: Transaction, run: RunRecord) -> bool:
        return any(
            turn.agent == run.agent and turn.status == "done" and not turn.is_tidying for turn in tx.turns(run.id)
        )

    def _resume_turn(self, tx: Transaction, id: str) -> TurnRecord | None:
        turn = tx.turn(id)
        assert turn is not None, "the log tells of turns that are stored"
        if turn.agent not in self.roster:  # no longer declared: others have to do its work
            self.let_go(tx, id)
            return None
        turn = turn.having(attempt=turn.attempt + 1)
        tx.put_turn(turn)
        tell(tx, self.environment.now(), TurnResumed, **_of(turn), runs=turn.runs, attempt=turn.attempt)
        return turn

    def let_go(self, tx: Transaction, id: str) -> None:
        """A turn that was cut off ends, as others have to go on without it: what woke it is still to be answered."""
        turn = tx.turn(id)
        assert turn is not None, "the log tells of turns that are stored"
        steps, usage = 0, Usage()
        while (entry := tx.journal(id, steps)) is not None:
            steps, usage = steps + 1, usage + entry.response.usage + Usage(calls=1)
        error = "its process ended before it did"
        self.end_turn(tx, turn, End("cancelled", error=error, steps=steps, usage=usage, cut_off=True))

    def settle_run(self, tx: Transaction, run: RunRecord, outcome: Outcome) -> None:
        """What a run comes to is fixed, whatever the sleeptime agents do before it ends."""
        error = str(outcome.error) if outcome.error else None
        tx.put_run(run.having(settled=outcome.status, output=outcome.output, error=error))
        tell(
            tx,
            self.environment.now(),
            RunSettled,
            run=run.id,
            status=outcome.status,
            output=outcome.output,
            error=error,
        )

    def end_run(self, tx: Transaction, run: RunRecord, outcome: Outcome | None = None) -> RunRecord:
        """A run ends, as what it comes to, or else as was fixed before; one that has ended already stays as it is."""
        if run.status != "running":
            return run
        if outcome is not None:
            error = str(outcome.error) if outcome.error else None
            run = run.having(status=outcome.status, output=outcome.output, error=error)
        else:
            assert run.settled is not None, "what it comes to is given, or was fixed"
            run = run.having(status=run.settled)
        tx.put_run(run)
        tell(tx, self.environment.now(), RunEnded, run=run.id, status=run.status, output=run.output, error=run.error)
        return run

    # --- turns

    def start_turn(self, tx: Transaction, start: Start, id: str) -> TurnRecord:
        """A turn starts, with what is claimed for it; `ClaimRefused` if there is nothing to claim."""
        turn = TurnRecord.made(
            id=id,
            run=start.runs[0],
            runs=start.runs,
            agent=start.agent,
            causes=start.causes,
            claimed=start.claim is not None,
        )
        before = after = ""
        if start.claim is not None:
            before, after = self.changes.claim(tx, turn, start.claim.wake, start.claim.key)
        tx.put_turn(turn)
        tell(
            tx,
            self.environment.now(),
            TurnStarted,
            **_of(turn),
            runs=turn.runs,
            attempt=turn.attempt,
            causes=turn.causes,
        )
        for message in self._reasons(tx, turn, before, after):
            tx.add_message(turn.agent, message)
        return turn

    def _reasons(self, tx: Transaction, turn: TurnRecord, before: str, after: str) -> list[Message]:
        """The messages that say why the agent was woken: what changed, and what it was told."""
        woken = [cause for cause in turn.causes if cause.kind != "message"]
        keys = {cause.key for cause in woken if cause.kind == "full" and cause.key is not None}
        nearly_full = {key: block for key in keys if (block := tx.block(key)) is not None}
        texts = [wake_text(woken, before, after, nearly_full)] if woken else []
        told = [tx.run(cause.run) for cause in turn.causes if cause.kind == "message" and cause.run is not None]
        texts += [run.text for run in told if run is not None]
        return [UserMessage(text=text) for text in texts]

    def record_step(
        self, tx: Transaction, turn: TurnRecord, step: int, response: ModelResponse, shown: Mapping[str, int]
    ) -> AssistantMessage:
        """The model has answered with tool calls: journalled before any of them runs."""
        self.check_held(tx, turn)
        tx.put_journal(turn.id, step, JournalEntry.made(response=response, shown=dict(shown)))
        return self.say(tx, turn, step, response, shown)

    def say(
        self, tx: Transaction, turn: TurnRecord, step: int, response: ModelResponse, shown: Mapping[str, int]
    ) -> AssistantMessage:
        """What the model has said becomes known. Without a journal nobody can replay it: only for the last words."""
        message = AssistantMessage.made(text=response.text, tool_calls=response.tool_calls)
        tx.add_message(turn.agent, message)
        tell(
            tx,
            self.environment.now(),
            StepTaken,
            **_of(turn),
            step=step,
            shown=dict(shown),
            text=response.text,
            tool_calls=response.tool_calls,
            usage=response.usage,
        )
        return message

    def record_answer(
        self,
        tx: Transaction,
        turn: TurnRecord,
        call: ToolCall,
        context: ToolContext,
        result: BlockEdit | Effect,
        shown: Mapping[str, Shown],
    ) -> ToolMessage:
        """A tool call has its answer, and its change of a block if it makes one. Applied once for its key."""
        assert call.id is not None, "the turn gives every call an id"
        self.check_held(tx, turn)
        effect = tx.effect(context.key)
        if effect is not None:
            return ToolMessage.made(call=call.id, name=call.name, text=effect.text, ok=effect.ok)
        effect = self.changes.edit(tx, turn, call.name, result, shown) if isinstance(result, BlockEdit) else result
        return self._answer(tx, turn, call, context, effect)

    def _answer(
        self, tx: Transaction, turn: TurnRecord, call: ToolCall, context: ToolContext, effect: Effect
    ) -> ToolMessage:
        """The answer, under the key of its call."""
        message = ToolMessage.made(call=call.id, name=call.name, text=effect.text, ok=effect.ok)
        tx.put_effect(context.key, effect)
        tx.add_message(turn.agent, message)
        tell(
            tx,
            self.environment.now(),
            ToolAnswered,
            **_of(turn),
            step=context.step,
            call=context.call,
            name=call.name,
            text=effect.text,
            ok=effect.ok,
        )
        return message

    def hand_over(
        self,
        tx: Transaction,
        turn: TurnRecord,
        handing: Handing,
        others: Sequence[Handing],
        shown: Mapping[str, Shown],
        end: End,
    ) -> ToolMessage | None:
        """The note is written, control passes, and the turn ends: None. Or nothing of that: the answer that says why.

        Args:
            others: the later calls of the step that ask for the same. They come to nothing, and are told so.
        """
        call, context, (to, note) = handing
        self.check_held(tx, turn)
        effect = tx.effect(context.key)
        if effect is not None:
            return ToolMessage.made(call=call.id, name=call.name, text=effect.text, ok=effect.ok)
        agent = tx.agent(turn.agent)
        known = {attached.label: attached.key for attached in agent.attached} if agent is not None else {}
        key, number = known.get(note.label), 0
        try:
            if key is not None:  # else the edit says what there is
                number = self.handoffs.number(tx, turn, to, key, note.label)
            done = f"Control was handed over to {to}, with the note in {note.label}."
            effect = self.changes.edit(tx, turn, call.name, note._replace(answer=note.answer or done), shown)
        except HandOffRefused as refusal:
            effect = self.changes.refuse(tx, turn, key or "", note, refusal.code, refusal.reason)
        answer = self._answer(tx, turn, call, context, effect)
        if not effect.ok or key is None:
            return answer
        for other in others:
            in_vain = Effect.made(text=f"Not made: control was handed over to {to}.", ok=False)
            self._answer(tx, turn, other.call, other.context, in_vain)
        self._tell_handed_over(tx, turn, to, key, number)
        self.close_turn(tx, turn.having(handed_to=to, handed_by=key), end)
        return None

    def _tell_handed_over(self, tx: Transaction, turn: TurnRecord, to: str, key: str, number: int) -> None:
        block = tx.block(key)
        assert block is not None, "the note has just been written into it"
        tell(
            tx,
            self.environment.now(),
            HandedOver,
            **_of(turn),
            runs=turn.runs,
            to=to,
            key=key,
            label=block.label,
            version=block.version,
            number=number,
        )

    def end_turn(self, tx: Transaction, turn: TurnRecord, end: End) -> TurnRecord:
        """A turn ends, and gives back what it still holds."""
        self.check_held(tx, turn)
        return self.close_turn(tx, turn, end)

    def close_turn(self, tx: Transaction, turn: TurnRecord, end: End) -> TurnRecord:
        """The same, for who has checked that the turn is held, in this transaction."""
        releases = self.roster.releases(turn.agent, claimed=turn.claimed)
        released = [self.changes.release(tx, turn, release, key) for release, key in releases]
        ended = turn.having(
            status=end.status,
            given_back=all(released) and bool(released),
            text=end.text,
            error=end.error,
            steps=end.steps,
            usage=end.usage,
        )
        tx.put_turn(ended)
        tell(
            tx,
            self.environment.now(),
            TurnEnded,
            **_of(turn),
            runs=turn.runs,
            status=end.status,
            text=end.text,
            error=end.error,
            steps=end.steps,
            usage=end.usage,
            shown=dict(end.shown),
            cut_off=end.cut_off,
        )
        return ended

    def check_held(self, tx: Transaction, turn: TurnRecord) -> None:
        """Raise `TurnLost` unless the turn is still running, in this attempt."""
        stored = tx.turn(turn.id)
        if stored is None:
            raise TurnLost(turn.id, "is not in the store")
        if stored.status != "running":
            raise TurnLost(turn.id, f"has ended: {stored.status}")
        if stored.attempt != turn.attempt:
            raise TurnLost(turn.id, f"is in attempt {stored.attempt}; this was attempt {turn.attempt}")


def _of(turn: TurnRecord) -> dict[str, str]:
    """What each event of a turn begins with."""
    return {"turn": turn.id, "run": turn.run, "agent": turn.agent}
