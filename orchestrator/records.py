"""What is stored or crosses a wire: frozen, checked, with one JSON form."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Self, TypeVar

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

#: Where pydantic keeps what a record holds. A record is frozen for everybody else.
_put_fields, _put_names, _put_extra, _put_private = (
    BaseModel.__dict__[slot].__set__
    for slot in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)


def _filled(kind: type[_R], fields: dict[str, Any]) -> _R:
    """What pydantic's own `model_construct` makes, without looking at each field."""
    record = object.__new__(kind)
    _put_fields(record, fields)
    _put_names(record, _names(kind))
    _put_extra(record, None)
    _put_private(record, None)
    return record


@cache
def _names(kind: type[Record]) -> set[str]:
    """The fields that are set: all. Shared, as below."""
    return set(kind.model_fields)


@cache
def _defaults(kind: type[Record]) -> dict[str, Any]:
    """The defaults of the fields that have one. Shared: none of them can be changed."""
    return {
        name: field.get_default(call_default_factory=True)
        for name, field in kind.model_fields.items()
        if not field.is_required()
    }
