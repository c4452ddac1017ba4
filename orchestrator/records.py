"""What is stored or crosses a wire: frozen, checked, with one JSON form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A value that never changes. Its validator is built at its first use, so that importing us is quick."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    if TYPE_CHECKING:  # lets subclasses take their fields by position

        def __init__(self, **fields: Any) -> None: ...
