"""What the blocks of a team are called, and which block is meant by a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

from orchestrator.errors import AmbiguousLabel, UnknownName


class Named(NamedTuple):
    """A block, by its stored key and its label, and the agents that see it."""

    key: str
    label: str
    agents: tuple[str, ...]


class Names:
    """A block is called by its label; where several have it, by `agent/label`.

    One that nobody sees gives way: it is called by its key, unless it alone has its label.

    Args:
        where: what has the blocks; for messages.
    """

    def __init__(self, where: str, blocks: Iterable[Named]) -> None:
        self._where = where
        self._blocks = {block.key: block for block in blocks}

    @cached_property
    def by_key(self) -> Mapping[str, str]:
        """What each block is called, by stored key."""
        return {key: self._name(block) for key, block in self._blocks.items()}

    def _name(self, block: Named) -> str:
        if self._labelled(block.label) == [block.key]:
            return block.label
        return f"{block.agents[0]}/{block.label}" if block.agents else block.key

    @cached_property
    def _by_label(self) -> Mapping[str, list[str]]:
        """The keys of the blocks that are meant by each bare label."""
        seen: dict[str, list[str]] = {}
        unseen: dict[str, list[str]] = {}
        for key, block in self._blocks.items():
            (seen if block.agents else unseen).setdefault(block.label, []).append(key)
        return {**unseen, **seen}

    def _labelled(self, label: str) -> list[str]:
        return self._by_label.get(label, [])

    def key(self, name: str) -> str:
        """The stored key of the block called `label`, `agent/label`, or by the key itself.

        `AmbiguousLabel` lists the candidates; `UnknownName` the blocks there are.
        """
        keys = self._labelled(name)
        if len(keys) > 1:
            raise AmbiguousLabel(name, [self.by_key[key] for key in keys])
        if not keys and name in self._blocks:
            return name
        if not keys:
            agent, _, label = name.partition("/")
            keys = [key for key, block in self._blocks.items() if block.label == label and agent in block.agents]
        if not keys:
            known = ", ".join(self.by_key.values()) or "none"
            raise UnknownName(self._where, f"has no block {name!r}; it has: {known}")
        return keys[0]
