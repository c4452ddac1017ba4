"""What the engine asks of a model and of a store, and what each must guarantee."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

from orchestrator.blocks import BlockState, Grant, Revision
from orchestrator.environment import Environment
from orchestrator.events import Cause, Event, RunStatus, TurnStatus
from orchestrator.messages import Message, ToolCall, ToolSpec, Usage
from orchestrator.records import Record

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One model call: everything the model will read.

    Adapters send `system` first, then `messages`, then `tail` as user content after all tool results
    (inside the same message where a provider wants that), with the cache breakpoint before it.
    """

    agent: str
    system: str = ""
    messages: tuple[Message, ...] = ()
    #: The shared blocks as they are now. It is not kept in the history.
    tail: str = ""
    #: The blocks that `system` and `tail` show, as stored, by label.
    blocks: Mapping[str, str] = field(default_factory=dict)
    tools: tuple[ToolSpec, ...] = ()
    run: str = ""
    turn: str = ""
    #: 0 for the first call of a turn.
    step: int = 0


class ModelResponse(Record):
    """What a model answered: text, calls of tools, or both. Without calls it ends the turn."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()

    def __init__(self, text: str = "", tool_calls: Sequence[ToolCall] = (), usage: Usage = Usage()) -> None:
        super().__init__(text=text, tool_calls=tuple(tool_calls), usage=usage)


class Model(Protocol):
    """Answers requests, many at a time."""

    async def respond(self, request: ModelRequest) -> ModelResponse:
        """Answer the request.

        Must be cancellable: a cancelled call leaves nothing running. Raises `ModelError` when there is
        no answer; the turn then ends as failed. Must not keep state between calls that an answer
        depends on: after a crash a request may be made again.
        """
        ...


class Attached(NamedTuple):
    """A block that an agent sees, and what the agent may do with it."""

    label: str
    key: str
    grant: Grant


class Sleep(NamedTuple):
    """What wakes a sleeptime agent: so many turns of others, quiescence, or both; and whose turns count (none: all)."""

    every: int | None
    idle: bool
    by: tuple[str, ...]


class AgentSettings(Record):
    """What is known of an agent that its owner made while the team was live, so that it can be made again."""

    instructions: tuple[str, ...] = ()
    #: The name of its model; one that was given as an object is not known.
    model: str | None = None
    #: The names of its tools besides the memory tools.
    tools: tuple[str, ...] = ()
    #: The blocks that wake it, by key, each with the names whose changes count (none for everybody's).
    wakes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    sleeps: tuple[Sleep, ...] = ()
    max_steps: int
    timeout: float


class AgentRecord(Record):
    """An agent as stored: which blocks it sees, in order."""

    name: str
    attached: tuple[Attached, ...] = ()
    #: What its owner attached besides what is declared, and the keys of the blocks that its owner detached.
    added: tuple[Attached, ...] = ()
    detached: tuple[str, ...] = ()
    #: Of an agent that no code declares.
    settings: AgentSettings | None = None


class RunRecord(Record):
    """A run as stored. One that is "running" while nobody has the store open was cut off."""

    id: str
    agent: str
    text: str
    status: RunStatus = "running"
    #: What it will end as, once that is fixed; sleeptime agents may still take turns. Output and error are fixed then.
    settled: RunStatus | None = None
    output: str = ""
    error: str | None = None
    #: When it was opened, in Unix seconds; and what it may spend.
    at: float = 0.0
    max_turns: int = 1000
    max_usd: float | None = None
    max_seconds: float | None = None


class TurnRecord(Record):
    """A turn as stored. `status` and `attempt` are the fence against whoever believes it is still theirs."""

    id: str
    run: str
    #: All the runs it works for, the one it is charged to first.
    runs: tuple[str, ...]
    agent: str
    attempt: int = 1
    status: TurnStatus = "running"
    causes: tuple[Cause, ...] = ()
    #: Whether a task (or the like) was claimed for it when it started, and went back when it ended.
    claimed: bool = False
    given_back: bool = False
    #: Whom it handed control to at its end, and by which block.
    handed_to: str | None = None
    handed_by: str | None = None
    text: str = ""
    error: str | None = None
    steps: int = 0
    usage: Usage = Usage()

    @property
    def is_tidying(self) -> bool:
        """Whether it only tidies up behind others: it never changes what a run comes to."""
        return all(cause.is_tidying for cause in self.causes)


class JournalEntry(Record):
    """A model's answer, recorded before its tool calls run, with the version of each block it had seen."""

    response: ModelResponse
    shown: dict[str, int]


class Effect(Record):
    """What a tool call came to, recorded in the transaction of its effect, under its key."""

    text: str
    ok: bool


class Reader(Protocol):
    """A consistent view of a store: nothing in it changes while it is used."""

    def block(self, key: str) -> BlockState | None:
        """The block as it is now."""
        ...

    def blocks(self) -> Iterable[BlockState]:
        """All blocks, in the order of their creation."""
        ...

    def revisions(self, key: str, after: int = 0) -> Iterable[Revision]:
        """The revisions of a block with a greater version, newest first."""
        ...

    def agent(self, name: str) -> AgentRecord | None:
        """The agent as stored."""
        ...

    def agents(self) -> Iterable[AgentRecord]:
        """All agents, in the order in which they were first written."""
        ...

    def run(self, id: str) -> RunRecord | None:
        """The run as stored."""
        ...

    def runs(self, status: RunStatus | None = None) -> Iterable[RunRecord]:
        """The runs, or those with this status, in the order in which they were opened."""
        ...

    def turn(self, id: str) -> TurnRecord | None:
        """The turn as stored."""
        ...

    def turns(self, run: str) -> Sequence[TurnRecord]:
        """The turns that work for a run, whichever is charged for them, in the order in which they started."""
        ...

    def messages(self, agent: str) -> Sequence[Message]:
        """What the agent and its models, users and tools have said, oldest first."""
        ...

    def journal(self, turn: str, step: int) -> JournalEntry | None:
        """The recorded answer of a step."""
        ...

    def effect(self, key: str) -> Effect | None:
        """What the tool call with this key came to."""
        ...


class Transaction(Reader, Protocol):
    """A view of a store that may be written to; reads see the writes before them."""

    def put_block(self, block: BlockState, revision: Revision | None = None) -> None:
        """Write a block's head and, unless its text stays as it is, the history row of its version.

        `StoreError` if that version is not the next one.
        """
        ...

    def delete_block(self, key: str) -> None:
        """Remove a block; its history stays. A block that is written under the same key later goes on with it."""
        ...

    def put_agent(self, agent: AgentRecord) -> None:
        """Write an agent."""
        ...

    def delete_agent(self, name: str) -> None:
        """Remove an agent, and what was said to and by it."""
        ...

    def put_run(self, run: RunRecord) -> None:
        """Write a run."""
        ...

    def put_turn(self, turn: TurnRecord) -> None:
        """Write a turn."""
        ...

    def add_message(self, agent: str, message: Message) -> None:
        """Add to what was said to or by an agent."""
        ...

    def put_journal(self, turn: str, step: int, entry: JournalEntry) -> None:
        """Record the answer of a step; `StoreError` if there is one."""
        ...

    def put_effect(self, key: str, effect: Effect) -> None:
        """Record what a tool call came to; `StoreError` if that is known already."""
        ...

    def next_seq(self) -> int:
        """The number that the next event must have."""
        ...

    def add_event(self, event: Event) -> None:
        """Add to the log; `StoreError` if its number is not the next one."""
        ...


class Committed(NamedTuple, Generic[T]):
    """The result of a transaction, and the events that were written in it."""

    result: T
    events: tuple[Event, ...]


class Store(Protocol):
    """Keeps what happened. Blocks, history and log never disagree, because they are written together.

    One orchestrator at a time writes to a store, and puts its events in order; so it is opened, and closed.
    `orchestrator.testing.StoreContract` is its test suite.
    """

    async def open(self, environment: Environment | None = None) -> None:
        """Make it one's own to write to; `StoreError` if somebody else has it open. Reading needs no opening.

        What may block is run by `environment`, until it is closed; by default by an `Environment` of its own.
        """
        ...

    async def transact(self, work: Callable[[Transaction], T]) -> Committed[T]:
        """Run `work` alone and commit what it wrote, or, if it raises, write nothing and raise the same.

        All writes become visible, and survive what the store promises to survive, at once, before this
        returns. `work` is synchronous and quick, and may be called again if a commit has to be repeated.
        Cancellation takes effect before anything is written or not at all.
        """
        ...

    async def read(self, work: Callable[[Reader], T]) -> T:
        """Run `work` on a view that holds everything that was committed before the call."""
        ...

    async def events(self, after: int = 0, limit: int = 1000) -> list[Event]:
        """The events with a greater number, in order, at most `limit` of them."""
        ...

    async def close(self) -> None:
        """Give back what the store holds open, so that it can be opened again. May be called twice.

        What was committed stays, and can still be read: watchers catch up.
        """
        ...
