"""The picture as a Graphviz graph."""

from __future__ import annotations

from typing import Final

from orchestrator.drawing.picture import AgentNode, BlockNode, Link, Picture, plain
from orchestrator.drawing.sides import sides

#: Looks like one. How often dot reads a backslash depends on where it stands, and on dot's release.
_BACKSLASH: Final = "\N{SET MINUS}"


def render(picture: Picture) -> str:
    """The text of the graph."""
    name = quoted(picture.name)
    lines = [
        f"digraph {name} {{",
        f'    graph [rankdir=LR, nodesep=0.3, ranksep=1, fontname="Helvetica", labelloc=t, label={name}]',
        '    node [fontname="Helvetica", fontsize=12, margin="0.15,0.08"]',
        '    edge [fontname="Helvetica", fontsize=10, color="#6e7781"]',
    ]
    lines += [f"    {_agent(agent)}" for agent in picture.agents]
    lines += [f"    {_block(block)}" for block in picture.blocks]
    left = {agent.id for agent in sides(picture).left}
    lines += [f"    {_link(link, link.agent in left)}" for link in picture.links]
    lines += [f'    {flow.block} -> {flow.archive} [style=dotted, label="overflow"]' for flow in picture.overflows]
    return "\n".join([*lines, "}"]) + "\n"


def quoted(*lines: str) -> str:
    """A text, or lines of it, as a quoted string."""
    escaped = (line.replace("&", "&amp;").replace("\\", _BACKSLASH).replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(escaped) + '"'


def _agent(agent: AgentNode) -> str:
    own = (f"{own.label}: {', '.join(own.says)}" for own in agent.own)
    label = quoted(agent.name, *(["entry"] if agent.entry else []), *agent.notes, *own)
    tooltip = quoted(plain(" ".join(own.description for own in agent.own)) or agent.name)
    width = 2.5 if agent.entry else 1
    colours = 'color="#3b6fd4", fillcolor="#eef4ff"'
    return (
        f'{agent.id} [shape=box, style="rounded,filled", penwidth={width}, {colours}, label={label}, tooltip={tooltip}]'
    )


def _block(block: BlockNode) -> str:
    label = quoted(block.name, *(["read-only"] if block.read_only else []))
    style = '"filled,dashed"' if block.read_only else "filled"
    colours = 'color="#b7791f", fillcolor="#fff8e6"'
    tooltip = quoted(block.description or block.name)
    return f"{block.id} [shape=note, style={style}, {colours}, label={label}, tooltip={tooltip}]"


def _link(link: Link, from_left: bool) -> str:
    """An edge from left to right, so that ranks are columns; `dir` says which of its ends have arrows."""
    to_agent, to_block = bool(link.wakes) or not link.writes, link.writes
    at_tail, at_head = (to_agent, to_block) if from_left else (to_block, to_agent)
    direction = "both" if at_tail and at_head else "forward" if at_head else "back"
    ends = f"{link.agent} -> {link.block}" if from_left else f"{link.block} -> {link.agent}"
    woken = ', penwidth=2.5, color="#7c3aed"' if link.handoff else ', penwidth=2.5, color="#c2410c"'
    return f"{ends} [dir={direction}, label={quoted(*link.says)}{woken if link.wakes else ''}]"
