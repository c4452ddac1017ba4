"""What may happen to a team, each thing as one function over a transaction.

A store runs these functions; they know the rules and it does not. Change, history row and event are
written together, and whoever lost a turn meanwhile can write nothing in its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.blocks import BlockState
from orchestrator.changes import Changes
from orchestrator.edits import Shown
from orchestrator.environment import Environment
from orchestrator.errors import TurnLost
from orchestrator.events import (
    BlockAttached,
    RunEnded,
    RunStarted,
    RunStatus,
    StepTaken,
    ToolAnswered,
    TurnEnded,
    TurnStarted,
    TurnStatus,
)
from orchestrator.messages import AssistantMessage, Message, ToolCall, ToolMessage, Usage, UserMessage
from orchestrator.ports import (
    AgentRecord,
    Effect,
    JournalEntry,
    ModelResponse,
    Reader,
    RunRecord,
    Transaction,
    TurnRecord,
)
from orchestrator.prompting import wake_text
from orchestrator.scheduler import Start
from orchestrator.team import Team
from orchestrator.tools import BlockEdit, ToolContext


class End(NamedTuple):
    """How a turn ended, and what it came to."""

    status: TurnStatus
    text: str = ""
    error: str | None = None
    steps: int = 0
    usage: Usage = Usage()
    #: The latest version of each block that it was shown, by key.
    shown: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Ledger:
    """The rules of one team."""

    team: Team
    environment: Environment
    changes: Changes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "changes", Changes(self.team, self.environment))

    # --- the team

    def declare(self, tx: Transaction) -> None:
        """Bring the store in line with the declaration: the stored value wins, what else is declared wins."""
        for key in self.team.blocks:
            declared, stored = self.team.initial_state(key), tx.block(key)
            if stored is None:
                self.changes.create(tx, declared, self._former(tx, key))
            else:
                self.changes.redeclare(tx, stored, declared)
        for agent in self.team.members:
            record = AgentRecord(name=agent.name, attached=self.team.attached(agent))
            known = tx.agent(agent.name)
            for attached in record.attached:
                if known is None or attached not in known.attached:
                    tx.add_event(
                        BlockAttached(
                            seq=tx.next_seq(),
                            at=self.environment.now(),
                            agent=agent.name,
                            key=attached.key,
                            label=attached.label,
                            grant=str(attached.grant),
                        )
                    )
            if record != known:
                tx.put_agent(record)

    def _former(self, rows: Reader, key: str) -> BlockState | None:
        """The own block of one agent that has become this shared one, if there is exactly one such."""
        holders = self.team.holders[key]
        if len(holders) == 1:
            return None
        stored = [rows.block(self.team.own_key(agent, attachment.block)) for agent, attachment in holders]
        found = [block for block in stored if block is not None]
        return found[0] if len(found) == 1 else None

    # --- runs

    def start_run(self, tx: Transaction, run: RunRecord, max_turns: int, max_usd: float | None) -> None:
        """A message opens a run."""
        tx.put_run(run)
        tx.add_event(
            RunStarted(
                seq=tx.next_seq(),
                at=self.environment.now(),
                run=run.id,
                agent=run.agent,
                text=run.text,
                max_turns=max_turns,
                max_usd=max_usd,
            )
        )

    def end_run(self, tx: Transaction, run: RunRecord, status: RunStatus, output: str, error: str | None) -> RunRecord:
        """A run ends; if it has ended already, it stays as it is."""
        if run.status != "running":
            return run
        run = run.model_copy(update={"status": status, "output": output, "error": error})
        tx.put_run(run)
        tx.add_event(
            RunEnded(
                seq=tx.next_seq(), at=self.environment.now(), run=run.id, status=status, output=output, error=error
            )
        )
        return run

    # --- turns

    def start_turn(self, tx: Transaction, start: Start, id: str) -> TurnRecord:
        """A turn starts, with what is claimed for it; `ClaimRefused` if there is nothing to claim."""
        turn = TurnRecord(
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
        tx.add_event(
            TurnStarted(
                seq=tx.next_seq(),
                at=self.environment.now(),
                turn=id,
                run=turn.run,
                runs=turn.runs,
                agent=turn.agent,
                attempt=turn.attempt,
                causes=turn.causes,
            )
        )
        for message in self._reasons(tx, turn, before, after):
            tx.add_message(turn.agent, message)
        return turn

    def _reasons(self, tx: Transaction, turn: TurnRecord, before: str, after: str) -> list[Message]:
        """The messages that say why the agent was woken: what changed, and what it was told."""
        woken = [cause for cause in turn.causes if cause.kind != "message"]
        texts = [wake_text(woken, before, after)] if woken else []
        told = [tx.run(cause.run) for cause in turn.causes if cause.kind == "message" and cause.run is not None]
        texts += [run.text for run in told if run is not None]
        return [UserMessage(text=text) for text in texts]

    def record_step(
        self, tx: Transaction, turn: TurnRecord, step: int, response: ModelResponse, shown: Mapping[str, int]
    ) -> AssistantMessage:
        """The model has answered: journalled before any of its tool calls runs."""
        self.check_held(tx, turn)
        tx.put_journal(turn.id, step, JournalEntry(response=response, shown=dict(shown)))
        message = AssistantMessage(text=response.text, tool_calls=response.tool_calls)
        tx.add_message(turn.agent, message)
        tx.add_event(
            StepTaken(
                seq=tx.next_seq(),
                at=self.environment.now(),
                turn=turn.id,
                run=turn.run,
                agent=turn.agent,
                step=step,
                shown=dict(shown),
                text=response.text,
                tool_calls=response.tool_calls,
                usage=response.usage,
            )
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
            return ToolMessage(call=call.id, name=call.name, text=effect.text, ok=effect.ok)
        effect = self.changes.edit(tx, turn, call.name, result, shown) if isinstance(result, BlockEdit) else result
        message = ToolMessage(call=call.id, name=call.name, text=effect.text, ok=effect.ok)
        tx.put_effect(context.key, effect)
        tx.add_message(turn.agent, message)
        tx.add_event(
            ToolAnswered(
                seq=tx.next_seq(),
                at=self.environment.now(),
                turn=turn.id,
                run=turn.run,
                agent=turn.agent,
                step=context.step,
                call=context.call,
                name=call.name,
                text=effect.text,
                ok=effect.ok,
            )
        )
        return message

    def end_turn(self, tx: Transaction, turn: TurnRecord, end: End) -> TurnRecord:
        """A turn ends, and gives back what it still holds."""
        self.check_held(tx, turn)
        releases = [wake for wake in self.team.agent(turn.agent).wakes if wake.release is not None]
        released = [
            self.changes.release(tx, turn, wake.release, self.team.key_of(wake.block))
            for wake in releases
            if wake.release is not None
        ]
        ended = turn.model_copy(
            update={
                "status": end.status,
                "given_back": all(released) and bool(released),
                "text": end.text,
                "error": end.error,
                "steps": end.steps,
                "usage": end.usage,
            }
        )
        tx.put_turn(ended)
        tx.add_event(
            TurnEnded(
                seq=tx.next_seq(),
                at=self.environment.now(),
                turn=turn.id,
                run=turn.run,
                runs=turn.runs,
                agent=turn.agent,
                status=end.status,
                text=end.text,
                error=end.error,
                steps=end.steps,
                usage=end.usage,
                shown=dict(end.shown),
            )
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
