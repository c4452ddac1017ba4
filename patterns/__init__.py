"""Ready-made ways to join agents by blocks. They use nothing that a user of `orchestrator` could not use."""

from patterns.documents import search_documents
from patterns.domain_knowledge import domain_knowledge
from patterns.handoff_context import hand_off, handoff_context
from patterns.system_config import system_config
from patterns.task_queue import supervise, task_queue
from patterns.user_preferences import curate, user_preferences
from patterns.web_search import web_search

__all__ = [
    "curate",
    "domain_knowledge",
    "hand_off",
    "handoff_context",
    "search_documents",
    "supervise",
    "system_config",
    "task_queue",
    "user_preferences",
    "web_search",
]
