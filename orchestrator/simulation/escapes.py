"""What leaves a simulation is stopped, and told: real sleeps, threads, processes and sockets."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from asyncio import get_running_loop
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import wraps
from importlib import import_module
from threading import Lock
from types import FrameType
from typing import Any, Final, Literal, NamedTuple, NoReturn, get_args

from orchestrator.errors import DeclarationError, OrchestratorError
from orchestrator.phrases import shortened
from orchestrator.simulation.interrupting import interruptible
from orchestrator.simulation.loop import SimulatedLoop
from orchestrator.simulation.loop import __file__ as loop_file
from orchestrator.tools import CALLING, Calling

Kind = Literal["sleep", "thread", "process", "socket"]

_INSTEAD: Final[dict[Kind, str]] = {
    "sleep": "Await anyio.sleep(…) in an async function: time costs nothing in a simulation",
    "thread": "What blocks can be a plain function: the engine calls such a tool in a thread, a simulation on the spot",
    "process": "Hand in what starts it, so that a test can hand in a fake",
    "socket": "Hand in the client, so that a test can hand in a fake",
}

#: What Python writes into the names of objects, and is another in each schedule.
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")

#: Of what was called, so many characters are told.
_MOST_TOLD: Final = 100


class EscapedSimulation(OrchestratorError):
    """Something real was about to happen in a simulation, where it would cost time, and not repeat itself.

    It says which tool or model did it, where, and what to do instead. It did not happen. A schedule in which this was
    raised has failed, even if a tool's caller, or the model, made light of it.
    """

    def __init__(self, kind: Kind, call: str, calling: Calling | None, place: str) -> None:
        when = f" in turn {calling.turn!r}" if calling else ""
        at = f", called at {place}" if place else ""
        instead = f"{_INSTEAD[kind]}; or allow it, in simulate() or in the mark of a test: allow=({kind!r},)"
        super().__init__(f"{_whose(calling)} leaves the simulation{when}: {call}{at}. {instead}")
        self.kind = kind
        self.call = call
        self.agent = calling.agent if calling else None
        self.turn = calling.turn if calling else None
        self.tool = calling.tool if calling else None


class _Way(NamedTuple):
    """One way out: a function, or a method, of a module."""

    kind: Kind
    module: str
    path: str


#: Which functions and methods of which modules do something real. What is not on this system is left out.
_REAL: Final[tuple[tuple[Kind, str, str], ...]] = (
    ("sleep", "time", "sleep"),
    ("thread", "asyncio.base_events", "BaseEventLoop.run_in_executor"),
    ("thread", "concurrent.futures.thread", "ThreadPoolExecutor.submit"),
    ("thread", "threading", "Thread.start"),
    ("thread", "_thread", "start_new_thread start_joinable_thread"),
    ("process", "subprocess", "Popen.__init__"),
    ("process", "multiprocessing.process", "BaseProcess.start"),
    ("process", "os", "system fork forkpty posix_spawn posix_spawnp execv execve startfile"),
    ("socket", "asyncio.base_events", "BaseEventLoop.getaddrinfo BaseEventLoop.getnameinfo"),
    ("socket", "socket", "socket.connect socket.connect_ex socket.sendto socket.bind"),
    ("socket", "socket", "getaddrinfo getnameinfo gethostbyname gethostbyname_ex gethostbyaddr"),
)
_WAYS: Final = tuple(_Way(kind, module, path) for kind, module, paths in _REAL for path in paths.split())

#: What may leave the simulations that are played here; None: they are not guarded.
_ALLOWED: Final[ContextVar[frozenset[Kind] | None]] = ContextVar("allowed", default=None)


@contextmanager
def guarded(allow: Iterable[Kind] = ()) -> Iterator[None]:
    """Schedules that are played inside raise `EscapedSimulation` where something real is about to happen.

    Sleeps, threads, processes and sockets are real; files are no matter. It takes effect in the tasks of a simulation
    only: other threads, and what runs between schedules, do not notice it. Enter it once, around many schedules.
    What C code does by itself, and names that a module had given to these functions, are not seen. Ctrl-C ends it.

    Args:
        allow: what may happen for real: "sleep", "thread", "process", "socket". The schedule does not wait for it:
            only calls that block till they are done are of use. Of two guards, the inner one counts.
    """
    token = _ALLOWED.set(allowed(allow))
    try:
        with interruptible(), _GUARDS:
            yield
    finally:
        _ALLOWED.reset(token)


def allowed(allow: Iterable[Kind]) -> frozenset[Kind]:
    """What `guarded` is to allow, if it can be; else `DeclarationError`."""
    kinds = get_args(Kind)
    given = None if isinstance(allow, str) or not isinstance(allow, Iterable) else tuple(allow)
    if given is None or not all(kind in kinds for kind in given):
        raise DeclarationError("a simulation", f"allow is {allow!r}; give a tuple of some of {', '.join(kinds)}")
    return frozenset(given)


class _Guards:
    """The guards, in place as long as somebody needs them."""

    def __init__(self) -> None:
        #: Protects the number of those who need them, and what takes the guards away.
        self._lock = Lock()
        self._users = 0
        self._undo = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                _guard_all(self._undo)
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._undo.close()


_GUARDS: Final = _Guards()


def _guard_all(undo: ExitStack) -> None:
    functions: dict[str, _Swap] = {}
    for way in _WAYS:
        owner: Any = import_module(way.module)
        *owners, name = way.path.split(".")
        for inner in owners:
            owner = getattr(owner, inner)
        original = getattr(owner, name, None)
        if not _is_real(way, original):
            continue
        if owners:
            restore = (setattr, owner, name, original) if name in vars(owner) else (delattr, owner, name)
            undo.callback(*restore)
            setattr(owner, name, _guarding(way, original))
        else:
            functions[name] = _Swap(original, _guarding(way, original))
    _rename(functions)
    undo.callback(_rename, {name: _Swap(swap.new, swap.old) for name, swap in functions.items()})


def _is_real(way: _Way, function: object) -> bool:
    """Whether it is there on this system, and no test has put something of its own in its place."""
    name = way.path.rpartition(".")[2]
    modules = (way.module, *_OWN_MODULES)
    return getattr(function, "__name__", None) == name and getattr(function, "__module__", None) in modules


#: Where the functions of those modules say that they are from, besides from there.
_OWN_MODULES: Final = ("_socket", "posix", "nt", None)


class _Swap(NamedTuple):
    old: object
    new: object


def _rename(functions: Mapping[str, _Swap]) -> None:
    """Let each name stand for something new wherever it stands for the old: `from time import sleep` is common."""
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", {})
        for name in names.keys() & functions.keys():
            if names[name] is functions[name].old:
                names[name] = functions[name].new


def _guarding(way: _Way, original: Any) -> Callable[..., Any]:
    @wraps(original)
    def guard(*args: Any, **kwargs: Any) -> Any:
        may = _ALLOWED.get()
        if may is not None and way.kind not in may and (loop := _simulated_loop()) is not None:
            frames = list(_frames())
            if not any(frame.f_code.co_filename == _IMPORTING for frame in frames):  # that is once, not per schedule
                _escape(loop, way, args, frames)
        return original(*args, **kwargs)

    return guard


def _simulated_loop() -> SimulatedLoop | None:
    """The one that runs in this thread."""
    try:
        loop = get_running_loop()
    except RuntimeError:
        return None
    return loop if isinstance(loop, SimulatedLoop) else None


def _frames() -> Iterator[FrameType]:
    """What is being called in this step of the schedule, the innermost call first."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename != loop_file:
        yield frame
        frame = frame.f_back


def _escape(loop: SimulatedLoop, way: _Way, args: tuple[object, ...], frames: Iterable[FrameType]) -> NoReturn:
    owner, _, name = way.path.rpartition(".")
    if owner:
        args = args[1:]  # without the object itself
    told = _ADDRESS.sub("", ", ".join(map(repr, args)))
    called = f"{owner.removeprefix('Base') or way.module.lstrip('_')}.{name}".removesuffix(".__init__")
    error = EscapedSimulation(way.kind, f"{called}({shortened(told, _MOST_TOLD)})", CALLING.get(), _place(frames))
    loop.escapes.append(error)
    raise error


def _whose(calling: Calling | None) -> str:
    if calling is None:
        return "the test itself, or a function that its team declares,"
    of = f"agent {calling.agent!r}"
    return f"the model of {of}" if calling.tool is None else f"tool {calling.tool!r} of {of}"


def _place(frames: Iterable[FrameType]) -> str:
    """The innermost line that is neither the library's, nor an installed package's, nor ours."""
    for frame in frames:
        code = frame.f_code
        if not code.co_filename.startswith(_FOREIGN) and not _INSTALLED.search(code.co_filename):
            return f"{os.path.basename(code.co_filename)}:{frame.f_lineno} in {code.co_name}()"
    return ""


#: Names of files, or their beginnings, whose lines say nothing to a user.
_IMPORTING: Final = "<frozen importlib._bootstrap>"
_INSTALLED: Final = re.compile(r"[\\/](site|dist)-packages[\\/]")
_FOREIGN: Final = (
    "<frozen",
    sysconfig.get_path("stdlib") + os.sep,
    os.path.dirname(os.path.dirname(__file__)) + os.sep,
)
