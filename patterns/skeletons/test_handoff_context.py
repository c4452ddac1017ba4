"""What my_team does when its models say what a script says: no key, no network.

With `pip install pytest`:

    python -m pytest test_my_team.py
"""

import pytest
from orchestrator import Orchestrator
from orchestrator.testing import Say, ScriptedModel, call

from patterns.skeletons.handoff_context import team

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_the_clerk_hands_over_and_the_expert_answers() -> None:
    script = {
        # One line for each time that the agent's model is asked.
        "clerk": [call("hand_off_to_expert", note="Where is order 7?")],
        "expert": [call("order_status", order=7), Say("Your order is on its way.")],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(team, model=model) as live:
            run = await live.run("Where is my order 7?")

    assert run.error is None
    assert run.output == "Your order is on its way."
    assert [turn.agent for turn in run.turns] == ["clerk", "expert"]
    note = run.blocks["handoff_context"]
    assert note.value == "From clerk to expert: Where is order 7?"
    assert note.by == "clerk"
    _, read, answered = model.requests
    assert read.blocks["handoff_context"] == note.value  # so the expert knew
    assert answered.messages[-1].text == "on its way"  # what its tool had said
