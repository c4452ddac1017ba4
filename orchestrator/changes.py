"""What may happen to blocks: each change with its history row and its event, or refused with the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.blocks import ENGINE, Author, BlockState, Grant, Revision
from orchestrator.checks import FAILURES
from orchestrator.edits import UNSEEN, Edit, Insert, Shown, Update, apply, archived, operation
from orchestrator.environment import Environment
from orchestrator.errors import BlockError, DeclarationError, Fresh, NotArchived, OverLimit, ToolError, UnknownLabel
from orchestrator.events import BlockChanged, BlockCreated, BlockModified, ChangeRefused
from orchestrator.overflowing import Fitted
from orchestrator.ports import Attached, Effect, Reader, Transaction, TurnRecord
from orchestrator.prompting import change_text, refusal_text
from orchestrator.roster import Roster
from orchestrator.telling import tell
from orchestrator.tools import BlockEdit, sayable, told
from orchestrator.wakes import Wake


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


@dataclass(frozen=True, slots=True)
class Changes:
    """The rules of a team's blocks."""

    roster: Roster
    environment: Environment

    def context(self, rows: Reader, agent: str) -> Context:
        """The blocks of an agent as they are now, in the order of their attachment."""
        record = rows.agent(agent)
        assert record is not None, "agents are stored when a team is opened"
        pairs = [(attached, rows.block(attached.key)) for attached in record.attached]
        found = [(attached, block) for attached, block in pairs if block is not None]
        return Context(tuple(attached for attached, _ in found), tuple(block for _, block in found))

    def create(self, tx: Transaction, declared: BlockState, former: BlockState | None) -> None:
        """A block comes to be: at version 1, after its history where it had been deleted, or with value and history of
        the own block that is shared from now on.
        """
        at = self.environment.now()
        last = next(iter(tx.revisions(declared.key)), None)  # of one that was deleted: its history goes on
        version = 1 if last is None else last.version + 1
        revisions = [Revision(version=version, value=declared.value, operation="create", by=declared.by, at=at)]
        if former is not None and last is None:
            _check_fits(former, declared)
            revisions = list(tx.revisions(former.key))[::-1]
        for revision in revisions:
            state = {"value": revision.value, "version": revision.version, "by": revision.by}
            tx.put_block(declared.having(**state), revision)
        tell(
            tx,
            at,
            BlockCreated,
            key=declared.key,
            label=declared.label,
            agent=declared.agent,
            version=revisions[-1].version,
            value=revisions[-1].value,
            limit=declared.limit,
            read_only=declared.read_only,
        )

    def redeclare(self, tx: Transaction, stored: BlockState, declared: BlockState) -> None:
        """The stored value stays, all else becomes as declared; `DeclarationError` if the limit is too small for it."""
        _check_fits(stored, declared)
        merged = declared.having(value=stored.value, version=stored.version, by=stored.by)
        if merged != stored:
            self.describe(tx, merged)

    def describe(self, tx: Transaction, block: BlockState) -> None:
        """The block has another limit, description, or the like; its text stays."""
        tx.put_block(block)
        tell(
            tx,
            self.environment.now(),
            BlockModified,
            key=block.key,
            label=block.label,
            limit=block.limit,
            read_only=block.read_only,
            description=block.description,
        )

    def claim(self, tx: Transaction, turn: TurnRecord, wake: Wake, key: str) -> tuple[str, str]:
        """The block before and after something was taken from it."""
        claim, block = wake.claim, tx.block(key)
        assert claim is not None, "the scheduler names a wake with a claim"
        if block is None:
            raise ClaimRefused(0, "its owner has deleted it")
        if block.read_only:  # a claim changes it on an agent's behalf
            raise ClaimRefused(block.version, "its owner has made it read-only")
        agent = tx.agent(turn.agent)
        if agent is None or all(attached.key != key for attached in agent.attached):
            raise ClaimRefused(block.version, f"{turn.agent} does not see it any more")
        try:
            changed = self.apply(tx, block, Update(lambda text: claim(text, turn.agent)), Author(ENGINE, turn.id))
        except BlockError as error:
            raise ClaimRefused(block.version, str(error)) from error
        except FAILURES as error:  # a user's function: its failure must not take the others' runs along
            raise ClaimRefused(block.version, f"claim= raised {type(error).__name__}: {error}") from error
        if changed == block.value:
            raise ClaimRefused(block.version, f"{turn.agent} found nothing to take")
        self.write(tx, block, changed, "claim", Author(ENGINE, turn.id), turn.runs)
        return block.value, changed

    def edit(
        self, tx: Transaction, turn: TurnRecord, name: str, wanted: BlockEdit, shown: Mapping[str, Shown]
    ) -> Effect:
        """The change that a tool asks for, made with the grants of its agent; or the reason why not."""
        author, word, key = Author(turn.agent, turn.id), operation(wanted.edit), None
        try:
            attached, block = self._find(tx, turn.agent, wanted.label)
            key = block.key
            text, moved = self._applied(tx, block, wanted.edit, author, attached.grant, shown.get(key, UNSEEN))
            archives = self._archives(tx, block, moved, turn)
        except BlockError as error:
            self._refused(tx, turn, (key, wanted.label), word, author, error.code, str(error))
            return Effect.made(text=refusal_text(error), ok=False)
        except ToolError as error:
            self._refused(tx, turn, (key, wanted.label), word, author, "tool_refused", str(error))
            return Effect.made(text=sayable(str(error)), ok=False)
        except FAILURES as error:  # an Update's function: a tool's failure is an answer to the model
            reason = sayable(f"{name} failed: {told(error)}")
            self._refused(tx, turn, (key, wanted.label), word, author, "tool_failed", reason)
            return Effect.made(text=reason, ok=False)
        for archive, its_text in archives:
            self.write(tx, archive, its_text, "archive", Author(ENGINE, turn.id), turn.runs)
        block = self.write(tx, block, text, word, author, turn.runs)
        archive_label = archives[-1][0].label if archives else ""
        return Effect.made(text=wanted.answer or change_text(block, len(moved), archive_label), ok=True)

    def _archives(
        self, tx: Transaction, block: BlockState, moved: Sequence[str], turn: TurnRecord
    ) -> list[tuple[BlockState, str]]:
        """The archives that lines of the block move to, each with its text to be, the farthest one first; `NotArchived`
        says why they cannot. That it is refused is told of the archive, too: somebody may make room there.
        """
        found: list[tuple[BlockState, str]] = []
        fresh, source, author = Fresh(block.value, block.version, block.by), block, Author(ENGINE, turn.id)
        while moved:
            archive = tx.block(source.overflow or "")
            if archive is None:
                name = (source.overflow or "").partition(":")[2]
                raise NotArchived(block.label, name, "its owner has deleted it, and may give the block another", fresh)
            try:
                text, moved = archived(archive, moved, author, self.roster.guard(archive.key))
            except BlockError as error:
                why = _why_not_archived(error)
                self._refused(tx, turn, (archive.key, archive.label), "archive", author, error.code, why)
                raise NotArchived(block.label, archive.label, why, fresh) from error
            found.append((archive, text))
            source = archive
        return found[::-1]

    def refuse(self, tx: Transaction, turn: TurnRecord, key: str, wanted: BlockEdit, code: str, reason: str) -> Effect:
        """The change is not made, for a reason that is not the block's."""
        author = Author(turn.agent, turn.id)
        self._refused(tx, turn, (key, wanted.label), operation(wanted.edit), author, code, reason)
        return Effect.made(text=sayable(reason), ok=False)

    def _find(self, rows: Reader, agent: str, label: str) -> tuple[Attached, BlockState]:
        context = self.context(rows, agent)
        for attached, block in zip(context.attached, context.blocks, strict=True):
            if attached.label == label:
                return attached, block
        raise UnknownLabel(label, [attached.label for attached in context.attached])

    def apply(
        self,
        tx: Transaction,
        block: BlockState,
        edit: Edit,
        author: Author,
        grant: Grant = Grant.RETHINK,
        shown: Shown | None = None,
    ) -> str:
        """The text of the block after an edit that is no insertion, or a `BlockError` that says why there is none."""
        assert not isinstance(edit, Insert), "an insertion may move lines to an archive"
        return self._applied(tx, block, edit, author, grant, shown).text

    def _applied(
        self, tx: Transaction, block: BlockState, edit: Edit, author: Author, grant: Grant, shown: Shown | None
    ) -> Fitted:
        return apply(
            block,
            edit,
            author,
            grant=grant,
            shown=shown,
            history=lambda after: tx.revisions(block.key, after),
            guard=self.roster.guard(block.key),
        )

    def write(
        self,
        tx: Transaction,
        block: BlockState,
        text: str,
        word: str,
        author: Author,
        runs: tuple[str, ...],
    ) -> BlockState:
        """Write the new text with its history row and its event, unless it is the old one: then nothing is written."""
        if text == block.value:
            return block
        version = block.version + 1
        changed = block.having(value=text, version=version, by=author.name)
        revision = Revision.made(
            version=version,
            value=text,
            operation=word,
            by=author.name,
            turn=author.turn,
            at=self.environment.now(),
        )
        tx.put_block(changed, revision)
        tell(
            tx,
            self.environment.now(),
            BlockChanged,
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
        return changed

    def release(self, tx: Transaction, turn: TurnRecord, release: Callable[[str, str], str | None], key: str) -> bool:
        """Give back what the turn holds, if that is possible: a turn must end, whatever the block says to it."""
        block, author = tx.block(key), Author(ENGINE, turn.id)
        if block is None:  # its owner has deleted it, and what was held with it
            return True
        try:
            text = self.apply(tx, block, Update(lambda text: release(text, turn.agent)), author)
        except BlockError as error:
            self._refused(tx, turn, (key, block.label), "release", author, error.code, str(error))
        except FAILURES as error:
            reason = f"release= raised {type(error).__name__}: {error}"
            self._refused(tx, turn, (key, block.label), "release", author, "release_failed", reason)
        else:
            self.write(tx, block, text, "release", author, turn.runs)
            return True
        return False

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
        tell(
            tx,
            self.environment.now(),
            ChangeRefused,
            key=key,
            label=label,
            operation=word,
            by=author.name,
            turn=turn.id,
            run=turn.run,
            code=code,
            reason=sayable(reason),
        )


def _why_not_archived(error: BlockError) -> str:
    if isinstance(error, OverLimit):
        return (
            f"that would have {error.size:,} characters and its limit is {error.limit:,}; its owner can raise the limit"
        )
    return f"that {error.problem}"


def _check_fits(stored: BlockState, declared: BlockState) -> None:
    if len(stored.value) > declared.limit:
        raise DeclarationError(
            f"block {stored.label!r}",
            f"is stored with {len(stored.value):,} characters and declared with a limit of {declared.limit:,}",
        )
