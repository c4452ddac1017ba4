"""Where the data files are that come with the package: beside it in a wheel, above it in a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

_HERE = Path(__file__).parent
_IN_CHECKOUT = {"prompts": "prompts", "documents": "examples/documents"}


def shipped(name: Literal["prompts", "documents"]) -> Path:
    """The folder of the prompt templates, or of the example documents."""
    in_wheel = _HERE / name
    return in_wheel if in_wheel.is_dir() else _HERE.parent / _IN_CHECKOUT[name]
