"""What a check of a team comes to."""

from __future__ import annotations

from typing import Any, Literal

from orchestrator.checking.findings import Finding, Severity
from orchestrator.records import Record

#: One message is enough for two turns to go on side by side; or only several runs that go on at once are.
When = Literal["in one run", "in several runs"]

#: The most that an agent may do to a block: by its grant, or what the engine does for its turns.
Operation = Literal["insert", "replace", "rethink", "archive", "claim"]

#: "lost": somebody's text is gone, and nobody is told. "refused": who comes second is told, and can try again.
Grade = Literal["lost", "refused", "safe"]


class Pair(Record):
    """Two agents who may change a block at the same time: what each may do to it at most, and how that comes about."""

    #: The one that may do more stands first.
    agents: tuple[str, str]
    operations: tuple[Operation, Operation]
    when: When
    reason: str


class Race(Record):
    """Changes of one block, of one kind, that may be made at the same time."""

    #: That of its finding; None for one that is safe, and no finding.
    code: str | None
    grade: Grade
    block: str
    #: All who take part; and those of them who may rewrite the block.
    agents: tuple[str, ...]
    rewriters: tuple[str, ...]
    #: How many pairs there are, and the first of them: those that one run is enough for stand first.
    count: int
    pairs: tuple[Pair, ...]
    #: How it may come to pass, step by step, for the first pair.
    schedule: tuple[str, ...]
    #: The share of rewrites that are refused while all others write with each model call: an estimate.
    refused: float | None = None


class Report(Record):
    """What was found in a team, the gravest first, and what may happen where its agents change blocks together."""

    team: str
    findings: tuple[Finding, ...] = ()
    #: Also those that are safe, and no finding.
    races: tuple[Race, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What loses something, or can never work; without what is waived."""
        return self._of("error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What is likely to disappoint; without what is waived."""
        return self._of("warning")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """What is worth knowing; without what is waived."""
        return self._of("note")

    @property
    def waived(self) -> tuple[Finding, ...]:
        """What the team's declaration says is all right."""
        return tuple(finding for finding in self.findings if finding.waived is not None)

    def passes(self, strict: bool = False) -> bool:
        """Whether there is no error; strictly, no warning either. Notes, and what is waived, fail nobody."""
        return not self.errors and not (strict and self.warnings)

    def document(self) -> dict[str, Any]:
        """The report as JSON has it."""
        counts = {"errors": self.errors, "warnings": self.warnings, "notes": self.notes, "waived": self.waived}
        return self.model_dump(mode="json") | {name: len(found) for name, found in counts.items()}

    def _of(self, severity: Severity) -> tuple[Finding, ...]:
        return tuple(found for found in self.findings if found.severity == severity and found.waived is None)
