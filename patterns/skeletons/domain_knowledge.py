"""my_team: an analyst asks, specialists write what they find where all of them see it.

Without a key:

    orchestrator run my_team.py:team "What are memory blocks?" --model rehearsal
"""

from orchestrator import Agent, Team, Wake
from patterns import domain_knowledge, search_documents

# The block that joins them: what one writes, the others see at their next step.
knowledge = domain_knowledge(limit=20_000)  # characters

# What each specialist is good at. Take away or add: the team is made of these.
subjects = {
    "historian": "You know where things come from.",
    "engineer": "You know how things work.",
}

analyst = Agent(
    "analyst",
    "Write each question into the block `domain_knowledge`, on a line that begins with"
    " 'Asked: '. Answer when the specialists have written, from what they found.",
    # model="openai/gpt-5-mini",  # this agent's; --model is for all of them
    blocks=[knowledge.contributor()],  # may add to it, and change nothing
    wakes_on=[Wake(knowledge, by=tuple(subjects))],
)

specialists = [
    Agent(
        name,
        f"{subject} Look up what is asked, and write what you find into the block.",
        blocks=[knowledge.contributor()],
        wakes_on=[Wake(knowledge, by=["analyst"])],  # not by each other: that would end
        tools=[search_documents()],  # in a folder of yours: search_documents("docs")
    )
    for name, subject in subjects.items()
]

team = Team("my_team", [analyst, *specialists])
