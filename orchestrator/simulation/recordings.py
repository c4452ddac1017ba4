"""Answers of real models, recorded and spoken again: by agent, by the number of its turn, and by step.

So a run is replayed without its model, in whatever order its agents go on this time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Final, Literal, NamedTuple

import anyio.lowlevel
import pydantic
from pydantic import ConfigDict, Field

from orchestrator.environment import ambient
from orchestrator.errors import (
    ContentRefused,
    ContextTooLong,
    DeclarationError,
    ModelError,
    ModelNotFound,
    ModelRefused,
    ModelUnavailable,
    NotRecorded,
    RateLimited,
)
from orchestrator.events import Event, StepTaken, TurnEnded
from orchestrator.messages import ToolCall, Usage
from orchestrator.models import check_model, find_model
from orchestrator.phrases import counted
from orchestrator.ports import Model, ModelRequest, ModelResponse, Store
from orchestrator.records import Record
from orchestrator.tools import storable

#: The form of the file; another form has another number.
VERSION: Final = 1

#: How many events are read from a store at a time.
_PAGE: Final = 1000

Kind = Literal[
    "RateLimited",
    "ModelUnavailable",
    "ContextTooLong",
    "ContentRefused",
    "ModelRefused",
    "ModelNotFound",
    "ModelError",
]

#: The errors that are raised again as what they were; what is a kind of several of them, as the first one here.
_KINDS: Final[dict[Kind, type[ModelError]]] = {
    "RateLimited": RateLimited,
    "ModelUnavailable": ModelUnavailable,
    "ContextTooLong": ContextTooLong,
    "ContentRefused": ContentRefused,
    "ModelRefused": ModelRefused,
    "ModelNotFound": ModelNotFound,
    "ModelError": ModelError,
}

_AGAIN: Final = "delete it and record it again"


class Place(NamedTuple):
    """Which model call: whose, in which of its turns (from 1), at which step (from 0)."""

    agent: str
    turn: int
    step: int


class Failure(Record):
    """A model call that came to nothing."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    reason: str
    #: What the error knows besides: status, attempts and the like.
    details: dict[str, str | int | float | None] = Field(default_factory=dict)

    @classmethod
    def of(cls, error: ModelError) -> Failure:
        """What is to be known of the error, to raise it again."""
        kind = next(name for name, kind in _KINDS.items() if isinstance(error, kind))
        details = {
            name: _sayable(value) if isinstance(value, str) else value
            for name, value in vars(error).items()
            if isinstance(value, str | int | float | None)
        }
        return cls(kind=kind, reason=_sayable(str(error)), details=details)

    def error(self) -> ModelError:
        """The error: of the same kind, in the same words."""
        kind = _KINDS[self.kind]
        error = kind.__new__(kind)
        error.args = (self.reason,)
        vars(error).update(self.details)
        return error


class Answer(Record):
    """What came of one model call: an answer, or a failure."""

    model_config = ConfigDict(extra="forbid")

    agent: str
    turn: int
    step: int
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    failure: Failure | None = None

    @property
    def place(self) -> Place:
        """Which call."""
        return Place(self.agent, self.turn, self.step)


class Recording(Record):
    """What is in the file."""

    version: Literal[1]
    answers: tuple[Answer, ...]


class _Turns:
    """The numbers of each agent's turns, in the order in which they first ask their model."""

    def __init__(self) -> None:
        self._numbers: dict[str, dict[str, int]] = {}

    def place(self, agent: str, turn: str, step: int) -> Place:
        numbers = self._numbers.setdefault(agent, {})
        return Place(agent, numbers.setdefault(turn, len(numbers) + 1), step)


class RecordedModel:
    """Answers what was answered when it was recorded: to the same agent, at the same step of its n-th turn.

        model = RecordedModel.load("tests/recorded/question.json")
        async with Orchestrator(team, model=model) as live: ...
        assert not model.unused

    `NotRecorded` says what was asked and what there is. Turns are counted from the first request that this object is
    asked, so each team that is replayed needs a new one, and a store that is as new as the recorded one was.
    """

    def __init__(self, answers: Iterable[Answer]) -> None:
        self._answers: dict[Place, Answer] = {}
        if isinstance(answers, str | PathLike) or not isinstance(answers, Iterable):
            raise DeclarationError(
                "a recording", f"is {answers!r}; give answers, or read a file: RecordedModel.load(…)"
            )
        for answer in answers:
            if not isinstance(answer, Answer):
                raise DeclarationError("a recording", f"has {answer!r} among its answers")
            if self._answers.setdefault(answer.place, answer) is not answer:
                raise DeclarationError("a recording", f"has two answers for {_told(answer.place)}")
        self._unused = dict.fromkeys(sorted(self._answers))
        self._turns = _Turns()

    @classmethod
    def load(cls, path: str | PathLike[str]) -> RecordedModel:
        """What `save` wrote; `DeclarationError` says what is wrong with the file, and what to do."""
        where = f"recording {str(path)!r}"
        try:
            given = json.loads(Path(path).read_bytes())
        except OSError as error:
            raise DeclarationError(where, f"cannot be read: {error.strerror or error}") from error
        except (ValueError, RecursionError) as error:
            raise DeclarationError(where, f"is not JSON: {error}; {_AGAIN}") from None
        version = given.get("version") if isinstance(given, dict) else None
        if version is not None and given.get("type") == "schedule":
            raise DeclarationError(
                where, "is a saved schedule, and no recording of a model's answers; --replay plays it"
            )
        if version is None:
            raise DeclarationError(where, f"is no recording of a model's answers; {_AGAIN}")
        if version != VERSION:
            raise DeclarationError(
                where,
                f"has form {version!r}, and this version reads form {VERSION}; {_AGAIN}, or use the other version",
            )
        try:
            return cls(Recording.model_validate(given).answers)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise DeclarationError(where, f"is broken at {place}: {first['msg'].lower()}; {_AGAIN}") from None
        except DeclarationError as error:
            raise DeclarationError(where, f"{error.problem}; {_AGAIN}") from None

    @classmethod
    async def of(cls, store: Store) -> RecordedModel:
        """What the models answered in all the runs of a store.

        A call that failed is there as a plain `ModelError` with the same sentence: a store does not say of which kind
        it was. One that was cancelled, or took too long, has no answer.
        """
        past, answers, after = _Past(), [], 0
        while events := await store.events(after, _PAGE):
            after = events[-1].seq
            answers += [answer for event in events if (answer := past.answer(event)) is not None]
        return cls(answers)

    def save(self, path: str | PathLike[str]) -> None:
        """Write it to a file, and make its folders; in the same order every time, for the sake of diffs."""
        answers = tuple(self._answers[place] for place in sorted(self._answers))
        recording = Recording(version=VERSION, answers=answers)
        document = recording.model_dump(mode="json", exclude_defaults=True)
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")

    def anew(self) -> RecordedModel:
        """One with the same answers, of which none was asked for yet."""
        return RecordedModel(self._answers.values())

    @property
    def unused(self) -> tuple[Place, ...]:
        """Which answers nobody has asked for yet, by agent, turn and step."""
        return tuple(self._unused)

    async def respond(self, request: ModelRequest) -> ModelResponse:
        """What was answered, or raised, at this place."""
        await anyio.lowlevel.checkpoint()  # as with any real model
        place = self._turns.place(request.agent, request.turn, request.step)
        answer = self._answers.get(place)
        if answer is None:
            raise NotRecorded(*place, self._there_is(place.agent))
        self._unused.pop(place, None)
        if answer.failure is not None:
            raise answer.failure.error()
        return ModelResponse(answer.text, answer.tool_calls, answer.usage)

    def _there_is(self, agent: str) -> str:
        if not self._answers:
            return "the recording is empty"
        steps = Counter(place.turn for place in self._answers if place.agent == agent)
        if not steps:
            return f"there are answers for {', '.join(sorted({place.agent for place in self._answers}))}"
        turns = ", ".join(f"turn {turn} ({counted(count, 'step')})" for turn, count in sorted(steps.items()))
        return f"of this agent there is {turns}"


class RecordingModel:
    """Asks a model, and keeps what it answers; `save` it, and `RecordedModel.load` speaks it again.

        recording = RecordingModel("openai/gpt-5-mini")
        run_sync(team, "What are memory blocks?", model=recording)
        recording.save("answers.json")  # orchestrator simulate … --answers answers.json

    Calls that raise a `ModelError` are kept, too, and raise it again, as the nearest kind that is ours. What else goes
    wrong is not kept, nor is a call that was cancelled.

    Args:
        model: a `Model`, or the name of one.
    """

    def __init__(self, model: str | Model) -> None:
        self._model = find_model(model, ambient()) if isinstance(model, str) else model
        check_model("a recording", self._model)
        self._answers: dict[Place, Answer] = {}
        self._turns = _Turns()

    async def respond(self, request: ModelRequest) -> ModelResponse:
        """What the model answers."""
        place = self._turns.place(request.agent, request.turn, request.step)
        try:
            response = await self._model.respond(request)
        except ModelError as error:
            self._answers[place] = Answer(**place._asdict(), failure=Failure.of(error))
            raise
        calls = tuple(call.having(arguments=storable(call.arguments)) for call in response.tool_calls)
        self._answers[place] = Answer(
            **place._asdict(), text=_sayable(response.text), tool_calls=calls, usage=response.usage
        )
        return response

    @property
    def answers(self) -> tuple[Answer, ...]:
        """What has been answered so far."""
        return tuple(self._answers.values())

    def save(self, path: str | PathLike[str]) -> None:
        """Write what has been answered so far to a file."""
        RecordedModel(self.answers).save(path)


@contextmanager
def recorded(path: str | PathLike[str], model: str | Model | None = None) -> Iterator[RecordedModel | RecordingModel]:
    """The model of a recording; where there is no such file, one that asks `model` and writes the file at the end.

        with recorded("tests/recorded/question.json", "openai/gpt-5-mini") as model:
            run = run_sync(team, "Where do memory blocks come from?", model=model)

    Nothing is written when the block raises, nor when nothing was asked. `DeclarationError` when there is neither a
    file nor a model.
    """
    file = Path(path)
    if file.exists():
        yield RecordedModel.load(file)
        return
    if model is None:
        raise DeclarationError(f"recording {str(path)!r}", "is not there; name a model, and it will be recorded")
    recording = RecordingModel(model)
    yield recording
    if recording.answers:
        recording.save(file)


class _Past:
    """What a log tells of model calls, event by event."""

    def __init__(self) -> None:
        self._turns = _Turns()
        #: How many calls the models themselves reported to have made for a turn's answers.
        self._reported: Counter[str] = Counter()

    def answer(self, event: Event) -> Answer | None:
        """What came of a model call, if the event tells of one."""
        if isinstance(event, StepTaken):
            self._reported[event.turn] += event.usage.calls
            place = self._turns.place(event.agent, event.turn, event.step)
            calls = tuple(_as_given(call, f"{event.turn}-{event.step}-{n}") for n, call in enumerate(event.tool_calls))
            return Answer(**place._asdict(), text=event.text, tool_calls=calls, usage=event.usage)
        if isinstance(event, TurnEnded) and event.status == "failed":
            asked = event.usage.calls - self._reported[event.turn]
            if asked > event.steps:  # once more than there were answers
                place = self._turns.place(event.agent, event.turn, event.steps)
                return Answer(**place._asdict(), failure=Failure(kind="ModelError", reason=event.error or ""))
        return None


def _as_given(call: ToolCall, made: str) -> ToolCall:
    """Without an id that the engine made for want of one."""
    return call.having(id=None) if call.id == made else call


def _told(place: Place) -> str:
    return f"agent {place.agent!r}, turn {place.turn}, step {place.step}"


def _sayable(text: str) -> str:
    """As it can be written to a file."""
    return text.encode(errors="backslashreplace").decode()
