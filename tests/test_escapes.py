"""What leaves a simulation is stopped, and its error says which tool or model of whom it was, where, and what to do."""
# ruff: noqa: ASYNC221, ASYNC251, S605, S607 -- what should not be done is done here, to be stopped

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path
from time import sleep
from typing import Any

import anyio
import anyio.to_process
import anyio.to_thread
import pytest

from orchestrator import Agent, Block, ModelRequest, ModelResponse, Orchestrator, Team, tool
from orchestrator.errors import DeclarationError, OrchestratorError
from orchestrator.simulation.choosers import InOrder
from orchestrator.simulation.escapes import _REAL, guarded
from orchestrator.simulation.playing import Played, play
from orchestrator.stores import SQLiteStore
from orchestrator.testing import EscapedSimulation, FunctionModel, Say, ScriptedModel, call, edit

#: A port on which nobody listens, so that what is not stopped fails at once.
NOWHERE = ("127.0.0.1", 9)


def played(scene: Callable[[], Awaitable[Any]], *allow: Any) -> Played[Any]:
    with guarded(allow):
        return play(lambda environment: scene(), InOrder())


def played_team(agent: Agent, *lines: Say, blocks: tuple[Block, ...] = ()) -> Played[Any]:
    async def scene() -> str:
        with ScriptedModel({"ann": list(lines)}) as model:
            async with Orchestrator(Team("shop", [agent]), model=model) as live:
                return (await live.run("Begin.")).output

    return played(scene)


def escape(of: Played[Any]) -> EscapedSimulation:
    (error,) = of.environment.escapes
    assert isinstance(error, EscapedSimulation)
    return error


async def with_udp() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as one:
        one.sendto(b"hello", NOWHERE)


async def with_a_pool() -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(print)


async def with_a_connection() -> None:
    with socket.socket() as one:
        one.connect(NOWHERE)


async def with_a_server() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))


async def with_a_loop() -> None:
    await asyncio.get_running_loop().run_in_executor(None, print)


ESCAPES: dict[str, tuple[str, str, Callable[[], Awaitable[Any]] | Callable[[], Any]]] = {
    "sleep": ("sleep", "time.sleep(3600)", lambda: time.sleep(3600)),
    "sleep by its own name": ("sleep", "time.sleep(3600)", lambda: sleep(3600)),
    "thread": ("thread", "Thread.start()", lambda: threading.Thread(target=print).start()),
    "timer": ("thread", "Thread.start()", lambda: threading.Timer(0, print).start()),
    "low thread": ("thread", "thread.start_new_thread(", lambda: import_module("_thread").start_new_thread(print, ())),
    "pool": ("thread", "ThreadPoolExecutor.submit(<built-in function print>)", with_a_pool),
    "executor": ("thread", "EventLoop.run_in_executor(None, <built-in function print>)", with_a_loop),
    "asyncio.to_thread": ("thread", "EventLoop.run_in_executor(", partial(asyncio.to_thread, print)),
    "anyio.to_thread": ("thread", "Thread.start()", partial(anyio.to_thread.run_sync, print)),
    "run": ("process", "Popen(['true'])", lambda: subprocess.run(["true"], check=False)),
    "popen": ("process", "Popen('true')", lambda: os.popen("true")),
    "system": ("process", "os.system('true')", lambda: os.system("true")),
    "fork": ("process", "os.fork()", lambda: os.fork()),
    "multiprocessing": ("process", "Process.start()", lambda: multiprocessing.Process(target=print).start()),
    "asyncio process": ("process", "Popen(('true',))", partial(asyncio.create_subprocess_exec, "true")),
    "anyio.run_process": ("process", "Popen(('true',))", partial(anyio.run_process, ["true"])),
    "anyio.to_process": ("process", "Popen((", partial(anyio.to_process.run_sync, print)),
    "connect": ("socket", "socket.connect(('127.0.0.1', 9))", with_a_connection),
    "sendto": ("socket", "socket.sendto(b'hello', ('127.0.0.1', 9))", with_udp),
    "bind": ("socket", "socket.bind(('127.0.0.1', 0))", with_a_server),
    "look up": ("socket", "socket.getaddrinfo('localhost', 9)", lambda: socket.getaddrinfo("localhost", 9)),
    "create_connection": ("socket", "socket.getaddrinfo(", lambda: socket.create_connection(("localhost", 9))),
    "asyncio streams": ("socket", "EventLoop.getaddrinfo(", partial(asyncio.open_connection, "localhost", 9)),
    "anyio.connect_tcp": ("socket", "socket.connect(", partial(anyio.connect_tcp, *NOWHERE)),
}


@pytest.mark.parametrize("way", ESCAPES)
def test_every_way_out_is_stopped_and_remembered(way: str) -> None:
    kind, called, function = ESCAPES[way]

    async def scene() -> None:
        result = function()
        if result is not None:
            await result

    came = played(scene)

    error = escape(came)
    assert came.error is error
    assert error.kind == kind
    assert error.call.startswith(called)
    assert "the test itself" in str(error)
    assert f"allow=({kind!r},)" in str(error)
    assert isinstance(error, OrchestratorError)


def here(function: Callable[..., Any], lines: int = 1) -> str:
    """Where, in an error, the line of a function of this file is."""
    code = function.__code__
    return f"test_escapes.py:{code.co_firstlineno + lines} in {code.co_name}()"


def test_an_async_tool_that_escapes_is_named_and_its_schedule_has_failed_although_the_model_made_light_of_it() -> None:
    @tool
    async def price() -> str:
        """The price."""
        time.sleep(0.25)
        return "30"

    came = played_team(Agent("ann", tools=[price]), call("price"), Say("no price, never mind"))

    assert came.error is None
    assert came.result == "no price, never mind"
    error = escape(came)
    assert str(error) == (
        "tool 'price' of agent 'ann' leaves the simulation in turn 'turn-1': time.sleep(0.25), "
        f"called at {here(price.function, 3)}. Await anyio.sleep(…) in an async function: time costs nothing in a "
        "simulation; or allow it, in simulate() or in the mark of a test: allow=('sleep',)"
    )
    assert (error.tool, error.agent, error.turn) == ("price", "ann", "turn-1")


def test_a_plain_tool_that_escapes_is_named_too_and_the_next_tool_is_not() -> None:
    @tool
    def count() -> str:
        """Count."""
        try:
            subprocess.run(["true"], check=False)
        except EscapedSimulation:
            return "swallowed"
        return "counted"

    @tool
    def nothing() -> str:
        """Do nothing."""
        return "nothing"

    came = played_team(Agent("ann", tools=[count, nothing]), call("count"), call("nothing"), Say("done"))

    assert came.result == "done"
    error = escape(came)
    assert str(error).startswith("tool 'count' of agent 'ann' leaves the simulation in turn 'turn-1': Popen(['true'])")
    assert here(count.function, 4) in str(error)


def test_a_model_that_escapes_is_named_by_its_agent() -> None:
    class Asking:
        async def respond(self, request: ModelRequest) -> ModelResponse:
            async with await anyio.connect_tcp("localhost", 9):
                return ModelResponse("never")

    async def scene() -> str:
        async with Orchestrator(Team("shop", [Agent("ann")]), model=Asking()) as live:
            return (await live.run("Begin.")).status

    came = played(scene)

    assert came.result == "failed"
    error = escape(came)
    assert str(error).startswith("the model of agent 'ann' leaves the simulation in turn 'turn-1': EventLoop.getaddr")
    assert (error.tool, error.agent, error.turn) == (None, "ann", "turn-1")


def test_what_a_tool_does_in_tasks_of_its_own_is_the_tools() -> None:
    @tool
    async def ask() -> str:
        """Ask twice at once."""
        async with anyio.create_task_group() as group:
            group.start_soon(with_udp)
        return "asked"

    came = played_team(Agent("ann", tools=[ask]), call("ask"), Say("done"))

    assert (escape(came).tool, escape(came).kind) == ("ask", "socket")


def test_a_guard_that_escapes_is_found_by_its_line_and_belongs_to_no_tool() -> None:
    def short(change: Any) -> str | None:
        time.sleep(1)
        return None

    notes = Block("notes", guard=short)
    agent = Agent("ann", blocks=[notes])
    came = played_team(agent, edit("memory_insert", "notes", new_string="apples"), Say("done"))

    error = escape(came)
    assert str(error).startswith("the test itself, or a function that its team declares, leaves the simulation: time.")
    assert here(short) in str(error)
    assert (error.tool, error.agent, error.turn) == (None, None, None)


def test_what_is_allowed_is_done_for_real_and_nothing_else_is() -> None:
    done: list[str] = []

    async def scene() -> None:
        thread = threading.Thread(target=done.append, args=["in a thread"])
        thread.start()
        thread.join()
        time.sleep(0)

    came = played(scene, "thread")

    assert done == ["in a thread"]
    assert escape(came).kind == "sleep"
    assert played(scene, "thread", "sleep").environment.escapes == []


def test_of_two_guards_the_inner_one_says_what_is_allowed() -> None:
    async def scene() -> None:
        time.sleep(0)

    with guarded(["sleep"]):
        assert escape(played(scene)).kind == "sleep"
        assert play(lambda environment: scene(), InOrder()).environment.escapes == []
    assert play(lambda environment: scene(), InOrder()).environment.escapes == []  # without any guard


@pytest.mark.parametrize("allow", ["thread", ("threads",), ("thread", "time.sleep")])
def test_what_may_be_allowed_is_said(allow: Any) -> None:
    with pytest.raises(DeclarationError, match=r"allow is .*give a tuple of some of sleep, thread, process, socket"):
        guarded(allow).__enter__()

    assert time.sleep.__name__ == "sleep"
    assert "guard" not in repr(time.sleep)


def real() -> Iterator[tuple[str, object]]:
    """All that a guard is put before, as it is now."""
    for _, module, paths in _REAL:
        for path in paths.split():
            owner: Any = import_module(module)
            *owners, name = path.split(".")
            for inner in owners:
                owner = getattr(owner, inner)
            yield f"{module}.{path}", vars(owner).get(name)


def test_nothing_is_left_patched_not_even_after_an_error() -> None:
    before = dict(real())

    with pytest.raises(ZeroDivisionError), guarded(), guarded():  # noqa: PT012
        inside = dict(real())
        names = {name for name, value in before.items() if inside[name] is value}
        assert sleep is time.sleep
        assert sleep is not before["time.sleep"]
        raise ZeroDivisionError

    assert names <= {"_thread.start_joinable_thread", "os.startfile"}  # not on this system
    assert dict(real()) == before
    assert sleep is time.sleep is before["time.sleep"]


def test_of_two_threads_the_last_one_takes_the_guards_away() -> None:
    before = time.sleep
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with guarded():
            first_in.set()
            assert second_in.wait(5)
        first_out.set()

    thread = threading.Thread(target=first)
    thread.start()
    assert first_in.wait(5)
    with guarded():
        second_in.set()
        assert first_out.wait(5)
        assert time.sleep is not before
    thread.join(5)

    assert time.sleep is before


def test_guards_do_nothing_outside_of_a_simulation_nor_in_other_threads() -> None:
    came: list[str] = []

    def elsewhere() -> None:
        time.sleep(0)
        with socket.socket(type=socket.SOCK_DGRAM) as one:
            one.sendto(b"", NOWHERE)
        came.append("sent")

    async def in_another_loop() -> None:
        elsewhere()
        await anyio.to_thread.run_sync(elsewhere)

    with guarded():
        elsewhere()
        anyio.run(in_another_loop)
        anyio.run(in_another_loop, backend="trio")
    assert came == ["sent"] * 5

    async def scene() -> None:
        thread.start()
        thread.join()

    thread = threading.Thread(target=elsewhere)
    assert played(scene, "thread").environment.escapes == []
    assert came == ["sent"] * 6


def test_what_a_test_has_put_in_the_place_of_the_real_thing_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)

    async def scene() -> None:
        time.sleep(5)

    assert played(scene).environment.escapes == []
    assert slept == [5]


def test_a_module_that_is_imported_for_the_first_time_may_do_what_it_does_once_per_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "waiting_at_first.py").write_text("import time\ntime.sleep(0)\nname = 'imported'\n")
    monkeypatch.syspath_prepend(tmp_path)

    async def scene() -> str:
        name: str = import_module("waiting_at_first").name
        return name

    came = played(scene)

    assert came.result == "imported"
    assert came.environment.escapes == []
    del sys.modules["waiting_at_first"]


def test_files_the_stores_and_virtual_time_are_no_escape(tmp_path: Path) -> None:
    @tool
    def read() -> str:
        """Read a file, with a lock held."""
        with threading.Lock():
            return (tmp_path / "a.txt").read_text()

    (tmp_path / "a.txt").write_text("apples")
    agent = Agent("ann", tools=[read])

    async def scene() -> str:
        script = {"ann": [call("read", after=60), Say("done", after=60)]}
        store = SQLiteStore(tmp_path / "a.db")
        async with Orchestrator(Team("shop", [agent]), store, model=ScriptedModel(script)) as live:
            return (await live.run("Begin.")).output

    came = played(scene)

    assert (came.error, came.result, came.environment.escapes) == (None, "done", [])
    assert came.seconds >= 120


def test_an_escape_of_whoever_was_called_with_a_long_text_is_told_shortly() -> None:
    async def scene() -> None:
        os.system("x" * 1000)

    assert len(escape(played(scene)).call) < 120


async def test_outside_of_a_turn_nobody_is_calling() -> None:
    from orchestrator.tools import CALLING

    seen: list[Any] = []

    def answer(request: ModelRequest) -> str:
        seen.append(CALLING.get())
        return "done"

    async with Orchestrator(Team("shop", [Agent("ann")]), model=FunctionModel(answer)) as live:
        await live.run("Begin.")
    assert [(calling.agent, calling.tool) for calling in seen] == [("ann", None)]
    assert CALLING.get() is None
