"""What is installed is what was locked, and nothing runs at start that we do not know."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

CHECKOUT = Path(__file__).parent.parent
LOCK = (CHECKOUT / "requirements.lock").read_text()


def load_check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_pth", CHECKOUT / ".ci" / "check_pth.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check_pth = load_check()


def declared() -> list[Requirement]:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    return [Requirement(line) for line in [*project["dependencies"], *project["optional-dependencies"]["test"]]]


def locked() -> dict[str, list[Requirement]]:
    """Each name's pins; several where they differ by environment."""
    pins: dict[str, list[Requirement]] = {}
    for line in re.findall(r"^(\w.*?) \\$", LOCK, re.MULTILINE):
        pin = Requirement(line)
        pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    return pins


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_what_the_project_asks_for_is_locked_within_its_range(requirement: Requirement) -> None:
    pins = locked()[canonicalize_name(requirement.name)]

    for pin in pins:
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert requirement.specifier.contains(exact.version)


def test_every_locked_package_has_hashes_and_nothing_else_is_in_the_lock() -> None:
    pin = r"\w\S*==\S+(?: ; .+?)?"
    hashes = r"(?: \\\n    --hash=sha256:[0-9a-f]{64})+"
    via = r"\n    # via(?: \S+(?: \(pyproject\.toml\))?|(?:\n    #   .+)+)"

    assert re.fullmatch(rf"(?:#.*\n)+(?:{pin}{hashes}{via}\n)+", LOCK)


def test_the_lock_names_no_place() -> None:
    assert not re.search(r"://|--index-url|--find-links| @ |(?:^|\s)/\w", LOCK)


def test_the_locked_litellm_is_none_of_the_malicious_ones() -> None:
    (pin,) = locked()["litellm"]
    (exact,) = pin.specifier

    assert Version("1.82.8") < Version(exact.version) < Version("1.107")


def test_a_planted_pth_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "evil.pth").write_text("import os; os.system('true')\n")
    (tmp_path / "harmless.py").touch()

    assert check_pth.unexpected(tmp_path) == ["evil.pth is not a known .pth file"]


@pytest.mark.parametrize(
    "name", ["sitecustomize.py", "usercustomize.py", "sitecustomize.cpython-311-x86_64-linux-gnu.so"]
)
def test_a_module_that_python_imports_by_itself_is_reported(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()

    assert check_pth.unexpected(tmp_path) == [f"{name} is run whenever Python starts"]


def test_a_known_pth_file_is_known_by_what_its_owner_recorded(tmp_path: Path) -> None:
    known = tmp_path / "a1_coverage.pth"
    known.write_text("import coverage_at_start\n")
    digest = urlsafe_b64encode(sha256(known.read_bytes()).digest()).decode().rstrip("=")
    (tmp_path / "coverage-7.0.dist-info").mkdir()
    (tmp_path / "coverage-7.0.dist-info" / "RECORD").write_text(f"a1_coverage.pth,sha256={digest},25\n")
    assert check_pth.unexpected(tmp_path) == []

    known.write_text("import something_else\n")

    assert check_pth.unexpected(tmp_path) == ["a1_coverage.pth is not the file that came with coverage"]


def test_an_environment_with_something_unknown_fails_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site_packages = tmp_path / "lib" / "python3.11" / "site-packages"
    site_packages.mkdir(parents=True)
    assert check_pth.main(str(tmp_path)) == 0

    (site_packages / "cook.pth").touch()

    assert check_pth.main(str(tmp_path)) == 1
    assert capsys.readouterr().out == "cook.pth is not a known .pth file\n"


def test_a_folder_that_is_no_environment_fails_the_check(tmp_path: Path) -> None:
    assert check_pth.main(str(tmp_path)) == 1
