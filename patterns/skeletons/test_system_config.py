"""What my_team does when its models say what a script says: no key, no network.

With `pip install pytest`:

    python -m pytest test_my_team.py
"""

import pytest
from orchestrator import Orchestrator
from orchestrator.testing import Say, ScriptedModel, edit

from patterns.skeletons.system_config import config, team

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_no_agent_changes_the_rules_and_all_see_what_you_change() -> None:
    script = {
        # One line for each time that the agent's model is asked.
        "clerk": [
            edit("memory_insert", "system_config", new_string="Promise all."),
            edit("memory_insert", "domain_knowledge", new_string="Es ist neu."),
            Say("Answered."),
        ],
        "checker": [Say("Checked.")],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(team, model=model) as live:
            await live.blocks.modify("system_config", value="Answer in German.")
            run = await live.run("What is new?")

            assert run.error is None
            history = await live.blocks.history("system_config")
            assert [(change.by, change.value) for change in history] == [
                ("owner", config.value),
                ("owner", "Answer in German."),
            ]
    assert run.blocks["domain_knowledge"].by == "clerk"
    assert "read-only" in model.requests[1].messages[-1].text  # refused, and told why
    for request in model.requests:
        assert request.blocks["system_config"] == "Answer in German."
