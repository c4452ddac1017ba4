"""my_team: a lead splits what it is asked into tasks, workers do them side by side.

Without a key:

    orchestrator run my_team.py:team "What are memory blocks?" --model rehearsal
"""

from orchestrator import Agent
from patterns import domain_knowledge, search_documents, supervise

# What the workers find out, for all to see. Any Block of your own does as well.
knowledge = domain_knowledge()

# Searches the documents that come with the package; yours: search_documents("docs").
# A function of your own with types and a docstring becomes a tool with @tool.
search = search_documents()

lead = Agent(
    "lead",
    # Your instructions. How to lead is told to it by supervise().
    "Answer in the language of the question, with the sources that the workers quote.",
    # model="openai/gpt-5-mini",  # this agent's; --model is for all of them
    blocks=[knowledge.reader()],
)

workers = [
    Agent(
        f"worker-{number}",
        "Search for what your task asks. Quote what you find, with its file and line.",
        blocks=[knowledge.contributor()],  # may add to it, and change nothing
        tools=[search],
    )
    for number in range(1, 4)  # so many tasks at the same time
]

team = supervise(lead, workers, name="my_team")
