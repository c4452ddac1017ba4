"""The wheel and the sdist hold what pyproject.toml says, and an editable install copies nothing."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from zipfile import ZipFile

import pytest

CHECKOUT = Path(__file__).parent.parent
SKELETONS = {"domain_knowledge", "handoff_context", "system_config", "task_queue", "user_preferences"}
INFO = "sharedblocks-0.1.0.dist-info"


def run(*command: str) -> None:
    done = subprocess.run([sys.executable, *command], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist of the checkout, and a wheel built from that sdist; without a network."""
    out = tmp_path_factory.mktemp("dist")
    run("-m", "build", "--no-isolation", "--outdir", str(out))
    return out


def names_in_wheel(folder: Path) -> set[str]:
    (path,) = folder.glob("*.whl")
    with ZipFile(path) as wheel:
        return set(wheel.namelist())


def files(folder: str, packed_as: str | None = None) -> Iterator[str]:
    for path in (CHECKOUT / folder).rglob("*"):
        if path.is_file() and path.parent.name != "__pycache__":
            yield f"{packed_as or folder}/{path.relative_to(CHECKOUT / folder).as_posix()}"


def expected_in_wheel() -> set[str]:
    rooms = ("orchestrator", "orchestrator/bench", "orchestrator/simulation", "patterns")
    read_in_the_checkout = {f"{room}/README.md" for room in rooms}
    packages = {*files("orchestrator"), *files("patterns")} - read_in_the_checkout
    data = {*files("prompts", "orchestrator/prompts"), *files("examples/documents", "orchestrator/documents")}
    info = {f"{INFO}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    return packages | data | info


def test_the_wheel_has_both_packages_with_their_data_and_nothing_else(built: Path) -> None:
    names = names_in_wheel(built)

    assert names == expected_in_wheel()
    assert {"orchestrator/py.typed", "patterns/py.typed"} < names
    assert {name.partition("/")[0] for name in names} == {"orchestrator", "patterns", INFO}
    assert any(name.startswith("orchestrator/prompts/") for name in names)
    assert any(name.startswith("orchestrator/documents/") for name in names)
    assert {f"patterns/skeletons/{stem}.py" for name in SKELETONS for stem in (name, f"test_{name}")} < names


def test_a_wheel_built_from_the_checkout_is_the_one_built_from_the_sdist(built: Path, tmp_path: Path) -> None:
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path))

    (from_checkout,) = tmp_path.glob("*.whl")
    (from_sdist,) = built.glob("*.whl")
    assert from_checkout.read_bytes() == from_sdist.read_bytes()


def test_the_sdist_has_what_is_needed_to_build_and_to_test(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}

    single = {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "requirements.lock", "PKG-INFO", ".gitignore"}
    folders = {"orchestrator", "patterns", "prompts", "examples", "tests", ".ci"}
    assert {name for name in names if "/" not in name} == single
    assert {name.partition("/")[0] for name in names} - single == folders
    assert {*files("orchestrator"), *files("patterns"), *files("prompts"), *files("tests")} <= names


def test_the_wheel_names_its_command_and_what_the_command_finds_by_name(built: Path) -> None:
    (path,) = built.glob("*.whl")
    entry_points = ConfigParser()
    with ZipFile(path) as wheel:
        entry_points.read_string(wheel.read(f"{INFO}/entry_points.txt").decode())

    assert {group: dict(entry_points[group]) for group in entry_points.sections()} == {
        "console_scripts": {"orchestrator": "orchestrator.cli:main"},
        "pytest11": {"orchestrator": "orchestrator.pytest_plugin"},
        "orchestrator.models": {"rehearsal": "patterns.rehearsal:RehearsalModel"},
        "orchestrator.skeletons": {name: f"patterns.skeletons.{name}" for name in SKELETONS},
        "orchestrator.teams": {
            "all_patterns": "patterns.teams:all_patterns_team",
            "domain_knowledge": "patterns.teams:domain_knowledge_team",
            "handoff_context": "patterns.teams:handoff_context_team",
            "system_config": "patterns.teams:system_config_team",
            "task_queue": "patterns.teams:task_queue_team",
            "user_preferences": "patterns.teams:user_preferences_team",
        },
    }


def test_an_editable_install_points_at_the_checkout_and_copies_nothing(tmp_path: Path) -> None:
    run("-c", "import sys; from hatchling.build import build_editable; build_editable(sys.argv[1])", str(tmp_path))

    names = names_in_wheel(tmp_path)
    assert {name for name in names if not name.startswith(INFO)} == {"_sharedblocks.pth"}
    (path,) = tmp_path.glob("*.whl")
    with ZipFile(path) as wheel:
        assert Path(wheel.read("_sharedblocks.pth").decode()) == CHECKOUT
