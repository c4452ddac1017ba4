"""A user's tests under many schedules, and with recorded answers: what pytest says, in a process of its own."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

import pytest

import orchestrator

pytest_plugins = ["pytester"]

CHECKOUT = Path(orchestrator.__file__).parent.parent

#: What a user's tests begin with. The two who add meet only if somebody is early or late.
BEGINNING = """
import anyio
import pytest
from orchestrator import Agent, Block, Orchestrator, OutdatedRewrite, Team, tool
from orchestrator.stores import MemoryStore
from orchestrator.testing import EscapedSimulation, FunctionModel, Say, ScriptedModel, call

def team(*tools):
    notes = Block("notes", "0")
    return Team("pair", [Agent("ann", blocks=[notes], tools=tools), Agent("bob", blocks=[notes])])

async def add(live, after, is_careful):
    await anyio.sleep(after)
    block = await live.blocks.retrieve("notes")
    version = block.version if is_careful else None
    try:
        await live.blocks.modify("notes", value=str(int(block.value) + 1), if_version=version)
    except OutdatedRewrite:
        await add(live, 0, is_careful)

async def added(is_careful=False):
    async with Orchestrator(team(), model=ScriptedModel({})) as live:
        async with anyio.create_task_group() as group:
            group.start_soon(add, live, 1, is_careful)
            group.start_soon(add, live, 2, is_careful)
        return (await live.blocks.retrieve("notes")).value
"""


@pytest.fixture
def user(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A user's folder, with our plugin and anyio's, and none of those that happen to be here."""
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyprojecttoml(
        '[tool.pytest]\nstrict = true\nanyio_mode = "auto"\nfilterwarnings = ["error"]\n'
        'addopts = ["-p", "anyio.pytest_plugin"]\n'
    )
    return pytester


def run(user: pytest.Pytester, *options: str, **files: str) -> pytest.RunResult:
    if files:
        user.makepyfile(**{name: BEGINNING + textwrap.dedent(text) for name, text in files.items()})
    return user.runpytest_subprocess("-p", "orchestrator.pytest_plugin", *options, timeout=100)


def told(result: pytest.RunResult, beginning: str) -> str:
    """The rest of the one line that begins so."""
    lines = [line.removeprefix("E").strip() for line in result.outlines]
    (found,) = {line.removeprefix(beginning) for line in lines if line.startswith(beginning)}
    return found


def test_a_lost_update_fails_with_a_seed_and_a_schedule_that_fail_again_and_its_mended_twin_passes(
    user: pytest.Pytester,
) -> None:
    result = run(
        user,
        test_counting="""
        @pytest.mark.simulate
        async def test_lost():
            assert await added() == "2", "an addition is lost"

        @pytest.mark.simulate
        async def test_mended():
            assert await added(is_careful=True) == "2"
        """,
    )

    result.assert_outcomes(failed=1, passed=1)
    seed, before = re.fullmatch(r"seed (\d+) fails, and (\d+) before it do not", told(result, "simulation: ")).groups()  # type: ignore[union-attr]
    assert seed == before != "0"
    assert re.fullmatch("[12] choices?", told(result, "smallest schedule that fails so: "))
    result.stdout.fnmatch_lines(
        ["*test_lost*", '>*assert await added() == "2"*', "E*AssertionError: an addition is lost"]
    )
    assert "owner" in result.stdout.str()  # the story says who wrote
    assert told(result, "the same again: ") == f"pytest test_counting.py::test_lost --simulate-seed {seed}"

    inside = user.mkdir("inside")
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.chdir(inside)
        from_there = run(user, "../test_counting.py::test_lost", "--simulate-seed", seed)
    command = told(from_there, "the same again: ")
    assert command == f"pytest {user.path / 'test_counting.py'}::test_lost --simulate-seed {seed}"

    again = run(user, "test_counting.py::test_lost", "--simulate-seed", seed)
    again.assert_outcomes(failed=1)
    assert told(again, "simulation: ") == f"seed {seed} fails"
    assert told(again, "simulated: ").startswith("1 test, 1 schedule, 1 of them distinct")

    smallest = told(result, "the smallest again: pytest ").split()
    assert smallest[0] == "test_counting.py::test_lost"
    again = run(user, *smallest)
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["E*AssertionError: an addition is lost", f"*simulation: seed {seed} fails"])
    assert "the smallest again" not in again.stdout.str()  # it is this one

    plainest = run(user, "test_counting.py::test_lost", "--simulate-seed", "0")
    plainest.assert_outcomes(passed=1)


def test_what_a_schedule_leaves_behind_or_hides_fails_the_test_and_says_what_it_was(user: pytest.Pytester) -> None:
    result = run(
        user,
        test_flaws="""
        import asyncio
        import itertools
        import time

        @tool
        async def nap() -> str:
            "Take a nap."
            try:
                time.sleep(1)
            except EscapedSimulation:
                return "slept"

        async def napped():
            script = {"ann": [call("nap"), Say("done")]}
            async with Orchestrator(team(nap), model=ScriptedModel(script)) as live:
                assert (await live.run("Begin.")).output == "done"

        @pytest.mark.simulate
        async def test_escapes():
            await napped()

        @pytest.mark.simulate(allow=["sleep"], schedules=1)
        async def test_may_escape():
            await napped()

        @pytest.mark.simulate
        async def test_leaves_a_task():
            asyncio.create_task(asyncio.sleep(60), name="forgotten")

        @pytest.mark.simulate
        async def test_stuck():
            await anyio.Event().wait()

        numbers = itertools.count()

        @pytest.mark.simulate(seed=20)
        async def test_by_chance():
            async with Orchestrator(team(), model=ScriptedModel({})) as live:
                await live.blocks.modify("notes", value=str(next(numbers)))

        store = MemoryStore()

        @pytest.mark.simulate
        async def test_one_store_for_all():
            async with Orchestrator(team(), store, model=ScriptedModel({})):
                pass

        @pytest.mark.simulate
        async def test_broken():
            asyncio.create_task(asyncio.sleep(60), name="orphan")
            {}["apples"]
        """,
    )

    result.assert_outcomes(failed=6, passed=1)
    result.stdout.fnmatch_lines_random(
        [
            "escape: tool 'nap' of agent 'ann' leaves the simulation in turn 'turn-1': time.sleep(1), called at *",
            "P8: *'forgotten'*",
            "P7: nobody can go on, and no timer is set*",
            "P9: the same seed came to something else the second time*",
            "simulation: seed 20 fails",
            "a simulated test: uses a MemoryStore that was there before it; make a new one in the test, each time",
            "E*KeyError: 'apples'",
            "E*also P8: *'orphan'*",
        ]
    )


def test_fixtures_parameters_classes_and_outcomes_are_as_in_any_test(user: pytest.Pytester) -> None:
    result = run(
        user,
        "-v",
        test_usual="""
        made, played = [], []

        @pytest.fixture
        def basket(tmp_path):
            made.append(tmp_path)
            yield made
            made.append("taken down")

        @pytest.mark.simulate(schedules=3)
        async def test_with_fixtures(basket):
            await anyio.sleep(3600)
            assert len(basket) == 1
            played.append(anyio.current_time())

        def test_afterwards():
            assert made[1:] == ["taken down"]
            assert played == [3600.0] * 4  # the first seed twice

        @pytest.mark.simulate(schedules=2)
        class TestClass:
            @pytest.mark.parametrize("number", [1, 2])
            async def test_method(self, number):
                assert number == 1
                assert isinstance(self, TestClass)

        @pytest.mark.simulate
        async def test_skipped():
            pytest.skip("not today")

        @pytest.mark.simulate
        async def test_failed():
            pytest.fail("as it says")

        async def test_of_anyio(anyio_backend_name):
            assert anyio.get_current_task().name

        @pytest.mark.simulate(schedules=1)
        async def test_of_anyio_no_more():
            pass
        """,
    )

    result.assert_outcomes(passed=6, failed=2, skipped=1)
    result.stdout.fnmatch_lines_random(
        [
            "test_usual.py::TestClass::test_method[[]1[]] PASSED*",
            "E*Failed: as it says",
            "E*the same again: pytest 'test_usual.py::TestClass::test_method[[]2[]]' --simulate-seed 0",
            "test_usual.py::test_of_anyio[[]asyncio[]] PASSED*",
            "test_usual.py::test_of_anyio[[]trio[]] PASSED*",
            "test_usual.py::test_of_anyio_no_more PASSED*",
            "  test_usual.py::test_with_fixtures: 3 schedules, 1 distinct",
        ]
    )


def test_wrong_use_is_an_error_that_says_what_is_right(user: pytest.Pytester) -> None:
    result = run(
        user,
        test_wrong="""
        from unittest import IsolatedAsyncioTestCase

        @pytest.mark.simulate
        def test_plain():
            pass

        class TestOfUnittest(IsolatedAsyncioTestCase):
            @pytest.mark.simulate
            async def test_it(self):
                pass

        @pytest.fixture
        async def connection():
            yield "open"

        @pytest.mark.simulate
        async def test_async_fixture(connection):
            pass

        @pytest.mark.simulate(50)
        async def test_nameless():
            pass

        @pytest.mark.simulate(times=50)
        async def test_unknown():
            pass

        @pytest.mark.simulate(schedules=0)
        async def test_none():
            pass

        @pytest.mark.simulate(seed="now")
        async def test_seed():
            pass

        @pytest.mark.simulate(allow="sleep")
        async def test_allow():
            pass

        def test_answers(recorded_model):
            pass

        @pytest.mark.model_answers("none.json")
        def test_no_answers(recorded_model):
            pass
        """,
    )

    result.assert_outcomes(errors=10)
    result.stdout.fnmatch_lines_random(
        [
            "only async functions can be simulated, and no methods of unittest; write: async def",
            "fixture 'connection' is async, and would run in another event loop than each of the schedules; *",
            "the mark simulate: takes no arguments without a name; it takes schedules, seed, allow",
            "the mark simulate: takes no times=; it takes schedules, seed, allow",
            "the mark simulate: schedules is 0; give 1 or more",
            "the mark simulate: seed is 'now'; give a whole number, 0 or more",
            "a simulation: allow is 'sleep'; give a tuple of some of sleep, thread, process, socket",
            'say where the answers are: @pytest.mark.model_answers("answers.json", model="…")',
            "*none.json is not there; with --record-models the model is asked for it",
        ]
    )
    assert "Error" not in result.stdout.str().replace("ERROR", "")


def test_options_count_more_than_the_mark_and_everything_is_summed_up(user: pytest.Pytester) -> None:
    file = """
    @pytest.mark.simulate(schedules=1000)
    async def test_one():
        async with Orchestrator(team(), model=FunctionModel(lambda request: "done")) as live:
            await live.run("Begin.")

    @pytest.mark.simulate
    async def test_other():
        pass
    """
    result = run(user, "--simulate-schedules", "3", test_options=file)
    result.assert_outcomes(passed=2)
    assert re.fullmatch("2 tests, 6 schedules, [234] of them distinct, 3 turns", told(result, "simulated: "))

    result = run(user, "--simulate-again", "nowhere.json", "--simulate-schedules=1", "-k", "other")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["--simulate-again: 'nowhere.json' cannot be read: No such file or directory"])

    user.makefile(".json", token='{"type": "schedule"}')  # noqa: S106 -- the name of a file
    result = run(user, "--simulate-again", "token.json", "-k", "other")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["--simulate-again: 'token.json' is no schedule that a failing test has saved; *"])

    result = run(user, "--simulate-seed", "-3", "-k", "other")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["--simulate-seed: seed is -3; give a whole number, 0 or more"])

    result = run(user, "--simulate-seed=-1", "-k", "other")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["--simulate-seed: seed is -1; give a whole number, 0 or more"])

    result = run(user, "-p", "xdist", "-n", "2", "--simulate-schedules", "2", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=2)
    assert told(result, "simulated: ").startswith("2 tests, 4 schedules, ")


def test_anyios_own_mark_does_not_multiply_a_simulated_test(user: pytest.Pytester) -> None:
    result = run(
        user,
        "--anyio-mode=strict",
        "-p",
        "no:cacheprovider",
        test_marked="""
        pytestmark = pytest.mark.anyio

        @pytest.mark.simulate(schedules=1)
        async def test_ours():
            raise ValueError

        async def test_theirs():
            pass
        """,
    )

    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["FAILED test_marked.py::test_ours - ValueError"])
    assert "the smallest again" not in result.stdout.str()  # there is no cache to keep it in


def test_a_command_is_told_as_it_is_typed_where_one_is(user: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    user.mkdir("inner").joinpath("test_inner.py").write_text(
        "import pytest\n\n@pytest.mark.simulate(schedules=1)\nasync def test_it():\n    raise ValueError\n", "utf-8"
    )
    monkeypatch.chdir(user.path / "inner")

    result = run(user)

    result.stdout.fnmatch_lines(["FAILED test_inner.py::test_it - ValueError"])
    assert told(result, "the same again: ") == "pytest test_inner.py::test_it --simulate-seed 0"


def test_a_fixture_of_ones_own_that_is_called_recorded_model_is_handed_in_as_it_is(user: pytest.Pytester) -> None:
    result = run(
        user,
        test_own="""
        @pytest.fixture
        def recorded_model():
            return "mine"

        @pytest.mark.simulate(schedules=2)
        async def test_mine(recorded_model):
            assert recorded_model == "mine"
        """,
    )

    result.assert_outcomes(passed=1)


def test_what_a_file_holds_from_an_earlier_schedule_is_found_as_that(user: pytest.Pytester) -> None:
    result = run(
        user,
        test_kept="""
        from orchestrator.stores import SQLiteStore

        @pytest.mark.simulate
        async def test_kept(tmp_path):
            async with Orchestrator(team(), SQLiteStore(tmp_path / "kept.db"), model=ScriptedModel({})):
                pass
        """,
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["P9: *follows chance, or what schedules before have left"])


def test_without_simulated_tests_nothing_is_said_and_nothing_of_it_is_imported(user: pytest.Pytester) -> None:
    user.makepyfile(
        test_none="""
        import sys

        def test_light():
            loaded = set(sys.modules)
            assert not {name for name in loaded if name.startswith("orchestrator.simulation")}
            assert not loaded & {"litellm", "networkx", "typer", "rich"}
        """
    )
    result = run(user)

    result.assert_outcomes(passed=1)
    assert "simulated:" not in result.stdout.str()


ASKING = """
@pytest.mark.model_answers("answers/question.json", model="rehearsal")
async def test_asked(recorded_model):
    async with Orchestrator(team(), model=recorded_model) as live:
        run = await live.run("What are memory blocks?")
    assert run.status == "complete"
    assert run.output.startswith("(rehearsal)") or "rehearsal" in run.output

@pytest.mark.simulate(schedules=3)
@pytest.mark.model_answers("answers/simulated.json", model="rehearsal")
async def test_simulated(recorded_model):
    for _ in "once":
        async with Orchestrator(team(), model=recorded_model) as live:
            assert (await live.run("What are memory blocks?")).status == "complete"
            break
"""


def test_answers_are_recorded_once_and_spoken_again_in_every_schedule(user: pytest.Pytester) -> None:
    backends = '\n@pytest.fixture\ndef anyio_backend():\n    return "asyncio"\n'
    unasked = """
    @pytest.mark.model_answers("answers/failed.json", model="rehearsal")
    async def test_failed(recorded_model):
        async with Orchestrator(team(), model=recorded_model) as live:
            await live.run("What are memory blocks?")
        assert False

    @pytest.mark.model_answers("answers/nobody.json")
    async def test_nobody(recorded_model):
        pass
    """
    files = {"test_answers": backends + ASKING, "test_unasked": backends + textwrap.dedent(unasked)}
    recorded = run(user, "--record-models", **files)

    recorded.assert_outcomes(passed=2, failed=1, errors=1)
    recorded.stdout.fnmatch_lines(["no model is named; write: @pytest.mark.model_answers(path, model=…)"])
    assert "simulated: " not in recorded.stdout.str()  # it was asked for real, once
    names = sorted(path.name for path in (user.path / "answers").iterdir())
    assert names == ["question.json", "simulated.json"]

    saved = user.path / "answers" / "question.json"
    answers = json.loads(saved.read_text("utf-8"))
    answers["answers"][-1]["text"] = "(rehearsal) in other words"
    saved.write_text(json.dumps(answers), "utf-8")
    again = run(user, "test_answers.py")
    again.assert_outcomes(passed=2)
    assert told(again, "simulated: ").startswith("1 test, 3 schedules, ")
    assert "in other words" in saved.read_text("utf-8")


def test_the_readmes_simulated_test_passes(user: pytest.Pytester) -> None:
    readme = (CHECKOUT / "README.md").read_text("utf-8")
    (block,) = (text for text in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "mark.simulate" in text)
    user.makepyfile(test_readme=block)
    result = run(user)

    result.assert_outcomes(passed=block.count("async def test_"))
    assert told(result, "simulated: ")
