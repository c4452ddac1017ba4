"""A team at work, as a table on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from orchestrator.blocks import BlockState
from orchestrator.cli.lines import change, ending
from orchestrator.events import (
    BlockChanged,
    Event,
    HandedOver,
    StepTaken,
    ToolAnswered,
    TurnEnded,
    TurnResumed,
    TurnStarted,
)
from orchestrator.messages import ToolCall
from orchestrator.phrases import brief
from orchestrator.team import Team


@dataclass
class _AgentRow:
    name: str
    doing: str = "idle"
    style: str = "dim"
    busy: bool = False
    turns: int = 0
    #: Turns that ended badly, and tool calls in vain.
    failed: int = 0
    refused: int = 0
    #: What it has called in this step.
    calls: Sequence[ToolCall] = ()

    @property
    def in_vain(self) -> str:
        """What went wrong, counted: turns that ended badly, and tool calls that were refused or failed."""
        counts = ((self.failed, "turn"), (self.refused, "call"))
        return ", ".join(f"{count} {word}{'s' * (count > 1)}" for count, word in counts if count)

    def do(self, doing: str, style: str = "", *, busy: bool = True) -> None:
        self.doing, self.style, self.busy = doing, style, busy


@dataclass
class _BlockRow:
    name: str
    version: int
    size: int
    limit: int
    last: str = ""
    #: The number of the event of its last change.
    changed: int = 0


class View:
    """Shows one row for each agent and one for each block, while it is entered; then the last state stays.

    Call it with each event. Every text in it is shown as it is: no markup, no escapes.

    Args:
        stored: the blocks by name as they are now; without it, as they are declared.
    """

    def __init__(
        self, team: Team, console: Console | None = None, *, stored: Mapping[str, BlockState] | None = None
    ) -> None:
        self._agents = {agent.name: _AgentRow(agent.name) for agent in team.members}
        if stored is None:
            stored = {team.names[key]: team.initial_state(key) for key in team.blocks}
        self._blocks = {
            block.key: _BlockRow(name, block.version, len(block.value), block.limit) for name, block in stored.items()
        }
        self._spinner = Spinner("line")
        self._live = Live(self, console=console, refresh_per_second=8)

    def __enter__(self) -> View:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for row in self._agents.values():
            if row.busy:  # cancelled from outside
                row.do("stopped", "yellow", busy=False)
        self._live.stop()

    def __call__(self, event: Event) -> None:
        match event:
            case TurnStarted():
                self._row(event.agent).do("thinking, step 1")
            case TurnResumed():
                self._row(event.agent).do("thinking again, where it was")
            case StepTaken(tool_calls=[first, *_]):
                row = self._row(event.agent)
                row.calls = event.tool_calls
                row.do(f"calling {brief(first.name)}", "cyan")
            case ToolAnswered():
                row = self._row(event.agent)
                row.refused += not event.ok
                rest = row.calls[event.call + 1 :]
                if rest:
                    row.do(f"calling {brief(rest[0].name)}", "cyan")
                else:
                    row.do(f"thinking, step {event.step + 2}")
            case HandedOver():
                self._row(event.to).do(f"is next: {event.agent} handed over", busy=False)
            case TurnEnded():
                row = self._row(event.agent)
                row.turns += 1
                if event.status == "done":
                    row.do("idle", "dim", busy=False)
                else:
                    row.failed += 1
                    row.do(f"{ending(event)}: {brief(event.error or '')}", "red", busy=False)
            case BlockChanged():
                block = self._blocks[event.key]
                block.version, block.size, block.last = event.version, len(event.value), change(event)
                block.changed = event.seq
            case _:
                pass

    def _row(self, agent: str) -> _AgentRow:
        """The row of an agent; one that the owner made is not declared."""
        return self._agents.setdefault(agent, _AgentRow(agent))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        agents, blocks = list(self._agents.values()), list(self._blocks.values())
        # While it runs it must fit the terminal: then those who do something, and what changed last, come first.
        room = max(2, console.height - 6) if self._live.is_started else len(agents) + len(blocks)
        for_blocks = max(room // 2, room - len(agents))
        if len(blocks) > for_blocks:
            blocks.sort(key=lambda row: row.changed, reverse=True)
        for_agents = room - min(len(blocks), for_blocks)
        if len(agents) > for_agents:
            agents.sort(key=lambda row: row.doing == "idle")
        yield self._agent_table(agents[:for_agents])
        if blocks:
            yield ""
            yield self._block_table(blocks[:for_blocks])

    def _agent_table(self, rows: Sequence[_AgentRow]) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column("agent", no_wrap=True, min_width=min(30, max(5, *(len(row.name) for row in rows))))
        table.add_column("turns", justify="right", no_wrap=True, min_width=5)
        table.add_column("in vain", no_wrap=True, min_width=7)
        table.add_column("", width=1)
        table.add_column("doing", no_wrap=True, overflow="ellipsis")
        for row in rows:
            spinner = self._spinner if row.busy else ""
            table.add_row(
                Text(row.name), Text(f"{row.turns:,}"), Text(row.in_vain, "red"), spinner, Text(row.doing, row.style)
            )
        if len(rows) < len(self._agents):
            table.add_row(Text(f"and {len(self._agents) - len(rows):,} more", "dim"))
        return table

    def _block_table(self, rows: Sequence[_BlockRow]) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column("block", no_wrap=True, overflow="ellipsis")
        table.add_column("version", justify="right", no_wrap=True)
        table.add_column("characters", justify="right", no_wrap=True)
        table.add_column("last change", no_wrap=True, overflow="ellipsis")
        for row in rows:
            size = f"{row.size:,} of {row.limit:,}"
            table.add_row(Text(row.name), Text(f"{row.version:,}"), Text(size), Text(row.last))
        if len(rows) < len(self._blocks):
            table.add_row(Text(f"and {len(self._blocks) - len(rows):,} more", "dim"))
        return table
