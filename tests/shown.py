"""Examples, freshly loaded and run, and what they leave behind."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import pytest

from orchestrator import BlockChanged, Model, Store
from orchestrator.owner.looking import BlockHistory, find_history

FOLDER = Path(__file__).parent.parent / "examples"
FILES = sorted(path.stem for path in FOLDER.glob("*.py"))


def example(name: str) -> Any:
    """The example, freshly loaded: its blocks and scripts are nobody else's."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Seen:
    """What a run of an example left in its store, and what it printed."""

    def __init__(self, store: Store, printed: str) -> None:
        self._store = store
        self.printed = printed

    async def history(self, label: str) -> BlockHistory:
        return await self._store.read(lambda rows: find_history(rows, label))

    async def authors(self, label: str) -> list[str]:
        """Who wrote each version of the block."""
        return [revision.by for revision in (await self.history(label)).revisions]

    async def lines(self, label: str) -> list[str]:
        return (await self.history(label)).revisions[-1].value.split("\n")

    async def changes(self) -> list[BlockChanged]:
        return [event for event in await self._store.events(0, 10_000) if isinstance(event, BlockChanged)]


async def ran(name: str, store: Store, capsys: pytest.CaptureFixture[str], model: Model | None = None) -> Seen:
    """Run an example's main, as it is or with another model."""
    main = example(name).main
    capsys.readouterr()
    with anyio.fail_after(60):
        await (main(store=store) if model is None else main(model, store))
    return Seen(store, capsys.readouterr().out)
