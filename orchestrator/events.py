"""What happened: one ordered log, written in the transactions that it tells of.

The names, the fields and the JSON form (`event_to_json`, `event_from_json`) are a contract.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from orchestrator.messages import ToolCall, Usage
from orchestrator.records import Record

TurnStatus = Literal["running", "done", "failed", "cancelled", "timed_out"]
RunStatus = Literal["running", "complete", "budget", "waiting", "failed", "cancelled"]


class Cause(Record):
    """Why a turn was started: a message, a change that wakes, a block that calls or is nearly full, a handoff; and for
    sleeptime agents: so many turns of others, or quiescence.
    """

    kind: Literal["message", "change", "call", "full", "handoff", "every", "idle"]
    #: The run whose message it is, or whose end it comes before.
    run: str | None = None
    #: The block that changed, calls, is nearly full or has the note, at which version, and who wrote that, or was
    #: refused because it is full.
    key: str | None = None
    label: str | None = None
    version: int = 0
    by: str | None = None
    #: Which of the team's wakes, by its place in the declaration.
    wake: int | None = None

    @property
    def counts_turns(self) -> bool:
        """Whether it is that others have taken turns."""
        return self.kind in ("every", "idle")

    @property
    def is_tidying(self) -> bool:
        """Whether somebody is to tidy up behind others: turns for nothing else never change what a run comes to."""
        return self.counts_turns or self.kind == "full"


class _Event(Record):
    #: Its place in the log: 1, 2, 3, … without gaps.
    seq: int
    #: When, in Unix seconds. Order is by `seq`, never by time.
    at: float


class BlockCreated(_Event):
    """A block came to be: at version 1, or with the history that it had before it was shared, or deleted."""

    type: Literal["block_created"] = "block_created"
    key: str
    label: str
    agent: str | None
    version: int = 1
    value: str
    limit: int
    read_only: bool


class BlockAttached(_Event):
    """An agent now sees a block, or may do something else with it than before."""

    type: Literal["block_attached"] = "block_attached"
    agent: str
    key: str
    label: str
    grant: str


class BlockDetached(_Event):
    """An agent no longer sees a block."""

    type: Literal["block_detached"] = "block_detached"
    agent: str
    key: str
    label: str


class BlockModified(_Event):
    """A block was given another limit, description, or the like; its text stayed."""

    type: Literal["block_modified"] = "block_modified"
    key: str
    label: str
    limit: int
    read_only: bool
    description: str


class BlockDeleted(_Event):
    """A block is gone, and nobody sees it any more. Its history stays."""

    type: Literal["block_deleted"] = "block_deleted"
    key: str
    label: str


class AgentCreated(_Event):
    """The owner made an agent while the team was live."""

    type: Literal["agent_created"] = "agent_created"
    agent: str


class AgentModified(_Event):
    """The owner gave an agent other instructions, another model, or the like."""

    type: Literal["agent_modified"] = "agent_modified"
    agent: str


class AgentDeleted(_Event):
    """The owner removed an agent from the team."""

    type: Literal["agent_deleted"] = "agent_deleted"
    agent: str


class BlockChanged(_Event):
    """A block has a new version."""

    type: Literal["block_changed"] = "block_changed"
    key: str
    label: str
    version: int
    value: str
    limit: int
    #: "insert", "replace", "rethink"; what the engine did: "claim", "release", or "archive" (the
    #: oldest lines of a block that overflows have come in); what the owner did: "modify", "undo".
    operation: str
    by: str
    turn: str | None
    #: The runs that the change was made for, oldest first.
    runs: tuple[str, ...]


class ChangeRefused(_Event):
    """A change was not made. The agent was told why."""

    type: Literal["change_refused"] = "change_refused"
    #: The block, by key and as the agent called it; no key where the agent has no such block.
    key: str | None
    label: str
    operation: str
    by: str
    turn: str | None
    run: str | None
    #: A stable word for the reason, and the reason in a sentence.
    code: str
    reason: str


class RunStarted(_Event):
    """A message opened a run; or a change by the owner that wakes somebody."""

    type: Literal["run_started"] = "run_started"
    run: str
    #: Whom the message is for, and what it says; "" where there is none.
    agent: str
    text: str
    #: The budget: turns, and US dollars where set.
    max_turns: int
    max_usd: float | None = None


class RunSettled(_Event):
    """What a run comes to is fixed; sleeptime agents take their turns before it ends."""

    type: Literal["run_settled"] = "run_settled"
    run: str
    status: RunStatus
    output: str
    error: str | None


class RunResumed(_Event):
    """A run that had been cut off goes on."""

    type: Literal["run_resumed"] = "run_resumed"
    run: str


class TurnStarted(_Event):
    """An agent was activated."""

    type: Literal["turn_started"] = "turn_started"
    turn: str
    #: The run it is charged to; and all the runs whose writes woke it, that one first.
    run: str
    runs: tuple[str, ...]
    agent: str
    attempt: int
    causes: tuple[Cause, ...]


class TurnResumed(_Event):
    """A turn that had been cut off goes on, in another attempt."""

    type: Literal["turn_resumed"] = "turn_resumed"
    turn: str
    run: str
    runs: tuple[str, ...]
    agent: str
    attempt: int


class StepTaken(_Event):
    """A model answered; its tool calls come next."""

    type: Literal["step_taken"] = "step_taken"
    turn: str
    run: str
    agent: str
    step: int
    #: The version of each block that the model was shown, by key.
    shown: dict[str, int]
    text: str
    tool_calls: tuple[ToolCall, ...]
    usage: Usage


class ToolAnswered(_Event):
    """A tool call was answered."""

    type: Literal["tool_answered"] = "tool_answered"
    turn: str
    run: str
    agent: str
    step: int
    call: int
    name: str
    text: str
    ok: bool


class HandedOver(_Event):
    """An agent has handed control to another one; its turn ends in the same transaction."""

    type: Literal["handed_over"] = "handed_over"
    turn: str
    run: str
    runs: tuple[str, ...]
    agent: str
    to: str
    #: The block with the note, at the version that has it.
    key: str
    label: str
    version: int
    #: Which of the run's handoffs over this block it is, from 1.
    number: int


class TurnEnded(_Event):
    """A turn ended, for once and for all."""

    type: Literal["turn_ended"] = "turn_ended"
    turn: str
    run: str
    runs: tuple[str, ...]
    agent: str
    status: TurnStatus
    #: What it said at the end; and what went wrong, if something did.
    text: str
    error: str | None
    steps: int
    usage: Usage
    #: The latest version of each block that it was shown, by key.
    shown: dict[str, int]
    #: It was cut off with its process and is not resumed: what woke it is still to be answered.
    cut_off: bool = False


class RunEnded(_Event):
    """A run ended, for once and for all."""

    type: Literal["run_ended"] = "run_ended"
    run: str
    status: RunStatus
    output: str
    error: str | None


Event = Annotated[
    BlockCreated
    | BlockAttached
    | BlockDetached
    | BlockModified
    | BlockChanged
    | BlockDeleted
    | AgentCreated
    | AgentModified
    | AgentDeleted
    | ChangeRefused
    | HandedOver
    | RunStarted
    | RunSettled
    | RunResumed
    | TurnStarted
    | TurnResumed
    | StepTaken
    | ToolAnswered
    | TurnEnded
    | RunEnded,
    Field(discriminator="type"),
]

_EVENT: Final[TypeAdapter[Event]] = TypeAdapter(Event, config=ConfigDict(defer_build=True))


def event_to_json(event: Event) -> str:
    """The event as one line of JSON."""
    return event.model_dump_json()


def event_from_json(text: str | bytes) -> Event:
    """The event that `event_to_json` wrote; `pydantic.ValidationError` for anything else."""
    return _EVENT.validate_json(text)
