"""my_team: an assistant that learns what its user likes, and a curator who tidies that.

Without a key:

    orchestrator run my_team.py:team "I prefer short answers. When are you open?" --model rehearsal
"""

from orchestrator import Agent, ToolError, tool
from patterns import curate, user_preferences

# What is known about one user. Keep it from one run to the next: --store my_team.db
preferences = user_preferences("Speaks English.")

HOURS = {"saturday": "9 to 12", "sunday": "closed"}


# A tool is a function with types and a docstring, which the model reads. Put yours here.
@tool
async def opening_hours(day: str) -> str:
    """When the shop is open on a day of the week."""
    if not day.lower().endswith("day"):
        raise ToolError(f"{day} is no day of the week")  # an answer: the turn goes on
    return HOURS.get(day.lower(), "9 to 18")


assistant = Agent(
    "assistant",
    "You answer the customers of a shop.",
    # model="openai/gpt-5-mini",  # this agent's; --model is for all of them
    tools=[opening_hours],
)

# It works while the others rest, so a slow and cheap model will do.
curator = Agent("curator", "Keep it short: one line for each preference.")

# More agents of the same user go into the list; the first one gets the messages.
team = curate(
    curator,
    preferences,
    [assistant],
    every=5,  # turns of theirs, then the curator is woken;
    idle=True,  # and when nobody has anything left to do
    name="my_team",
)
