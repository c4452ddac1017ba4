"""How an SVG picture looks, in the light and in the dark."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from orchestrator.drawing.geometry import SIZES

_FONT: Final = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"

#: What is the same in any light. Shapes, dashes, weights and words say without colours all that colours say.
_SHAPES: Final = {
    "text": f"font-family:{_FONT}",
    **{f".{style}": f"font-size:{size}px" for style, size in SIZES.items()},
    ".title,.name,.strong": "font-weight:600",
    ".box": "stroke-width:1.5",
    ".box.entry": "stroke-width:3",
    ".box.read-only": "stroke-dasharray:5 4",
    ".line": "fill:none;stroke-width:1.3",
    ".line.wakes,.line.handoff": "stroke-width:2.6",
    ".line.overflow": "stroke-dasharray:2 4",
    ".shackle": "fill:none;stroke-width:1.4",
}


class _Colours(NamedTuple):
    paper: str
    text: str
    quiet: str
    agent: str
    agent_border: str
    block: str
    block_border: str
    plain: str
    wakes: str
    handoff: str


_LIGHT: Final = _Colours(
    paper="#ffffff",
    text="#1f2328",
    quiet="#59636e",
    agent="#eef4ff",
    agent_border="#3b6fd4",
    block="#fff8e6",
    block_border="#b7791f",
    plain="#6e7781",
    wakes="#c2410c",
    handoff="#7c3aed",
)

_DARK: Final = _Colours(
    paper="#0d1117",
    text="#e6edf3",
    quiet="#a5b0bb",
    agent="#14233f",
    agent_border="#6ea0ff",
    block="#2d2413",
    block_border="#d9a441",
    plain="#8b949e",
    wakes="#ff8f5a",
    handoff="#b78cff",
)

#: The class of the whole picture: inside a page, its rules are for itself only.
ROOT: Final = "sharedblocks-team"


def style_sheet() -> str:
    """The rules, those for the dark last."""
    dark = "".join(_rules(_coloured(_DARK).items()))
    return "".join((*_rules(_SHAPES.items()), *_rules(_coloured(_LIGHT).items()))) + (
        f"@media (prefers-color-scheme:dark){{{dark}}}"
    )


def _coloured(colours: _Colours) -> dict[str, str]:
    return {
        ".paper": f"fill:{colours.paper}",
        "text": f"fill:{colours.text}",
        ".quiet": f"fill:{colours.quiet}",
        ".box.agent": f"fill:{colours.agent};stroke:{colours.agent_border}",
        ".box.block": f"fill:{colours.block};stroke:{colours.block_border}",
        ".line,.shackle": f"stroke:{colours.plain}",
        ".head,.bolt": f"fill:{colours.plain}",
        ".line.wakes": f"stroke:{colours.wakes}",
        ".head.wakes": f"fill:{colours.wakes}",
        ".line.handoff": f"stroke:{colours.handoff}",
        ".head.handoff": f"fill:{colours.handoff}",
    }


def _rules(rules: Iterable[tuple[str, str]]) -> Iterable[str]:
    for selectors, body in rules:
        yield ",".join(f".{ROOT} {selector}" for selector in selectors.split(",")) + f"{{{body}}}"
