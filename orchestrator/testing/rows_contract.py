"""What a store must do with the rows it is given."""

from __future__ import annotations

from functools import partial

from orchestrator.blocks import Grant
from orchestrator.errors import StoreError
from orchestrator.events import RunStatus
from orchestrator.messages import Message, UserMessage
from orchestrator.ports import (
    AgentRecord,
    Attached,
    Effect,
    JournalEntry,
    ModelResponse,
    RunRecord,
    Store,
    Transaction,
)
from orchestrator.testing.sample_rows import (
    Planned,
    a_block,
    a_turn,
    an_end,
    an_entry,
    everything,
    log_end,
    names,
    opened,
    put_agent,
    put_run,
    raises,
    some_messages,
    write,
    write_everything,
    write_version,
)


class RowsContract:
    """The part of `StoreContract` that needs no second party."""

    async def test_a_block_and_its_history_come_back_as_written(self, store: Store) -> None:
        async with opened(store):
            await store.transact(lambda tx: write(tx, "first"))
            await store.transact(lambda tx: write(tx, "second"))

            block = await store.read(lambda rows: rows.block("t:notes"))
            assert block == a_block("second", 2)
            revisions = await store.read(lambda rows: list(rows.revisions("t:notes")))
            assert [(revision.version, revision.value) for revision in revisions] == [(2, "second"), (1, "first")]
            assert [r.version for r in await store.read(lambda rows: list(rows.revisions("t:notes", after=1)))] == [2]

    async def test_what_is_not_there_is_none_or_empty(self, store: Store) -> None:
        async with opened(store):

            def look(rows: Transaction) -> list[object]:
                return [
                    rows.block("no"),
                    rows.agent("no"),
                    rows.run("no"),
                    rows.turn("no"),
                    rows.journal("no", 0),
                    rows.effect("no"),
                    *rows.blocks(),
                    *rows.agents(),
                    *rows.runs(),
                    *rows.revisions("no"),
                    *rows.turns("no"),
                    *rows.messages("no"),
                ]

            assert (await store.transact(look)).result == [None] * 6
            assert await store.events() == []

    async def test_blocks_are_listed_in_the_order_of_their_creation(self, store: Store) -> None:
        async with opened(store):
            for key in ("t:b", "t:c", "t:a"):
                await store.transact(partial(write, value="x", key=key))
            await store.transact(lambda tx: write(tx, "y", "t:b"))

            assert await store.read(lambda rows: [block.key for block in rows.blocks()]) == ["t:b", "t:c", "t:a"]

    async def test_attributes_of_a_block_change_without_a_new_version(self, store: Store) -> None:
        async with opened(store):
            await store.transact(lambda tx: write(tx, "text"))
            changed = a_block("text", 1).having(limit=7)
            await store.transact(lambda tx: tx.put_block(changed))

            assert await store.read(lambda rows: rows.block("t:notes")) == changed
            assert len(await store.read(lambda rows: list(rows.revisions("t:notes")))) == 1

    async def test_a_version_cannot_be_skipped_or_written_twice(self, store: Store) -> None:
        async with opened(store):
            await store.transact(lambda tx: write(tx, "first"))
            for version in (1, 3):
                with raises(StoreError):
                    await store.transact(partial(write_version, version=version))

            assert await store.read(lambda rows: rows.block("t:notes")) == a_block("first", 1)

    async def test_a_deleted_block_is_gone_and_its_history_goes_on(self, store: Store) -> None:
        async with opened(store):
            await store.transact(lambda tx: write(tx, "first"))
            await store.transact(lambda tx: write(tx, "other", "t:other"))

            def delete(tx: Transaction) -> tuple[object, ...]:
                tx.delete_block("t:notes")
                tx.delete_block("t:never")
                return tx.block("t:notes"), [block.key for block in tx.blocks()]

            assert (await store.transact(delete)).result == (None, ["t:other"])
            assert await store.read(lambda rows: rows.block("t:notes")) is None
            assert [r.value for r in await store.read(lambda rows: list(rows.revisions("t:notes")))] == ["first"]

            await store.transact(lambda tx: write_version(tx, 2))
            assert await store.read(lambda rows: [block.key for block in rows.blocks()]) == ["t:other", "t:notes"]
            assert [r.version for r in await store.read(lambda rows: list(rows.revisions("t:notes")))] == [2, 1]

    async def test_an_agent_that_is_deleted_and_made_again_remembers_nothing(self, store: Store) -> None:
        def say(tx: Transaction, text: str) -> list[Message]:
            tx.put_agent(AgentRecord(name="ann"))
            tx.add_message("ann", UserMessage(text=text))
            return list(tx.messages("ann"))

        def again(tx: Transaction) -> list[Message]:
            say(tx, "lost, too")
            tx.delete_agent("ann")
            return say(tx, "new")

        def fail(tx: Transaction) -> None:
            tx.delete_agent("ann")
            raise Planned

        async with opened(store):
            await store.transact(lambda tx: say(tx, "lost"))
            with raises(Planned):
                await store.transact(fail)
            assert await store.read(lambda rows: list(rows.messages("ann"))) == [UserMessage(text="lost")]
            assert (await store.transact(again)).result == [UserMessage(text="new")]
            assert await store.read(lambda rows: list(rows.messages("ann"))) == [UserMessage(text="new")]
            await store.transact(lambda tx: tx.add_message("bob", UserMessage(text="hello")))
            assert await store.read(lambda rows: list(rows.messages("ann"))) == [UserMessage(text="new")]

    async def test_agents_and_runs_are_listed_in_the_order_in_which_they_came(self, store: Store) -> None:
        async with opened(store):

            def write(tx: Transaction) -> tuple[list[str], list[str]]:
                for name in ("bob", "ann", "cid"):
                    tx.put_agent(AgentRecord(name=name))
                    tx.put_run(RunRecord(id=f"run-{name}", agent=name, text="", at=1.5, max_turns=7, max_usd=0.5))
                tx.put_agent(AgentRecord(name="bob", detached=("t:notes",)))
                tx.put_run(RunRecord(id="run-bob", agent="bob", text="", status="complete"))
                tx.add_message("ann", UserMessage(text="hello"))
                tx.delete_agent("ann")
                tx.delete_agent("nobody")
                return [agent.name for agent in tx.agents()], [run.id for run in tx.runs()]

            names, runs = ["bob", "cid"], ["run-bob", "run-ann", "run-cid"]
            assert (await store.transact(write)).result == (names, runs)
            assert await store.read(lambda rows: [agent.name for agent in rows.agents()]) == names
            assert await store.read(lambda rows: rows.agent("ann")) is None
            assert await store.read(lambda rows: list(rows.messages("ann"))) == []
            assert await store.read(lambda rows: [run.id for run in rows.runs()]) == runs
            assert await store.read(lambda rows: [run.id for run in rows.runs("running")]) == ["run-ann", "run-cid"]
            assert await store.read(lambda rows: [run.id for run in rows.runs("complete")]) == ["run-bob"]
            assert await store.read(lambda rows: rows.run("run-cid")) == RunRecord(
                id="run-cid", agent="cid", text="", at=1.5, max_turns=7, max_usd=0.5
            )

    async def test_rows_come_back_as_written(self, store: Store) -> None:
        async with opened(store):
            await store.transact(write_everything)

            agent, run, turn, turns, messages, journal, effect = (await store.read(everything))[1:]
            assert agent == AgentRecord(name="ann", attached=(Attached("notes", "t:notes", Grant.INSERT),))
            assert run == RunRecord(id="run-1", agent="ann", text="hello")
            assert turn == a_turn()
            assert turns == [a_turn()]
            assert messages == some_messages()
            assert journal == an_entry()
            assert effect == Effect(text="Done.", ok=True)

    async def test_a_turn_is_listed_with_every_run_it_works_for(self, store: Store) -> None:
        async with opened(store):
            await store.transact(lambda tx: tx.put_turn(a_turn().having(runs=("run-1", "run-2"))))
            await store.transact(lambda tx: tx.put_turn(a_turn().having(id="turn-2")))
            ended = a_turn().having(runs=("run-1", "run-2"), status="done")
            await store.transact(lambda tx: tx.put_turn(ended))

            first = await store.read(lambda rows: [turn.id for turn in rows.turns("run-1")])
            second = await store.read(lambda rows: list(rows.turns("run-2")))
            assert first == ["turn-1", "turn-2"]
            assert second == [ended]

    async def test_an_answer_is_journalled_once(self, store: Store) -> None:
        async with opened(store):
            await store.transact(lambda tx: tx.put_journal("turn-1", 0, an_entry()))
            with raises(StoreError):
                await store.transact(
                    lambda tx: tx.put_journal("turn-1", 0, JournalEntry(response=ModelResponse("other"), shown={}))
                )

            assert await store.read(lambda rows: rows.journal("turn-1", 0)) == an_entry()
            assert await store.read(lambda rows: rows.journal("turn-1", 1)) is None

    async def test_an_effect_happens_once(self, store: Store) -> None:
        async with opened(store):
            await store.transact(lambda tx: tx.put_effect("run/turn/0/0", Effect(text="first", ok=True)))
            with raises(StoreError):
                await store.transact(lambda tx: tx.put_effect("run/turn/0/0", Effect(text="second", ok=True)))

            assert await store.read(lambda rows: rows.effect("run/turn/0/0")) == Effect(text="first", ok=True)

    async def test_the_log_has_no_gaps(self, store: Store) -> None:
        async with opened(store):
            for _ in range(5):
                await store.transact(lambda tx: tx.add_event(an_end(tx.next_seq())))
            for seq in (5, 7):
                with raises(StoreError):
                    await store.transact(partial(log_end, seq=seq))

            assert [event.seq for event in await store.events()] == [1, 2, 3, 4, 5]
            assert [event.seq for event in await store.events(after=2)] == [3, 4, 5]
            assert [event.seq for event in await store.events(after=2, limit=2)] == [3, 4]
            assert await store.events(after=5) == []

    async def test_what_a_transaction_deletes_and_writes_again_comes_last(self, store: Store) -> None:
        def rewrite(tx: Transaction) -> list[str]:
            tx.delete_block("t:a")
            write_version(tx, 2, "t:a")
            write(tx, "y", "t:b")
            tx.delete_agent("ann")
            tx.put_agent(AgentRecord(name="ann"))
            tx.put_agent(AgentRecord(name="cid"))
            return names(tx)

        def fail(tx: Transaction) -> None:
            rewrite(tx)
            tx.delete_block("t:a")
            raise Planned

        async with opened(store):
            for key in ("t:a", "t:b", "t:c"):
                await store.transact(partial(write, value="x", key=key))
            for name in ("ann", "bob"):
                await store.transact(partial(put_agent, name=name))
            with raises(Planned):
                await store.transact(fail)
            assert await store.read(names) == ["t:a", "t:b", "t:c", "ann", "bob"]

            expected = ["t:b", "t:c", "t:a", "bob", "ann", "cid"]
            assert (await store.transact(rewrite)).result == expected
            assert await store.read(names) == expected
            assert await store.read(lambda rows: rows.block("t:a")) == a_block("x", 2, "t:a")

    async def test_runs_of_a_status_are_told_by_what_the_transaction_wrote(self, store: Store) -> None:
        def work(tx: Transaction) -> list[str]:
            tx.put_run(RunRecord(id="run-1", agent="ann", text="", status="complete"))
            tx.put_run(RunRecord(id="run-4", agent="ann", text=""))
            tx.put_run(RunRecord(id="run-3", agent="ann", text=""))
            return [run.id for run in tx.runs("running")]

        async with opened(store):
            for number in (1, 2, 3):
                status: RunStatus = "failed" if number == 3 else "running"
                await store.transact(partial(put_run, id=f"run-{number}", status=status))

            assert (await store.transact(work)).result == ["run-2", "run-3", "run-4"]
            assert await store.read(lambda rows: [run.id for run in rows.runs("running")]) == [
                "run-2",
                "run-3",
                "run-4",
            ]

    async def test_a_long_history_comes_newest_first(self, store: Store) -> None:
        def add(tx: Transaction) -> list[int]:
            write(tx, "next")
            return [revision.version for revision in tx.revisions("t:notes", after=3)]

        async with opened(store):
            for version in range(1, 71):
                seen = (await store.transact(add)).result
                assert seen == list(range(version, 3, -1))

            assert await store.read(lambda rows: [r.version for r in rows.revisions("t:notes")]) == list(
                range(70, 0, -1)
            )

    async def test_text_comes_back_to_the_letter(self, store: Store) -> None:
        text = "ünï 𝄞 \u2028 \r\n \0 ' \" \\ % _ \ufeff \x7f"
        async with opened(store):
            await store.transact(lambda tx: write(tx, text, text))
            await store.transact(lambda tx: tx.add_message(text, UserMessage(text=text)))

            assert await store.read(lambda rows: rows.block(text)) == a_block(text, 1, text)
            assert list(await store.read(lambda rows: rows.messages(text))) == [UserMessage(text=text)]
