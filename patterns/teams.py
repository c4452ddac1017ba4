"""The patterns as whole teams, for the command line: `orchestrator run task_queue "…"`."""

from __future__ import annotations

from orchestrator import Agent, DeclarationError, Team, Wake
from patterns.documents import search_documents
from patterns.domain_knowledge import domain_knowledge
from patterns.handoff_context import hand_off
from patterns.system_config import system_config
from patterns.task_queue import supervise
from patterns.user_preferences import curate, user_preferences

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

_RECEPTION = (
    "You receive the user. Answer yourself what needs no looking up. Hand over everything else, with a note that has"
    " each question on a line that begins with 'Asked: ', and what the user said that matters for the answer."
)

_RULES = (
    "Answer in the language of the question.\n"
    "Name file and line for everything that you quote.\n"
    "Where nothing was found, say so in one sentence."
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


def handoff_context_team(docs: str | None = None) -> Team:
    """A receptionist who hands over, with a note, to a specialist who looks things up."""
    specialist = Agent("specialist", _RESEARCH, tools=[search_documents(docs)])
    return hand_off(Agent("receptionist", _RECEPTION), specialist, name="handoff_context")


def user_preferences_team(workers: int = 2, docs: str | None = None) -> Team:
    """An analyst and specialists who serve one user and note the user's preferences, and a curator who tidies them."""
    desk = domain_knowledge_team(workers, docs)
    return curate(Agent("curator"), user_preferences(), desk.members, name="user_preferences")


def system_config_team(workers: int = 3, docs: str | None = None) -> Team:
    """A supervisor and workers, all of them under one configuration that none of them can change."""
    crew = task_queue_team(workers, docs)
    return _under_rules("system_config", crew) | crew


def all_patterns_team(workers: int = 3, docs: str | None = None) -> Team:
    """All five patterns in one team.

    A receptionist hands over to a supervisor, whose workers share what they find; a curator tidies what is known
    about the user; and all work under one configuration.
    """
    crew = task_queue_team(workers, docs)
    receptionist, supervisor = Agent("receptionist", _RECEPTION), Agent("supervisor")
    # The supervisor answers at the end, so it does not hand back.
    team = hand_off(receptionist, supervisor, back=False, name="all_patterns") | crew
    preferences = user_preferences()
    readers = [
        Agent(member.name, blocks=[preferences.reader()]) for member in crew.members if member.name != supervisor.name
    ]
    team |= curate(Agent("curator"), preferences, [receptionist, supervisor, *readers])
    return team | _under_rules("rules", team)


def _under_rules(name: str, team: Team) -> Team:
    """The agents of a team, by name, under one configuration."""
    config = system_config(_RULES)
    return Team(name, [Agent(member.name, blocks=[config]) for member in team.members])


def _at_least_one(workers: int) -> int:
    if workers < 1:
        raise DeclarationError("workers", f"{workers} are none; give 1 or more")
    return workers
