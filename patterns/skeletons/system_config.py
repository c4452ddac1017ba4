"""my_team: a clerk and a checker work by rules that only you can change, at any time.

Without a key:

    orchestrator run my_team.py:team "What are memory blocks?" --model rehearsal
"""

from orchestrator import Agent, Team, Wake
from patterns import domain_knowledge, search_documents, system_config

# Agents read it and cannot change it. You can, while they work:
# await live.blocks.modify("system_config", value="Answer in German.")
config = system_config("Answer in English.\nPromise no dates.")

# What the clerk finds out; the checker sees it, and may correct it.
knowledge = domain_knowledge()

clerk = Agent(
    "clerk",
    "Look up what you are asked, write what you find into the block `domain_knowledge`,"
    " and answer by the rules in the block `system_config`.",
    # model="openai/gpt-5-mini",  # this agent's; --model is for all of them
    blocks=[config, knowledge.contributor()],  # may add to it, and change nothing
    tools=[search_documents()],  # in a folder of yours: search_documents("docs")
)

checker = Agent(
    "checker",
    "Check what the clerk has written by the rules; replace what breaks them.",
    blocks=[config, knowledge],  # may insert and replace
    wakes_on=[Wake(knowledge, by=["clerk"])],
)

team = Team("my_team", [clerk, checker])
