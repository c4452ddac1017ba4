"""Where a model's name leads, and that nothing of litellm's is touched before the first request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from provider_server import Provider, error

from orchestrator import Agent, Environment, LiteLLMModel, ModelNotFound, Orchestrator, Team
from orchestrator.models import Models, find_model

CHECKOUT = Path(__file__).parent.parent


def test_a_provider_and_a_model_lead_to_litellm():
    environment = Environment()

    found = find_model("openrouter/anthropic/claude-haiku-4.5", environment)

    assert isinstance(found, LiteLLMModel)
    assert found.name == "openrouter/anthropic/claude-haiku-4.5"
    assert repr(found) == "LiteLLMModel('openrouter/anthropic/claude-haiku-4.5')"
    assert found._environment is environment


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("gpt-5-mini", "openai/gpt-5-mini"),
        ("claude-haiku-4-5", "anthropic/claude-haiku-4-5"),
        ("gemini-2.5-flash", "gemini/gemini-2.5-flash"),
        ("reharsal", "openai/gpt-5-mini"),
        ("openai/", "openai/gpt-5-mini"),
        ("/gpt-5-mini", "openai/gpt-5-mini"),
    ],
)
def test_a_name_that_is_none_is_told_with_an_example(name, suggested):
    with pytest.raises(ModelNotFound, match=f"such as {suggested}$"):
        find_model(name, Environment())


def test_agents_with_one_name_share_one_model():
    agents = [Agent("ann", model="openai/a"), Agent("bob", model="openai/b"), Agent("eve", model="openai/a")]

    models = Models(agents, None, Environment())

    assert models.of("ann") is models.of("eve")
    assert models.of("ann") is not models.of("bob")


def test_an_orchestrator_hands_its_environment_to_its_models():
    environment = Environment()

    live = Orchestrator(Team("one", [Agent("ann", model="openai/a")]), environment=environment)

    assert live._models.of("ann")._environment is environment  # type: ignore[attr-defined]


#: Asks a model after all that comes before a request, and prints what was touched until then, and by then.
WITNESS = """
import json, os, sys
deeds = []
sys.addaudithook(lambda event, arguments: event.startswith("socket.") and deeds.append([event, str(arguments)]))
import anyio
from orchestrator import Agent, Orchestrator, Team

async def main():
    team = Team("one", [Agent("ann", model="openai/gpt-5-mini")])
    async with Orchestrator(team) as live:
        loaded = "litellm" in sys.modules
        run = await live.run("hi")
    connected = sorted({arguments for event, arguments in deeds if event == "socket.connect"})
    looked_up = [arguments for event, arguments in deeds if event == "socket.getaddrinfo"]
    found = ["litellm" in sys.modules, os.environ.get("FROM_DOTENV"), run.status, str(run.error)]
    print(json.dumps([loaded, connected, looked_up, *found]))

anyio.run(main)
"""


def test_nothing_is_loaded_before_the_first_request_and_nothing_asked_but_the_provider(tmp_path):
    (tmp_path / ".env").write_text("FROM_DOTENV=1\n")
    kept = ("PATH", "PYTHONPATH", "HOME", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    path = os.pathsep.join([str(CHECKOUT), environment.get("PYTHONPATH", "")])

    with Provider(error(404, "no such model")) as provider:
        environment |= {"OPENAI_API_KEY": "canary-0123456789", "OPENAI_API_BASE": provider.openai}
        result = subprocess.run(
            [sys.executable, "-c", WITNESS],
            cwd=tmp_path,
            env=environment | {"PYTHONPATH": path.rstrip(os.pathsep)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        port = provider.url.rpartition(":")[2]

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("\n") == 1, "nobody else printed"
    before, connected, looked_up, after, from_dotenv, status, told = json.loads(result.stdout)
    assert (before, after) == (False, True)
    assert from_dotenv is None
    assert status == "failed"
    assert "no such model (status 404)" in told
    assert connected
    assert all(f"('127.0.0.1', {port})" in address for address in connected), connected
    assert looked_up == [] or all("127.0.0.1" in name for name in looked_up)
