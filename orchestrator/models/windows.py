"""How much a model of a provider's can read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

#: The price list that comes with litellm; it is read as a file, since to import litellm takes seconds.
_LIST: Final = "model_prices_and_context_window_backup.json"


def window_of(name: str) -> int | None:
    """The most tokens that a model "provider/model" can be given, by litellm's price list; None if it is not there."""
    provider, slash, of_provider = name.partition("/")
    if not slash:
        return None
    listed = _price_list()
    entry = listed.get(name)
    if entry is None:
        entry = listed.get(of_provider)
        if entry is not None and entry.get("litellm_provider") != provider:
            return None
    tokens = None if entry is None else entry.get("max_input_tokens")
    return tokens if isinstance(tokens, int) else None


@cache
def _price_list() -> Mapping[str, Mapping[str, Any]]:
    try:
        found = find_spec("litellm")
        places = found.submodule_search_locations if found is not None else None
        listed = json.loads(Path(next(iter(places or [])), _LIST).read_text(encoding="utf-8"))
    except (OSError, ValueError, StopIteration):  # another release may keep it elsewhere, or in another form
        return {}
    return listed if isinstance(listed, dict) else {}
