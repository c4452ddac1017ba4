"""`orchestrator new`: what it writes runs, passes its test and is clean; what it refuses, it says why."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner, Result

import orchestrator
from orchestrator import DeclarationError
from orchestrator.cli import app
from orchestrator.cli.writing import write_all

CHECKOUT = Path(orchestrator.__file__).parent.parent
SKELETONS = CHECKOUT / "patterns" / "skeletons"
GROUP = "orchestrator.skeletons"
PATTERNS = ("task_queue", "domain_knowledge", "user_preferences", "handoff_context", "system_config")


def install(folder: Path, name: str, entry_points: str) -> None:
    """Lay there what an installed distribution leaves for others to find."""
    info = folder / f"{name}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(entry_points)


def new(*words: str) -> Result:
    return CliRunner().invoke(app, ["new", *words], catch_exceptions=False)


def refused(*words: str) -> str:
    result = new(*words)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    return result.stderr.removeprefix("Error: ").strip()


@pytest.fixture(scope="module")
def offering(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for sys.path with the entry points of this checkout, whatever is installed."""
    folder = tmp_path_factory.mktemp("installed")
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    named = [f"{name} = {value}" for name, value in project["entry-points"][GROUP].items()]
    install(folder, "checkout", f"[{GROUP}]\n" + "\n".join(named) + "\n")
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offering: Path) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(offering), *sys.path])
    return tmp_path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, offering: Path) -> Path:
    """A folder with a team of each pattern: my_task_queue.py, test_my_task_queue.py, …"""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(offering), *sys.path])
        for pattern in PATTERNS:
            result = new(f"my-{pattern}", "--pattern", pattern, "--folder", str(folder))
            assert result.exit_code == 0, result.output
    return folder


def python(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )


# --- what is written


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_new_team_runs_at_once_without_a_key(made: Path, pattern: str) -> None:
    words = ("run", f"my_{pattern}.py:team", "What are memory blocks?", "--model", "rehearsal", "--json")

    done = python(made, "orchestrator", *words)

    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert run["status"] == "complete"
    assert run["output"].strip()
    assert run["turns"]


def test_the_tests_of_new_teams_pass_in_a_folder_without_configuration(made: Path) -> None:
    files = [f"test_my_{pattern}.py" for pattern in PATTERNS]

    done = python(made, "pytest", "-W", "error", "-p", "no:cacheprovider", "-v", *files)

    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.findall(r"^(\w+\.py)::\w+ PASSED", done.stdout, re.MULTILINE)
    assert passed == files


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_new_team_is_clean_and_small(made: Path, pattern: str) -> None:
    files = (f"my_{pattern}.py", f"test_my_{pattern}.py")
    for words in (("check",), ("format", "--diff")):
        done = python(made, "ruff", *words, "--isolated", "--no-cache", *files)
        assert done.returncode == 0, done.stdout + done.stderr
    for name in files:
        assert 20 <= len((made / name).read_text().splitlines()) <= 46


def test_new_teams_and_their_tests_pass_mypy_strict(made: Path) -> None:
    # With the configuration of the checkout for the sake of what we import: it is strict, and skips litellm.
    words = ("--strict", f"--config-file={CHECKOUT / 'pyproject.toml'}", f"--cache-dir={made / '.mypy_cache'}")

    done = python(made, "mypy", *words, *sorted(path.name for path in made.glob("*.py")), MYPYPATH=str(CHECKOUT))

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"no issues found in {2 * len(PATTERNS)} source files" in done.stdout


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_new_team_is_the_skeleton_but_for_its_name(made: Path, pattern: str) -> None:
    for stem in ("", "test_"):
        skeleton = (SKELETONS / f"{stem}{pattern}.py").read_text(encoding="utf-8")
        written = (made / f"{stem}my_{pattern}.py").read_text(encoding="utf-8")
        imports = f"from my_{pattern} import "
        assert written == skeleton.replace(f"from patterns.skeletons.{pattern} import ", imports).replace(
            "my_team", f"my_{pattern}"
        )
        assert (imports in written) == (stem == "test_")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_skeleton_comes_in_by_the_front_doors_only(pattern: str) -> None:
    doors = {"orchestrator", "patterns", "orchestrator.testing", "pytest", f"patterns.skeletons.{pattern}"}

    for stem in ("", "test_"):
        text = (SKELETONS / f"{stem}{pattern}.py").read_text(encoding="utf-8")
        assert set(re.findall(r"^(?:from|import) (\S+)", text, re.MULTILINE)) <= doors


def test_every_pattern_has_a_skeleton_with_a_test() -> None:
    stems = {path.stem for path in SKELETONS.glob("*.py")} - {"__init__"}

    assert stems == {f"{stem}{pattern}" for stem in ("", "test_") for pattern in PATTERNS}


def test_it_says_what_to_do_next_and_a_dash_becomes_an_underscore(here: Path) -> None:
    result = new("my-team")

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        'orchestrator run my_team.py:team "What are memory blocks?" --model rehearsal',
        "python -m pytest test_my_team.py",
        "orchestrator graph my_team.py:team",
    ]
    assert result.stderr == "Wrote my_team.py and test_my_team.py.\n"
    assert sorted(path.name for path in here.iterdir()) == ["my_team.py", "test_my_team.py"]
    assert (here / "my_team.py").read_text() == (SKELETONS / "task_queue.py").read_text()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_message_that_is_suggested_is_the_skeletons_own(pattern: str) -> None:
    run, *_ = new("my_team", "--pattern", pattern).stdout.splitlines()

    assert f"    {run}\n" in (SKELETONS / f"{pattern}.py").read_text(encoding="utf-8")


def test_it_says_what_the_test_needs_where_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pytest" else find(name))

    assert new("my_team").stderr.endswith("\nIts test needs pytest: pip install pytest\n")


def test_a_name_that_holds_the_skeletons_own_is_put_in_once(here: Path) -> None:
    assert new("my_team_2").exit_code == 0

    assert 'name="my_team_2")' in (here / "my_team_2.py").read_text()
    assert "from my_team_2 import team\n" in (here / "test_my_team_2.py").read_text()


def test_a_folder_is_made_and_what_is_said_can_be_pasted(here: Path) -> None:
    result = new("shop", "--folder", "deep/my shops")

    run, test, graph = (shlex.split(line) for line in result.stdout.splitlines())
    assert run[:3] == ["orchestrator", "run", "deep/my shops/shop.py:team"]
    assert test == ["python", "-m", "pytest", "deep/my shops/test_shop.py"]
    assert graph == ["orchestrator", "graph", "deep/my shops/shop.py:team"]
    done = python(here, *test[2:], "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_pattern_of_another_distribution_is_offered_too(here: Path) -> None:
    (here / "house").mkdir()
    (here / "house" / "__init__.py").touch()
    (here / "house" / "choir.py").write_text("raise SystemExit  # read, not run: my_team\n")
    (here / "house" / "test_choir.py").write_text("from house.choir import team\n")
    install(here, "house", f"[{GROUP}]\nchoir = house.choir\n")
    sys.path.insert(0, str(here))

    assert new("song", "--pattern", "choir").exit_code == 0

    assert (here / "song.py").read_text() == "raise SystemExit  # read, not run: song\n"
    assert (here / "test_song.py").read_text() == "from song import team\n"


# --- what is refused


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("class", "class_team"),
        ("my team", "my_team"),
        ("shop.py", "shop"),
        ("3d", "team_3d"),
        ("../up", "up"),
        ("__init__", "init"),
        ("__main__", "main"),
        ("équipe", "quipe"),
        ("", "my_team"),
        ("???", "my_team"),
        ("x" * 65, "x" * 40),
        ("a b" + "\x1b", "a_b"),
    ],
)
def test_a_name_that_cannot_be_imported_is_refused_with_one_that_can(here: Path, name: str, suggestion: str) -> None:
    said = refused(name)

    assert said.endswith(f"is none that a Python file and a team can have; try: {suggestion}")
    assert list(here.iterdir()) == []
    assert new(suggestion).exit_code == 0


@pytest.mark.parametrize("name", ["json", "sys", "typer", "orchestrator", "patterns", "pytest", "conftest"])
def test_a_name_that_would_hide_a_module_is_refused_with_one_that_would_not(here: Path, name: str) -> None:
    assert refused(name) == (f"the name {name!r}: is that of a module, which {name}.py would hide; try: {name}_team")
    assert list(here.iterdir()) == []


def test_a_module_that_was_made_and_not_found_is_not_hidden_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "made_up", ModuleType("made_up"))

    assert "which made_up.py would hide" in refused("made_up")


def test_what_stands_in_the_folder_one_is_in_counts_as_ones_own(here: Path) -> None:
    sys.path.insert(0, str(here))
    (here / "notes").mkdir()  # of documents, say: no package
    (here / "elsewhere").mkdir()
    (here / "elsewhere" / "hidden.py").touch()

    assert new("notes").exit_code == 0
    assert new("notes", "--folder", "other").exit_code == 0
    sys.path.append(str(here / "elsewhere"))
    assert "which hidden.py would hide" in refused("hidden")


def test_a_package_there_would_hide_the_file(here: Path) -> None:
    (here / "shop").mkdir()
    (here / "shop" / "__init__.py").touch()

    assert refused("shop") == "the name 'shop': is that of a package there, which would hide shop.py; take another one"
    assert [path.name for path in here.iterdir()] == ["shop"]


@pytest.mark.parametrize("name", ["shop.py", "test_shop.py"])
def test_no_file_is_overwritten_and_both_are_written_or_none(here: Path, name: str) -> None:
    (here / name).write_text("mine")

    assert refused("shop") == f"{name}: is there already, and is not overwritten; nothing was written"
    assert [path.name for path in here.iterdir()] == [name]
    assert (here / name).read_text() == "mine"


def test_what_was_written_is_removed_when_the_rest_cannot_be(here: Path) -> None:
    (here / "file").touch()

    with pytest.raises(DeclarationError, match=r"file.two: cannot be written: .*; nothing was written"):
        write_all({here / "one": "1", here / "file" / "two": "2"})
    with pytest.raises(UnicodeEncodeError):
        write_all({here / "one": "1", here / "two": "\udc80"})

    assert [path.name for path in here.iterdir()] == ["file"]


def test_a_folder_that_cannot_be_is_wrong_use(here: Path) -> None:
    (here / "file").touch()

    assert "is a file" in refused("shop", "--folder", "file")
    assert refused("shop", "--folder", "file/sub").startswith("file/sub/shop.py: cannot be written: ")


def test_an_unknown_pattern_is_refused_with_those_there_are() -> None:
    assert refused("shop", "--pattern", "queue") == (
        f"--pattern: there is no 'queue'; there are: {', '.join(sorted(PATTERNS))}"
    )


def test_in_a_checkout_that_is_not_installed_it_says_what_to_do(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(here)])

    assert refused("shop") == (
        "--pattern: there are skeletons only where sharedblocks is installed; in a checkout: pip install -e ."
    )


@pytest.mark.parametrize("value", ["nowhere.choir", "patterns.skeletons.choir"])
def test_a_skeleton_that_is_not_there_is_said(here: Path, value: str) -> None:
    install(here, "house", f"[{GROUP}]\nchoir = {value}\n")
    sys.path.insert(0, str(here))

    assert refused("shop", "--pattern", "choir").startswith(f"--pattern: {value} cannot be read: ")
    assert not (here / "shop.py").exists()
