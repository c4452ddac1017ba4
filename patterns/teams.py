"""The patterns as whole teams, for the command line: `orchestrator run task_queue "…"`."""

from __future__ import annotations

from orchestrator import Agent, DeclarationError, Team, Wake
from patterns.documents import search_documents
from patterns.domain_knowledge import domain_knowledge
from patterns.task_queue import supervise

_RESEARCH = (
    "You find things out in documents: search with search_documents, quote what you find with its file and"
    " line, and say plainly what you do not find. Do not add what no document says."
)

_ANALYSIS = (
    "You answer questions from the block that you share with specialists, who can search documents. When you are"
    " asked something, write each question into the block, on a line that begins with 'Asked: '. You are woken when"
    " the specialists have written: then answer from what they quote, with its file and line, and say plainly what"
    " nobody found."
)


def task_queue_team(workers: int = 3, docs: str | None = None) -> Team:
    """A supervisor and workers who look things up in a folder of documents, by default the shipped ones."""
    search = search_documents(docs)
    knowledge = domain_knowledge()
    return supervise(
        Agent("supervisor", blocks=[knowledge]),
        [
            Agent(f"worker-{number}", _RESEARCH, blocks=[knowledge.contributor()], tools=[search])
            for number in range(1, _at_least_one(workers) + 1)
        ],
        name="task_queue",
    )


def domain_knowledge_team(workers: int = 2, docs: str | None = None) -> Team:
    """An analyst who asks and answers, and specialists who each know a part of the documents; all share one block."""
    knowledge = domain_knowledge()
    count = _at_least_one(workers)
    names = [f"specialist-{number}" for number in range(1, count + 1)]
    return Team(
        "domain_knowledge",
        [
            Agent(
                "analyst",
                _ANALYSIS,
                blocks=[knowledge.contributor()],
                wakes_on=[Wake(knowledge, by=tuple(names))],
            ),
            *(
                Agent(
                    name,
                    _RESEARCH,
                    blocks=[knowledge.contributor()],
                    wakes_on=[Wake(knowledge, by=("analyst",))],
                    tools=[search_documents(docs, part=part, of=count)],
                )
                for part, name in enumerate(names)
            ),
        ],
    )


def _at_least_one(workers: int) -> int:
    if workers < 1:
        raise DeclarationError("workers", f"{workers} are none; give 1 or more")
    return workers
