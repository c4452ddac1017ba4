"""What may happen to a team, each thing as one function over a transaction.

A store runs these functions; they know the rules and it does not. Change, history row and event are
written together, and whoever lost a turn meanwhile can write nothing in its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.agents import Wake
from orchestrator.blocks import ENGINE, Author, BlockState, Grant, Revision
from orchestrator.edits import Edit, Shown, Update, apply, operation
from orchestrator.environment import Environment
from orchestrator.errors import BlockError, DeclarationError, ToolError, TurnLost, UnknownLabel
from orchestrator.events import (
    BlockAttached,
    BlockChanged,
    BlockCreated,
    ChangeRefused,
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
    Attached,
    Effect,
    JournalEntry,
    ModelResponse,
    Reader,
    RunRecord,
    Transaction,
    TurnRecord,
)
from orchestrator.prompting import change_text, refusal_text, wake_text
from orchestrator.scheduler import Start
from orchestrator.team import Team
from orchestrator.tools import BlockEdit, ToolContext


class ClaimRefused(Exception):
    """A turn did not start: its claim found nothing to take, or the store refused it. Nothing was written."""

    def __init__(self, version: int, reason: str) -> None:
        super().__init__(reason)
        self.version = version
        self.reason = reason


class Context(NamedTuple):
    """What an agent is to be shown, as of one moment."""

    attached: tuple[Attached, ...]
    blocks: tuple[BlockState, ...]

    @property
    def versions(self) -> dict[str, int]:
        """The version of each block, by key."""
        return {block.key: block.version for block in self.blocks}


class End(NamedTuple):
    """How a turn ended, and what it came to."""

    status: TurnStatus
    text: str = ""
    error: str | None = None
    steps: int = 0
    usage: Usage = Usage()
    #: The latest version of each block that it was shown, by key.
    shown: Mapping[str, int] = {}


@dataclass(frozen=True)
class Ledger:
    """The rules of one team."""

    team: Team
    environment: Environment

    # --- the team

    def declare(self, tx: Transaction) -> None:
        """Bring the store in line with the declaration: the stored value wins, what else is declared wins."""
        for key in self.team.blocks:
            declared, stored = self.team.initial_state(key), tx.block(key)
            if stored is None:
                self._create(tx, declared)
            else:
                self._redeclare(tx, stored, declared)
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

    def _create(self, tx: Transaction, block: BlockState) -> None:
        at = self.environment.now()
        tx.put_block(block, Revision(version=1, value=block.value, operation="create", by=block.by, at=at))
        tx.add_event(
            BlockCreated(
                seq=tx.next_seq(),
                at=self.environment.now(),
                key=block.key,
                label=block.label,
                agent=block.agent,
                value=block.value,
                limit=block.limit,
                read_only=block.read_only,
            )
        )

    def _redeclare(self, tx: Transaction, stored: BlockState, declared: BlockState) -> None:
        if len(stored.value) > declared.limit:
            raise DeclarationError(
                f"block {stored.label!r}",
                f"is stored with {len(stored.value):,} characters and declared with a limit of {declared.limit:,}",
            )
        merged = declared.model_copy(
            update={"value": stored.value, "version": stored.version, "by": stored.by, "key": stored.key}
        )
        if merged != stored:
            tx.put_block(merged)

    def context(self, rows: Reader, agent: str) -> Context:
        """The blocks of an agent as they are now, in the order of their attachment."""
        record = rows.agent(agent)
        assert record is not None, "agents are stored when a team is opened"
        pairs = [(attached, rows.block(attached.key)) for attached in record.attached]
        found = [(attached, block) for attached, block in pairs if block is not None]
        return Context(tuple(attached for attached, _ in found), tuple(block for _, block in found))

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
            before, after = self._claim(tx, turn, start.claim.wake, start.claim.key)
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

    def _claim(self, tx: Transaction, turn: TurnRecord, wake: Wake, key: str) -> tuple[str, str]:
        """The block before and after something was taken from it."""
        claim, block = wake.claim, tx.block(key)
        assert claim is not None, "the scheduler names a wake with a claim"
        assert block is not None, "declared blocks are stored when a team is opened"
        try:
            changed = self._apply(tx, block, Update(lambda text: claim(text, turn.agent)), Author(ENGINE, turn.id))
        except BlockError as error:
            raise ClaimRefused(block.version, str(error)) from error
        except Exception as error:  # a user's function: its failure must not take the others' runs along
            raise ClaimRefused(block.version, f"claim= raised {type(error).__name__}: {error}") from error
        if changed == block.value:
            raise ClaimRefused(block.version, f"{turn.agent} found nothing to take")
        self._change(tx, block, changed, "claim", Author(ENGINE, turn.id), turn.runs)
        return block.value, changed

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
        effect = self._edit(tx, turn, result, shown) if isinstance(result, BlockEdit) else result
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
        for wake in self.team.agent(turn.agent).wakes:
            if wake.release is not None:
                self._release(tx, turn, wake.release, self.team.key_of(wake.block))
        ended = turn.model_copy(
            update={
                "status": end.status,
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

    # --- changes

    def _edit(self, tx: Transaction, turn: TurnRecord, wanted: BlockEdit, shown: Mapping[str, Shown]) -> Effect:
        author, word, key = Author(turn.agent, turn.id), operation(wanted.edit), None
        try:
            attached, block = self._find(tx, turn.agent, wanted.label)
            key = block.key
            text = self._apply(tx, block, wanted.edit, author, attached.grant, shown.get(key))
        except BlockError as error:
            self._refused(tx, turn, (key, wanted.label), word, author, error.code, str(error))
            return Effect(text=refusal_text(error), ok=False)
        except ToolError as error:
            self._refused(tx, turn, (key, wanted.label), word, author, "tool_refused", str(error))
            return Effect(text=str(error), ok=False)
        block = self._change(tx, block, text, word, author, turn.runs)
        return Effect(text=wanted.answer or change_text(block), ok=True)

    def _find(self, rows: Reader, agent: str, label: str) -> tuple[Attached, BlockState]:
        context = self.context(rows, agent)
        for attached, block in zip(context.attached, context.blocks, strict=True):
            if attached.label == label:
                return attached, block
        raise UnknownLabel(label, [attached.label for attached in context.attached])

    def _apply(
        self,
        tx: Transaction,
        block: BlockState,
        edit: Edit,
        author: Author,
        grant: Grant = Grant.RETHINK,
        shown: Shown | None = None,
    ) -> str:
        declared = self.team.blocks.get(block.key)
        return apply(
            block,
            edit,
            author,
            grant=grant,
            shown=shown,
            history=lambda after: tx.revisions(block.key, after),
            guard=declared.guard if declared else None,
        )

    def _change(
        self,
        tx: Transaction,
        block: BlockState,
        text: str,
        word: str,
        author: Author,
        runs: tuple[str, ...],
    ) -> BlockState:
        """Write the new text, unless it is the old one: then there is no new version."""
        if text == block.value:
            return block
        version = block.version + 1
        changed = block.model_copy(update={"value": text, "version": version, "by": author.name})
        revision = Revision(
            version=version,
            value=text,
            operation=word,
            by=author.name,
            turn=author.turn,
            at=self.environment.now(),
        )
        tx.put_block(changed, revision)
        tx.add_event(
            BlockChanged(
                seq=tx.next_seq(),
                at=self.environment.now(),
                key=block.key,
                label=block.label,
                version=version,
                value=text,
                limit=block.limit,
                operation=word,
                by=author.name,
                turn=author.turn,
                runs=runs,
            )
        )
        return changed

    def _release(self, tx: Transaction, turn: TurnRecord, release: Callable[[str, str], str | None], key: str) -> None:
        """Give back what the turn holds. A turn must end, whatever the block or the user's function say to it."""
        block, author = tx.block(key), Author(ENGINE, turn.id)
        assert block is not None, "declared blocks are stored when a team is opened"
        try:
            text = self._apply(tx, block, Update(lambda text: release(text, turn.agent)), author)
        except BlockError as error:
            self._refused(tx, turn, (key, block.label), "release", author, error.code, str(error))
        except Exception as error:
            reason = f"release= raised {type(error).__name__}: {error}"
            self._refused(tx, turn, (key, block.label), "release", author, "release_failed", reason)
        else:
            self._change(tx, block, text, "release", author, turn.runs)

    def _refused(
        self,
        tx: Transaction,
        turn: TurnRecord,
        block: tuple[str | None, str],
        word: str,
        author: Author,
        code: str,
        reason: str,
    ) -> None:
        key, label = block
        tx.add_event(
            ChangeRefused(
                seq=tx.next_seq(),
                at=self.environment.now(),
                key=key,
                label=label,
                operation=word,
                by=author.name,
                turn=turn.id,
                run=turn.run,
                code=code,
                reason=reason,
            )
        )
