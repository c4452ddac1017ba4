"""What was asked of a simulation: as words for another process, as options of a token, and as arguments."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from orchestrator.cli.invariants import Invariants
from orchestrator.cli.loading import loader
from orchestrator.cli.stored import store_there, use
from orchestrator.cli.wording import choose_prompts
from orchestrator.cli.words import options_given
from orchestrator.errors import DeclarationError
from orchestrator.runs import Budget
from orchestrator.simulation.faults import Faults
from orchestrator.simulation.recordings import RecordedModel
from orchestrator.team import Team

Kept = Literal["memory", "sqlite"]

#: How every SQLite file begins.
_SQLITE: Final = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The team, what it is told, and under which circumstances: the same in every schedule."""

    team: str
    message: str
    model: str | None = None
    faults: bool = False
    store: Kept = "memory"
    invariants: tuple[str, ...] = ()
    answers: str | None = None
    docs: str | None = None
    workers: int | None = None
    prompts: str | None = None
    max_turns: int | None = None

    def loaded(self) -> Callable[[], Team]:
        """What makes the team, for each schedule."""
        choose_prompts(None if self.prompts is None else Path(self.prompts))
        return loader(self.team, options_given(None if self.docs is None else Path(self.docs), self.workers))

    def arguments(self, invariants: Invariants) -> dict[str, Any]:
        """What `simulate` and `replay` take, but for the faults."""
        return {
            "model": self.model if self.answers is None else answers_in(self.answers),
            "invariants": invariants.functions,
            "store": self.store,
            "budget": None if self.max_turns is None else Budget(turns=self.max_turns),
        }

    @property
    def drawn_faults(self) -> Faults | None:
        """What goes wrong, if anything."""
        return Faults.default() if self.faults else None

    def words(self, *more: str) -> list[str]:
        """As it is typed after `orchestrator simulate`, with more options."""
        words, flags = [self.team, self.message], [*self._flags(), *more]
        return [*flags, "--", *words] if any(word.startswith("-") for word in words) else [*words, *flags]

    def _flags(self) -> Iterator[str]:
        for flag, given in (
            ("--model", self.model),
            ("--answers", self.answers),
            ("--docs", self.docs),
            ("--workers", self.workers),
            ("--prompts", self.prompts),
            ("--max-turns", self.max_turns),
        ):
            if given is not None:
                yield f"{flag}={given}"
        if self.faults:
            yield "--faults"
        if self.store != "memory":
            yield f"--store={self.store}"
        for typed in self.invariants:
            yield f"--invariant={typed}"

    def by_seed(self, seed: int) -> str:
        """The command that plays the schedule of a seed again."""
        return shlex.join(["orchestrator", "simulate", *self.words(f"--seed={seed}", "--schedules=1")])

    def options(self) -> dict[str, str | int | float | bool | None]:
        """As a token keeps it: besides the team and the message."""
        kept = {
            "model": self.model,
            "faults": self.faults,
            "store": self.store,
            "invariants": "\n".join(self.invariants),
            "answers": self.answers,
            "docs": self.docs,
            "workers": self.workers,
            "prompts": self.prompts,
            "max_turns": self.max_turns,
        }
        return {name: value for name, value in kept.items() if value not in (None, False, "")}

    @classmethod
    def of(cls, team: str, message: str, options: Mapping[str, Any], where: str) -> Asked:
        """As a token has it; `DeclarationError` if that cannot be.

        Args:
            where: what is told to be broken then.
        """
        fields: dict[str, Any] = {"faults": False, "store": "memory", **options}
        typed = fields.pop("invariants", "")
        kinds = {"faults": bool, "store": str, "workers": int, "max_turns": int}
        for name, value in fields.items():
            if name not in cls.__slots__ or not isinstance(value, kinds.get(name, str)):
                raise DeclarationError(where, f"is broken: option {name} is {value!r}")
        if not isinstance(typed, str) or fields["store"] not in ("memory", "sqlite"):
            raise DeclarationError(where, "is broken: its options are none of a simulation")
        return cls(team=team, message=message, invariants=tuple(typed.split("\n")) if typed else (), **fields)


def answers_in(path: str) -> RecordedModel:
    """The recorded answers in a file: of a recording, or of a store in which a team was kept."""
    try:
        with Path(path).open("rb") as file:
            is_store = file.read(len(_SQLITE)) == _SQLITE
    except OSError as error:
        raise DeclarationError("--answers", f"{path!r} cannot be read: {error.strerror}") from None
    if not is_store:
        return RecordedModel.load(path)
    store = store_there(path)
    return use(store, lambda: RecordedModel.of(store))
