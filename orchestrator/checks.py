"""What declarations have in common: names, numbers, functions and texts that can be what they are given as."""

from __future__ import annotations

import inspect
import re
from typing import Final

from orchestrator.errors import DeclarationError

#: What labels and names look like: they become element names in a prompt and words in a sentence.
NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")

#: What a function of a user's may raise without meaning the whole process.
FAILURES: Final = (Exception, SystemExit, GeneratorExit)


def check_name(where: str, what: str, name: object) -> None:
    """Raise `DeclarationError` unless `name` can be a label, an agent's name or a key."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise DeclarationError(
            where, f"{what} {name!r} is not made of 1 to 64 letters, digits, '_', '.', '-' (the last two not first)"
        )


def check_pure(where: str, what: str, function: object, of: str) -> None:
    """Raise `DeclarationError` unless it is a plain function: inside a transaction nothing is awaited."""
    if not callable(function):
        raise DeclarationError(where, f"its {what} is not a function {of}")
    if inspect.iscoroutinefunction(function):
        raise DeclarationError(where, f"its {what} is async, but runs inside a transaction; give a plain function")


def check_count(where: str, what: str, count: object) -> None:
    """Raise `DeclarationError` unless it is a whole number, 1 or more; True is none."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        number = "" if type(count) is int else "a whole number, "
        raise DeclarationError(where, f"{what} is {count!r}; give {number}1 or more")


def check_amount(where: str, what: str, amount: object, unit: str) -> None:
    """Raise `DeclarationError` unless it is a number of more than 0."""
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not amount > 0:
        raise DeclarationError(where, f"{what} is {amount!r}; give {unit}, more than 0")


def unusable(text: str) -> str | None:
    """What in a text no block may hold (databases and wires reject it), or None."""
    if "\0" in text:
        return "a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair"
    return None
