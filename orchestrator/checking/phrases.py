"""Names in a sentence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

#: Of a list of names, so many are said.
_MOST: Final = 6


def listed(names: Iterable[str], word: str = "and") -> str:
    """The names as a sentence has them, each once: "ann, bob and carol"; of many the first ones, and how many more."""
    said = list(dict.fromkeys(names))
    if len(said) > _MOST:
        said = [*said[: _MOST - 1], f"{len(said) - _MOST + 1:,} more"]
    return f" {word} ".join(filter(None, [", ".join(said[:-1]), *said[-1:]]))


def counted(number: int, one: str, more: str = "") -> str:
    """So many of them: "1 agent", "2 agents", "3 tidies" where the plural is said."""
    return f"{number:,} {one if number == 1 else more or f'{one}s'}"
