"""my_team: a clerk answers what is simple, and hands over to an expert what is not.

Without a key:

    orchestrator run my_team.py:team "Where is my order 7?" --model rehearsal
"""

from orchestrator import Agent, ToolError, tool
from patterns import hand_off, handoff_context

# What one writes down for the other when control passes.
note = handoff_context(limit=4_000)  # characters

ORDERS = {7: "on its way", 8: "lost"}


# A tool is a function with types and a docstring, which the model reads. Put yours here.
@tool
async def order_status(order: int) -> str:
    """Where an order is, by its number."""
    if order not in ORDERS:
        raise ToolError(f"there is no order {order}")  # an answer: the turn goes on
    return ORDERS[order]


clerk = Agent(
    "clerk",
    "You receive the customers of a shop. Hand over to the expert whoever asks for an"
    " order; write down its number and what the customer wants.",
    # model="openai/gpt-5-mini",  # this agent's; --model is for all of them
)

expert = Agent("expert", "Answer from what order_status says.", tools=[order_status])

team = hand_off(
    clerk,
    expert,
    note=note,
    back=True,  # the expert may return the customer
    limit=6,  # so often may control pass in one run
    name="my_team",
)
