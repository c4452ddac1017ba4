"""What was typed for --invariant becomes a function that is called with each finished run."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

from orchestrator.cli.loading import module_in, module_named, traceback_of
from orchestrator.errors import DeclarationError
from orchestrator.runs import Run
from orchestrator.simulation.acting import unfit

_FLAG: Final = "--invariant"


class Invariants:
    """The functions that were typed.

    What one of them raises besides `AssertionError` is a mistake in it, and says nothing of the team: the first such
    mistake is kept, to be told.
    """

    def __init__(self, typed: Iterable[str]) -> None:
        self.mistake: DeclarationError | None = None
        self.functions = tuple(self._watched(words, _found(words)) for words in typed)

    def _watched(self, typed: str, function: Callable[[Run], object]) -> Callable[[Run], object]:
        @wraps(function)
        def demand(run: Run) -> object:
            try:
                return function(run)
            except AssertionError:
                raise
            except Exception as error:  # the outermost door of what the user wrote
                if self.mistake is None:
                    within = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
                    problem = f"raised something else than AssertionError\n{traceback_of(within)}"
                    self.mistake = DeclarationError(f"{_FLAG} {typed}", problem)
                return None

        return demand


def _found(typed: str) -> Callable[[Run], object]:
    where, colon, name = typed.rpartition(":")
    if not (colon and where and name):
        raise DeclarationError(_FLAG, f"{typed!r} names no function; give file.py:function or module:function")
    module = _in_file(where) if where.endswith(".py") else module_named(where)
    if module is None:
        raise DeclarationError(_FLAG, f"{typed}: there is no module {where!r}, neither in this folder nor installed")
    if not hasattr(module, name):
        there = ", ".join(f"{where}:{known}" for known, value in vars(module).items() if _is_of(module, value))
        raise DeclarationError(_FLAG, f"{where} has no {name!r}; it holds {there or 'no function'}")
    return _checked(typed, getattr(module, name))


def _in_file(typed: str) -> ModuleType:
    """The module of a file; the one that the team came from, if that is the same file."""
    path = Path(typed).resolve()
    for module in tuple(sys.modules.values()):
        place = getattr(module, "__file__", None)
        if place and Path(place).name == path.name and Path(place).resolve() == path:
            return module
    return module_in(typed, f"{_FLAG} {typed}")


def _is_of(module: ModuleType, value: object) -> bool:
    return inspect.isfunction(value) and value.__module__ == module.__name__


def _checked(typed: str, found: Any) -> Callable[[Run], object]:
    if not callable(found):
        raise DeclarationError(_FLAG, f"{typed} is of type {type(found).__name__}; name a function that takes the run")
    if (problem := unfit(found)) is not None:
        raise DeclarationError(_FLAG, f"{typed} is {problem}")
    try:
        inspect.signature(found).bind(object())
    except (TypeError, ValueError) as error:
        raise DeclarationError(_FLAG, f"{typed} is not called with the finished run alone: {error}") from None
    return cast(Callable[[Run], object], found)
