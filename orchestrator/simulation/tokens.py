"""A failing schedule as a file, which replays on another machine and another Python."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal, Self

import pydantic
import pydantic_core
from pydantic import Field, field_serializer, field_validator

from orchestrator.errors import DeclarationError
from orchestrator.records import Record
from orchestrator.simulation.schedules import Schedule, Settings, Taken

#: Grows when a token of before cannot be read any more.
FORMAT: Final = 1

#: Where tokens are kept, from where one is: named by their seeds.
FOLDER: Final = Path(".orchestrator", "sim")

_PACKAGE: Final = "sharedblocks"


def _version() -> str:
    try:
        return version(_PACKAGE)
    except PackageNotFoundError:
        return "(not installed)"


class Token(Record):
    """What it takes to play a failing schedule again, and what it failed with.

    It names the team and its options as they were typed: who replays it has that team at that place. Nothing else in
    it is of the machine that it was saved on.
    """

    type: Literal["schedule"] = "schedule"
    format: Literal[1] = FORMAT
    #: The version of this package, and of Python, that it was saved with. For readers: neither has to be the same.
    version: str = Field(default_factory=_version)
    python: str = Field(default_factory=platform.python_version)
    #: As it was typed; "" for one that was given as an object.
    team: str = ""
    message: str
    #: The model, the store, how many workers, and the like, by the names of the options.
    options: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    schedule: Schedule
    #: What was broken: the kind of the flaw, such as the promise; how, in a sentence; of which block, by its stored
    #: key; and the name of the invariant, or of the error, if it is one.
    promise: str
    sentence: str
    block: str | None = None
    of: str = ""
    #: Of the schedule as it was played; another one says that the code, or the team, is not what it was.
    digest: str

    @classmethod
    def place(cls, seed: int) -> Path:
        """Where the token of a seed is kept by default."""
        return FOLDER / f"{seed}.json"

    @field_serializer("schedule")
    def _written(self, schedule: Schedule) -> dict[str, Any]:
        return {
            "settings": schedule.settings.model_dump(mode="json"),
            "choices": [_row(taken) for taken in schedule.choices],
        }

    @field_validator("schedule", mode="before")
    @classmethod
    def _read(cls, written: object) -> object:
        if not isinstance(written, Mapping):
            return written
        rows = written.get("choices")
        if not isinstance(rows, list):
            raise ValueError("has no list of choices")
        choices = tuple(_taken(number, row) for number, row in enumerate(rows, 1))
        return Schedule(settings=Settings.model_validate(written.get("settings")), choices=choices)

    def save(self, path: Path | None = None) -> Path:
        """Write it into a file, by default that of its seed, and say where. Its folder is made; a file is overwritten.

        `DeclarationError` if it cannot be written.
        """
        path = path or self.place(self.schedule.settings.seed)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_lines(self.model_dump(mode="json")), encoding="utf-8")
        except OSError as error:
            raise DeclarationError(f"schedule {str(path)!r}", f"cannot be saved: {error.strerror}") from None
        return path

    @classmethod
    def load(cls, path: Path) -> Self:
        """The token in a file.

        `DeclarationError` says why there is none: no file, something else, broken, or of a newer version.
        """
        where = f"schedule {str(path)!r}"
        fields = _fields(where, path)
        number = fields.get("format")
        if isinstance(number, int) and number > FORMAT:
            raise DeclarationError(
                where,
                f"was saved by {_PACKAGE} {fields.get('version')}, in format {number}; this is {_version()},"
                f" which knows format {FORMAT}: install the newer one to replay it",
            )
        try:
            return cls.model_validate(fields)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise DeclarationError(where, f"is broken: {place}: {first['msg']}") from None


def _fields(where: str, path: Path) -> dict[str, Any]:
    """What stands in a file that may be a token."""
    try:
        fields = pydantic_core.from_json(path.read_bytes(), allow_inf_nan=False)
    except FileNotFoundError:
        raise DeclarationError(where, "is not there") from None
    except OSError as error:
        raise DeclarationError(where, f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DeclarationError(where, f"is not JSON: {error}") from None
    if not isinstance(fields, dict) or fields.get("type") != "schedule" or "format" not in fields:
        raise DeclarationError(where, "is no saved schedule, but something else in JSON")
    return fields


def _row(taken: Taken) -> list[float]:
    """Step, pick, warp, stall; what is 0 at the end is left out."""
    row: list[float] = [taken.step, taken.pick, int(taken.warp), taken.stall]
    while row[-1] == 0:
        row.pop()
    return row


def _taken(number: int, row: object) -> Taken:
    """The choice that a row says; `ValueError` if it says none."""
    if not isinstance(row, list) or not 1 <= len(row) <= 4:
        raise ValueError(f"choice {number} is no row of step, pick, warp and stall")
    step, pick, warp, stall = [*row, 0, 0, 0][:4]
    if not (_is_whole(step) and step >= 1 and _is_whole(pick) and pick >= 0 and warp in (0, 1)):
        raise ValueError(f"choice {number} is {row}: no step of a schedule is like that")
    if isinstance(stall, bool) or not isinstance(stall, int | float) or not 0 <= stall < math.inf:
        raise ValueError(f"choice {number} is held back for {stall!r}, which is no time")
    return Taken(step=step, pick=pick, warp=bool(warp), stall=float(stall))


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def _lines(fields: Mapping[str, Any]) -> str:
    """JSON with one field, and one setting, on a line, and the choices close together; in ASCII."""
    schedule = fields["schedule"]
    choices = json.dumps(schedule["choices"], separators=(",", ":"))
    settings = json.dumps(schedule["settings"])
    inner = f'{{\n    "settings": {settings},\n    "choices": {choices}\n  }}'
    return _object((name, inner if name == "schedule" else json.dumps(value)) for name, value in fields.items())


def _object(fields: Iterable[tuple[str, str]]) -> str:
    written = ",\n".join(f"  {json.dumps(name)}: {value}" for name, value in fields)
    return f"{{\n{written}\n}}\n"
