"""The picture as a mermaid flowchart, which GitHub and others render inside a Markdown text."""

from __future__ import annotations

import re
from typing import Final

from orchestrator.drawing.picture import AgentNode, BlockNode, Link, Picture
from orchestrator.drawing.sides import sides

#: What means something inside mermaid's quotes, or in the Markdown or HTML that it makes of a label. An underscore
#: between letters means nothing, and a full stop only after a number that begins a list.
_MEANING: Final = re.compile(r'[&<>"#;`\\*~\[\]{}|$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=\d)\.(?!\w)')

#: Strokes only: the theme's own colours are readable, in the light and in the dark.
_CLASSES: Final = (
    "classDef entry stroke-width:3px",
    "classDef readonly stroke-dasharray:5 4",
)


def render(picture: Picture) -> str:
    """The text of the flowchart."""
    lines = ["---", f'title: "{picture.name}"', "---", "flowchart LR"]
    lines += [f"    {_agent(agent)}" for agent in picture.agents]
    lines += [f"    {_block(block)}" for block in picture.blocks]
    left = {agent.id for agent in sides(picture).left}
    lines += [f"    {_link(link, link.agent in left)}" for link in picture.links]
    lines += [f'    {flow.block} -. "overflow" .-> {flow.archive}' for flow in picture.overflows]
    lines += [f"    {line}" for line in _CLASSES]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """The text as mermaid has it inside quotes."""
    return _MEANING.sub(lambda found: f"#{ord(found[0])};", text)


def _agent(agent: AgentNode) -> str:
    own = (f"{own.label}: {', '.join(own.says)}" for own in agent.own)
    label = _lines(agent.name, *(["entry"] if agent.entry else []), *agent.notes, *own)
    return f'{agent.id}(["{label}"]){":::entry" if agent.entry else ""}'


def _block(block: BlockNode) -> str:
    label = _lines(block.name, *(["🔒 read-only"] if block.read_only else []))
    return f'{block.id}[("{label}")]{":::readonly" if block.read_only else ""}'


def _link(link: Link, from_left: bool) -> str:
    label = _lines(*link.says)
    if not link.wakes:
        ends = (link.agent, link.block) if link.writes else (link.block, link.agent)
        return f'{ends[0]} -- "{label}" --> {ends[1]}'
    if not link.writes:
        return f'{link.block} == "{label}" ==> {link.agent}'
    ends = (link.agent, link.block) if from_left else (link.block, link.agent)
    return f'{ends[0]} <== "{label}" ==> {ends[1]}'


def _lines(*lines: str) -> str:
    return "<br/>".join(map(quoted, lines))
