"""For pytest: a marker that plays a test under many schedules, and a fixture that answers as a real model once did.

pytest loads this module in every environment in which this package is installed, so what is not always needed is
imported where it is used.
"""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, TypedDict

import anyio
import pytest
from pydantic import ValidationError

from orchestrator.checks import check_count
from orchestrator.errors import DeclarationError
from orchestrator.phrases import counted
from orchestrator.ports import Model

if TYPE_CHECKING:
    from orchestrator.simulation.bodies import Body
    from orchestrator.simulation.choosers import Chooser
    from orchestrator.simulation.escapes import Kind
    from orchestrator.simulation.exploring import Performance
    from orchestrator.simulation.reports import Failure, SimulationReport
    from orchestrator.simulation.schedules import Schedule, Settings

#: What the marker can be given, and what it is otherwise.
_DEFAULTS: Final[dict[str, Any]] = {"schedules": 100, "seed": 0, "allow": ()}

_MARKERS: Final = (
    "simulate(schedules=100, seed=0, allow=()): play this async test under so many schedules, drawn from seeds that "
    "begin with this one; allow= names what may be real: 'sleep', 'thread', 'process', 'socket'.",
    "model_answers(path, model=None): the file, beside the test's, with the answers that the fixture recorded_model "
    "gives; and the model that is asked for them with --record-models.",
)

#: A test that this plugin plays; whether its body has passed; where its recorded answers are.
_IS_PLAYED: Final = pytest.StashKey[bool]()
_HAS_PASSED: Final = pytest.StashKey[bool]()
_ANSWERS: Final = pytest.StashKey[Path]()


class Tally(TypedDict):
    """What a test's schedules were, as its report tells it, between processes too."""

    schedules: int
    distinct: int
    turns: int


_TALLY: Final = pytest.StashKey[Tally]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options."""
    group = parser.getgroup("orchestrator", "teams of agents")
    group.addoption(
        "--simulate-schedules", type=int, metavar="N", help="play each simulated test under so many schedules"
    )
    group.addoption("--simulate-seed", type=int, metavar="SEED", help="play simulated tests with this seed only")
    group.addoption(
        "--simulate-again", metavar="FILE", help="play simulated tests as a schedule that a failure has saved"
    )
    group.addoption(
        "--record-models",
        action="store_true",
        help="ask the models that @pytest.mark.model_answers names, for real, and save what they answer",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make our markers known."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


# --- which tests are ours


@pytest.hookimpl(specname="pytest_pycollect_makeitem")
def pytest_pycollect_makeitem_for_one_loop(collector: pytest.Collector, obj: Any) -> None:
    """Take anyio's mark from a test that brings a loop of its own, before it is multiplied by anyio's backends.

    anyio's plugin runs first (it says so), and the one that makes the items runs last.
    """
    if not inspect.iscoroutinefunction(obj):
        return
    marks: list[pytest.Mark] = getattr(obj, "pytestmark", [])
    if any(mark.name == "simulate" for mark in (*marks, *collector.iter_markers("simulate"))):
        kept = [mark for mark in marks if (mark.name, mark.args) != ("usefixtures", ("anyio_backend",))]
        vars(obj)["pytestmark"] = kept


@pytest.hookimpl(specname="pytest_pycollect_makeitem", wrapper=True, trylast=True)
def pytest_pycollect_makeitem_played(obj: object) -> Generator[None, Any, Any]:
    """Make plain functions of the async ones that are to be simulated, before other plugins look at them."""
    made = yield
    for item in made if isinstance(made, list) else [made]:
        if isinstance(item, pytest.Function) and item.get_closest_marker("simulate"):
            function: Any = item.obj
            if inspect.iscoroutinefunction(function):
                item.obj = _played(item, function)
                item.stash[_IS_PLAYED] = True
    return made


def _played(item: pytest.Function, function: Callable[..., Awaitable[object]]) -> Callable[..., None]:
    @wraps(function)
    def played(**fixtures: Any) -> None:
        if item.config.getoption("record_models") and "recorded_model" in fixtures:
            anyio.run(partial(function, **fixtures))  # once, with the real model and the real time
        else:
            _play(item, partial(_called, item, function, fixtures))

    return played


async def _called(item: pytest.Item, function: Callable[..., Awaitable[object]], fixtures: dict[str, Any]) -> None:
    """The body of the test, in one schedule: fixtures are the same in all, but for models that count their turns."""
    if "recorded_model" in fixtures and _ANSWERS in item.stash:  # else it is another fixture of this name
        from orchestrator.simulation.recordings import RecordedModel

        fixtures = {**fixtures, "recorded_model": RecordedModel.load(item.stash[_ANSWERS])}
    await function(**fixtures)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Say what cannot be simulated."""
    marker = item.get_closest_marker("simulate")
    if marker is None:
        return
    if not item.stash.get(_IS_PLAYED, False) or not isinstance(item, pytest.Function):
        raise _refused("only async functions can be simulated, and no methods of unittest; write: async def")
    for name, known in item._fixtureinfo.name2fixturedefs.items():
        if inspect.iscoroutinefunction(known[-1].func) or inspect.isasyncgenfunction(known[-1].func):
            problem = f"fixture {name!r} is async, and would run in another event loop than each of the schedules"
            raise _refused(f"{problem}; make it plain, or do in the test what it does")
    _asked(item, marker)


# --- a test is played


class Asked(NamedTuple):
    """How a test is to be played."""

    seeds: Sequence[int]
    allow: frozenset[Kind]
    again: str | None


def _asked(item: pytest.Item, marker: pytest.Mark) -> Asked:
    """What marker and options ask for; a mistake in them fails the test."""
    from orchestrator.simulation.escapes import allowed

    given = {**_DEFAULTS, **marker.kwargs}
    unknown = sorted(given.keys() - _DEFAULTS.keys())
    try:
        if marker.args or unknown:
            what = f"{unknown[0]}=" if unknown else "arguments without a name"
            raise DeclarationError("the mark simulate", f"takes no {what}; it takes {', '.join(_DEFAULTS)}")
        schedules, seed = item.config.getoption("simulate_schedules"), given["seed"]
        schedules = given["schedules"] if schedules is None else schedules
        check_count("the mark simulate", "schedules", schedules)
        only = item.config.getoption("simulate_seed")
        for where, one in (("the mark simulate", seed), ("--simulate-seed", 0 if only is None else only)):
            if type(one) is not int or one < 0:
                raise DeclarationError(where, f"seed is {one!r}; give a whole number, 0 or more")
        allow = allowed(given["allow"])
    except DeclarationError as error:
        raise _refused(error) from None
    seeds = range(seed, seed + schedules) if only is None else range(only, only + 1)
    return Asked(seeds, allow, item.config.getoption("simulate_again"))


def _refused(why: object) -> BaseException:
    """Fails a test without showing code, since it is not its code that is wrong."""
    return pytest.fail.Exception(str(why), pytrace=False)


def _play(item: pytest.Function, function: Callable[[], Awaitable[object]]) -> None:
    """Play a test under its schedules, and fail as the first of them that fails."""
    from orchestrator.simulation.bodies import Body
    from orchestrator.simulation.escapes import guarded

    marker = item.get_closest_marker("simulate")
    assert marker is not None, "it was looked for"
    asked = _asked(item, marker)
    body = Body(function, passed_on=(pytest.skip.Exception, pytest.exit.Exception))
    with guarded(asked.allow):
        report = _explored(body, asked)
        item.stash[_TALLY] = Tally(schedules=report.schedules, distinct=len(report.orders), turns=report.turns)
        if not report.passed:
            _fail(item, body, report)


def _explored(body: Body, asked: Asked) -> SimulationReport:
    from orchestrator.simulation.exploring import explore

    try:
        if asked.again is None:
            return explore(body, asked.seeds, tell=_is_enough)
        schedule = _schedule_in(asked.again)
        return explore(partial(_as_saved, body, schedule), [schedule.settings.seed], tell=_is_enough)
    except DeclarationError as error:
        raise _refused(error) from None


def _schedule_in(path: str) -> Schedule:
    """What a failure has saved."""
    from orchestrator.simulation.schedules import Schedule

    try:
        return Schedule.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        raise DeclarationError("--simulate-again", f"{path!r} cannot be read: {error.strerror}") from None
    except ValidationError:
        problem = f"{path!r} is no schedule that a failing test has saved; the command that replays it names the file"
        raise DeclarationError("--simulate-again", problem) from None


def _as_saved(body: Body, schedule: Schedule, settings: Settings, chooser: Chooser | None) -> Performance:
    return body(schedule.settings, chooser or schedule.chooser())


def _is_enough(played: int, failed: int) -> bool:
    """Whether to stop: the first failure is the test's."""
    return failed > 0


#: What is told before all else, and what next: the rest may follow from it.
_FIRST: Final = {"escape": 0, "invariant": 1, "error": 1}


def _fail(item: pytest.Item, body: Body, report: SimulationReport) -> NoReturn:
    """Fail with what the smallest schedule came to: its own error, if it has raised one."""
    failure, *others = sorted(report.failures, key=lambda failure: _FIRST.get(failure.flaw.kind, len(_FIRST)))
    played = body.again(failure.schedule).played
    story = failure.story if played.environment.witnesses else ()  # where no team was run there is none
    told = "\n".join(_lines(item, report, failure.having(story=story), others))
    error = played.error
    if failure.flaw.kind in ("invariant", "error") and error is not None:
        error.add_note(told)
        raise error
    raise _refused(f"{failure.flaw.kind}: {failure.flaw.what}\n{told}")


def _lines(item: pytest.Item, report: SimulationReport, failure: Failure, others: Sequence[Failure]) -> Iterator[str]:
    before = report.schedules - 1
    yield f"simulation: seed {failure.seed} fails{f', and {before:,} before it do not' if before else ''}"
    for other in others:
        yield f"  also {other.flaw.kind}: {other.flaw.what}"
    yield f"smallest schedule that fails so: {counted(failure.choices, 'choice')}"
    yield from (f"  {line}" for line in failure.story)
    again = f"pytest {shlex.quote(_named(item))}"
    yield f"the same again: {again} --simulate-seed {failure.seed}"
    if (saved := _saved(item, failure)) is not None:
        yield f"the smallest again: {again} --simulate-again {shlex.quote(str(saved))}"


def _named(item: pytest.Item) -> str:
    """The test, as it is named in the folder in which pytest was called; the id is of the folder of the project."""
    folder = item.config.invocation_params.dir
    path = item.path.relative_to(folder) if item.path.is_relative_to(folder) else item.path
    return "::".join((path.as_posix(), *item.nodeid.split("::")[1:]))


def _saved(item: pytest.Item, failure: Failure) -> Path | None:
    """Where the smallest schedule is kept, if pytest keeps anything."""
    if item.config.getoption("simulate_again") or not hasattr(item.config, "cache"):
        return None
    name = re.sub(r"[^\w.-]+", "-", item.nodeid.rpartition("/")[2]).strip("-")
    path = item.config.cache.mkdir("simulated") / f"{name}-{failure.seed}.json"
    path.write_text(failure.schedule.model_dump_json(exclude_defaults=True) + "\n", "utf-8")
    here = item.config.invocation_params.dir
    return path.relative_to(here) if path.is_relative_to(here) else path


# --- what is told at the end


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Hand on how many schedules there were, from process to process if need be."""
    report = yield
    if call.when == "call":
        item.stash[_HAS_PASSED] = report.passed
        if _TALLY in item.stash:
            vars(report)["simulated"] = item.stash[_TALLY]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many schedules there were."""
    tallies: dict[str, Tally] = {
        report.nodeid: report.simulated
        for reports in terminalreporter.stats.values()
        for report in reports
        if hasattr(report, "simulated")
    }
    if not tallies:
        return
    schedules, distinct, turns = (
        sum(tally[name] for tally in tallies.values()) for name in ("schedules", "distinct", "turns")
    )
    tests, played = counted(len(tallies), "test"), counted(schedules, "schedule")
    terminalreporter.write_line(
        f"simulated: {tests}, {played}, {distinct:,} of them distinct, {counted(turns, 'turn')}"
    )
    if terminalreporter.verbosity > 0:
        for name, tally in tallies.items():
            played = counted(tally["schedules"], "schedule")
            terminalreporter.write_line(f"  {name}: {played}, {tally['distinct']:,} distinct")


# --- recorded answers


class Answers(NamedTuple):
    """Where a test's recorded answers are, and who gave them."""

    path: Path
    model: str | None


@pytest.fixture
def recorded_model(request: pytest.FixtureRequest) -> Iterator[Model]:
    """A model that answers as the one did that `@pytest.mark.model_answers("answers.json", model="…")` names.

    The file stands beside that of the test. With `--record-models` the model itself is asked, and if the test passes,
    the file is written.
    """
    from orchestrator.simulation.recordings import RecordedModel, RecordingModel

    answers = _answers(request)
    request.node.stash[_ANSWERS] = answers.path
    if not request.config.getoption("record_models"):
        if not answers.path.exists():
            raise _refused(f"{answers.path} is not there; with --record-models the model is asked for it")
        yield RecordedModel.load(answers.path)
        return
    if answers.model is None:
        raise _refused("no model is named; write: @pytest.mark.model_answers(path, model=…)")
    recording = RecordingModel(answers.model)
    yield recording
    if request.node.stash.get(_HAS_PASSED, False):
        recording.save(answers.path)


def _answers(request: pytest.FixtureRequest) -> Answers:
    marker = request.node.get_closest_marker("model_answers")
    if marker is None or len(marker.args) != 1 or marker.kwargs.keys() - {"model"}:
        raise _refused('say where the answers are: @pytest.mark.model_answers("answers.json", model="…")')
    return Answers(request.path.parent / marker.args[0], marker.kwargs.get("model"))
