"""The templates of what models read: those that come with the package, and a user's in their place.

What a user's template gets wrong is found when its folder is read, not in the middle of a turn: it has the name of a
shipped template, uses nothing that this one is not given, and is tried with samples of what it will be given.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from orchestrator.checks import FAILURES, unusable
from orchestrator.errors import DeclarationError
from orchestrator.resources import shipped

if TYPE_CHECKING:  # jinja2 is not needed to declare a team
    from jinja2 import Template, nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

#: Names a folder whose templates replace the shipped ones.
VARIABLE: Final = "ORCHESTRATOR_PROMPTS"

#: What the name of a template's file ends with.
SUFFIX: Final = ".jinja"

_FIRST_COMMENT: Final = re.compile(r"\{#-?\s*(?P<text>.*?)\s*-?#\}", re.DOTALL)


class Shipped(NamedTuple):
    """A template that comes with the package."""

    name: str
    #: What it is, in a sentence; and its variables, in the words of its first comment.
    about: str
    variables: str
    text: str


class Templates:
    """The templates in force: the shipped ones, but for those that a folder has in their place.

    Args:
        samples: by the name of a template, what it may be given; a user's is rendered with each before it is used.
    """

    def __init__(self, samples: Mapping[str, Iterable[Mapping[str, object]]] | None = None) -> None:
        self._samples = samples or {}
        self._environment: ImmutableSandboxedEnvironment | None = None
        self._taken: dict[str, Template] = {}

    def use(self, folder: Path | None) -> None:
        """Put the templates of the folder in the place of the shipped ones; `DeclarationError` changes nothing."""
        theirs = {} if folder is None else _checked(folder)
        environment = _environment({path.name: text for path, text in theirs.items()})
        for path in theirs:
            _try(path, environment.get_template(path.name), self._samples.get(path.name.removesuffix(SUFFIX), ()))
        self._environment, self._taken = environment, {}

    def load(self) -> None:
        """Use the folder that the environment variable names, or none, unless there is one in use."""
        if self._environment is None:
            named = os.environ.get(VARIABLE)
            if named and not Path(named).is_dir():
                raise DeclarationError(f"{VARIABLE} in the environment", f"there is no folder {named!r}")
            self.use(Path(named) if named else None)

    def take(self, name: str) -> Template:
        """The template of this name."""
        if name not in self._taken:
            self.load()
            assert self._environment is not None, "it is there once it is loaded"
            self._taken[name] = self._environment.get_template(name + SUFFIX)
            self._taken[name].globals = {}  # there are none: jinja would look through two maps at each rendering
        return self._taken[name]


def shipped_templates() -> list[Shipped]:
    """The templates that come with the package, by name."""
    return [_described(path) for path in sorted(shipped("prompts").glob(f"*{SUFFIX}"))]


def _described(path: Path) -> Shipped:
    text = path.read_text(encoding="utf-8")
    comment = _FIRST_COMMENT.match(text)
    words = " ".join(comment["text"].split()) if comment else ""
    about, dot, variables = words.partition(". ")
    return Shipped(path.name.removesuffix(SUFFIX), about + "." if dot else about, variables, text)


def _environment(theirs: dict[str, str]) -> ImmutableSandboxedEnvironment:
    from jinja2 import ChoiceLoader, DictLoader, FileSystemLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([DictLoader(theirs), FileSystemLoader(shipped("prompts"))]),
        undefined=StrictUndefined,
        autoescape=False,  # our own escaping: HTML's would show models &#39; for an apostrophe
        keep_trailing_newline=False,
    )
    environment.globals.clear()
    return environment


# --- a user's folder


def _checked(folder: Path) -> dict[Path, str]:
    """The templates of a folder, by file; of hidden files, such as editors leave, there are none."""
    if not folder.is_dir():
        raise DeclarationError("prompts", f"there is no folder {str(folder)!r}")
    there = {template.name: template for template in shipped_templates()}
    theirs: dict[Path, str] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        name = path.name.removesuffix(SUFFIX)
        if name.startswith("."):
            continue
        if name not in there:
            problem = f"no template that comes with the package has this name; there are: {', '.join(there)}"
            raise DeclarationError(str(path), problem)
        theirs[path] = _read(path)
        _check(path, theirs[path], there[name].text)
    return theirs


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors begin with a mark, which is not for models
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DeclarationError(f"{path}, line {line}", "is not text in UTF-8") from error
    except OSError as error:
        raise DeclarationError(str(path), f"cannot be read: {error.strerror}") from error


def _check(path: Path, text: str, shipped_text: str) -> None:
    """Raise `DeclarationError` for a template that is wrong, or asks for more than the shipped one does."""
    from jinja2 import TemplateSyntaxError

    environment = _environment({})
    try:
        tree = environment.parse(text)
        if problems := sorted(_problems(tree, environment.parse(shipped_text), environment)):
            line, problem = problems[0]
            raise DeclarationError(f"{path}, line {line}", problem)
        environment.compile(tree)
    except TemplateSyntaxError as error:
        raise DeclarationError(f"{path}, line {error.lineno}", f"is no template: {error.message}") from error


def _try(path: Path, template: Template, samples: Iterable[Mapping[str, object]]) -> None:
    """Raise `DeclarationError` for a template that some sample of its variables breaks."""
    for sample in samples:
        try:
            text = template.render(sample)
        except FAILURES as error:  # a template is a program of its user's
            given = ", ".join(f"{name}={value!r}" for name, value in sample.items())
            raise DeclarationError(str(path), f"fails: {type(error).__name__}: {error}; given {given}") from error
        if problem := unusable(text):
            raise DeclarationError(str(path), f"makes a text with {problem}")


def _problems(
    tree: nodes.Template, shipped_tree: nodes.Template, environment: ImmutableSandboxedEnvironment
) -> Iterator[tuple[int, str]]:
    """What would fail when it is rendered: the line, and what is wrong there."""
    from jinja2 import meta, nodes

    for other in tree.find_all((nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)):
        yield other.lineno, "takes in another template; write what it says here"
    for word in tree.find_all((nodes.Filter, nodes.Test)):
        kind, known = ("filter", environment.filters) if isinstance(word, nodes.Filter) else ("test", environment.tests)
        if word.name not in known:
            yield word.lineno, f"there is no {kind} {word.name!r}"
    unknown, given = meta.find_undeclared_variables(tree), meta.find_undeclared_variables(shipped_tree)
    for name in tree.find_all(nodes.Name):
        if name.ctx == "load" and name.name in unknown - given:
            yield name.lineno, f"there is no variable {name.name!r}; there are: {', '.join(sorted(given)) or 'none'}"
    parts = {part for _, part in _parts(shipped_tree)}
    for line, part in _parts(tree):
        if part not in parts:
            there = ", ".join(f".{known}" for known in sorted(parts)) or "none"
            yield line, f"no variable has a part .{part}; there are: {there}"


def _parts(tree: nodes.Template) -> Iterator[tuple[int, str]]:
    """The lines and names of what is taken out of variables: `block.label`, `block["label"]`."""
    from jinja2 import nodes

    for found in tree.find_all(nodes.Expr):
        if not isinstance(found, nodes.Getattr | nodes.Getitem):
            continue
        if isinstance(found.node, nodes.Name) and found.node.name == "loop":
            continue  # jinja's own
        if isinstance(found, nodes.Getattr):
            yield found.lineno, found.attr
        elif isinstance(found.arg, nodes.Const) and isinstance(found.arg.value, str):
            yield found.lineno, found.arg.value
