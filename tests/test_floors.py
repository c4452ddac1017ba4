"""The rules that ruff and the import linter keep are alive: each is broken here on purpose, and each is reported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
TOOLS = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]
CONTRACTS = TOOLS["importlinter"]["contracts"]
BANNED = sorted(TOOLS["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"])


def lint_imports(checkout: Path) -> str:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False).stdout


def ruff(source: str, as_file: str) -> str:
    command = [sys.executable, "-m", "ruff", "check", "--output-format=concise", f"--stdin-filename={as_file}", "-"]
    return subprocess.run(command, cwd=CHECKOUT, input=source, capture_output=True, text=True, check=False).stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in ("orchestrator", "patterns"):
        shutil.copytree(CHECKOUT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    return tmp_path


def test_imports_only_go_down() -> None:
    report = lint_imports(CHECKOUT)

    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken." in report, report


def test_every_contract_reports_who_breaks_it(copy: Path) -> None:
    with (copy / "orchestrator" / "errors.py").open("a") as ground_floor:
        ground_floor.write("import litellm, sqlite3\nimport orchestrator.cli\nimport patterns\n")
    with (copy / "patterns" / "__init__.py").open("a") as pattern:
        pattern.write("import orchestrator.errors\n")

    report = lint_imports(copy)

    for contract in CONTRACTS:
        assert f"{contract['name']} BROKEN" in report


def test_a_new_room_needs_a_floor(copy: Path) -> None:
    (copy / "orchestrator" / "attic.py").touch()

    report = lint_imports(copy)

    assert "attic" in report
    assert "imports only go down BROKEN" in report


@pytest.mark.parametrize("banned", BANNED)
def test_a_banned_word_is_reported_in_a_room_and_allowed_in_the_environment(banned: str) -> None:
    module, _, _ = banned.rpartition(".")
    module = "datetime" if module.startswith("datetime") else module or banned
    source = f"import {module}\n\nfound = {banned}\n"

    assert f"`{banned}` is banned: use " in ruff(source, "orchestrator/scheduler.py")
    assert "TID251" not in ruff(source, "orchestrator/environment.py")


def test_importing_us_loads_no_provider_no_database_and_no_graph() -> None:
    heavy = ["litellm", "sqlite3", "networkx", "typer", "rich", "patterns"]
    code = f"import orchestrator, sys; print([name for name in {heavy} if name in sys.modules])"
    # coverage itself would load sqlite3
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, env=unmeasured, capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"
