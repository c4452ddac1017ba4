"""What lies before whom: the reasons for a turn that wait for an answer, and what has been done about them."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.blocks import OWNER
from orchestrator.checks import FAILURES
from orchestrator.events import BlockChanged, BlockModified, Cause, ChangeRefused
from orchestrator.ports import Sleep
from orchestrator.team import WakeEntry

#: Changes that the engine makes for a turn; they do not call anybody.
BOOKKEEPING = ("claim", "release")

#: Why an insertion is refused because there is no room for it.
_FULL = ("over_limit", "not_archived")


class Write(NamedTuple):
    """A change of a block that an agent has not been shown yet."""

    label: str
    version: int
    by: str
    runs: tuple[str, ...]
    #: Which of the declared wakes; None for one of an agent that the owner made.
    wake: int | None


class Asked(NamedTuple):
    """Something that an agent has been asked to do, a message or a handoff, and the runs that it is for."""

    cause: Cause
    runs: tuple[str, ...]


class Refusal(NamedTuple):
    """A claim that the store refused, at which version of the block, and why."""

    version: int
    reason: str


@dataclass(slots=True)
class Count:
    """Turns of others, counted for a sleeptime agent since its last turn of this kind."""

    sleep: Sleep
    #: Which of the declared wakes; None for one of an agent that the owner made.
    wake: int | None
    turns: int = 0
    #: The runs that they worked for.
    runs: tuple[str, ...] = ()
    #: How many there were when its turn began.
    looked_at: int = 0
    #: The run before whose end the agent takes a turn, as nobody else has anything left to do.
    before: str | None = None

    @property
    def is_reached(self) -> bool:
        """Whether there were as many turns as the agent is woken after."""
        return self.sleep.every is not None and self.turns >= self.sleep.every

    def add(self, agent: str, runs: tuple[str, ...]) -> None:
        """A turn of another agent has ended."""
        if not self.sleep.by or agent in self.sleep.by:
            self.turns += 1
            self.runs = united(self.runs, runs)

    def begin_anew(self) -> None:
        """The sleeptime agent takes its turn."""
        self.looked_at = self.turns
        self.turns, self.runs, self.before = 0, (), None

    def take_back(self, runs: tuple[str, ...]) -> None:
        """Its turn came to nothing: what it was to look at is still to be looked at."""
        self.turns += self.looked_at
        self.runs = united(runs, self.runs) if self.turns else ()


@dataclass(slots=True)
class Desk:
    """What lies before one agent: messages, control that was handed over, changes, and turns of others to look at."""

    name: str
    messages: deque[Cause] = field(default_factory=deque)
    #: Handoffs, in order; and the one that its turn is for.
    handed: list[Asked] = field(default_factory=list)
    going_on: Asked | None = None
    #: Its last turn was for a handoff, so a message is next: neither can keep the other waiting for ever.
    message_is_next: bool = False
    #: The blocks that it does not see, although they might wake it.
    blind: set[str] = field(default_factory=set)
    #: Changes, by the key of the block.
    writes: dict[str, list[Write]] = field(default_factory=dict)
    counts: list[Count] = field(default_factory=list)
    #: Has a turn, started or only handed out; and one that has started.
    busy: bool = False
    at_work: bool = False

    @property
    def is_laden(self) -> bool:
        """Whether anything lies there."""
        if self.messages or self.handed or self.writes:
            return True
        return bool(self.counts) and any(count.is_reached or count.before for count in self.counts)

    @property
    def next_message(self) -> str | None:
        """The run of the message that is next."""
        return self.messages[0].run if self.messages else None

    def take_away(self, run: str | None) -> None:
        """The message of a run is being answered, or needs no answer."""
        if self.next_message == run:
            self.messages.popleft()
        else:  # that of a run that was cut off may lie before it
            self.messages = deque(message for message in self.messages if message.run != run)

    def go_on(self, cause: Cause, runs: Collection[str]) -> tuple[str, ...]:
        """A handoff is being answered by a turn for these runs; those that it was for."""
        meant = (cause.key, cause.version, cause.by)  # the number of its wake may be another one by now
        found = [asked for asked in self.handed if (asked.cause.key, asked.cause.version, asked.cause.by) == meant]
        # A note that says nothing new makes no version: several handoffs may have the same one, each for its runs.
        self.going_on = next((asked for asked in found if not set(asked.runs).isdisjoint(runs)), None)
        if self.going_on is None:  # its runs had ended when it was put here
            return ()
        self.handed.remove(self.going_on)
        return self.going_on.runs

    def end_run(self, run: str) -> None:
        """What only this run waited for needs no answer."""
        self.take_away(run)
        left = [asked._replace(runs=tuple(id for id in asked.runs if id != run)) for asked in self.handed]
        self.handed = [asked for asked in left if asked.runs]

    def write(self, event: BlockChanged, wake: int | None) -> None:
        """A change that wakes the agent."""
        write = Write(event.label, event.version, event.by, event.runs, wake)
        writes = self.writes.setdefault(event.key, [])
        if writes and writes[-1].runs == write.runs:  # one more for the same runs calls for nothing else
            writes.pop()
        writes.append(write)

    def was_shown(self, key: str, version: int) -> None:
        """The agent has seen the block at this version, so what is older needs no answer."""
        if key in self.writes:
            self.writes[key] = [write for write in self.writes[key] if write.version > version]
            if not self.writes[key]:
                del self.writes[key]


@dataclass(slots=True)
class Pool:
    """A wake that looks at a text, for one agent or several: what its block calls for, and what was done about it."""

    entry: WakeEntry
    text: str = ""
    limit: int = 0
    #: The version of the text; and of the last change that may call, with its author.
    current: int = 0
    version: int = 0
    by: str = ""
    #: How many turns the text calls for, and the runs that wait for them.
    wanted: int = 0
    runs: tuple[str, ...] = ()
    #: Turns that ended and were shown this version or a later one.
    answered: int = 0
    #: Turns for this wake that have started, and that were handed out only.
    running: int = 0
    starting: int = 0
    #: Members that are free, the one that has been idle longest first; and those whose claim was refused.
    idle: dict[str, None] = field(default_factory=dict)
    refused: dict[str, Refusal] = field(default_factory=dict)
    #: What its `when` or `claim` raised on this text, if it did.
    broken: str = ""

    @property
    def need(self) -> int:
        """How many more turns have to be started."""
        if self.broken:  # until somebody mends the text
            return 1
        if self.entry.wake.claim is not None:  # what was claimed is no longer asked for by the text
            return self.wanted - self.starting
        return self.wanted - self.answered - self.running - self.starting

    def changed(self, event: BlockChanged) -> None:
        """The block has a new text."""
        self.limit = event.limit
        if self.makes_room and event.by in self.entry.members:
            self._condensed(event)
            return
        is_answered = self.entry.wake.claim is None and self.answered >= self.wanted
        if event.operation not in BOOKKEEPING:
            self.version, self.by, self.answered = event.version, event.by, 0
        # Whoever wrote while the block called, or made it call, waits for the answer.
        waited = () if is_answered else self.runs
        self.look(event.value, event.version)
        self.runs = united(waited, event.runs) if self.wanted else ()

    def call(self) -> Cause:
        """Why a turn is to start."""
        wake, number = self.entry.wake, self.entry.number
        assert wake.block is not None, "a pool looks at a block"
        known = {"key": self.entry.key, "label": wake.block.label, "version": self.version, "by": self.by}
        return Cause.made(kind="full" if self.makes_room else "call", **known, wake=number)

    @property
    def makes_room(self) -> bool:
        """Whether it looks at how full the block is."""
        return self.entry.wake.full is not None

    def _condensed(self, event: BlockChanged) -> None:
        """One of those who make room has written: they know how long their own text is."""
        called = self.wanted
        self.look(event.value, event.version)
        self.wanted = min(called, self.wanted)
        self.runs = self.runs if self.wanted else ()

    def modified(self, event: BlockModified) -> None:
        """The block may have another limit: there is room again, or no longer. A claim may be refused no more."""
        self.refused.clear()
        if not self.makes_room or event.limit == self.limit:
            return
        called, self.limit = self.wanted, event.limit
        self.look(self.text, self.current)
        if self.wanted > called:
            self.version, self.by, self.answered = self.current, OWNER, 0
        if not self.wanted:
            self.runs = ()

    def turned_away(self, event: ChangeRefused) -> None:
        """A change was refused: where an insertion found no room, that calls, once for each version of the text."""
        found_no_room = event.code in _FULL and event.operation in ("insert", "archive")
        if not self.makes_room or not found_no_room or event.by in self.entry.members:
            return
        if self.version < self.current:  # written by those who make room, and not known to be too long until now
            self.version, self.by, self.answered = self.current, event.by, 0
        self.wanted, self.runs = 1, united(self.runs, (event.run,) if event.run else ())

    def look(self, text: str, version: int) -> None:
        """See what the text calls for."""
        self.text, self.current, self.broken = text, version, ""
        try:
            self.wanted = max(0, self._called(text, self.limit))
        except FAILURES as error:  # a user's function: the run that needs its answer fails, nothing else
            self.wanted, self.broken = 1, f"when= raised {type(error).__name__}: {error}"

    def would_call(self, text: str, limit: int) -> bool:
        """Whether the block would call for somebody if it had this text and this limit."""
        try:
            return self._called(text, limit) > 0
        except FAILURES:  # then somebody has to be told
            return True

    def would_be_full(self, limit: int) -> bool:
        """Whether this limit would call those who make room."""
        return self.makes_room and not self.wanted and self._called(self.text, limit) > 0

    def _called(self, text: str, limit: int) -> int:
        """How many turns the text calls for."""
        wake = self.entry.wake
        if wake.full is not None:
            return int(len(text) / limit > wake.full)
        assert wake.when is not None, "a pool is a wake that looks at the text"
        return int(wake.when(text))

    def can_claim(self, agent: str) -> bool:
        """Whether there is something to take for the agent, as far as the text tells."""
        claim = self.entry.wake.claim
        if claim is None:
            return True
        if self.broken or self._is_refused(agent):
            return False
        try:
            return claim(self.text, agent) not in (None, self.text)
        except FAILURES as error:  # as above
            self.broken = f"claim= raised {type(error).__name__}: {error}"
            return False

    @property
    def why_not(self) -> str:
        """Why nobody answers."""
        refusals = {refusal.reason for agent, refusal in self.refused.items() if self._is_refused(agent)}
        return self.broken or "; ".join(sorted(refusals)) or "none of them can take anything from it"

    def _is_refused(self, agent: str) -> bool:
        refusal = self.refused.get(agent)
        return refusal is not None and refusal.version >= self.current


def united(first: tuple[str, ...], *others: tuple[str, ...]) -> tuple[str, ...]:
    """The runs of all, each once, in order."""
    return tuple(dict.fromkeys((*first, *(id for ids in others for id in ids))))
