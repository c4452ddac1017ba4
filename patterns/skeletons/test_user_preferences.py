"""What my_team does when its models say what a script says: no key, no network.

With `pip install pytest`:

    python -m pytest test_my_team.py
"""

import pytest
from orchestrator import Orchestrator
from orchestrator.testing import Say, ScriptedModel, call, edit

from patterns.skeletons.user_preferences import team

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_the_assistant_adds_what_it_learns_and_the_curator_tidies_it() -> None:
    label, learned, tidied = "user_preferences", "Be brief.", "English, brief."
    script = {
        # One line for each time that the agent's model is asked.
        "assistant": [
            call("opening_hours", day="Sunday"),
            edit("memory_insert", label, new_string=learned),
            Say("Closed."),
        ],
        "curator": [edit("memory_rethink", label, new_memory=tidied), Say("Tidied.")],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(team, model=model) as live:
            run = await live.run("Are you open on Sunday? Be brief.")
            await live.wait_idle()

            assert run.error is None
            assert run.output == "Closed."
            assert model.requests[1].messages[-1].text == "closed"  # what the tool said
            history = await live.blocks.history(label)
            assert [(change.by, change.value) for change in history] == [
                ("owner", "Speaks English."),
                ("assistant", f"Speaks English.\n{learned}"),
                ("curator", tidied),
            ]
