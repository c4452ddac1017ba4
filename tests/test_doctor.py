"""What is found in a store that a team has used."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from doctored import NewStore, codes, insert, looked, only, rethink, shared, used

from orchestrator import (
    Agent,
    Block,
    Budget,
    ModelError,
    Orchestrator,
    Team,
    ToolError,
    Wake,
    tool,
)
from orchestrator.checking.doctor import diagnose
from orchestrator.edits import Update
from orchestrator.ports import RunRecord, Transaction
from orchestrator.stores import MemoryStore
from orchestrator.testing import Say, ScriptedModel, call, edit, simulated_time, together
from orchestrator.tools import BlockEdit


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


# --- a store that is well


async def test_a_team_that_did_well_has_nothing_to_mend(new_store: NewStore) -> None:
    notes = Block("notes", "start")
    diagnosis = await used(
        new_store(), shared("ann", "bob", block=notes), {"ann": [insert("a"), "ok"], "bob": ["ok"]}, "ann", "bob"
    )

    (block,) = diagnosis.blocks
    assert (block.name, block.key, block.version, block.by) == ("notes", "pair:notes", 2, "ann")
    assert (block.characters, block.limit, block.read_only) == (7, 20_000, False)
    assert block.agents == (("ann", "rethink", 2), ("bob", "rethink", 1))
    assert codes(diagnosis) == ["D303"]
    assert only(diagnosis, "D303").place == "agent 'bob'"
    assert only(diagnosis, "D303").reason == "it was last shown version 1 of 'notes', which is at 2 (by ann)"
    assert diagnosis.passes(strict=True)
    assert diagnosis.document() | {"errors": 0, "warnings": 0, "notes": 1} == diagnosis.document()
    assert json.loads(json.dumps(diagnosis.document()))["blocks"][0]["agents"][0] == ["ann", "rethink", 2]


async def test_a_store_that_nobody_has_used_yet_is_well(new_store: NewStore) -> None:
    diagnosis = await used(new_store(), shared("ann", block=Block("notes")), {})

    assert only(diagnosis, "D303").reason == "it has taken no step yet, and was shown none of its blocks"
    assert codes(diagnosis) == ["D303"]


async def test_a_store_may_be_written_to_while_it_is_looked_at() -> None:
    class Busy(MemoryStore):
        """Somebody writes after each look at the log that finds nothing more, and before each look at the rows."""

        writes = 0
        is_quiet = True

        async def read(self, work: Any) -> Any:
            await self.write()
            return await super().read(work)

        async def events(self, after: int = 0, limit: int = 1000) -> Any:
            found = await super().events(after, limit)
            if not found:
                await self.write()
            return found

        async def write(self) -> None:
            if not self.is_quiet:
                self.is_quiet = True  # the owner looks before it writes
                self.writes += 1
                await live.blocks.create(f"other-{self.writes}")
                await live.blocks.modify("notes", value=f"text {self.writes}")
                self.is_quiet = False

    store = Busy()
    async with Orchestrator(shared("ann", "bob", block=Block("notes")), store, model=ScriptedModel({})) as live:
        store.is_quiet = False
        diagnosis = await diagnose(store, cut_off=False)
        store.is_quiet = True
        last = (await live.blocks.retrieve("notes")).version

    assert diagnosis.of("error") == ()
    assert [block.name for block in diagnosis.blocks] == ["notes", "other-1", "other-2"]
    assert (diagnosis.blocks[0].version, last) == (3, 1 + store.writes)
    assert last > 5, "it was written to until the end"


# --- who overwrote whom


async def test_what_was_overwritten_unseen_is_an_error_with_the_lines_and_the_way_back(new_store: NewStore) -> None:
    notes = Block("notes", "start", rethink="last_write_wins")
    script = {
        "ann": [rethink("start\nann's plan", after=10), "ok"],
        "bob": [insert("origin: MemGPT"), insert("use: coordination", after=1), "ok"],
    }
    store = new_store()
    diagnosis = await used(store, shared("ann", "bob", block=notes), script, "ann", "bob")

    finding = only(diagnosis, "D101")
    assert (finding.severity, finding.place) == ("error", "block 'notes'")
    assert finding.reason == (
        "version 4, a rethink by ann, was based on version 1 and removed 2 lines that ann had never been shown:"
        " 'origin: MemGPT' (by bob in version 2), 'use: coordination' (by bob in version 3)"
    )
    assert finding.mend == (
        "orchestrator blocks show notes --version 3 --store PATH has them; write them back with:"
        " orchestrator blocks set notes, or take the rewrite back: await live.blocks.undo('notes', to=3);"
        " then declare the block with rethink='if_unchanged'"
    )
    (overwriting,) = diagnosis.overwritten
    assert (overwriting.shown, overwriting.version, overwriting.by, overwriting.removed) == (1, 4, "ann", ())
    assert [tuple(line) for line in overwriting.unseen] == [
        ("origin: MemGPT", "bob", 2),
        ("use: coordination", "bob", 3),
    ]
    assert not diagnosis.passes()
    assert diagnosis.findings[0] is finding, "the gravest first"


async def test_the_way_back_that_is_told_brings_the_lines_back(new_store: NewStore) -> None:
    notes = Block("notes", "start", rethink="last_write_wins")
    team, store = shared("ann", "bob", block=notes), new_store()
    script = {"ann": [rethink("mine", after=10), "ok"], "bob": [insert("origin: MemGPT"), "ok"]}
    await used(store, team, script, "ann", "bob")

    async with Orchestrator(team, store, model=ScriptedModel({})) as live:
        assert (await live.blocks.undo("notes", to=2)).value == "start\norigin: MemGPT"
    later = await looked(store)
    assert "(it also takes back what came after version 3)" in only(later, "D101").mend


async def test_a_removal_that_was_undone_unseen_is_an_error_too(new_store: NewStore) -> None:
    notes = Block("notes", "start\nwrong", rethink="last_write_wins")
    script = {
        "ann": [rethink("start\nwrong\nmine", after=10), "ok"],
        "bob": [edit("memory_replace", "notes", old_string="\nwrong", new_string=""), "ok"],
    }
    diagnosis = await used(new_store(), shared("ann", "bob", block=notes), script, "ann", "bob")

    assert only(diagnosis, "D101").reason == (
        "version 3, a rethink by ann, was based on version 1 and brought back what others had removed meanwhile:"
        " 'wrong'"
    )
    assert diagnosis.overwritten[0].brought_back == ("wrong",)


async def test_what_was_rewritten_by_who_had_been_shown_it_is_a_note(new_store: NewStore) -> None:
    notes = Block("notes", "start")
    script = {"ann": [insert("a\nb"), "ok"], "cy": [rethink("start\nb", after=10), rethink("tidy", after=1), "ok"]}
    diagnosis = await used(new_store(), shared("ann", "cy", block=notes), script, "ann", then=tidied(script))

    finding = only(diagnosis, "D102")
    assert (finding.severity, finding.place) == ("note", "block 'notes'")
    assert finding.reason == (
        "cy rewrote it, and so removed 2 lines of ann and 1 line of owner; the last time in version 4"
    )
    assert finding.mend == "see what was changed: orchestrator blocks history notes --diff --store PATH"
    assert diagnosis.passes(strict=True)


def tidied(script: object) -> Callable[[Orchestrator], Awaitable[object]]:
    """Let cy take a turn when the others are done."""
    return lambda live: live.run("tidy", agent="cy")


async def test_the_owner_may_overwrite_and_lines_that_only_move_are_not_gone(new_store: NewStore) -> None:
    script = {"ann": [insert("a\nb"), "ok"]}

    async def write(live: Orchestrator) -> None:
        await live.blocks.modify("notes", value="b\na\n")
        await live.blocks.modify("notes", value="b")

    diagnosis = await used(new_store(), shared("ann", "bob", block=Block("notes")), script, "ann", then=write)

    assert only(diagnosis, "D102").reason == (
        "owner rewrote it, and so removed 1 line of ann; the last time in version 4"
    ), "what the owner moved is the owner's"
    (overwriting,) = diagnosis.overwritten
    assert (overwriting.shown, overwriting.operation, overwriting.turn) == (None, "modify", None)


async def test_of_many_rewrites_of_the_unseen_the_last_ten_are_told_and_the_rest_counted(new_store: NewStore) -> None:
    notes = Block("notes", "start", rethink="last_write_wins")
    script = {
        "ann": [*(rethink(f"{number}", after=10) for number in range(12)), "ok"],
        "bob": [*(insert(f"line {number} {'x' * 60}", after=5 if number == 0 else 10) for number in range(12)), "ok"],
    }
    diagnosis = await used(new_store(), shared("ann", "bob", block=notes), script, "ann", "bob")

    told = [finding for finding in diagnosis.findings if finding.code == "D101"]
    assert len(told) == 11
    assert told[-1].reason == "2 earlier rewrites did the same: 3 and 5"
    assert f"'line 2 {'x' * 52}…' (by bob in version 6)" in told[0].reason


async def test_of_many_lines_the_first_are_quoted(new_store: NewStore) -> None:
    notes = Block("notes", rethink="last_write_wins")
    script = {"ann": [rethink("mine", after=10), "ok"], "bob": [insert("a\nb\n\nc\nd\ne"), "ok"]}
    diagnosis = await used(new_store(), shared("ann", "bob", block=notes), script, "ann", "bob")

    assert only(diagnosis, "D101").reason.endswith(
        "removed 5 lines that ann had never been shown: 'a' (by bob in version 2), 'b' (by bob in version 2),"
        " 'c' (by bob in version 2) and 2 more"
    )


async def test_what_was_overwritten_in_a_block_that_was_deleted_is_found_by_its_id(new_store: NewStore) -> None:
    notes = Block("notes", rethink="last_write_wins")
    script = {"ann": [rethink("mine", after=10), "ok"], "bob": [insert("a"), "ok"]}
    diagnosis = await used(
        new_store(),
        shared("ann", "bob", block=notes),
        script,
        "ann",
        "bob",
        then=lambda live: live.blocks.delete(notes),
    )

    assert only(diagnosis, "D101").place == "block 'pair:notes'"
    assert only(diagnosis, "D101").mend == (
        "orchestrator blocks show pair:notes --version 2 --store PATH has them; the block itself was deleted"
    )
    assert diagnosis.blocks == ()


# --- what was refused


@tool
def refuse(label: str) -> BlockEdit:
    """Refuse to change a block."""

    def no(text: str) -> str:
        raise ToolError("not today")

    return BlockEdit(label, Update(no))


@tool
def fail(label: str) -> BlockEdit:
    """Fail while changing a block."""
    return BlockEdit(label, Update(lambda text: str(1 // 0)))


async def test_each_kind_of_refusal_is_told_with_its_reason_and_what_to_do(new_store: NewStore) -> None:
    archive = Block("archive", "1234", limit=5)
    blocks = [
        Block("notes", "a, a\nb", limit=30),
        Block("facts", read_only=True),
        Block("strict", guard=lambda change: "no"),
        Block("log", "x\ny\nz", limit=5, overflow=archive),
        archive,
    ]
    lines = [
        insert("x", label="nowhere"),
        edit("memory_rethink", "notes", new_memory="x"),
        insert("x", label="facts"),
        insert("x" * 40),
        insert("new", label="log"),
        edit("memory_replace", "notes", old_string="c", new_string="d"),
        edit("memory_replace", "notes", old_string="a", new_string="d"),
        edit("memory_insert", "notes", new_string="x", insert_line=9),
        insert("x", label="strict"),
        insert("\0"),
        call("refuse", label="notes"),
        call("fail", label="notes"),
        call("fail", label="notes"),
    ]
    ann = Agent("ann", blocks=blocks, tools=[refuse, fail], max_steps=50)
    diagnosis = await used(new_store(), Team("one", [ann]), {"ann": [*lines, "ok"]}, "ann")

    found = {refused.code: refused for refused in diagnosis.refused if refused.by == "ann"}
    assert set(found) >= {
        *("unknown_label", "not_granted", "read_only", "over_limit", "not_archived", "not_found", "not_unique"),
        *("line_moved", "guarded", "tool_refused", "tool_failed"),
    }
    assert all(refused.mend and refused.last_reason and not refused.made_good for refused in diagnosis.refused)
    assert diagnosis.refused[0] is found["tool_failed"], "the most frequent first"
    assert (found["tool_failed"].times, found["tool_failed"].operations) == (2, {"replace": 2})
    assert (found["unknown_label"].block, found["unknown_label"].key) == ("nowhere", None)
    warned = [finding for finding in diagnosis.findings if finding.code == "D202"]
    assert len(warned) == len(diagnosis.refused)
    (limit,) = [finding for finding in warned if "ann was refused 1 insert (over_limit)" in finding.reason]
    assert limit.place == "block 'notes'"
    assert limit.reason.endswith("the last time: " + found["over_limit"].last_reason)
    assert limit.mend.startswith("raise the limit")
    assert [(refused.by, refused.block) for refused in diagnosis.refused if refused.by == "engine"] == [
        ("engine", "archive")
    ]


async def test_a_change_that_was_made_in_the_end_is_only_a_note(new_store: NewStore) -> None:
    script = {
        "ann": [
            insert("x", label="nowhere"),
            insert("x" * 40),
            insert("x" * 41),
            insert("short"),
            edit("memory_replace", "notes", old_string="c", new_string="d"),
            "ok",
        ]
    }
    diagnosis = await used(new_store(), shared("ann", block=Block("notes", limit=30)), script, "ann")

    assert {refused.code: (refused.times, refused.made_good) for refused in diagnosis.refused} == {
        "unknown_label": (1, True),
        "over_limit": (2, True),
        "not_found": (1, False),
    }
    assert [code for code in codes(diagnosis) if code.startswith("D20")] == ["D202", "D201", "D201"]


async def test_two_who_are_often_in_each_others_way_are_told(new_store: NewStore) -> None:
    notes = Block("notes", "0")
    team = shared("ann", "bob", block=notes)
    script = {
        "ann": [*(rethink(f"ann {number}", after=10) for number in range(6)), "ok"],
        "bob": [*(rethink(f"bob {number}", after=10) for number in range(6)), "ok"],
    }
    diagnosis = await used(new_store(), team, script, "ann", "bob")

    finding = only(diagnosis, "D203")
    assert (finding.severity, finding.place) == ("warning", "block 'notes'")
    assert finding.reason == (
        "ann and bob were in each other's way: of their 12 attempts to replace or rewrite, 6 were refused for what the"
        " other had written"
    )


@pytest.mark.parametrize(("times", "why"), [(4, "it was seldom"), (6, "nobody had written what was not found")])
async def test_who_was_seldom_refused_or_is_alone_is_not_in_anybodys_way(
    new_store: NewStore, times: int, why: str
) -> None:
    team = shared("ann", "bob", block=Block("notes", "0"))
    wrong = edit("memory_replace", "notes", old_string="never there", new_string="", after=10)
    mine = [rethink("x", after=10)] * times if times == 4 else [wrong] * times
    script = {"ann": [*mine, "ok"], "bob": [*(insert("x", after=9) for _ in range(times)), "ok"]}
    diagnosis = await used(new_store(), team, script, "ann", "bob")

    assert diagnosis.refused[0].times >= times - 1
    assert "D203" not in codes(diagnosis), why


# --- blocks


async def test_a_block_that_is_nearly_full_or_was_full_is_told(new_store: NewStore) -> None:
    old = Block("old", "x" * 99, limit=100)
    blocks = [
        Block("most", "x" * 80, limit=100),
        Block("less", "x" * 79, limit=100),
        Block("facts", "x" * 99, limit=100, read_only=True),
        Block("log", "x" * 99, limit=100, overflow=old),
        Block("tried", "x", limit=100),
        old,
    ]
    script = {"ann": [insert("x" * 100, label="tried"), "ok"]}
    diagnosis = await used(new_store(), Team("one", [Agent("ann", blocks=blocks)]), script, "ann")

    assert {finding.place: finding.reason for finding in diagnosis.findings if finding.code == "D301"} == {
        "block 'most'": "it has used 80 of 100 characters (80 %)",
        "block 'old'": "it has used 99 of 100 characters (99 %)",
        "block 'tried'": "it has used 1 of 100 characters (1 %), and 1 change was refused because it was full",
    }


async def test_a_block_that_nobody_sees_is_told_unless_it_is_an_archive(new_store: NewStore) -> None:
    team = Team("one", [Agent("ann", blocks=[Block("log", overflow=Block("old"))])])
    diagnosis = await used(new_store(), team, {}, then=lambda live: live.blocks.create("lonely"))

    (unseen,) = [finding for finding in diagnosis.findings if finding.code == "D302"]
    assert (unseen.severity, unseen.place, unseen.reason) == ("warning", "block 'lonely'", "no agent sees it")
    assert {block.name: len(block.agents) for block in diagnosis.blocks} == {"log": 1, "old": 0, "lonely": 0}


async def test_an_agent_that_was_detached_or_has_not_seen_a_block_is_told(new_store: NewStore) -> None:
    notes, plans = Block("notes"), Block("plans", "p")
    team = Team("pair", [Agent("ann", blocks=[notes, plans]), Agent("bob", blocks=[notes, plans])])

    async def change(live: Orchestrator) -> None:
        await live.agents.blocks.detach("bob", "notes")
        await live.agents.blocks.detach("ann", "plans")
        await live.agents.blocks.attach("ann", "plans")
        await live.run("go")
        extra = await live.blocks.create("extra")
        await live.agents.blocks.attach("bob", extra)

    script = {"bob": ["ok"], "ann": [insert("x"), "ok"]}
    diagnosis = await used(new_store(), team, script, "bob", then=change)

    detached = only(diagnosis, "D304")
    assert detached.place == "agent 'bob', block 'notes'"
    assert detached.mend == "if it should see it: await live.agents.blocks.attach('bob', 'notes')"
    assert only(diagnosis, "D303").place == "agent 'bob'"
    assert only(diagnosis, "D303").reason == "it was last shown none of 'extra', which is at 1 (by owner)"


async def test_a_label_that_means_different_blocks_is_told(new_store: NewStore) -> None:
    notes = Block("notes")
    team = Team(
        "three",
        [
            Agent("ann", blocks=[notes, Block("persona", "a")]),
            Agent("bob", blocks=[notes, Block("persona", "b")]),
            Agent("cy", blocks=[Block("notes")]),
        ],
    )
    diagnosis = await used(new_store(), team, {})

    alike = only(diagnosis, "D305")
    assert (alike.severity, alike.place) == ("warning", "label 'notes'")
    assert alike.reason.startswith(
        "2 blocks have this label: what is said in it reaches ann and bob in 'three:notes'; cy"
    )


# --- runs and turns


async def test_runs_that_failed_were_stuck_or_spent_their_budget_are_told(new_store: NewStore) -> None:
    work = Block("work", "todo")
    pool = Wake(work, when=lambda text: "todo" in text, claim=lambda text, agent: None)
    team = Team("idle", [Agent("ann"), Agent("bob", blocks=[work], wakes_on=[pool], timeout=5), Agent("cy")])

    async def runs(live: Orchestrator) -> None:
        for _ in range(2):
            await live.run("go")
        await live.blocks.modify("work", value="done")
        for _ in range(2):
            await live.run("go", agent="cy")
        await live.run("go", agent="bob")
        await live.run("go", agent="cy", budget=Budget(turns=1, seconds=3))

    script = {
        "ann": ["hm", "hm"],
        "cy": [ModelError("away"), ModelError("away"), Say("late", after=9)],
        "bob": [Say("late", after=9)],
    }
    diagnosis = await used(new_store(), team, script, then=runs)

    assert only(diagnosis, "D403").reason.startswith("the last of 2 runs that ended so: stuck: block 'work' calls for")
    failed = sorted(finding.reason for finding in diagnosis.findings if finding.code == "D402")
    assert failed[0].startswith("the last of 2 runs that ended so: the last turn of 'cy' failed: ")
    assert failed[1] == "the last turn of 'bob' timed out: took more than 5 seconds"
    assert only(diagnosis, "D404").reason == "its budget was spent"
    turns = {finding.place: finding.reason for finding in diagnosis.findings if finding.code == "D405"}
    assert turns["agent 'cy'"].startswith("2 turns failed, the last one in run run-")
    assert turns["agent 'cy'"].endswith("away")
    assert turns["agent 'bob'"].endswith(": took more than 5 seconds")


async def test_a_run_that_was_cut_off_is_told_unless_somebody_may_still_work_on_it(new_store: NewStore) -> None:
    def put(tx: Transaction) -> None:
        tx.put_run(RunRecord(id="run-1", agent="ann", text="go"))
        tx.put_run(RunRecord(id="run-2", agent="", text=""))

    store = new_store()
    await store.open()
    await store.transact(put)

    cut_off, unknown, running = [await looked(store, cut_off=known) for known in (True, None, False)]

    assert [finding.reason for finding in cut_off.findings] == [
        "the run of a message to ann was cut off",
        "the run of a change of the owner's was cut off",
    ]
    assert cut_off.findings[0].mend == (
        "orchestrator runs resume TEAM run-1 --store PATH, or: await live.resume('run-1')"
    )
    assert unknown.findings[0].reason.endswith("goes on or was cut off; that cannot be told here")
    assert running.findings == ()
    assert not cut_off.passes(strict=True)


# --- several at once


async def test_several_calls_of_one_answer_are_judged_by_what_it_was_shown(new_store: NewStore) -> None:
    notes = Block("notes", "start", rethink="last_write_wins")
    script = {"ann": [together(insert("mine"), rethink("all mine"), after=10), "ok"], "bob": [insert("b"), "ok"]}
    diagnosis = await used(new_store(), shared("ann", "bob", block=notes), script, "ann", "bob")

    assert "removed 1 line that ann had never been shown: 'b'" in only(diagnosis, "D101").reason


async def test_who_brings_back_what_it_has_removed_itself_overwrites_nobody(new_store: NewStore) -> None:
    notes = Block("notes", "start\nwrong")
    remove = edit("memory_replace", "notes", old_string="\nwrong", new_string="")
    script = {"ann": [together(remove, rethink("start\nwrong\nmine")), "ok"]}
    diagnosis = await used(new_store(), shared("ann", "bob", block=notes), script, "ann")

    assert diagnosis.overwritten == ()
    assert diagnosis.passes()
