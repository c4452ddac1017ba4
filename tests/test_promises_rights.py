"""P4 and P5: faults that are planted into rights and limits: each is found, and told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from planting import (
    KEY,
    changed,
    followed,
    found,
    limited,
    noted,
    pair,
    seen,
    version,
)

from orchestrator import Agent, Block, Orchestrator, Team
from orchestrator.blocks import Grant
from orchestrator.events import BlockAttached, BlockDeleted, BlockDetached, BlockModified
from orchestrator.ports import Attached

# --- P4


def granted(grant: str, agent: str = "bob") -> BlockAttached:
    return BlockAttached(seq=1, at=0.0, agent=agent, key=KEY, label="notes", grant=grant)


BOBS = "version 5 of block 'notes' (insert by bob in turn-3) was made, though"


async def test_a_write_without_a_grant_is_told():
    history = await noted()
    back = granted("insert")
    gone = BlockDetached(seq=1, at=0.0, agent="bob", key=KEY, label="notes")

    read = followed(followed(history, version(5), back, apart=True), version(4), granted("read"), apart=True)
    detached = followed(followed(history, version(5), back, apart=True), version(4), gone, apart=True)

    assert ("P4", f"{BOBS} bob was granted to read and not to insert") in found(read)
    assert ("P4", f"{BOBS} bob did not see the block") in found(detached)
    assert found(followed(history, version(2), back, apart=True)) == [
        (
            "P8",
            "version 2 of block 'notes' (insert by bob in turn-1) is not in one transaction with the answer of its"
            " tool",
        ),
        ("P8", "memory_insert in turn-1 of bob was answered, and changed nothing"),
    ], "the grant that it has anyway changes nothing, but it parts the change from its answer"


async def test_a_write_into_a_read_only_block_is_told():
    history = await noted()
    closed = BlockModified(seq=1, at=0.0, key=KEY, label="notes", limit=1000, read_only=True, description="")
    opened = closed.having(read_only=False)
    end = next(event for event in history.log if event.type == "turn_started" and event.turn == "turn-3")

    wrong = followed(followed(history, version(5), opened), lambda event: event == end, closed, apart=True)

    assert [what for promise, what in found(wrong) if promise == "P4"] == [f"{BOBS} the block was read-only"]


async def test_a_write_in_the_name_of_somebody_else_is_told():
    history = await noted()
    rows = history.revisions[KEY]

    def told(**fields: Any) -> list[str]:
        wrong = changed(history, version(4), **fields)
        other = replace(wrong, revisions={KEY: (*rows[:3], rows[3].having(**fields), rows[4])})
        return [what for promise, what in found(other) if promise == "P4"]

    made = "was made, though"
    assert told(by="bob") == [f"version 4 of block 'notes' (rethink by bob in turn-2) {made} turn-2 is a turn of ann"]
    assert told(turn=None) == [f"version 4 of block 'notes' (rethink by ann) {made} ann had no turn"]
    assert told(turn="turn-9") == [f"version 4 of block 'notes' (rethink by ann in turn-9) {made} turn-9 never started"]
    assert told(operation="undo") == [
        f"version 4 of block 'notes' (undo by ann in turn-2) {made} no agent may undo a block"
    ]


async def test_rights_are_stored_as_they_were_told():
    history = await noted()
    ann, bob = history.agents
    other = bob.having(attached=(Attached("notes", KEY, Grant.RETHINK),))
    head = history.blocks[KEY].having(read_only=True)

    assert found(replace(history, agents=(ann, other))) == [
        ("P4", "bob may rethink block 'notes' by the store, and insert by the log")
    ]
    assert found(replace(history, agents=(ann.having(attached=()), bob))) == [
        ("P4", "ann may not see block 'notes' by the store, and rethink by the log")
    ]
    assert found(replace(history, blocks={KEY: head})) == [
        ("P4", "block 'notes' is read-only by the store, and by the log it is otherwise")
    ]


async def test_rights_go_with_blocks_and_agents():
    notes, own = Block("notes", "tea"), Block("own")
    team = Team("pair", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes, own]), Agent("eve", blocks=[notes])])

    async def acts(live: Orchestrator) -> None:
        await live.agents.blocks.detach("ann", "notes")
        await live.agents.delete("bob")
        await live.blocks.delete("notes")

    history = await seen(team, {}, acts=acts)

    assert [(agent.name, agent.attached) for agent in history.agents] == [("ann", ()), ("eve", ())]
    assert [event.label for event in history.log if isinstance(event, BlockDeleted)] == ["own", "notes"]


# --- P5


async def test_a_text_that_is_longer_than_the_limit_is_told():
    history = await noted()
    first = limited(history, 30)

    wrong = followed(history, lambda event: event.type == "block_attached", first, apart=True)
    under = changed(history, version(3), limit=20)

    assert [what for promise, what in found(wrong) if promise == "P5"] == [
        "version 2 of block 'notes' (insert by bob in turn-1) was made under a limit of 1,000, while that of the block"
        " was 30",
        "version 3 of block 'notes' (insert by bob in turn-1) was made under a limit of 1,000, while that of the block"
        " was 30",
        "version 4 of block 'notes' (rethink by ann in turn-2) was made under a limit of 1,000, while that of the block"
        " was 30",
        "version 5 of block 'notes' (insert by bob in turn-3) has 37 characters, and its limit is 30",
        "block 'notes' has a limit of 1,000 by the store, and 30 by the log",
    ]
    assert found(under) == [
        ("P5", "version 3 of block 'notes' (insert by bob in turn-1) has 24 characters, and its limit is 20")
    ]


async def test_a_limit_is_never_less_than_the_text_that_is_there():
    history = await noted()
    head = history.blocks[KEY].having(limit=10)

    wrong = followed(replace(history, blocks={KEY: head}), lambda event: event is history.log[-1], limited(history, 10))

    assert found(wrong) == [
        ("P5", "block 'notes' has 37 characters, and was given a limit of 10"),
        ("P5", "block 'notes' has 37 characters, and its limit is 10"),
    ]


async def test_the_owner_may_give_a_block_a_smaller_limit_and_a_shorter_text_at_once():
    async def acts(live: Orchestrator) -> None:
        await live.blocks.modify("notes", value="tea", limit=3)

    history = await seen(pair(value="tea at four"), {}, acts=acts)

    assert (history.blocks[KEY].value, history.blocks[KEY].limit) == ("tea", 3)
