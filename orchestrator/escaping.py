"""Text as a model is shown it, and back: no value can close its own element or open another one."""

from __future__ import annotations

import re
from typing import Final

_ENTITY: Final = re.compile(r"&(amp|lt);")
_CHARACTER: Final = {"amp": "&", "lt": "<"}


def escape(text: str) -> str:
    """The text with `&` and `<` escaped: different texts stay different, and no tag can arise."""
    if "&" in text:
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    return text


def unescape(text: str) -> str:
    """The inverse of `escape`, for texts that a model hands to memory and task tools.

    A model that quotes what it was shown names what is stored; other text stays as it is.
    """
    return _ENTITY.sub(lambda found: _CHARACTER[found[1]], text) if "&" in text else text
