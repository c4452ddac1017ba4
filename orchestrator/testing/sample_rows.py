"""Rows to write to a store under test, and how to look at all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from orchestrator.blocks import BlockState, Grant, Revision
from orchestrator.events import Cause, RunEnded, RunStatus
from orchestrator.messages import AssistantMessage, Message, ToolCall, ToolMessage, Usage, UserMessage
from orchestrator.ports import (
    AgentRecord,
    Attached,
    Effect,
    JournalEntry,
    ModelResponse,
    Reader,
    RunRecord,
    Store,
    Transaction,
    TurnRecord,
)


class Planned(Exception):
    """Raised inside a transaction to see that nothing of it stays."""


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[None]:
    await store.open()
    try:
        yield
    finally:
        await store.close()


@contextmanager
def raises(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")


def a_block(value: str, version: int, key: str = "t:notes") -> BlockState:
    return BlockState(
        key=key, label="notes", value=value, limit=10_000, version=version, tags=("a", "b"), metadata={"n": [1, None]}
    )


def a_revision(value: str, version: int) -> Revision:
    return Revision(version=version, value=value, operation="insert", by="ann", turn="turn-1", at=1.5)


def write(tx: Transaction, value: str, key: str = "t:notes") -> None:
    block = tx.block(key)
    version = block.version + 1 if block else 1
    tx.put_block(a_block(value, version, key), a_revision(value, version))


def write_version(tx: Transaction, version: int, key: str = "t:notes") -> None:
    tx.put_block(a_block("x", version, key), a_revision("x", version))


def put_agent(tx: Transaction, name: str) -> None:
    tx.put_agent(AgentRecord(name=name))


def put_run(tx: Transaction, id: str, status: RunStatus) -> None:
    tx.put_run(RunRecord(id=id, agent="ann", text="", status=status))


def names(rows: Reader) -> list[str]:
    return [*(block.key for block in rows.blocks()), *(agent.name for agent in rows.agents())]


def log_end(tx: Transaction, seq: int) -> None:
    tx.add_event(an_end(seq))


def a_turn() -> TurnRecord:
    cause = Cause(kind="change", key="t:notes", label="notes", version=3, by="bob", wake=0)
    return TurnRecord(id="turn-1", run="run-1", runs=("run-1",), agent="ann", causes=(cause,), usage=Usage(cost=0.25))


def an_entry() -> JournalEntry:
    calls = (ToolCall("lookup", {"city": "Zürich"}, "c1"), ToolCall("raw", '{"half', "c2"))
    return JournalEntry(response=ModelResponse("text", calls), shown={"t:notes": 3})


def some_messages() -> list[Message]:
    return [
        UserMessage(text="hello"),
        AssistantMessage(text="", tool_calls=an_entry().response.tool_calls),
        ToolMessage(call="c1", name="lookup", text="sunny", ok=False),
    ]


def an_end(seq: int) -> RunEnded:
    return RunEnded(seq=seq, at=1.5, run="run-1", status="complete", output="", error=None)


def write_everything(tx: Transaction) -> None:
    write(tx, "text")
    tx.put_agent(AgentRecord(name="ann", attached=(Attached("notes", "t:notes", Grant.INSERT),)))
    tx.put_run(RunRecord(id="run-1", agent="ann", text="hello"))
    tx.put_turn(a_turn())
    for message in some_messages():
        tx.add_message("ann", message)
    tx.put_journal("turn-1", 0, an_entry())
    tx.put_effect("run-1/turn-1/0/0", Effect(text="Done.", ok=True))
    tx.add_event(an_end(tx.next_seq()))


def everything(rows: Reader) -> tuple[Any, ...]:
    return (
        [list(rows.blocks()), list(rows.agents()), list(rows.runs())],
        rows.agent("ann"),
        rows.run("run-1"),
        rows.turn("turn-1"),
        list(rows.turns("run-1")),
        list(rows.messages("ann")),
        rows.journal("turn-1", 0),
        rows.effect("run-1/turn-1/0/0"),
    )
