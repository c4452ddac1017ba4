"""Keys stay out of what is told: the texts of errors become part of the log."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Final

#: What stands in the place of a key.
HIDDEN: Final = "[key]"

#: Variables of the environment that hold something secret.
_SECRET: Final = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL|AUTH", re.IGNORECASE)

#: What looks like a key, whoever it belongs to, also shortened or masked by who tells of it.
_LIKE_A_KEY: Final = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|ak|r8|pplx|nvapi|AIza|eyJ)[-_A-Za-z0-9*.…]{12,}|\bBearer\s+\S+", re.IGNORECASE
)

#: Shorter values are words, not keys: to hide them would make texts unreadable.
_SHORTEST: Final = 8


def redacted(text: str, keys: Iterable[str] = ()) -> str:
    """The text without the keys given, those of the environment, and what looks like one."""
    of_environment = (value for name, value in os.environ.items() if _SECRET.search(name))
    for key in sorted({*keys, *of_environment}, key=len, reverse=True):
        if len(key) >= _SHORTEST:
            text = text.replace(key, HIDDEN)
    return _LIKE_A_KEY.sub(HIDDEN, text)
