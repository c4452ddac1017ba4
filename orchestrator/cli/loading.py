"""What was typed for TEAM becomes a `Team`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from traceback import StackSummary, TracebackException, walk_tb
from types import FrameType, ModuleType
from typing import Final, TypeVar

from orchestrator.errors import DeclarationError
from orchestrator.team import Team

_T = TypeVar("_T")

#: What has to be installed for patterns to have names; and the entry-point group in which they are.
DISTRIBUTION: Final = "sharedblocks"
GROUP: Final = "orchestrator.teams"

#: Frames of the way to the user's code, which they need not see.
_WAY: Final = (__file__, "<frozen importlib", str(Path(importlib.__file__).parent))

#: Packages whose frames tell users nothing about a declaration that is wrong.
_OURS: Final = ("orchestrator", "patterns")

#: Parameters of a function that the command line can give.
_OPTIONS: Final = ("docs", "workers")

_FILE: Final = re.compile(r"(?P<path>.+\.py)(?::(?P<name>.*))?", re.DOTALL)


def load(typed: str, options: Mapping[str, object]) -> Team:
    """The team that was typed; a function that returns one is called with the options.

    `DeclarationError` says what is wrong with the words that were typed, or shows where the user's own code failed.
    """
    return loader(typed, options)()


def loader(typed: str, options: Mapping[str, object]) -> Callable[[], Team]:
    """What makes the team that was typed. A function in a file or a module is called each time; it may begin anew.

    Raises what `load` raises; what it returns raises it, too.
    """
    found = _find(typed)
    if isinstance(found, Team):
        if options:
            raise DeclarationError(typed, f"is a Team, not a function, so it takes no {_flags(options)}")
        return lambda: found
    if not callable(found) or inspect.iscoroutinefunction(found):
        what = "an async function" if callable(found) else f"of type {type(found).__name__}"
        raise DeclarationError(typed, f"is {what}; name a Team or a function that returns one")
    _check_options(typed, found, options)
    make = partial(_made, typed, found, options)
    if _FILE.fullmatch(typed) or ":" in typed:
        return make
    pattern = make()  # nothing outside of its blocks changes, and to render its words takes time
    return lambda: pattern


def _made(typed: str, function: Callable[..., object], options: Mapping[str, object]) -> Team:
    try:
        made = function(**options)
    except DeclarationError:
        raise  # it says what and where by itself
    except (Exception, SystemExit) as error:
        raise DeclarationError(typed, f"failed to make the team\n{traceback_of(error)}") from error
    if not isinstance(made, Team):
        raise DeclarationError(typed, f"returned a {type(made).__name__}, not a Team")
    return made


def _find(typed: str) -> object:
    """The object that was named, by file, by module or as a pattern."""
    if file := _FILE.fullmatch(typed):
        return _member(file["path"], module_in(file["path"]), file["name"] or "")
    where, colon, name = typed.partition(":")
    if not colon:
        offered = {entry.name: entry for entry in entry_points(group=GROUP)}
        if typed in offered:
            return _loaded(typed, offered[typed].load)
    if all(part.isidentifier() for part in where.split(".")):
        module = module_named(where)
        if module is not None:
            return _member(where, module, name)
        if colon:
            raise DeclarationError(typed, f"there is no module {where!r}, neither in this folder nor installed")
    raise DeclarationError(typed, _unknown())


def _unknown() -> str:
    try:
        version(DISTRIBUTION)
    except PackageNotFoundError:
        return (
            f"is no file.py:object and no module:object, and patterns have names only where {DISTRIBUTION} is"
            " installed; in a checkout: pip install -e ."
        )
    names = ", ".join(sorted(entry.name for entry in entry_points(group=GROUP))) or "none"
    return f"is no pattern's name; there are: {names}. Or name a team of your own: file.py:object, module:object"


def module_in(typed: str, where: str = "") -> ModuleType:
    """The module in a file.

    Args:
        where: what a mistake is told of, if not of the file.
    """
    path = Path(typed).resolve()
    if not path.is_file():
        raise DeclarationError(where or typed, "there is no such file")
    _put_on_path(path.parent)
    # Under its own name, so that the files beside it can import it; unless somebody else has that name, or may want it.
    is_taken = path.stem in sys.modules or path.stem in sys.stdlib_module_names
    name = f"team in {path}" if is_taken else path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "a name that ends in .py is enough for a spec"
    assert spec.loader is not None, "and for a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        _loaded(where or typed, partial(spec.loader.exec_module, module))
    except BaseException:
        del sys.modules[name]
        raise
    return module


def module_named(name: str) -> ModuleType | None:
    """The module, from the folder one is in or from what is installed; None if there is none."""
    _put_on_path(Path.cwd())

    def load() -> ModuleType | None:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name and f"{name}.".startswith(f"{error.name}."):
                return None
            raise  # it is there, and misses another one
        return module if getattr(module, "__file__", None) else None  # else a mere folder of that name

    return _loaded(name, load)


def _put_on_path(folder: Path) -> None:
    """Before what is installed, but behind Python's own modules: others want those when they import queue or select."""
    if str(folder) not in sys.path:
        own = sysconfig.get_path("stdlib")
        behind = [place for place, known in enumerate(sys.path, 1) if known in (own, f"{own}{os.sep}lib-dynload")]
        sys.path.insert(max(behind, default=0), str(folder))


def _member(where: str, module: ModuleType, name: str) -> object:
    if name and hasattr(module, name):
        return getattr(module, name)
    problem = f"has no {name!r}" if name else "say which object"
    there = ", ".join(f"{where}:{candidate}" for candidate in _candidates(module))
    raise DeclarationError(
        where, f"{problem}; it holds {there}" if there else f"{problem}; it holds no Team and no function -> Team"
    )


def _candidates(module: ModuleType) -> Iterator[str]:
    """The names of the teams in a module, and of the functions that say that they return one, and can be called."""
    for name, value in vars(module).items():
        if isinstance(value, Team):
            yield name
        elif inspect.isfunction(value) and _gives_a_team(value):
            yield f"{name} (a function)"


def _gives_a_team(function: Callable[..., object]) -> bool:
    if function.__annotations__.get("return") not in (Team, "Team", "orchestrator.Team"):
        return False
    return all(needed in _OPTIONS for needed in _needed(function))  # not the like of supervise(lead, workers)


def _check_options(typed: str, function: Callable[..., object], options: Mapping[str, object]) -> None:
    parameters = inspect.signature(function).parameters.values()
    known = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    if not any(p.kind is p.VAR_KEYWORD for p in parameters) and (unknown := [o for o in options if o not in known]):
        raise DeclarationError(typed, f"takes no {_flags(unknown)}")
    for name in _needed(function):
        if name not in options:
            how = f"give --{name}" if name in _OPTIONS else "which the command line cannot give"
            raise DeclarationError(typed, f"needs {name!r}; {how}")


def _needed(function: Callable[..., object]) -> list[str]:
    """The parameters without which it cannot be called."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _flags(options: Iterable[str]) -> str:
    return " and no ".join(f"--{name}" for name in options)


def _loaded(where: str, load: Callable[[], _T]) -> _T:
    try:
        return load()
    except (Exception, SystemExit) as error:
        raise DeclarationError(where, f"failed while it was loaded\n{traceback_of(error)}") from error


def traceback_of(error: BaseException) -> str:
    """Where the user's code failed, without the frames that led to it, or in which we refused what it declares."""
    told = TracebackException.from_exception(error, compact=True)
    if isinstance(error, DeclarationError):
        theirs = [place for place, (frame, _) in enumerate(walk_tb(error.__traceback__)) if not _is_ours(frame)]
        told.stack = StackSummary.from_list(told.stack[: theirs[-1] + 1 if theirs else None])
    link: TracebackException | None = told
    while link is not None:
        link.stack = StackSummary.from_list(frame for frame in link.stack if not frame.filename.startswith(_WAY))
        link = link.__cause__ or link.__context__
    return "".join(told.format()).rstrip()


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in _OURS
