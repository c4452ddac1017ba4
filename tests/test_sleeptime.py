"""Sleeptime agents: woken after so many turns of others, and when nobody has anything left to do."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest
from dying_store import DyingStore

from orchestrator import (
    Agent,
    Block,
    Budget,
    Cause,
    DeclarationError,
    Orchestrator,
    Run,
    RunEnded,
    RunSettled,
    Store,
    Stuck,
    Team,
    TurnStarted,
    UserMessage,
    Wake,
)
from orchestrator.stores import MemoryStore
from orchestrator.testing import FunctionModel, Line, Say, ScriptedModel, edit

notes = Block("notes")


def team(*wakes: Wake, others: tuple[str, ...] = ("ann", "bob")) -> Team:
    """ann, whom bob follows, and a curator."""
    ann = Agent("ann", blocks=[notes])
    more = [Agent(name, blocks=[notes], wakes_on=[Wake(notes, by=["ann"])]) for name in others[1:]]
    return Team("team", [ann, *more, Agent("curator", blocks=[notes.curator()], wakes_on=wakes)])


def says(name: str, count: int = 1) -> list[Line]:
    """An agent that inserts a line, and says so, in each of its turns."""
    return [
        line for n in range(count) for line in (edit("memory_insert", "notes", new_string=f"{name} {n}"), Say(name))
    ]


def turns_of(run: Run) -> list[str]:
    return [turn.agent for turn in run.turns]


async def causes(store: Store, agent: str = "curator") -> list[tuple[Cause, ...]]:
    return [e.causes for e in await store.events() if isinstance(e, TurnStarted) and e.agent == agent]


async def test_a_sleeptime_agent_is_woken_after_so_many_turns_of_others(new_store: Callable[[], Store]):
    script = {"ann": says("ann", 2), "bob": says("bob", 2), "curator": [Say("tidy"), Say("tidy again")]}
    store = new_store()
    with anyio.fail_after(10), ScriptedModel(script) as model:
        async with Orchestrator(team(Wake(every=2)), store, model=model) as live:
            first, second = await live.run("one"), await live.run("two")
            # In a run that has come to its end nothing more is started: it is answered in the next one.
            assert turns_of(first) == ["ann", "bob", "curator"]
            assert turns_of(second) == ["ann", "bob", "curator"]
            assert (first.output, second.output) == ("ann", "ann")
            assert [cause.kind for (cause,) in await causes(store)] == ["every", "every"]
            said = [
                message.text
                for request in model.requests
                if request.agent == "curator"
                for message in request.messages
                if isinstance(message, UserMessage)
            ]
    assert set(said) == {
        "[wake] Others have taken turns since you last looked. Your blocks show what they have written."
    }


async def test_its_own_turns_do_not_count_and_neither_do_those_of_other_sleeptime_agents():
    everybody = Team(
        "team",
        [
            Agent("ann", blocks=[notes]),
            *(Agent(name, blocks=[notes], wakes_on=[Wake(every=1, idle=True)]) for name in ("c1", "c2")),
        ],
    )
    script = {"ann": [Say("hello")], "c1": says("c1"), "c2": says("c2")}
    with anyio.fail_after(10), ScriptedModel(script) as model:
        async with Orchestrator(everybody, model=model) as live:
            run = await live.run("go")
    assert sorted(turns_of(run)) == ["ann", "c1", "c2"]
    assert (run.status, run.output) == ("complete", "hello")


async def test_only_turns_of_those_who_are_named_count():
    script = {"ann": says("ann", 3), "bob": says("bob", 3), "curator": [Say("tidy")]}
    with anyio.fail_after(10), ScriptedModel(script) as model:
        async with Orchestrator(team(Wake(every=3, by=["bob"])), model=model) as live:
            runs = [await live.run(word) for word in ("one", "two", "three")]
    assert [turns_of(run) for run in runs] == [["ann", "bob"], ["ann", "bob"], ["ann", "bob", "curator"]]


async def test_when_nobody_has_anything_left_to_do_there_is_one_round_and_the_output_stays(
    new_store: Callable[[], Store],
):
    curator = [edit("memory_rethink", "notes", new_memory="both"), Say("not the output")]
    script = {"ann": [*says("ann"), Say("next")], "bob": says("bob"), "curator": [*curator, Say("nothing to tidy")]}
    store = new_store()
    with anyio.fail_after(10), ScriptedModel(script) as model:
        async with Orchestrator(team(Wake(idle=True)), store, model=model) as live:
            run = await live.run("go")
            assert (run.status, run.output) == ("complete", "ann")
            assert turns_of(run) == ["ann", "bob", "curator"]
            assert run.blocks["notes"].value == "both"
            assert turns_of(await live.run("more")) == ["ann", "curator"]
    assert [cause.kind for (cause,) in await causes(store)] == ["idle", "idle"]
    told = [type(event) for event in await store.events() if isinstance(event, RunSettled | RunEnded)]
    assert told == [RunSettled, RunEnded] * 2
    settled = [event for event in await store.events() if isinstance(event, RunSettled)]
    assert [(event.status, event.output, event.error) for event in settled] == [
        ("complete", "ann", None),
        ("complete", "next", None),
    ]


async def test_what_the_round_would_wake_waits_for_the_next_run():
    ann = Agent("ann", blocks=[notes], wakes_on=[Wake(notes, by=["curator"])])
    everybody = Team("team", [ann, Agent("curator", blocks=[notes.curator()], wakes_on=[Wake(idle=True)])])
    script = {"ann": [Say("first"), Say("second")], "curator": [*says("curator"), Say("nothing")]}
    with anyio.fail_after(10), ScriptedModel(script) as model:
        async with Orchestrator(everybody, model=model) as live:
            first = await live.run("go")
            second = await live.run("go on")
            assert [cause.kind for cause in second.turns[0].causes] == ["message", "change"]
    assert turns_of(first) == ["ann", "curator"]
    assert turns_of(second) == ["ann", "curator"]
    assert (first.output, second.output) == ("first", "second")


async def test_a_budget_that_is_spent_leaves_no_round_and_no_turn_after_turns_of_others():
    both = team(Wake(every=1, idle=True), others=("ann",))
    with anyio.fail_after(10), ScriptedModel({"ann": [Say("all")]}) as model:
        async with Orchestrator(both, model=model) as live:
            run = await live.run("go", budget=Budget(turns=1))
    assert (run.status, run.output, turns_of(run)) == ("complete", "all", ["ann"])


async def test_a_round_for_which_the_budget_is_not_enough_ends_with_it():
    wakes = [Wake(idle=True)]
    everybody = Team("team", [Agent("ann"), *(Agent(f"c{n}", wakes_on=wakes) for n in range(3))])
    model = FunctionModel(lambda request: request.agent)
    with anyio.fail_after(10):
        async with Orchestrator(everybody, model=model) as live:
            run = await live.run("go", budget=Budget(turns=3))
            assert (run.status, run.output, turns_of(run)) == ("complete", "ann", ["ann", "c0", "c1"])
            again = await live.run("go")
            assert sorted(turns_of(again)) == ["ann", "c0", "c1", "c2"]


@pytest.mark.parametrize("wake", [Wake(every=1), Wake(idle=True)])
async def test_a_sleeptime_turn_that_fails_is_seen_and_changes_nothing(wake: Wake):
    script: dict[str, list[Line]] = {"ann": [Say("fine")], "curator": [RuntimeError("no idea")]}
    with anyio.fail_after(10), ScriptedModel(script) as model:
        async with Orchestrator(team(wake, others=("ann",)), model=model) as live:
            run = await live.run("go")
    assert (run.status, run.output, run.error) == ("complete", "fine", None)
    assert [(turn.agent, turn.status) for turn in run.turns] == [("ann", "done"), ("curator", "failed")]


async def test_a_run_that_fails_stays_failed_with_its_reason_after_the_round():
    stuck = Wake(notes, when=bool, claim=lambda text, agent: None)
    members = [
        Agent("ann", blocks=[notes]),
        Agent("worker", blocks=[notes], wakes_on=[stuck]),
        Agent("curator", blocks=[notes.curator()], wakes_on=[Wake(idle=True)]),
    ]
    script: dict[str, list[Line]] = {"ann": says("ann"), "curator": [Say("tidy")]}
    with anyio.fail_after(10), ScriptedModel(script) as model:
        async with Orchestrator(Team("team", members), model=model) as live:
            run = await live.run("go")
    assert (run.status, turns_of(run)) == ("failed", ["ann", "curator"])
    assert isinstance(run.error, Stuck)


async def test_a_turn_that_has_another_cause_as_well_counts_and_gives_the_output():
    curator_is_asked = Team("team", [Agent("curator", wakes_on=[Wake(every=1)]), Agent("ann")])
    script = {"ann": [Say("hello")], "curator": [Say("asked"), Say("again")]}
    with anyio.fail_after(10), ScriptedModel(script) as model:
        async with Orchestrator(curator_is_asked, model=model) as live:
            await live.run("hello", agent="ann")  # wakes the curator, too
            run = await live.run("and you?")
    assert run.output == "again"


async def test_of_several_runs_the_last_one_has_the_round():
    ready, told = anyio.Event(), anyio.Event()

    async def answer(request):
        if request.agent == "bob":
            ready.set()
            await told.wait()
        return request.agent

    members = [Agent("ann"), Agent("bob"), Agent("curator", wakes_on=[Wake(idle=True)])]
    runs: dict[str, Run] = {}

    async def run(name: str) -> None:
        runs[name] = await live.run("go", agent=name)

    with anyio.fail_after(10):
        async with Orchestrator(Team("team", members), model=FunctionModel(answer)) as live:
            async with anyio.create_task_group() as group:
                group.start_soon(run, "bob")
                await ready.wait()
                await run("ann")
                assert turns_of(runs["ann"]) == ["ann"], "bob has something left to do"
                told.set()
            assert turns_of(runs["bob"]) == ["bob", "curator"]


async def test_runs_that_end_together_have_one_round():
    members = [Agent("ann", blocks=[notes]), Agent("curator", wakes_on=[Wake(idle=True)])]
    together = anyio.Event()
    waiting = 0
    ends: list[Run] = []

    async def run() -> None:
        nonlocal waiting
        waiting += 1
        if waiting == 5:
            together.set()
        await together.wait()
        ends.append(await live.run("go"))

    with anyio.fail_after(10):
        live = Orchestrator(Team("team", members), model=FunctionModel(lambda r: r.agent))
        async with live, anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(run)
    assert {end.status for end in ends} == {"complete"}
    assert all(end.output == "ann" for end in ends)
    rounds = [turn for end in ends for turn in end.turns if turn.agent == "curator"]
    assert len(rounds) == 1
    assert sum(turn.agent == "ann" for end in ends for turn in end.turns) == 5


@pytest.mark.parametrize("how", ["cancelled", "cancel", "deadline"])
async def test_a_run_that_is_ended_in_its_round_ends_as_what_it_had_come_to(how: str):
    thinking = anyio.Event()

    async def answer(request):
        if request.agent == "curator":
            thinking.set()
            await anyio.sleep_forever()
        return "the answer"

    store = MemoryStore()
    live = Orchestrator(team(Wake(idle=True), others=("ann",)), store, model=FunctionModel(answer))
    with anyio.fail_after(10):
        async with live, anyio.create_task_group() as group:
            budget = Budget(seconds=0.05) if how == "deadline" else Budget()
            group.start_soon(lambda: live.run("go", budget=budget))
            await thinking.wait()
            [record] = await store.read(lambda rows: list(rows.runs()))
            assert (record.status, record.settled, record.output) == ("running", "complete", "the answer")
            if how == "cancelled":
                group.cancel_scope.cancel()
            if how == "cancel":
                run = await live.cancel(record.id)
                assert (run.status, run.output, run.error) == ("complete", "the answer", None)
        [record] = await store.read(lambda rows: list(rows.runs()))
    assert (record.status, record.output, record.error) == ("complete", "the answer", None)
    [_, curator] = await store.read(lambda rows: list(rows.turns(record.id)))
    assert (curator.agent, curator.status) == ("curator", "cancelled")


async def test_a_crash_in_the_round_keeps_what_was_fixed_and_the_round_goes_on():
    store = DyingStore()
    killing: dict[str, list[Line]] = {"ann": says("ann"), "curator": [lambda request: _raise(store)]}
    both = team(Wake(idle=True), others=("ann",))
    live = Orchestrator(both, store, model=ScriptedModel(killing))
    await store.killed_in(live, lambda: live.run("go"))
    going_on: dict[str, list[Line]] = {"curator": [*says("curator"), Say("tidy")]}
    with anyio.fail_after(10), ScriptedModel({"curator": going_on["curator"][:2]}) as model:
        async with Orchestrator(both, store, model=model) as live:
            [cut_off] = live.cut_off
            assert (cut_off.settled, cut_off.output) == ("complete", "ann")
            run = await live.resume(cut_off)
    assert (run.status, run.output, turns_of(run)) == ("complete", "ann", ["ann", "curator"])
    assert run.blocks["notes"].value == "ann 0\ncurator 0"


async def test_a_crash_in_the_round_of_a_run_that_has_failed_needs_nobody_but_the_sleeptime_agents():
    store = DyingStore()
    both = team(Wake(idle=True))
    killing: dict[str, list[Line]] = {"bob": [OSError("gone")], "curator": [lambda request: _raise(store)]}
    live = Orchestrator(both, store, model=ScriptedModel(killing))
    await store.killed_in(live, lambda: live.run("go", agent="bob"))
    without_bob = Team("team", [both.agent("ann"), both.agent("curator")])
    with anyio.fail_after(10), ScriptedModel({"curator": [Say("tidied")]}) as model:
        async with Orchestrator(without_bob, store, model=model) as live:
            run = await live.resume(live.cut_off[0])
    assert (run.status, str(run.error)) == ("failed", "the last turn of 'bob' failed: OSError: gone")
    assert [(turn.agent, turn.status) for turn in run.turns] == [("bob", "failed"), ("curator", "done")]


async def test_a_message_after_a_crash_in_the_round_gives_the_round_to_the_new_run():
    store = DyingStore()
    killing: dict[str, list[Line]] = {"ann": says("ann"), "curator": [lambda request: _raise(store)]}
    both = team(Wake(idle=True), others=("ann",))
    live = Orchestrator(both, store, model=ScriptedModel(killing))
    await store.killed_in(live, lambda: live.run("go"))
    with anyio.fail_after(10), ScriptedModel({"ann": [Say("new")], "curator": [Say("tidy")]}) as model:
        async with Orchestrator(both, store, model=model) as live:
            [cut_off] = live.cut_off
            run = await live.run("again")
            assert turns_of(run) == ["ann", "curator"]
            old = await live.resume(cut_off)
            assert (old.status, old.output) == ("complete", "ann")
            assert [(turn.agent, turn.status) for turn in old.turns] == [("ann", "done"), ("curator", "cancelled")]


async def test_turns_that_a_crash_kept_from_being_looked_at_count_once():
    store = DyingStore()
    wakes = [Wake(every=3, idle=True), Wake(every=2, by=["bob"])]
    both = Team("team", [Agent("ann"), Agent("bob"), Agent("curator", wakes_on=wakes)])
    killing: dict[str, list[Line]] = {"ann": [Say()], "curator": [lambda request: _raise(store)]}
    live = Orchestrator(both, store, model=ScriptedModel(killing))
    await store.killed_in(live, lambda: live.run("go"))
    script: dict[str, list[Line]] = {"ann": [Say("once more"), Say("and again")], "curator": [Say("tidied")]}
    with anyio.fail_after(10), ScriptedModel(script) as model:
        async with Orchestrator(both, store, model=model) as live:
            first = await live.run("again", budget=Budget(turns=1))
            assert turns_of(first) == ["ann"], "two turns have not been looked at"
            second = await live.run("again")
            assert turns_of(second) == ["ann", "curator"]
            await live.cancel(live.cut_off[0])
    kinds = [[cause.kind for cause in found] for found in await causes(store)]
    assert kinds == [["idle"], ["every"]]


async def test_what_two_wakes_called_for_together_is_still_to_be_looked_at_after_a_crash():
    store = DyingStore()
    wakes = [Wake(every=2), Wake(every=2, by=["ann"])]
    both = Team("team", [Agent("ann"), Agent("bob"), Agent("curator", wakes_on=wakes)])
    killing: dict[str, list[Line]] = {"ann": [Say(), Say()], "curator": [lambda request: _raise(store)]}
    live = Orchestrator(both, store, model=ScriptedModel(killing))

    async def twice() -> None:
        await live.run("go")
        await live.run("go on")

    await store.killed_in(live, twice)
    assert [cause.kind for cause in (await causes(store))[-1]] == ["every", "every"]
    with anyio.fail_after(10), ScriptedModel({"bob": [Say("new")], "curator": [Say("tidied")]}) as model:
        async with Orchestrator(both, store, model=model) as live:
            assert turns_of(await live.run("again", agent="bob")) == ["bob", "curator"]


async def test_a_run_cut_off_in_its_round_that_is_cancelled_ends_as_what_was_fixed():
    store = DyingStore()
    killing: dict[str, list[Line]] = {"ann": says("ann"), "curator": [lambda request: _raise(store)]}
    both = team(Wake(idle=True), others=("ann",))
    live = Orchestrator(both, store, model=ScriptedModel(killing))
    await store.killed_in(live, lambda: live.run("go"))
    with anyio.fail_after(10):
        async with Orchestrator(both, store, model=ScriptedModel({})) as live:
            run = await live.cancel(live.cut_off[0])
    assert (run.status, run.output) == ("complete", "ann")


async def test_a_sleeptime_agent_that_its_owner_deletes_is_not_waited_for():
    asked, go = anyio.Event(), anyio.Event()

    async def answer(request):
        asked.set()
        await go.wait()
        return "answer"

    runs: list[Run] = []
    live = Orchestrator(team(Wake(idle=True), others=("ann",)), model=FunctionModel(answer))

    async def run() -> None:
        runs.append(await live.run("go"))

    with anyio.fail_after(10):
        async with live, anyio.create_task_group() as group:
            group.start_soon(run)
            await asked.wait()
            await live.agents.delete("curator")
            go.set()
    assert turns_of(runs[0]) == ["ann"]


async def test_a_sleeptime_agent_that_its_owner_makes_is_woken_also_after_a_reopening(new_store: Callable[[], Store]):
    store = new_store()
    both = Team("team", [Agent("ann"), Agent("bob")])
    model = FunctionModel(lambda request: request.agent)
    with anyio.fail_after(10):
        async with Orchestrator(both, store, model=model) as live:
            wakes = [Wake(every=2, by=["bob"]), Wake(idle=True, by=["ann"])]
            await live.agents.create("curator", wakes_on=wakes)
            assert turns_of(await live.run("go", agent="bob")) == ["bob"]
            assert turns_of(await live.run("go", agent="ann")) == ["ann", "curator"]
        async with Orchestrator(both, store, model=model) as live:
            assert turns_of(await live.run("go", agent="bob")) == ["bob"]
            assert turns_of(await live.run("go", agent="bob")) == ["bob", "curator"]
            await live.agents.delete("curator")
            assert turns_of(await live.run("go", agent="ann")) == ["ann"]
    kinds = [[(cause.kind, cause.wake) for cause in found] for found in await causes(store)]
    assert kinds == [[("idle", None)], [("every", None)]]


@pytest.mark.parametrize("blocks", [(notes,), ()])
async def test_a_sleeptime_agent_that_was_deleted_comes_back_as_declared(new_store: Callable[[], Store], blocks):
    store = new_store()
    curator = Agent("curator", blocks=blocks, wakes_on=[Wake(idle=True)])
    both = Team("team", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes]), curator])
    model = FunctionModel(lambda request: request.agent)
    with anyio.fail_after(10):
        async with Orchestrator(both, store, model=model) as live:
            await live.agents.delete("curator")
            assert turns_of(await live.run("go")) == ["ann"]
        for _ in range(2):
            async with Orchestrator(both, store, model=model) as live:
                assert turns_of(await live.run("go")) == ["ann", "curator"]


async def test_a_sleeptime_agent_that_was_made_twice_and_is_declared_now_is_woken(new_store: Callable[[], Store]):
    store = new_store()
    alone = Team("team", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes])])
    curator = Agent("curator", blocks=[notes], wakes_on=[Wake(idle=True)])
    model = FunctionModel(lambda request: request.agent)
    with anyio.fail_after(10):
        async with Orchestrator(alone, store, model=model) as live:
            await live.agents.create("curator", attach=["notes"])
            await live.agents.delete("curator")
            await live.agents.create("curator", attach=["notes"])
        async with Orchestrator(Team("team", [*alone.members, curator]), store, model=model) as live:
            assert turns_of(await live.run("go")) == ["ann", "curator"]


@pytest.mark.parametrize("declared", [False, True])
async def test_turns_of_an_agent_that_has_left_the_team_since_still_count(new_store: Callable[[], Store], declared):
    store = new_store()
    ann, bob = Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes])
    curator = Agent("curator", blocks=[notes.curator()], wakes_on=[Wake(every=2)])
    model = FunctionModel(lambda request: request.agent)
    with anyio.fail_after(10):
        async with Orchestrator(
            Team("team", [ann, bob, curator] if declared else [ann, curator]), store, model=model
        ) as live:
            if not declared:
                await live.agents.create("bob", attach=["notes"])
            assert turns_of(await live.run("go", agent="bob")) == ["bob"]
            if not declared:
                await live.agents.delete("bob")
        async with Orchestrator(Team("team", [ann, curator]), store, model=model) as live:
            assert turns_of(await live.run("go")) == ["ann", "curator"]


def _raise(store: DyingStore):
    raise store.kill()


# --- declared


def test_a_sleeptime_wake_has_no_block_and_a_wake_needs_something():
    for wrong in (
        lambda: Wake(),
        lambda: Wake("notes"),
        lambda: Wake(notes, every=2),
        lambda: Wake(notes, idle=True),
        lambda: Wake(every=0),
        lambda: Wake(every=True),
        lambda: Wake(idle=1),
        lambda: Wake(every=2, when=bool),
    ):
        with pytest.raises(DeclarationError):
            wrong()


def test_those_who_are_named_must_be_in_the_team():
    with pytest.raises(DeclarationError, match="nobody"):
        team(Wake(every=2, by=["nobody"]))


def test_two_wakes_that_say_the_same_are_one_in_a_team_of_both():
    first, second = (team(Wake(every=2, idle=True, by=["ann"]), others=("ann",)) for _ in range(2))
    other = team(Wake(every=3, idle=True, by=["ann"]), others=("ann",))
    assert len((first | second).agent("curator").wakes) == 1
    assert len((first | other).agent("curator").wakes) == 2
