"""Faults that are planted into what happened to blocks: each is found, and told by its promise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from planting import (
    KEY,
    changed,
    followed,
    found,
    noted,
    pair,
    relogged,
    reworded,
    seen,
    version,
    without,
)

from orchestrator import Agent, Block, Team
from orchestrator.events import BlockCreated, BlockDeleted
from orchestrator.testing import edit, violations

# --- P1


async def test_an_insertion_that_was_written_over_by_the_next_one_is_lost():
    history = await noted()

    wrong = reworded(history, KEY, {3: "cake at five", 4: "cake at five", 5: "cake at five\ncards at six"})

    assert found(wrong) == [
        (
            "P1",
            "version 3 of block 'notes' (insert by bob in turn-1) lost 'tea at four', which bob had added in version 2",
        )
    ]
    (violation,) = violations(wrong)
    assert (violation.block, len(violation.events)) == (KEY, 1)
    assert wrong.log[violation.events[0] - 1].version == 3


async def test_a_rewrite_that_removes_what_its_author_was_never_shown_loses_it():
    history = await noted()
    step = next(event for event in history.log if event.type == "step_taken" and event.agent == "ann")

    stale = changed(history, lambda event: event == step, shown={KEY: 2})
    wrong = reworded(stale, KEY, {4: "tea at four", 5: "tea at four\ncards at six"})

    assert found(stale) == [], "what it was never shown is still there"
    assert found(wrong) == [
        (
            "P1",
            "version 4 of block 'notes' (rethink by ann in turn-2) lost 'cake at five', which bob had added in version"
            " 3; ann was shown version 2",
        )
    ]


async def test_a_rewrite_by_who_was_never_shown_the_block_may_remove_nothing():
    history = await noted()
    step = next(event for event in history.log if event.type == "step_taken" and event.agent == "ann")

    wrong = reworded(changed(history, lambda event: event == step, shown={}), KEY, {4: "cake at five"})

    assert [what for _, what in found(wrong)] == [
        "version 4 of block 'notes' (rethink by ann in turn-2) lost 'tea at four', which bob had added in version 2;"
        " ann was never shown the block"
    ]


async def test_a_rewrite_may_remove_what_its_author_has_seen_or_written_itself():
    script = {
        "ann": [
            edit("memory_insert", "notes", new_string="a draft"),
            edit("memory_rethink", "notes", new_memory=""),
            "tidied",
        ]
    }
    seen_before = await noted()
    written_since = await seen(pair(), script, "ann")
    steps = [event for event in written_since.log if event.type == "step_taken"]

    assert found(reworded(seen_before, KEY, {4: "", 5: "cards at six"})) == []
    assert found(changed(written_since, lambda event: event in steps, shown={KEY: 1})) == []


async def test_the_last_write_wins_where_that_is_declared():
    history = await noted(rethink="last_write_wins")
    step = next(event for event in history.log if event.type == "step_taken" and event.agent == "ann")

    stale = reworded(changed(history, lambda event: event == step, shown={KEY: 1}), KEY, {4: "", 5: "cards at six"})

    assert found(stale) == []
    assert found(replace(stale, team=None)) == [], "the stored block says so, too"


async def test_an_insertion_whose_text_is_not_there_is_told():
    history = await noted()

    wrong = reworded(history, KEY, {5: "cake at five\ntea at four\nnothing of that kind"})

    assert found(wrong) == [
        (
            "P1",
            "version 5 of block 'notes' (insert by bob in turn-3) was acknowledged, and does not have the text"
            " 'cards at six'",
        )
    ]


async def test_a_replacement_removes_the_text_that_it_names_and_nothing_else():
    notes = Block("notes", "tea at four\ncake at five\ncards at six")
    script = {"ann": [edit("memory_replace", "notes", old_string="cake at five", new_string="pie at five"), "done"]}
    history = await seen(Team("pair", [Agent("ann", blocks=[notes])]), script, "ann")

    wrong = reworded(history, "pair:ann/notes", {2: "tea at four\npie at five"})

    assert found(wrong) == [
        (
            "P1",
            "version 2 of block 'ann/notes' (replace by ann in turn-1) lost 'cards at six',"
            " which owner had added in version 1",
        )
    ]


def overflowing() -> Team:
    old = Block("old", limit=1000)
    notes = Block("notes", limit=20, overflow=old)
    return Team("pair", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes])])


async def overflowed() -> Any:
    """Bob's second insertion, version 3 of notes, moves ann's line to the archive, as its version 2."""
    script = {
        "ann": [edit("memory_insert", "notes", new_string="tea at four"), "noted"],
        "bob": [edit("memory_insert", "notes", new_string="cake at five"), "noted"],
    }
    return await seen(overflowing(), script, "ann", "bob")


async def test_what_overflows_is_in_the_archive_or_lost():
    history = await overflowed()

    wrong = reworded(history, "pair:old", {2: "something else"})

    assert history.blocks["pair:old"].value == "tea at four"
    assert found(wrong) == [
        (
            "P1",
            "version 3 of block 'notes' (insert by bob in turn-2) lost 'tea at four', which ann had added in version 2",
        )
    ]


async def test_an_archive_is_written_with_the_insertion_or_what_moved_there_is_lost():
    history = await overflowed()
    at = next(at for at, commit in enumerate(history.commits) if any(map(version(2, "pair:old"), commit)))
    first, *rest = history.commits[at]

    apart = relogged(history, [*history.commits[:at], [first], rest, *history.commits[at + 1 :]])

    assert found(apart) == [
        (
            "P1",
            "version 3 of block 'notes' (insert by bob in turn-2) lost 'tea at four', which ann had added in version 2",
        ),
        ("P8", "version 2 of block 'old' (archive by engine in turn-2) is not in one transaction with an insertion"),
    ]


async def test_what_was_acknowledged_is_in_the_log_as_it_was():
    history = await noted()
    last = history.log[-1]
    promised = next(event for event in history.log if version(5)(event)).having(seq=len(history.log) + 1, version=6)

    gone = replace(history, acknowledged=(*history.acknowledged, promised))
    other = replace(history, acknowledged=(*history.acknowledged[:-1], last.having(output="something else")))

    assert found(gone) == [
        (
            "P1",
            f"event {promised.seq} (version 6 of block 'notes' (insert by bob in turn-3)) was acknowledged,"
            " and is not in the log",
        )
    ]
    assert found(other) == [
        (
            "P1",
            f"event {last.seq} (run ended) was acknowledged, and the log has another event with its number:"
            f" event {last.seq} (run ended)",
        )
    ]


async def test_a_log_has_no_gaps():
    history = await noted()
    log = (*history.log[:-1], history.log[-1].having(seq=len(history.log) + 1))

    gap = replace(history, log=log, acknowledged=log, commits=())

    assert found(gap) == [("P1", f"the log has event {len(log) + 1} in place {len(log)}")]


# --- P2


async def test_a_block_is_what_its_history_says_last():
    history = await noted()
    head = history.blocks[KEY]

    def with_head(**fields: Any) -> Any:
        return replace(history, blocks={KEY: head.having(**fields)})

    where = "block 'notes' stands at version 5, with another"
    assert found(with_head(value="tea")) == [("P2", f"{where} text than version 5 of its history, by bob")]
    assert found(with_head(by="ann")) == [("P2", f"{where} author than version 5 of its history, by bob")]
    assert found(with_head(version=6)) == [
        ("P2", "block 'notes' stands at version 6, with another version than version 5 of its history, by bob")
    ]
    assert found(replace(history, blocks={})) == [("P2", "block 'notes' is not there, and by the log it is")]


@pytest.mark.parametrize(
    ("field", "other", "word"),
    [("value", "x", "text"), ("by", "eve", "author"), ("operation", "undo", "operation"), ("turn", "x", "turn")],
)
async def test_the_history_has_author_operation_turn_and_text_of_each_version(field: str, other: str, word: str):
    history = await noted()
    rows = [row.having(**{field: other}) if row.version == 3 else row for row in history.revisions[KEY]]

    wrong = replace(history, revisions={KEY: tuple(rows)})

    assert found(wrong) == [
        ("P2", f"version 3 of block 'notes' (insert by bob in turn-1) has another {word} in the history of the block")
    ]


async def test_versions_that_are_swapped_in_the_log_are_told():
    history = await noted()
    commits = list(history.commits)
    second, third = (
        next(at for at, commit in enumerate(commits) if any(map(version(number), commit))) for number in (2, 3)
    )
    commits[second], commits[third] = commits[third], commits[second]

    wrong = relogged(history, commits)

    assert found(wrong) == [
        ("P2", "the log has version 3 of block 'notes' after version 1"),
        ("P2", "the log has version 2 of block 'notes' after version 3"),
        ("P2", "the log has version 4 of block 'notes' after version 2"),
    ]


async def test_a_version_that_is_missing_or_twice_in_the_history_is_told():
    history = await noted()
    rows = history.revisions[KEY]

    gap = replace(history, revisions={KEY: (*rows[:2], *rows[3:])})
    twice = replace(history, revisions={KEY: (*rows[:3], *rows[2:])})
    short = replace(history, revisions={KEY: rows[:4]}, blocks={KEY: history.blocks[KEY].having(version=4)})

    assert found(gap) == [
        ("P2", "the history of block 'notes' has version 4 after version 2"),
        ("P2", "version 3 of block 'notes' (insert by bob in turn-1) is not in the history of the block"),
    ]
    assert found(twice) == [("P2", "the history of block 'notes' has version 3 after version 3")]
    assert ("P2", "block 'notes' has version 5 by the log, and version 4 by its history") in found(short)


async def test_a_block_lives_from_its_creation_to_its_deletion():
    history = await noted()
    created = next(event for event in history.log if isinstance(event, BlockCreated))
    deleted = BlockDeleted(seq=1, at=0.0, key=KEY, label="notes")

    unborn = without(history, lambda event: event is created)
    born_twice = followed(history, lambda event: event is created, created.having(version=2))
    dead_twice = followed(history, version(5), deleted, deleted, apart=True)

    assert ("P2", "block 'notes' was changed while it was not there") in found(unborn)
    assert ("P2", "block 'notes' was created while it was there") in found(born_twice)
    assert ("P2", "block 'notes' was deleted while it was not there") in found(dead_twice)
    assert ("P2", "block 'notes' is there, and by the log it is not") in found(dead_twice)


async def test_a_created_block_has_its_text_in_the_history():
    history = await noted()
    rows = history.revisions[KEY]

    wrong = replace(history, revisions={KEY: (rows[0].having(value="before"), *rows[1:])})

    assert found(wrong) == [("P2", "version 1 of block 'notes' has another text in the history of the block")]


async def test_a_block_is_called_as_its_agents_call_it():
    script = {"ann": [edit("memory_insert", "notes", new_string="tea"), "done"]}
    team = Team("pair", [Agent(name, blocks=[Block("notes")]) for name in ("ann", "bob")])
    own = await seen(team, script, "ann")
    shared = Block("notes", key="shared-notes")
    keyed = await seen(Team("pair", [Agent(name, blocks=[shared]) for name in ("ann", "bob")]), script, "ann")

    for history, key, name in ((own, "pair:ann/notes", "ann/notes"), (keyed, "pair:shared-notes", "notes")):
        (violation,) = violations(changed(history, version(2, key), limit=2))
        assert (
            violation.what
            == f"version 2 of block '{name}' (insert by ann in turn-1) has 3 characters, and its limit is 2"
        )
        assert violation.block == key
