"""What my_team does when its models say what a script says: no key, no network.

With `pip install pytest`:

    python -m pytest test_my_team.py
"""

import pytest
from orchestrator import Orchestrator
from orchestrator.testing import Say, ScriptedModel, edit

from patterns.skeletons.domain_knowledge import team

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_what_a_specialist_finds_wakes_the_analyst_who_answers() -> None:
    question, fact = "Asked: Where is it from?", "It is from MemGPT. (a.md:1)"
    script = {
        # One line for each time that the agent's model is asked.
        "analyst": [
            edit("memory_insert", "domain_knowledge", new_string=question),
            Say("I have asked."),
            Say("From MemGPT."),
        ],
        "historian": [
            # Answers after so many seconds, when the analyst's first turn has ended.
            edit("memory_insert", "domain_knowledge", new_string=fact, after=0.1),
            Say("Found."),
        ],
        "engineer": [Say("Nothing found.")],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(team, model=model) as live:
            run = await live.run("Where is it from?")

            assert run.error is None
            assert run.output == "From MemGPT."
            written = await live.blocks.blame("domain_knowledge")
            assert [line.text for line in written] == [question, fact]
            assert [line.by for line in written] == ["analyst", "historian"]
