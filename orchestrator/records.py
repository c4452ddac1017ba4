"""What is stored or crosses a wire: frozen, checked, with one JSON form."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A value that never changes. Its validator is built at its first use, so that importing us is quick."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    if TYPE_CHECKING:  # lets subclasses take their fields by position

        def __init__(self, **fields: Any) -> None: ...

    @classmethod
    def made(cls, **fields: Any) -> Self:
        """One of fields that are known to be right: they are not checked again, which takes most of the time.

        For what the engine makes of what it has checked. Whatever comes from outside goes through the constructor.
        """
        return _filled(cls, _defaults(cls) | fields)

    def having(self, **changes: Any) -> Self:
        """The same with other values, which are known to be right, as above."""
        return _filled(type(self), self.__dict__ | changes)


_R = TypeVar("_R", bound=Record)

_put: Final = object.__setattr__  # a record is frozen for everybody else


def _filled(kind: type[_R], fields: dict[str, Any]) -> _R:
    """What pydantic's own `model_construct` makes, without looking at each field."""
    record = kind.__new__(kind)
    _put(record, "__dict__", fields)
    _put(record, "__pydantic_fields_set__", set(fields))
    _put(record, "__pydantic_extra__", None)
    _put(record, "__pydantic_private__", None)
    return record


@cache
def _defaults(kind: type[Record]) -> dict[str, Any]:
    """The defaults of the fields that have one. Shared: none of them can be changed."""
    return {
        name: field.get_default(call_default_factory=True)
        for name, field in kind.model_fields.items()
        if not field.is_required()
    }
