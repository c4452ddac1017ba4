"""What the picture of a team shows, whatever it is drawn with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from orchestrator.blocks import Attachment, Grant
from orchestrator.team import Team, WakeEntry

#: Of a description, so many characters are shown; of a name in a list of names, so many; and so many names.
_MOST: Final = 300
_MOST_OF_A_NAME: Final = 20
_MOST_NAMES: Final = 2


class Own(NamedTuple):
    """A block that only its agent sees, shown inside it."""

    label: str
    #: What the agent may do with it, and how it wakes the agent.
    says: tuple[str, ...]
    read_only: bool
    description: str


class AgentNode(NamedTuple):
    """An agent."""

    id: str
    name: str
    entry: bool
    #: What wakes it that is no block's.
    notes: tuple[str, ...]
    own: tuple[Own, ...]


class BlockNode(NamedTuple):
    """A block that several agents see, or that old lines leave or arrive at."""

    id: str
    name: str
    read_only: bool
    description: str


class Link(NamedTuple):
    """What an agent may do with a block, and how the block wakes it; by the ids of their nodes."""

    agent: str
    block: str
    grant: Grant
    wakes: tuple[str, ...]
    #: Whether control is handed over to the agent, with a note in the block.
    handoff: bool

    @property
    def writes(self) -> bool:
        """Whether the agent may change the block."""
        return self.grant > Grant.READ

    @property
    def says(self) -> tuple[str, ...]:
        """The grant, and what wakes."""
        return (str(self.grant), *self.wakes)


class Overflow(NamedTuple):
    """The oldest lines of a block move to its archive; by the ids of their nodes."""

    block: str
    archive: str


class Picture(NamedTuple):
    """A team, ready to be drawn. Texts stand in one line and hold nothing that cannot be printed."""

    name: str
    agents: tuple[AgentNode, ...]
    blocks: tuple[BlockNode, ...]
    links: tuple[Link, ...]
    overflows: tuple[Overflow, ...]


def picture(team: Team) -> Picture:
    """What there is to draw of a team."""
    flows = {key: team.key_of(block.overflow) for key, block in team.blocks.items() if block.overflow}
    inside = {
        key for key, holders in team.holders.items() if len(holders) == 1 and key not in {*flows, *flows.values()}
    }
    ids = {name: f"n{number}" for number, name in enumerate((agent.name for agent in team.members), 1)}
    nodes = {key: f"n{number}" for number, key in enumerate((k for k in team.blocks if k not in inside), len(ids) + 1)}
    return Picture(
        team.name,
        tuple(
            AgentNode(
                ids[agent.name],
                agent.name,
                agent.name == team.entry,
                _sleeptime(team, agent.name),
                tuple(
                    _own(team, agent.name, key, attachment)
                    for attachment in agent.attachments
                    if (key := team.key_of(attachment.block)) in inside
                ),
            )
            for agent in team.members
        ),
        tuple(_block(team, key, id_) for key, id_ in nodes.items()),
        tuple(
            _link(team, ids[name], id_, key, name, attachment)
            for key, id_ in nodes.items()
            for name, attachment in team.holders[key]
        ),
        tuple(Overflow(nodes[key], nodes[archive]) for key, archive in flows.items()),
    )


def plain(text: str) -> str:
    """The text in one line, shortened, with a sign in place of what cannot be printed."""
    line = "".join(sign if sign.isprintable() else "\ufffd" for sign in " ".join(text.split()))
    return line if len(line) <= _MOST else f"{line[: _MOST - 1]}…"


def _block(team: Team, key: str, id_: str) -> BlockNode:
    block = team.blocks[key]
    return BlockNode(id_, team.names[key], block.read_only, plain(block.description))


def _own(team: Team, agent: str, key: str, attachment: Attachment) -> Own:
    block = attachment.block
    wakes = tuple(_says(team, entry) for entry in _wakes(team, key, agent))
    grant = "read-only" if block.read_only else str(attachment.grant)
    return Own(block.label, (grant, *wakes), block.read_only, plain(block.description))


def _link(team: Team, agent: str, block: str, key: str, name: str, attachment: Attachment) -> Link:
    entries = _wakes(team, key, name)
    handoff = any(entry.wake.handoffs is not None for entry in entries)
    return Link(agent, block, attachment.grant, tuple(_says(team, entry) for entry in entries), handoff)


def _wakes(team: Team, key: str, agent: str) -> Sequence[WakeEntry]:
    return [entry for entry in team.wakes if entry.key == key and agent in entry.members]


def _says(team: Team, entry: WakeEntry) -> str:
    """How a block wakes an agent."""
    wake = entry.wake
    if wake.when is not None:
        return f"calls a pool of {len(entry.members)}" if len(entry.members) > 1 else "calls"
    if wake.full is not None:
        return f"wakes, full {wake.full * 100:g} %"
    by = _names(team, entry)
    if wake.handoffs is not None:
        return f"hands over, at most {wake.handoffs}" + (f", by {by}" if by else "")
    return f"wakes, by {by}" if by else "wakes"


def _sleeptime(team: Team, agent: str) -> tuple[str, ...]:
    """When an agent is woken that counts turns, or waits for quiescence."""
    notes = []
    for entry in _wakes(team, "", agent):
        wake, by = entry.wake, _names(team, entry)
        every = "" if wake.every is None else "every turn" if wake.every == 1 else f"every {wake.every} turns"
        notes.append(", ".join(filter(None, (every, "when idle" if wake.idle else ""))))
        notes += [f"after turns of {by}"] if by else []
    return tuple(notes)


def _names(team: Team, entry: WakeEntry) -> str:
    """Those whose changes, handoffs or turns count; empty for everybody's."""
    authors = tuple(dict.fromkeys(entry.wake.authors))
    others = {agent.name for agent in team.members} - set(entry.members)
    if len(authors) > 1 and set(authors) == others:
        return "all others"
    return enumerated(authors)


def enumerated(names: Sequence[str]) -> str:
    """Some names and how many more there are; `a, b and 6 more`."""
    if len(names) <= _MOST_NAMES:
        return " and ".join(map(_shortened, names))
    return f"{', '.join(map(_shortened, names[:_MOST_NAMES]))} and {len(names) - _MOST_NAMES} more"


def _shortened(name: str) -> str:
    return name if len(name) <= _MOST_OF_A_NAME else f"{name[: _MOST_OF_A_NAME - 1]}…"


def told(picture: Picture) -> Iterable[str]:
    """The picture in sentences, for those who do not see it."""
    names = {agent.id: agent.name for agent in picture.agents} | {block.id: block.name for block in picture.blocks}
    for agent in picture.agents:
        links = [f"{names[link.block]} ({', '.join(link.says)})" for link in picture.links if link.agent == agent.id]
        own = [f"its own {own.label} ({', '.join(own.says)})" for own in agent.own]
        entry = ", the entry" if agent.entry else ""
        woken = [f"woken {', '.join(agent.notes)}"] if agent.notes else []
        parts = [*woken, *links, *own]
        yield f"Agent {agent.name}{entry}: {'; '.join(parts) or 'no blocks'}."
    for block in picture.blocks:
        if block.read_only:
            yield f"Block {block.name} is read-only."
    for flow in picture.overflows:
        yield f"Old lines of {names[flow.block]} move to {names[flow.archive]}."
