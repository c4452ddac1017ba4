"""Ready-made ways to join agents by blocks. They use nothing that a user of `orchestrator` could not use."""

from patterns.documents import search_documents
from patterns.domain_knowledge import domain_knowledge
from patterns.task_queue import supervise, task_queue

__all__ = ["domain_knowledge", "search_documents", "supervise", "task_queue"]
