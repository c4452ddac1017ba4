"""Where litellm's requests run, and that nothing of them is left when a loop has ended."""

from __future__ import annotations

import asyncio
import gc
import os
import threading

import anyio
import anyio.lowlevel
import pytest
from provider_server import Answer, Provider

from orchestrator import LiteLLMModel, ModelRequest, UserMessage
from orchestrator.models.loops import on_asyncio

# Of pydantic, about types of litellm's, at its import.
pytestmark = pytest.mark.filterwarnings("ignore:Item '.*' on TypedDict class:UserWarning")

REQUEST = ModelRequest("ann", messages=(UserMessage(text="hi"),))


async def test_what_the_work_raises_is_raised_here():
    async def work() -> None:
        raise LookupError("no such thing")

    with anyio.fail_after(10), pytest.raises(LookupError, match="no such thing"):
        await on_asyncio(work)


async def test_work_is_done_on_asyncio_and_one_loop_does_for_all_of_a_run():
    async def work() -> int:
        await asyncio.sleep(0)
        return id(asyncio.get_running_loop())

    with anyio.fail_after(10):
        assert await on_asyncio(work) == await on_asyncio(work)


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_work_that_cancels_itself_is_an_error_and_no_cancellation():
    async def work() -> None:
        raise asyncio.CancelledError

    with anyio.fail_after(10), pytest.raises(RuntimeError, match="cancelled from within"):
        await on_asyncio(work)


async def test_a_cancelled_caller_waits_until_the_work_has_ended():
    begun, ended = threading.Event(), threading.Event()

    async def work() -> None:
        try:
            begun.set()
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            ended.set()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(on_asyncio, work)
            await anyio.to_thread.run_sync(begun.wait, 5)
            group.cancel_scope.cancel()
        assert ended.is_set()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_run_after_the_other_leaves_no_thread_no_connection_and_no_client(backend):
    def run(times: int) -> tuple[int, int, int]:
        with Provider(Answer("yes")) as provider:
            models = [
                LiteLLMModel("openai/gpt-5-mini", api_base=provider.openai, api_key="canary-0123456789"),
                LiteLLMModel("anthropic/claude-haiku-4-5", api_base=provider.url, api_key="canary-0123456789"),
            ]

            async def ask_both() -> list[str]:
                return [(await asked.respond(REQUEST)).text for asked in models]

            for _ in range(times):
                assert anyio.run(ask_both, backend=backend) == ["yes", "yes"]
                gc.collect()  # what was left open would warn here, and warnings are errors
        return _left()

    assert run(1) == run(5)


def _left() -> tuple[int, int, int]:
    import litellm

    threads = [thread for thread in threading.enumerate() if "asyncio" in thread.name]
    sockets = [name for name in map(_target, os.listdir("/proc/self/fd")) if name.startswith("socket:")]
    ours = len(litellm.in_memory_llm_clients_cache.cache_dict)
    return len(threads), len(sockets) if os.path.isdir("/proc/self/fd") else 0, ours


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""
