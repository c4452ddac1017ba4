"""What my_team does when its models say what a script says: no key, no network.

With `pip install pytest`:

    python -m pytest test_my_team.py
"""

import pytest
from orchestrator import Orchestrator
from orchestrator.testing import Say, ScriptedModel, call, edit

from patterns.skeletons.task_queue import team

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_worker_does_the_task_and_the_lead_answers() -> None:
    fact = "Ann made it. (a.md:1)"
    script = {
        # One line for each time that the agent's model is asked.
        "lead": [call("add_tasks", tasks=["Who made it?"]), Say("begun"), Say("Ann.")],
        "worker-1": [
            edit("memory_insert", "domain_knowledge", new_string=fact),
            call("settle_task", result=fact),
            Say("done"),
        ],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(team, model=model) as live:
            run = await live.run("Who made it?")

            assert run.error is None
            assert run.output == "Ann."
            tasks = run.blocks["task_queue"]
            assert tasks.value == f"1. [done by worker-1] Who made it?\n   {fact}"
            assert tasks.by == "worker-1"
            written = await live.blocks.blame("domain_knowledge")
            assert [(line.by, line.text) for line in written] == [("worker-1", fact)]
