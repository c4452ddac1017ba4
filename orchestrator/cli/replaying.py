"""`orchestrator simulate --replay`: a schedule that was saved is played again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

from orchestrator.cli.invariants import Invariants
from orchestrator.cli.lines import as_ascii
from orchestrator.cli.simulation_lines import Told, schedule_fields, story_lines
from orchestrator.cli.simulation_runs import ORIGIN
from orchestrator.cli.simulation_words import Asked
from orchestrator.cli.terminal import announce
from orchestrator.errors import DeclarationError
from orchestrator.phrases import counted, visible
from orchestrator.simulation.exploring import Performance
from orchestrator.simulation.judging import Flaw
from orchestrator.simulation.reports import same
from orchestrator.simulation.searching import replay
from orchestrator.simulation.tokens import Token


def replayed(path: Path, team: str | None, made_with: Mapping[str, Any], *, as_json: bool) -> Told:
    """Play what was saved in a file.

    Args:
        team: in place of the one that was saved, as typed here.
        made_with: options that go before what was saved.
    """
    token = Token.load(path)
    options = dict(token.options)
    origin = options.pop(ORIGIN, None)
    typed = {name: str(Path(word).resolve()) if isinstance(word, str) else word for name, word in made_with.items()}
    asked = Asked.of(team or token.team, token.message, {**options, **typed}, f"schedule {str(path)!r}")
    if not asked.team:
        raise DeclarationError("--replay", f"{str(path)!r} was saved by a program, and names no team; say which TEAM")
    typed_in = Path.cwd() if team is not None else _typed_in(asked.team, path, origin)
    with chdir(typed_in):
        performance = _played(asked, token)
    answer = _Answer(token, performance)
    text = as_ascii(answer.fields(asked)) if as_json else "\n".join(answer.lines(path))
    return Told(text, not performance.flaws)


def _typed_in(typed: str, path: Path, origin: object) -> Path:
    """The folder in which the team is found as it was typed: the one it was typed in, or else this one."""
    if isinstance(origin, str):
        folder = (path.resolve().parent / origin).resolve()
        where = typed.rpartition(":")[0] or typed
        first = where if where.endswith(".py") else where.partition(".")[0]
        if any((folder / name).exists() for name in (first, f"{first}.py")):
            return folder
        if first.endswith(".py") and not Path(first).exists():
            problem = (
                f"was saved for {typed}, and {first} is neither in {str(folder)!r} nor in this folder; name the team"
            )
            raise DeclarationError(f"schedule {str(path)!r}", f"{problem}: --replay {path} TEAM")
    return Path.cwd()


def _played(asked: Asked, token: Token) -> Performance:
    loaded = asked.loaded()
    invariants = Invariants(asked.invariants)  # after the team: they may stand in the same file
    announce(loaded(), "" if asked.answers else asked.model)
    arguments = asked.arguments(invariants)
    faults, twice = asked.drawn_faults, token.promise == "P9"
    performance = replay(loaded, asked.message, token.schedule, faults=faults, twice=twice, **arguments)
    if invariants.mistake is not None:
        raise invariants.mistake
    return performance


class _Answer:
    """What came of it, beside what was saved."""

    def __init__(self, token: Token, performance: Performance) -> None:
        self._token = token
        self._flaws: Sequence[Flaw] = performance.flaws
        known = Flaw(kind=token.promise, what=token.sentence, block=token.block, of=token.of)
        self._is_same = any(same(flaw) == same(known) for flaw in performance.flaws)
        self._digest = performance.played.digest
        self._story = performance.told(token.block if self._is_same else None)

    @property
    def _came(self) -> str:
        if not self._flaws:
            return "holds"
        return "fails as before" if self._is_same else "fails in another way"

    @property
    def _is_digest_same(self) -> bool:
        return self._digest == self._token.digest

    def lines(self, path: Path) -> Iterator[str]:
        """For a person."""
        token = self._token
        choices = counted(len(token.schedule.choices), "choice")
        yield f"{visible(str(path))}: seed {token.schedule.settings.seed}, {choices}"
        if not self._flaws:
            yield f"not any more; it failed with {token.promise}: {visible(token.sentence)}"
        elif self._is_same:
            yield from self._told("fails again, in the same way")
        else:
            yield from self._told("fails in another way")
            yield f"it failed with {token.promise}: {visible(token.sentence)}"
        if self._is_digest_same:
            yield f"step by step the same as when it was saved (digest {self._digest})"
        else:
            saved = f"saved by {visible(token.version)}, Python {visible(token.python)}"
            yield f"not the same steps as when it was {saved}: the team or the code has changed"
        yield from story_lines(self._story)

    def _told(self, how: str) -> Iterable[str]:
        return (f"{how}: {flaw.kind}: {visible(flaw.what)}" for flaw in self._flaws)

    def fields(self, asked: Asked) -> dict[str, Any]:
        """For a program."""
        token = self._token
        return {
            "passed": not self._flaws,
            "came": self._came,
            "team": asked.team,
            "message": asked.message,
            "options": asked.options(),
            "saved": {
                "promise": token.promise,
                "sentence": token.sentence,
                "digest": token.digest,
                "version": token.version,
                "python": token.python,
            },
            "flaws": [flaw.model_dump(mode="json") for flaw in self._flaws],
            "schedule": schedule_fields(token.schedule),
            "digest": self._digest,
            "same_digest": self._is_digest_same,
            "story": self._story,
        }
