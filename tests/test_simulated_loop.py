"""The loop of a simulation: time, turns, and what becomes of a schedule without an end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from orchestrator.simulation.choosers import Choice, InOrder, Repeat, Walk
from orchestrator.simulation.environment import BEGINNING, SimulatedEnvironment
from orchestrator.simulation.loop import FARTHEST, ScheduleStuck
from orchestrator.simulation.playing import Played, play

Scene = Callable[[SimulatedEnvironment], Awaitable[Any]]


def played(scene: Scene, choices: dict[int, Choice] | None = None, most_steps: int = 1000) -> Played[Any]:
    return play(scene, Repeat(choices or {}), most_steps=most_steps)


def came_of(scene: Scene, choices: dict[int, Choice] | None = None) -> Any:
    """What the scene returned."""
    result = played(scene, choices)
    assert result.error is None, result.error
    return result.result


def test_an_hour_passes_at_once():
    async def scene(environment: SimulatedEnvironment) -> tuple[float, float]:
        await anyio.sleep(3600)
        return environment.now(), anyio.current_time()

    assert came_of(scene) == (BEGINNING + 3600, 3600)
    assert played(scene).seconds == 3600


def test_timers_fire_in_the_order_of_their_times_and_those_of_one_moment_in_the_order_of_their_tasks():
    order: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await anyio.sleep(seconds)
        order.append(name)

    async def scene(environment: SimulatedEnvironment) -> None:
        async with anyio.create_task_group() as group:
            for name, seconds in (("late", 2), ("a", 1), ("b", 1), ("c", 1), ("soon", 0.5)):
                group.start_soon(sleeper, name, seconds)

    came_of(scene)
    assert order == ["soon", "a", "b", "c", "late"]


def test_a_timer_that_was_cancelled_neither_fires_nor_moves_the_time():
    fired: list[str] = []

    async def scene(environment: SimulatedEnvironment) -> float:
        loop = environment.loop
        loop.call_later(5, fired.append, "cancelled").cancel()
        handle = loop.call_at(3, fired.append, "cancelled as well")
        loop.call_at(1, handle.cancel)
        loop.call_later(2, fired.append, "on time")
        await anyio.sleep(4)
        return anyio.current_time()

    assert came_of(scene) == 4
    assert fired == ["on time"]


def test_what_another_thread_would_call_is_called():
    called: list[str] = []

    async def scene(environment: SimulatedEnvironment) -> None:
        environment.loop.call_soon_threadsafe(called.append, "called")
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()

    came_of(scene)
    assert called == ["called"]


def test_the_chooser_says_who_goes_on():
    def order(choices: dict[int, Choice]) -> list[str]:
        found: list[str] = []

        async def going(name: str) -> None:
            found.append(name)

        async def scene(environment: SimulatedEnvironment) -> None:
            async with anyio.create_task_group() as group:
                for name in "abc":
                    group.start_soon(going, name)

        came_of(scene, choices)
        return found

    assert order({}) == ["a", "b", "c"]
    assert order({2: Choice(2)}) == ["c", "a", "b"]
    assert order({2: Choice(1), 3: Choice(1)}) == ["b", "c", "a"]


def test_what_was_chosen_is_noted_and_comes_to_the_same_again():
    async def going(environment: SimulatedEnvironment, turns: int) -> None:
        for _ in range(turns):
            await environment.pause()

    async def scene(environment: SimulatedEnvironment) -> None:
        async with anyio.create_task_group() as group:
            for turns in (3, 4, 5):
                group.start_soon(going, environment, turns)

    one = play(scene, Walk("7"))
    other = play(scene, Repeat(one.choices))

    assert one.choices
    assert all(choice.pick < one.options[step] for step, choice in one.choices.items())
    assert other.trace == one.trace
    assert other.digest == one.digest
    assert other.order != play(scene, InOrder()).order


def test_who_is_cancelled_together_goes_on_in_the_order_of_making_whatever_the_order_of_sets():
    def order(salt: int) -> list[int]:
        found: list[int] = []

        async def waiting(number: int) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                found.append(number)

        async def scene(environment: SimulatedEnvironment) -> None:
            ballast = [object() for _ in range(salt)]  # other addresses
            async with anyio.create_task_group() as group:
                for number in range(40):
                    group.start_soon(waiting, number)
                await anyio.sleep(1)
                group.cancel_scope.cancel()
            del ballast

        came_of(scene)
        return found

    assert order(0) == order(333) == list(range(40))


def test_the_next_timer_may_fire_before_anybody_goes_on():
    async def scene(environment: SimulatedEnvironment) -> float:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 2)
            await environment.pause()
            await environment.pause()
            return anyio.current_time()

    assert came_of(scene) == 0
    result = played(scene, {4: Choice(warp=True)})
    assert result.result == 2
    assert -1 in result.trace
    assert result.choices == {4: Choice(warp=True)}


def test_a_timer_that_is_far_away_does_not_fire_for_want_of_luck():
    async def scene(environment: SimulatedEnvironment) -> float:
        with anyio.move_on_after(FARTHEST + 1):
            await environment.pause()
        return anyio.current_time()

    result = played(scene, {step: Choice(warp=True) for step in range(1, 10)})
    assert result.result == 0
    assert result.choices == {}


def test_who_is_held_back_goes_on_later():
    async def scene(environment: SimulatedEnvironment) -> float:
        await environment.pause()
        return anyio.current_time()

    assert came_of(scene, {2: Choice(stall=3.5)}) == 3.5


def test_time_goes_on_while_somebody_who_is_cancelled_is_held_back():
    async def scene(environment: SimulatedEnvironment) -> float:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await environment.pause()
        return anyio.current_time()

    assert came_of(scene, {2: Choice(stall=5)}) == 5


def test_something_can_be_done_just_before_a_step():
    async def scene(environment: SimulatedEnvironment) -> list[int]:
        seen: list[int] = []
        environment.loop.at_step(3, lambda: seen.append(environment.loop.steps))
        environment.loop.at_step(99, lambda: seen.append(99))
        for _ in range(5):
            await environment.pause()
        return seen

    assert came_of(scene) == [3]


# --- schedules without an end


def stuck(scene: Scene, most_steps: int = 1000) -> str:
    """How the schedule was given up; and that it was, in every respect."""
    result = played(scene, most_steps=most_steps)
    assert isinstance(result.error, ScheduleStuck)
    assert result.result is None
    assert (result.histories, result.left_over) == ((), ())
    assert asyncio.all_tasks(result.environment.loop) == set()
    assert result.environment.loop.is_closed()
    return str(result.error)


async def waits_for_ever() -> None:
    await anyio.Event().wait()


def test_a_deadlock_is_told_with_who_waits():
    async def scene(environment: SimulatedEnvironment) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(waits_for_ever, name="bob")
            group.start_soon(anyio.sleep_forever, name="ann")

    assert stuck(scene) == "nobody can go on, and no timer is set; there are: ann, bob"


def test_a_deadlock_of_one_needs_no_names():
    async def scene(environment: SimulatedEnvironment) -> None:
        await waits_for_ever()

    assert stuck(scene) == "nobody can go on, and no timer is set"


def test_a_task_without_a_name_is_told_by_its_function_and_not_by_a_number_of_the_process():
    async def scene(environment: SimulatedEnvironment) -> None:
        await asyncio.get_running_loop().create_task(waits_for_ever())

    assert stuck(scene) == stuck(scene) == "nobody can go on, and no timer is set; there are: waits_for_ever"


def test_a_schedule_without_an_end_is_given_up():
    async def running(environment: SimulatedEnvironment) -> None:
        while True:
            await environment.pause()

    async def scene(environment: SimulatedEnvironment) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(running, environment, name="ann")
            group.start_soon(running, environment, name="bob")

    assert stuck(scene, most_steps=200) == "no end after 200 steps; there are: ann, bob"


def test_who_could_go_on_when_a_schedule_is_given_up_is_ended_too():
    begun: list[str] = []
    ended: list[str] = []

    async def last(environment: SimulatedEnvironment) -> None:
        begun.append("last")
        try:
            await environment.pause()
            await anyio.sleep_forever()
        finally:
            ended.append("last")

    async def scene(environment: SimulatedEnvironment) -> None:
        for _ in range(7):
            await environment.pause()
        async with anyio.create_task_group() as group:
            group.start_soon(last, environment)
            group.start_soon(last, environment)
            await anyio.sleep_forever()

    for most in range(7, 12):
        begun.clear()
        ended.clear()
        assert stuck(scene, most_steps=most).startswith(f"no end after {most} steps")
        assert ended == begun
    assert ended == ["last", "last"]


def test_callbacks_that_call_each_other_for_ever_are_given_up():
    async def scene(environment: SimulatedEnvironment) -> None:
        def again() -> None:
            environment.loop.call_soon(again)

        again()
        await waits_for_ever()

    assert "callbacks call each other" in stuck(scene)


@pytest.mark.parametrize("seconds", [0, 0.01])
def test_timers_that_set_each_other_for_ever_are_given_up(seconds: float):
    async def scene(environment: SimulatedEnvironment) -> None:
        def again() -> None:
            environment.loop.call_later(seconds, again)

        again()
        await waits_for_ever()

    assert "callbacks call each other" in stuck(scene)


def test_who_waits_for_ever_while_cleaning_up_is_left_without_a_word(caplog: pytest.LogCaptureFixture):
    async def stubborn() -> None:
        try:
            await waits_for_ever()
        finally:
            with anyio.CancelScope(shield=True):
                await waits_for_ever()

    async def scene(environment: SimulatedEnvironment) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(stubborn)
            await waits_for_ever()

    assert "nobody can go on" in stuck(scene)
    gc.collect()
    assert caplog.text == ""


def test_who_will_not_end_at_all_is_left_without_a_word(caplog: pytest.LogCaptureFixture):
    async def immortal() -> None:
        while True:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                continue

    async def scene(environment: SimulatedEnvironment) -> None:
        await immortal()

    result = played(scene)
    assert isinstance(result.error, ScheduleStuck)
    del result
    gc.collect()
    assert caplog.text == ""


def test_errors_of_tasks_that_are_ended_are_not_told(caplog: pytest.LogCaptureFixture):
    async def failing() -> None:
        try:
            await waits_for_ever()
        finally:
            raise ValueError("while cleaning up")

    async def scene(environment: SimulatedEnvironment) -> None:
        environment.kept = asyncio.get_running_loop().create_task(failing())  # type: ignore[attr-defined]
        await environment.pause()

    result = played(scene)
    assert result.left_over == (failing.__qualname__,)
    del result
    gc.collect()
    assert caplog.text == ""


def test_a_generator_that_was_left_half_way_is_closed():
    closed: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await anyio.lowlevel.checkpoint()
            closed.append("closed")

    async def scene(environment: SimulatedEnvironment) -> None:
        environment.kept = numbers()  # type: ignore[attr-defined]
        assert await anext(environment.kept) == 1  # type: ignore[attr-defined]

    assert played(scene).error is None
    assert closed == ["closed"]


def test_nothing_of_a_schedule_stays():
    class Something:
        pass

    alive: list[weakref.ref[Any]] = []

    async def waiting(something: Something) -> None:
        await waits_for_ever()

    async def scene(environment: SimulatedEnvironment) -> None:
        something = Something()
        alive.append(weakref.ref(something))
        alive.append(weakref.ref(environment.loop))
        async with anyio.create_task_group() as group:
            group.start_soon(waiting, something)
            if len(alive) > 2:
                group.cancel_scope.cancel()

    for _ in range(2):
        played(scene)
    gc.collect()
    assert [reference() for reference in alive] == [None] * 4


# --- what ends a schedule from outside


def test_ctrl_c_ends_it_where_it_is():
    seen: list[str] = []

    async def other() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            seen.append("other was ended")

    async def scene(environment: SimulatedEnvironment) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(other)
            group.start_soon(other)
            await anyio.sleep(1)
            os.kill(os.getpid(), signal.SIGINT)
            seen.append("went on")
            await anyio.sleep(1)

    with pytest.raises(KeyboardInterrupt):
        played(scene)
    assert seen.count("other was ended") == 2
    assert seen[-1] != "went on"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_is_not_lost_where_somebody_catches_every_cancellation():
    async def scene(environment: SimulatedEnvironment) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await anyio.sleep(1)
        except asyncio.CancelledError:
            return "caught"
        return "went on"

    with pytest.raises(KeyboardInterrupt):
        played(scene)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_means_the_process_passes(error: type[BaseException]):
    ended: list[str] = []

    async def other(environment: SimulatedEnvironment) -> None:
        try:
            while True:
                await environment.pause()
        finally:
            ended.append("ended")

    async def scene(environment: SimulatedEnvironment) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(other, environment)
            await environment.pause()
            raise error

    with pytest.raises(error):
        played(scene)
    assert ended == ["ended"]


def test_it_runs_in_any_thread():
    found: list[Any] = []

    async def scene(environment: SimulatedEnvironment) -> float:
        await anyio.sleep(1)
        return anyio.current_time()

    thread = threading.Thread(target=lambda: found.append(played(scene)))
    thread.start()
    thread.join(10)
    assert [result.result for result in found] == [1]


# --- points at which others may go first


def test_cancellation_takes_effect_at_a_pause():
    async def scene(environment: SimulatedEnvironment) -> bool:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await environment.pause()
            return True
        return False

    assert came_of(scene) is False


def test_cancellation_waits_at_a_shielded_pause_for_the_next_one():
    seen: list[str] = []

    async def scene(environment: SimulatedEnvironment) -> int:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await environment.pause_shielded()
            seen.append("told")
            await environment.pause()
            seen.append("went on")
        await environment.pause()
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert came_of(scene) == 0
    assert seen == ["told"]


def test_a_scope_that_ends_right_after_a_shielded_pause_cancels_nothing_else():
    async def scene(environment: SimulatedEnvironment) -> int:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await environment.pause_shielded()
        assert not scope.cancelled_caught
        for _ in range(3):
            await environment.pause()
        await anyio.sleep(1)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert came_of(scene) == 0


def test_a_task_that_ends_right_after_a_shielded_pause_has_ended():
    done: list[str] = []

    async def committing(environment: SimulatedEnvironment) -> None:
        await environment.pause_shielded()
        done.append("committed")

    async def scene(environment: SimulatedEnvironment) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(committing, environment)
            await environment.pause()
            group.cancel_scope.cancel()

    came_of(scene)
    assert done == ["committed"]


def test_what_asyncio_cancels_is_cancelled_at_a_shielded_pause_too_since_it_would_not_be_asked_again():
    async def scene(environment: SimulatedEnvironment) -> str:
        async def committing() -> None:
            await environment.pause_shielded()
            await waits_for_ever()

        task = asyncio.get_running_loop().create_task(committing())
        await environment.pause()
        await environment.pause()  # now it is at its own
        task.cancel()
        with anyio.fail_after(5):
            await asyncio.wait([task])
        return "cancelled" if task.cancelled() else "went on"

    assert came_of(scene) == "cancelled"


def test_blocking_work_is_done_here_between_two_points_at_which_others_may_go_first():
    order: list[str] = []

    async def scene(environment: SimulatedEnvironment) -> int:
        async def other() -> None:
            order.append("another goes first")
            await environment.pause()
            order.append("and again")

        def work() -> int:
            order.append(f"work, in thread {threading.get_ident() == threading.main_thread().ident}")
            return 7

        async with anyio.create_task_group() as group:
            group.start_soon(other)
            result = await environment.run_blocking(work)
            order.append("done")
        return result

    assert came_of(scene) == 7
    assert order == ["work, in thread True", "another goes first", "done", "and again"]
    order.clear()
    assert came_of(scene, {2: Choice(1)}) == 7
    assert order == ["another goes first", "work, in thread True", "and again", "done"]


def test_ids_count_by_kind():
    async def scene(environment: SimulatedEnvironment) -> list[str]:
        return [environment.new_id(kind) for kind in ("run", "turn", "run")]

    assert came_of(scene) == came_of(scene) == ["run-1", "turn-1", "run-2"]
