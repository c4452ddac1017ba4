"""One schedule, from its beginning to its end, and how it is judged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator import Agent, Block, Environment, Orchestrator, Team
from orchestrator.environment import ambient
from orchestrator.errors import StoreError
from orchestrator.simulation.choosers import InOrder, Walk
from orchestrator.simulation.environment import BEGINNING, SimulatedEnvironment
from orchestrator.simulation.judging import Flaw, asserted, flaws_of
from orchestrator.simulation.loop import ScheduleStuck
from orchestrator.simulation.playing import Played, play
from orchestrator.simulation.witness import Witness
from orchestrator.stores import MemoryStore, SQLiteStore
from orchestrator.testing import ScriptedModel, edit

Scene = Callable[[SimulatedEnvironment], Awaitable[Any]]

NOTES = Block("notes")
TEAM = Team("pair", [Agent("ann", blocks=[NOTES]), Agent("bob", blocks=[NOTES], wakes_on=[NOTES])])
SCRIPT: dict[str, list[Any]] = {
    "ann": [edit("memory_insert", "notes", new_string="from ann"), "done"],
    "bob": [edit("memory_insert", "notes", new_string="from bob"), "done"],
}


async def a_run(environment: SimulatedEnvironment) -> str:
    """Opens a team as anybody would, without naming the environment."""
    async with Orchestrator(TEAM, model=ScriptedModel(SCRIPT)) as live:
        return (await live.run("Hello")).blocks["notes"].value


def test_a_team_in_a_scene_is_in_its_environment_and_its_store_is_looked_at():
    played = play(a_run, InOrder())

    assert (played.result, played.error, played.left_over) == ("from ann\nfrom bob", None, ())
    assert played.turns == 2
    (history,) = played.histories
    assert history.team is TEAM
    assert history.blocks["pair:notes"].value == "from ann\nfrom bob"
    assert [run.id for run in history.runs] == ["run-1"]
    assert list(history.acknowledged) == list(history.log) == [event for commit in played.commits for event in commit]
    assert flaws_of(played) == []


def test_a_schedule_comes_to_the_same_whenever_it_is_played():
    one, other, another = play(a_run, Walk("1")), play(a_run, Walk("1")), play(a_run, InOrder())

    assert (one.digest, one.order, one.history) == (other.digest, other.order, other.history)
    assert one.order != another.order
    assert one.history == another.history
    assert one.digest != another.digest


def test_a_schedule_comes_to_the_same_in_every_process():
    program = (
        "from test_playing import a_run, play, Walk\nprint(*(play(a_run, Walk(str(seed))).digest for seed in range(5)))"
    )

    def digests(seed: str) -> str:
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
        }
        return subprocess.run(
            [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    assert digests("0") == digests("1") == " ".join(play(a_run, Walk(str(seed))).digest for seed in range(5)) + "\n"


def test_the_surroundings_of_a_schedule_end_with_it():
    seen: list[Environment] = []

    async def scene(environment: SimulatedEnvironment) -> None:
        async def started() -> None:
            seen.append(ambient())

        async with anyio.create_task_group() as group:
            group.start_soon(started)
        seen.append(environment)

    play(scene, InOrder())
    play(scene, InOrder())
    assert seen[0] is seen[1]
    assert seen[2] is seen[3]
    assert seen[0] is not seen[2]
    assert type(ambient()) is Environment
    assert ambient() is not ambient()


@pytest.mark.parametrize("group", [ExceptionGroup, BaseExceptionGroup])
def test_of_a_group_of_errors_the_first_is_told(group: type[BaseExceptionGroup[Exception]]):
    async def scene(environment: SimulatedEnvironment) -> None:
        raise group("several", [group("inner", [ValueError("first")]), KeyError("second")])

    played = play(scene, InOrder())
    assert flaws_of(played) == [Flaw(kind="error", what="ValueError: first", of="ValueError")]


def test_who_means_the_process_is_found_in_a_group():
    async def scene(environment: SimulatedEnvironment) -> None:
        raise BaseExceptionGroup("several", [ValueError("first"), BaseExceptionGroup("inner", [KeyboardInterrupt()])])

    with pytest.raises(KeyboardInterrupt):
        play(scene, InOrder())


def test_a_task_that_goes_on_after_the_end_is_told():
    async def scene(environment: SimulatedEnvironment) -> None:
        environment.loop.create_task(anyio.sleep(99), name="straggler")

    played = play(scene, InOrder())
    assert played.left_over == ("straggler",)
    assert played.seconds == 0
    (flaw,) = flaws_of(played)
    assert flaw == Flaw(kind="P8", what="task 'straggler' goes on after the team was closed")


def flaws_after(error: BaseException) -> list[Flaw]:
    async def scene(environment: SimulatedEnvironment) -> None:
        raise error

    return flaws_of(play(scene, InOrder()))


def test_each_way_to_end_badly_has_its_kind():
    assert flaws_after(AssertionError("two tasks\n  assert 2 == 1")) == [Flaw(kind="invariant", what="two tasks")]
    assert flaws_after(ScheduleStuck("nobody can go on")) == [Flaw(kind="P7", what="nobody can go on")]
    assert flaws_after(ValueError()) == [Flaw(kind="error", what="ValueError", of="ValueError")]
    assert flaws_after(KeyError("x")) == [Flaw(kind="error", what="KeyError: 'x'", of="KeyError")]


def test_an_assertion_without_a_message_is_told_by_its_line():
    def check() -> None:
        assert not TEAM, ""

    with pytest.raises(AssertionError) as caught:
        check()
    bare = AssertionError().with_traceback(caught.value.__traceback__)
    assert asserted(bare) == f"an assertion failed in check, line {check.__code__.co_firstlineno + 1}"
    assert asserted(AssertionError()) == "an assertion failed"


# --- the witness


def with_witness(act: Callable[[SimulatedEnvironment, Witness], Awaitable[Any]]) -> Played[Any]:
    async def scene(environment: SimulatedEnvironment) -> Any:
        witness: Witness = environment.witnessed(MemoryStore(), TEAM)
        await witness.open(environment)
        return await act(environment, witness)

    played = play(scene, InOrder())
    assert played.error is None, played.error
    return played


def test_a_store_has_one_witness_however_often_it_is_used():
    async def act(environment: SimulatedEnvironment, witness: Witness) -> None:
        other = Team("other", [Agent("ann")])
        assert environment.witnessed(witness, other) is witness
        assert (await witness.history()).team is other
        assert environment.witnessed(witness.store, TEAM) is witness
        assert environment.witnessed(MemoryStore(), TEAM) is not witness
        assert len(environment.witnesses) == 2

    with_witness(act)


def guarded(size: int) -> Team:
    """A team whose notes take no longer text."""
    notes = Block("notes", guard=lambda change: "too long" if len(change.new) > size else None)
    return Team("pair", [Agent("ann", blocks=[notes])])


@pytest.mark.parametrize("sizes", [(20, 5), (20, 20)])
def test_what_was_written_under_another_declaration_is_not_judged_by_this_one(sizes: tuple[int, int]):
    async def scene(environment: SimulatedEnvironment) -> None:
        store = MemoryStore()
        for size in sizes:
            model = ScriptedModel({"ann": [edit("memory_insert", "notes", new_string="apples"), "done"]})
            async with Orchestrator(guarded(size), store, model=model) as live:
                await live.run("Hello")

    played = play(scene, InOrder())

    assert played.error is None
    assert flaws_of(played) == []
    (history,) = played.histories
    ended, _ = (event.seq for event in history.log if event.type == "run_ended")
    is_another = sizes[0] != sizes[1]
    assert history.since == (ended if is_another else 0), "the same lines with the same values declare the same"
    assert history.blocks["pair:ann/notes"].version == (2 if is_another else 3)


def test_the_process_of_a_store_is_gone_after_so_many_transactions():
    async def act(environment: SimulatedEnvironment, witness: Witness) -> None:
        with anyio.CancelScope() as scope:
            witness.die_after(2, scope)
            await witness.transact(lambda rows: None)
            assert not witness.is_dead
            with pytest.raises(StoreError, match="killed by the simulation"):
                await witness.transact(lambda rows: None)
            assert witness.is_dead
            assert scope.cancel_called
        assert len(witness.commits) == 2  # it was committed, whoever did not hear of it

        for refused in (witness.transact(lambda rows: None), witness.read(lambda rows: None), witness.events()):
            with pytest.raises(StoreError, match="killed by the simulation"):
                await refused
        await witness.close()
        with pytest.raises(StoreError, match="in use"):
            await witness.store.open(environment)  # who is gone closes nothing

        await witness.revive()
        await witness.open(environment)
        await witness.transact(lambda rows: None)
        assert not witness.is_dead
        assert len(witness.commits) == 3

    with_witness(act)


def test_who_is_spared_does_not_die():
    async def act(environment: SimulatedEnvironment, witness: Witness) -> None:
        with anyio.CancelScope() as scope:
            witness.die_after(1, scope)
            witness.spare()
            await witness.transact(lambda rows: None)
        assert not witness.is_dead
        await witness.close()
        await witness.store.open(environment)

    with_witness(act)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_others_may_go_first_before_and_after_what_a_store_waits_for(kind: str, tmp_path: Any):
    async def scene(environment: SimulatedEnvironment) -> list[int]:
        store = MemoryStore() if kind == "memory" else SQLiteStore(tmp_path / "s.db", durability="process")
        await store.open(environment)
        taken: list[int] = []
        for act in (
            lambda: store.transact(lambda rows: None),
            lambda: store.read(lambda rows: None),
            lambda: store.events(),
        ):
            before = environment.loop.steps
            await act()
            taken.append(environment.loop.steps - before)
        await store.close()
        return taken

    played = play(scene, InOrder())
    assert played.error is None
    assert played.result is not None
    write, *reads = played.result
    assert write >= 2
    assert reads == ([1, 1] if kind == "memory" else [0, 0])  # SQLite reads without waiting, in real life too


def test_ids_and_time_are_of_the_schedule():
    played = play(a_run, InOrder())
    (history,) = played.histories
    assert [run.id for run in history.runs] == ["run-1"]
    assert history.runs[0].at == pytest.approx(BEGINNING)


class Forgetful(MemoryStore):
    """Says that it was committed, and loses the last event."""

    async def transact(self, work: Any) -> Any:
        committed = await super().transact(work)
        if len(self._rows.log) > 6:
            self._rows.log[-1] = self._rows.log[-1].having(at=0.0)
        return committed


def test_a_promise_that_is_not_kept_is_a_flaw():
    async def scene(environment: SimulatedEnvironment) -> None:
        async with Orchestrator(TEAM, Forgetful(), model=ScriptedModel(SCRIPT)) as live:
            await live.run("Hello")

    flaws = flaws_of(play(scene, InOrder()))
    assert "P1" in {flaw.kind for flaw in flaws}
