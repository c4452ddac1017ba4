"""What a team's declaration says about findings of a check: that they are all right, and why."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class Waiver:
    """A finding that is all right in a team: `orchestrator check` shows it, and fails nobody for it.

        Team("desk", agents, waivers=[Waiver("R002", "notes", reason="they seldom work on the same day")])

    A waiver that fits no finding is a finding itself, so none outlives what it was written for.

    Args:
        code: of the finding, such as "R002".
        place: what it is about, by name, such as a block's or an agent's; left out, all findings of the code.
        reason: why it is all right; for whoever reads the declaration.
    """

    code: str
    place: str = ""
    reason: str = field(kw_only=True)

    def __post_init__(self) -> None:
        where = f"a waiver of {self.code!r}"
        if not isinstance(self.code, str) or not self.code:
            raise DeclarationError("a waiver", f"its code is {self.code!r}; give that of a finding, such as 'R002'")
        if not isinstance(self.place, str):
            problem = f"its place is a {type(self.place).__name__}; give the name of a block or an agent"
            raise DeclarationError(where, problem)
        if not isinstance(self.reason, str) or not self.reason.strip():
            raise DeclarationError(where, "has no reason; say why the finding is all right")
