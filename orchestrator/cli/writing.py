"""Files that a command makes for its user."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from orchestrator.errors import DeclarationError


def write_all(files: Mapping[Path, str]) -> None:
    """Write the texts, all or none, and make the folders that they are for.

    `DeclarationError` says which file is there already, or where nothing can be written.
    """
    for path in files:
        if os.path.lexists(path):
            raise DeclarationError(str(path), "is there already, and is not overwritten; nothing was written")
    made: list[Path] = []
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                made.append(path)
                file.write(text)
    except OSError as error:
        _remove(made)
        raise DeclarationError(str(path), f"cannot be written: {error.strerror}; nothing was written") from error
    except BaseException:  # Ctrl-C, too
        _remove(made)
        raise


def _remove(files: list[Path]) -> None:
    for path in files:
        path.unlink(missing_ok=True)
