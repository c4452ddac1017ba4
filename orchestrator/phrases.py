"""Names, numbers and texts of others in a sentence, and on a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

#: Of a list of names, so many are said.
_MOST: Final = 6

#: Of a text that is quoted, so many characters; of one that has a line of its own.
_MOST_QUOTED: Final = 60
_MOST_IN_A_LINE: Final = 100

#: What a terminal would obey rather than show: controls but for tab and newline, marks that turn the
#: direction of writing, separators that look like a new line, and halves of surrogate pairs.
_UNSEEN: Final = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def listed(names: Iterable[str], word: str = "and") -> str:
    """The names as a sentence has them, each once: "ann, bob and carol"; of many the first ones, and how many more."""
    said = list(dict.fromkeys(names))
    if len(said) > _MOST:
        said = [*said[: _MOST - 1], f"{len(said) - _MOST + 1:,} more"]
    return f" {word} ".join(filter(None, [", ".join(said[:-1]), *said[-1:]]))


def counted(number: int, one: str, more: str = "") -> str:
    """So many of them: "1 agent", "2 agents", "3 tidies" where the plural is said."""
    return f"{number:,} {one if number == 1 else more or f'{one}s'}"


def shortened(text: str, most: int) -> str:
    """The text, or the beginning of a long one."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def quoted(text: str, most: int = _MOST_QUOTED) -> str:
    """The text, or the beginning of a long one, in quotation marks, with what cannot be seen written out."""
    return repr(shortened(text, most))


def visible(text: str) -> str:
    """The text with what a terminal would obey written out, as in `\\x1b`; lines stay lines."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text.replace("\r\n", "\n"))


def brief(text: str, most: int = _MOST_IN_A_LINE) -> str:
    """The beginning of a text, in one line."""
    return shortened(visible(" ".join(text.split())), most)
