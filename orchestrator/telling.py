"""The log, for those who write to it."""

from __future__ import annotations

from typing import Any

from orchestrator.ports import Transaction


def tell(tx: Transaction, at: float, kind: type[Any], **fields: Any) -> None:
    """Add an event of this kind to the log, with the next number; `fields` are taken as they are, unchecked."""
    tx.add_event(kind.made(seq=tx.next_seq(), at=at, **fields))
