"""What the picture of a team shows, where it stands, and how each format says it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import CHECKOUT, FOLDER, PICTURES, drawn, five_lines

from orchestrator import Agent, Block, DeclarationError, Team, Wake, draw
from orchestrator.drawing import FORMATS
from orchestrator.drawing.geometry import Point, Rect
from orchestrator.drawing.layout import Layout, layout
from orchestrator.drawing.ordering import ordered
from orchestrator.drawing.picture import picture, told
from orchestrator.drawing.sides import sides
from orchestrator.drawing.wires import Wire
from patterns import domain_knowledge, supervise
from patterns.teams import domain_knowledge_team, task_queue_team

#: A description that would break every format, if it were let.
HOSTILE = 'say "no" & <b>never</b> \\N `x` ]]> #quot;\x1b[2J\u202e\nnext'


def handing_over() -> Team:
    """Two agents who hand over to each other."""
    note = Block("handoff_context", description=HOSTILE)
    triage = Agent("triage", blocks=[note], wakes_on=[Wake(note, handoffs=6, by=["billing"])])
    return Team("pair", [triage, Agent("billing", blocks=[note], wakes_on=[Wake(note, handoffs=6, by=["triage"])])])


def curated(agents: int) -> Team:
    """Agents who serve one user, and a sleeptime agent who tidies what they note."""
    notes = Block("user_preferences")
    names = [f"agent-{number}" for number in range(1, agents)]
    curator = Agent("curator", blocks=[notes.curator()], wakes_on=[Wake(every=5, idle=True, by=names)])
    return Team("curated", [*(Agent(name, blocks=[notes.contributor()]) for name in names), curator])


def everything(agents: int) -> Team:
    """All there is to draw: a queue, knowledge, preferences, handoffs, configuration, own blocks and an archive."""
    knowledge, log = domain_knowledge(), Block("log", overflow=Block("archive"))
    rules, preferences = Block("system_config", "x", read_only=True), Block("user_preferences")
    note = Block("handoff_context")
    workers = [Agent(f"worker-{n}", blocks=[knowledge.contributor(), rules]) for n in range(1, agents - 3)]
    led = supervise(Agent("lead", blocks=[Block("persona"), knowledge, rules, log, note]), workers)
    helped = Team(
        "helped",
        [
            Agent("lead", blocks=[preferences.contributor(), note], wakes_on=[Wake(note, handoffs=6, by=["clerk"])]),
            Agent(
                "clerk",
                blocks=[note, preferences.contributor(), Block("persona", read_only=True)],
                wakes_on=[Wake(note, handoffs=6)],
            ),
            Agent(
                "curator",
                blocks=[preferences.curator(), rules],
                wakes_on=[Wake(every=5, idle=True, by=["lead", "clerk"])],
            ),
            Agent("archivist", blocks=[log.curator()], wakes_on=[Wake(log, full=0.8)]),
        ],
    )
    return led | helped


def alone() -> Team:
    """An agent with nothing."""
    return Team("alone", [Agent("solo")])


def deep() -> Team:
    """An agent at the top whose log overflows into an archive, which overflows, and so on; and one at the bottom."""
    logs = []
    for _ in range(2):
        block = Block("archive-0", key=f"{len(logs)}-0")
        for number in range(1, 5):
            block = Block(f"archive-{number}", key=f"{len(logs)}-{number}", overflow=block)
        logs.append(block)
    strangers = [Agent(f"agent-{number}") for number in range(20)]
    return Team("deep", [Agent("first", blocks=[logs[0]]), *strangers, Agent("last", blocks=[logs[1]])])


TEAMS = {
    "deep archives": deep,
    "five lines": five_lines,
    "alone": alone,
    "strangers": lambda: Team("strangers", [Agent(f"agent-{n}") for n in range(30)]),
    "handing over": handing_over,
    **{f"{n} in a queue": (lambda n=n: task_queue_team(workers=n - 1)) for n in (3, 8, 30)},
    **{f"{n} specialists": (lambda n=n: domain_knowledge_team(workers=n - 1)) for n in (3, 8, 30)},
    **{f"{n} with a curator": (lambda n=n: curated(n)) for n in (3, 8, 30)},
    **{f"{n} with everything": (lambda n=n: everything(n)) for n in (5, 8, 30)},
}


# Where it stands -----------------------------------------------------------------------------------------------------


def course(wire: Wire) -> Iterator[Point]:
    """Points along a wire, close to each other."""
    for number, (a, b) in enumerate(pairwise(wire.points)):
        middle = (a.x + b.x) / 2
        for step in range(41):
            t = step / 40
            if wire.bends and number == 1:
                x = (1 - t) ** 3 * a.x + 3 * t * (1 - t) * middle + t**3 * b.x
                y = ((1 - t) ** 3 + 3 * t * (1 - t) ** 2) * a.y + (3 * t**2 * (1 - t) + t**3) * b.y
                yield Point(x, y)
            else:
                yield Point(a.x + t * (b.x - a.x), a.y + t * (b.y - a.y))


def overlap(one: Rect, other: Rect) -> bool:
    """Whether they share more than a border."""
    return one.x < other.right and other.x < one.right and one.y < other.bottom and other.y < one.bottom


def holds(outer: Rect, inner: Rect) -> bool:
    return outer.x <= inner.x and inner.right <= outer.right and outer.y <= inner.y and inner.bottom <= outer.bottom


def overlapping(rects: dict[str, Rect]) -> list[tuple[str, str]]:
    return [(a, b) for a, b in combinations(rects, 2) if overlap(rects[a], rects[b])]


def clear(placed: Layout) -> None:
    """Nothing lies on anything else, and everything is where it belongs."""
    boxes = {f"box {box.node.id}": box.rect for box in placed.boxes}
    labels = {f"label {n}": label.rect for n, label in enumerate(placed.labels)}
    samples = {f"sample {n}": sample.text.rect for n, sample in enumerate(placed.legend)}
    solid = boxes | labels | samples | {"title": placed.title.rect}
    assert overlapping(solid) == []
    around = {name: Rect(r.x - 9, r.y - 9, r.width + 18, r.height + 18) for name, r in boxes.items()}
    assert overlapping(around) == [], "too close to each other"
    paper = Rect(0, 0, placed.width, placed.height)
    assert [name for name, rect in solid.items() if not holds(paper, rect)] == []
    for box in placed.boxes:
        parts = [text.rect for text in box.texts] + [chip.rect for chip in box.chips]
        assert overlapping({str(n): rect for n, rect in enumerate(parts)}) == []
        assert all(holds(box.rect, rect) for rect in parts)
        assert all(holds(chip.rect, text.rect) for chip in box.chips for text in chip.texts)
    for label in placed.labels:
        assert all(holds(label.rect, text.rect) for text in label.texts)
        assert overlapping({str(n): text.rect for n, text in enumerate(label.texts)}) == []
    for wire in (*placed.wires, *(sample.wire for sample in placed.legend)):
        for x, y in course(wire):
            assert 0 < x < placed.width
            assert 0 < y < placed.height
            through = [n for n, r in solid.items() if r.x < x < r.right and r.y < y < r.bottom]
            assert through == [], (wire, x, y)


@pytest.mark.parametrize("name", TEAMS)
def test_nothing_lies_on_anything_else(name: str) -> None:
    clear(layout(picture(TEAMS[name]())))


NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", fullmatch=True).filter(
    lambda name: name not in ("owner", "engine", "memory_blocks", "description", "metadata", "value")
)


@st.composite
def wakes(pick: st.DrawFn, block: Block, names: list[str], writers: list[str]) -> Wake:
    """A wake on a block; only who can write a note hands over with it."""
    by = pick(st.lists(st.sampled_from(names), unique=True))
    kinds = ("change", "calls", "full", "handoffs")
    match pick(st.sampled_from(kinds)):
        case "calls":
            return Wake(block, when=len)
        case "full":
            return Wake(block, full=pick(st.sampled_from([0.29, 0.8, 1])))
        case "handoffs":
            return Wake(block, handoffs=pick(st.integers(1, 1000)), by=[name for name in by if name in writers])
        case _:
            return Wake(block, by=by)


@st.composite
def teams(pick: st.DrawFn) -> Team:
    labels = pick(st.lists(NAMES, max_size=6, unique_by=str.lower))
    names = pick(st.lists(NAMES, min_size=1, max_size=9, unique=True))
    blocks: list[Block] = []
    for label in labels:
        archives = [None, *(block for block in blocks if not block.read_only)]
        read_only, archive = pick(st.booleans()), pick(st.sampled_from(archives))
        blocks.append(
            Block(label, description=pick(st.sampled_from(["", HOSTILE])), read_only=read_only, overflow=archive)
        )
    seen = {name: pick(st.lists(st.sampled_from(blocks), unique_by=id)) if blocks else [] for name in names}
    agents = []
    for name, mine in seen.items():
        writers = {
            block: [other for other in names if other != name and block in seen[other] and not block.read_only]
            for block in mine
        }
        woken = [pick(wakes(block, names, writers[block])) for block in mine if pick(st.booleans())]
        if pick(st.booleans()):
            woken.append(
                Wake(every=pick(st.none() | st.integers(1, 3)), idle=True, by=pick(st.sampled_from([[], names])))
            )
        given = [block if block.read_only or pick(st.booleans()) else block.contributor() for block in mine]
        agents.append(Agent(name, blocks=given, wakes_on=woken))
    return Team(pick(NAMES), agents, entry=pick(st.sampled_from(names)))


@settings(max_examples=60, deadline=None)
@given(teams())
def test_nothing_lies_on_anything_else_in_any_team(team: Team) -> None:
    clear(layout(picture(team)))
    image = parsed(draw(team, "svg"))
    assert {agent.name for agent in team.members} <= {
        title.text for title in every(image, "title") if title.text is not None
    }


def test_the_entry_stands_left_at_the_top_and_like_agents_right() -> None:
    found = sides(picture(Team("t", everything(7).members, entry="curator")))

    assert [agent.name for agent in found.left] == ["curator", "lead", "clerk", "archivist"]
    assert [agent.name for agent in found.right] == ["worker-1", "worker-2", "worker-3"]


def test_many_agents_stand_on_both_sides() -> None:
    found = sides(picture(task_queue_team(workers=30)))

    assert abs(len(found.left) - len(found.right)) <= 2
    assert found.left[0].name == "supervisor"


def test_agents_stand_so_that_few_edges_cross() -> None:
    first, second = Block("first"), Block("second")
    names = {"ann": first, "ben": second, "cy": first, "di": second}
    agents = [Agent(name, blocks=[block, Block(f"own-{name}")]) for name, block in names.items()]
    team = Team("t", [Agent("entry"), *agents])

    order = ordered(picture(team))

    assert [agent.name for agent in order.right] == ["ann", "cy", "ben", "di"]
    assert [block.name for block in order.blocks] == ["first", "second"]


def test_what_crosses_nothing_stays_as_declared() -> None:
    order = ordered(picture(task_queue_team(workers=30)))

    workers = [agent.name for agent in (*order.left, *order.right)][1:]
    assert workers == [f"worker-{n}" for n in range(1, 31)]


def test_an_archive_stands_below_what_overflows_into_it_and_wires_go_around_what_is_between() -> None:
    archive = Block("archive")
    logs = [Block(f"log-{n}", overflow=archive) for n in (1, 2, 3)]
    team = Team("t", [Agent("ann", blocks=logs), Agent("bob", blocks=[Block("other"), *logs])])

    placed = layout(picture(team))

    clear(placed)
    rects = {box.node.name: box.rect for box in placed.boxes}
    assert [name for name in sorted(rects, key=lambda name: rects[name].y) if name[0] in "al"][-1] == "archive"
    flows = [wire.points for wire in placed.wires if wire.kind == "overflow"]
    assert [len(points) for points in flows] == [6, 6, 2]
    assert [points[0].y for points in flows] == [rects[log.label].bottom for log in logs]
    assert {points[-1].y for points in flows} == {rects["archive"].y}


def test_a_wire_leaves_its_agent_ends_at_its_block_and_has_heads_where_something_goes() -> None:
    team = everything(5)
    placed = layout(picture(team))
    rects = {box.node.name: box.rect for box in placed.boxes}
    heads = {}
    for wire in placed.wires:
        if wire.bends:
            agent, block = wire.title.partition(":")[0].split(" and ")
            assert wire.points[0].x in (rects[agent].x, rects[agent].right)
            assert wire.points[-1].x in (rects[block].x, rects[block].right)
            heads[agent, block] = (wire.head_at_start, wire.head_at_end, wire.kind)

    assert heads["lead", "system_config"] == (True, False, "plain")
    assert heads["lead", "log"] == (False, True, "plain")
    assert heads["lead", "task_queue"] == (True, True, "wakes")
    assert heads["lead", "handoff_context"] == (True, True, "handoff")
    assert len(heads) == len(picture(team).links)


# What it shows -------------------------------------------------------------------------------------------------------


def says(team: Team) -> dict[tuple[str, str], tuple[str, ...]]:
    """What stands at each link, by agent and block."""
    seen = picture(team)
    names = {agent.id: agent.name for agent in seen.agents} | {block.id: block.name for block in seen.blocks}
    return {(names[link.agent], names[link.block]): link.says for link in seen.links}


def test_a_link_says_the_grant_and_what_wakes() -> None:
    a, b, c = Block("a"), Block("b"), Block("c")
    pool = Wake(b, when=len)
    team = Team(
        "t",
        [
            Agent("ann", blocks=[a, b, c.reader()], wakes_on=[a, Wake(b, when=len), Wake(c, full=0.29)]),
            Agent("bob", blocks=[a.contributor(), b, c.curator()], wakes_on=[Wake(a, by=["ann"]), pool]),
            Agent("cy", blocks=[a.reader(), b, c], wakes_on=[Wake(a, by=["bob", "ann"]), pool, Wake(c, handoffs=1)]),
            Agent("di", blocks=[a, c], wakes_on=[Wake(a, by=["ann", "bob"]), Wake(c, handoffs=2, by=["cy"])]),
            Agent("ed", blocks=[a, c], wakes_on=[Wake(a, by=["ann", "bob", "x" * 30]), Wake(c), Wake(c, full=1)]),
            Agent("x" * 30),
        ],
    )

    assert says(team) == {
        ("ann", "a"): ("replace", "wakes"),
        ("bob", "a"): ("insert", "wakes, by ann"),
        ("cy", "a"): ("read", "wakes, by bob and ann"),
        ("di", "a"): ("replace", "wakes, by ann and bob"),
        ("ed", "a"): ("replace", "wakes, by ann, bob and 1 more"),
        ("ann", "b"): ("replace", "calls"),
        ("bob", "b"): ("replace", "calls a pool of 2"),
        ("cy", "b"): ("replace", "calls a pool of 2"),
        ("ann", "c"): ("read", "wakes, full 29 %"),
        ("bob", "c"): ("rethink",),
        ("cy", "c"): ("replace", "hands over, at most 1"),
        ("di", "c"): ("replace", "hands over, at most 2, by cy"),
        ("ed", "c"): ("replace", "wakes", "wakes, full 100 %"),
    }


def test_long_names_of_others_are_shortened_and_everybody_else_is_all_others() -> None:
    a, long = Block("a"), "x" * 30
    waking = [Agent("ann", blocks=[a], wakes_on=[Wake(a, by=[long])]), Agent(long, blocks=[a])]
    third = Agent("cy", blocks=[a], wakes_on=[Wake(a, by=[long, "ann"])])

    assert says(Team("t", waking))["ann", "a"] == ("replace", f"wakes, by {'x' * 19}…")
    assert says(Team("t", [*waking, third]))["cy", "a"] == ("replace", "wakes, by all others")


def test_an_agent_says_when_it_is_woken_without_a_block() -> None:
    notes = {
        "ann": [Wake(every=5, idle=True)],
        "bob": [Wake(every=1)],
        "cy": [Wake(idle=True, by=["ann"])],
        "di": [Wake(every=2, by=["ann", "bob", "cy"])],
        "ed": [Wake(every=2, by=["owner"]), Wake(idle=True)],
    }

    seen = picture(Team("t", [Agent(name, wakes_on=wakes) for name, wakes in notes.items()]))

    assert {agent.name: agent.notes for agent in seen.agents} == {
        "ann": ("every 5 turns, when idle",),
        "bob": ("every turn",),
        "cy": ("when idle", "after turns of ann"),
        "di": ("every 2 turns", "after turns of ann, bob and 1 more"),
        "ed": ("every 2 turns", "after turns of owner", "when idle"),
    }


def test_an_own_block_stands_inside_its_agent_unless_it_overflows() -> None:
    archive = Block("archive")
    rules, mine = Block("rules", read_only=True), Block("mine", description=HOSTILE)
    agent = Agent(
        "ann", blocks=[rules, mine.curator(), Block("log", overflow=archive)], wakes_on=[Wake(mine, full=0.8)]
    )

    seen = picture(Team("t", [agent]))

    assert [(own.label, own.says, own.read_only) for own in seen.agents[0].own] == [
        ("rules", ("read-only",), True),
        ("mine", ("rethink", "wakes, full 80 %"), False),
    ]
    assert [block.name for block in seen.blocks] == ["log", "archive"]
    assert seen.overflows == ((seen.blocks[0].id, seen.blocks[1].id),)
    assert len(seen.links) == 1


def test_blocks_of_one_label_are_told_apart() -> None:
    one, two = Block("notes", key="one"), Block("notes", key="two")
    team = Team("t", [Agent(name, blocks=[block]) for name, block in zip("abcd", (one, one, two, two), strict=True)])

    assert [block.name for block in picture(team).blocks] == ["a/notes", "c/notes"]


def test_a_description_is_one_line_that_can_be_printed_and_not_too_long() -> None:
    block = Block("notes", description=HOSTILE + "y" * 400)
    seen = picture(Team("t", [Agent("ann", blocks=[block]), Agent("bob", blocks=[block])])).blocks[0].description

    assert seen.startswith('say "no" & <b>never</b> \\N `x` ]]> #quot;\ufffd[2J\ufffd next')
    assert (len(seen), seen[-1]) == (300, "…")


def test_a_picture_can_be_told_in_sentences() -> None:
    assert list(told(picture(everything(5))))[1:] == [
        "Agent worker-1: domain_knowledge (insert); system_config (read); task_queue (replace, calls).",
        "Agent clerk: handoff_context (replace, hands over, at most 6); user_preferences (insert);"
        " its own persona (read-only).",
        "Agent curator: woken every 5 turns, when idle, after turns of lead and clerk; system_config (read);"
        " user_preferences (rethink).",
        "Agent archivist: log (rethink, wakes, full 80 %).",
        "Block system_config is read-only.",
        "Old lines of log move to archive.",
    ]
    assert list(told(picture(alone()))) == ["Agent solo, the entry: no blocks."]


# How it is said ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_declaration_gives_the_same_text(format: Any) -> None:
    assert draw(everything(8), format) == draw(everything(8), format)


def test_only_a_team_is_drawn_and_only_in_a_known_format() -> None:
    with pytest.raises(DeclarationError, match="needs a Team, not a Agent"):
        draw(Agent("ann"))  # type: ignore[arg-type]
    with pytest.raises(DeclarationError, match="format is 'png'; choose 'mermaid', 'dot', 'svg'"):
        draw(alone(), "png")  # type: ignore[arg-type]


def small() -> Team:
    """One of each, with names that mean something to those who draw."""
    end, rules, log = Block("end"), Block("rules", read_only=True), Block("log", overflow=Block("archive"))
    return Team(
        "graph",
        [
            Agent("class", blocks=[end, rules, log, Block("persona")], wakes_on=[Wake(end, when=len)]),
            Agent("_x_", blocks=[end.reader(), rules], wakes_on=[end, Wake(every=5, idle=True)]),
            Agent("1.", blocks=[end, rules, log.contributor()], wakes_on=[Wake(end, handoffs=6)]),
        ],
    )


def test_mermaid_has_ids_of_its_own_and_texts_in_quotes() -> None:
    assert (
        draw(small())
        == """\
---
title: "graph"
---
flowchart LR
    n1(["class<br/>entry<br/>persona: replace"]):::entry
    n2(["#95;x#95;<br/>every 5 turns, when idle"])
    n3(["1#46;"])
    n4[("end")]
    n5[("rules<br/>🔒 read-only")]:::readonly
    n6[("log")]
    n7[("archive")]
    n1 <== "replace<br/>calls" ==> n4
    n4 == "read<br/>wakes" ==> n2
    n4 <== "replace<br/>hands over, at most 6" ==> n3
    n5 -- "read" --> n1
    n5 -- "read" --> n2
    n5 -- "read" --> n3
    n1 -- "replace" --> n6
    n3 -- "insert" --> n6
    n6 -. "overflow" .-> n7
    classDef entry stroke-width:3px
    classDef readonly stroke-dasharray:5 4
"""
    )


def test_dot_has_edges_from_left_to_right_and_heads_where_something_goes() -> None:
    text = draw(small(), "dot")

    assert text.startswith('digraph "graph" {\n    graph [rankdir=LR,')
    edges = re.findall(r"(n\d+ -> n\d+) \[dir=(\w+), label=(\"[^\"]*\")(.*)\]", text)
    bold, purple = ', penwidth=2.5, color="#c2410c"', ', penwidth=2.5, color="#7c3aed"'
    assert edges == [
        ("n1 -> n4", "both", r'"replace\ncalls"', bold),
        ("n4 -> n2", "forward", r'"read\nwakes"', bold),
        ("n4 -> n3", "both", r'"replace\nhands over, at most 6"', purple),
        ("n1 -> n5", "back", '"read"', ""),
        ("n5 -> n2", "forward", '"read"', ""),
        ("n5 -> n3", "forward", '"read"', ""),
        ("n1 -> n6", "forward", '"replace"', ""),
        ("n6 -> n3", "back", '"insert"', ""),
    ]
    assert '    n6 -> n7 [style=dotted, label="overflow"]\n}\n' in text
    nodes = dict(re.findall(r"^    (n\d+) \[(.*)\]$", text, re.MULTILINE))
    assert 'style="rounded,filled", penwidth=2.5' in nodes["n1"]
    assert r'label="class\nentry\npersona: replace"' in nodes["n1"]
    assert "penwidth=1," in nodes["n2"]
    assert 'shape=note, style="filled,dashed"' in nodes["n5"]
    assert r'label="rules\nread-only"' in nodes["n5"]
    assert "shape=note, style=filled" in nodes["n6"]


def test_dot_escapes_what_it_would_read() -> None:
    (tooltip,) = re.findall(r"n3 .* tooltip=(.*)\]", draw(handing_over(), "dot"))

    assert tooltip == r'"say \"no\" &amp; <b>never</b> ' + '\N{SET MINUS}N `x` ]]> #quot;\ufffd[2J\ufffd next"'


def parsed(image: str) -> ElementTree.Element:
    return ElementTree.fromstring(image)  # noqa: S314 - our own


def every(root: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    return list(root.iter(f"{{http://www.w3.org/2000/svg}}{tag}"))


def test_an_image_can_be_read_by_machines_and_has_its_words_for_those_who_do_not_see_it() -> None:
    root = parsed(draw(handing_over(), "svg"))

    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("role") == "img"
    assert [root[0].text, root[1].text] == [
        "Team pair",
        "Agent triage, the entry: handoff_context (replace, hands over, at most 6, by billing)."
        " Agent billing: handoff_context (replace, hands over, at most 6, by triage).",
    ]
    titles = [title.text for title in every(root, "title")]
    assert 'handoff_context: say "no" & <b>never</b> \\N `x` ]]> #quot;\ufffd[2J\ufffd next' in titles
    assert "billing and handoff_context: replace, hands over, at most 6, by triage" in titles


def test_an_image_needs_nothing_else_and_leaves_the_page_around_it_alone() -> None:
    image = draw(everything(8), "svg")
    root = parsed(image)

    assert {element.tag.partition("}")[2] for element in root.iter()} == {
        "svg", "title", "desc", "style", "rect", "path", "circle", "text", "g"
    }  # fmt: skip
    assert image.count("://") == 1, "the name space"
    assert not re.search(r"url\(|@import|\bon\w+=|href|\bid=", image)
    (sheet,) = [element.text or "" for element in every(root, "style")]
    light, dark = sheet.removesuffix("}").split("@media (prefers-color-scheme:dark){")
    rules = re.findall(r"([^{}]+)\{[^{}]+\}", light), re.findall(r"([^{}]+)\{[^{}]+\}", dark)
    assert len(rules[1]) == 11
    assert set(rules[1]) < set(rules[0])
    assert all(selector.startswith(".sharedblocks-team ") for rule in rules[0] for selector in rule.split(","))


def test_every_text_of_an_image_is_written_where_the_layout_says() -> None:
    team = everything(8)
    placed = layout(picture(team))
    root = parsed(draw(team, "svg"))

    measured = [text for box in placed.boxes for text in (*box.texts, *(t for c in box.chips for t in c.texts))]
    measured += [text for label in placed.labels for text in label.texts]
    measured += [placed.title, *(sample.text for sample in placed.legend)]
    shown = [(e.text, float(e.get("x", "")), float(e.get("y", ""))) for e in every(root, "text")]
    assert len(shown) == len(measured)
    sizes = {"title": 16, "name": 14}
    for written in measured:
        width = len(written.line.text) * sizes.get(written.line.style, 11) * 0.602  # of the widest common font
        spans = {"start": (0.0, width), "middle": (width / 2, width / 2), "end": (width, 0.0)}[written.align]
        rect = written.rect
        assert [
            text
            for text, x, y in shown
            if text == written.line.text
            and rect.x <= x - spans[0] + 0.01
            and x + spans[1] <= rect.right + 0.01
            and rect.y < y < rect.bottom
        ], written


def test_agents_blocks_and_what_is_read_only_differ_in_shape() -> None:
    root = parsed(draw(everything(5), "svg"))

    def kinds(tag: str) -> list[str]:
        return sorted({e.get("class", "") for e in every(root, tag) if "box" in e.get("class", "")})

    assert kinds("path") == ["box block", "box block read-only"]
    assert kinds("rect") == ["box agent", "box agent entry", "box block", "box block read-only"]
    assert len([e for e in every(root, "path") if e.get("class") == "shackle"]) == 2, "system_config, clerk's persona"
    assert ".box.read-only{stroke-dasharray:5 4}" in draw(alone(), "svg")


def test_the_legend_tells_what_is_in_the_picture_and_nothing_else() -> None:
    def told(team: Team) -> list[str]:
        return [sample.text.line.text for sample in layout(picture(team)).legend]

    assert told(alone()) == []
    assert told(curated(3)) == ["may change the block"]
    assert told(handing_over()) == ["may change the block", "hands over to the agent"]
    assert told(everything(5)) == [
        "may change the block",
        "only reads it",
        "wakes the agent",
        "hands over to the agent",
        "oldest lines move on",
    ]


def test_the_legend_of_a_narrow_picture_has_several_rows() -> None:
    log = Block("log", overflow=Block("archive"))
    placed = layout(picture(Team("t", [Agent("ann", blocks=[log, Block("own")])])))
    narrow = layout(picture(Team("t", [Agent("ann", blocks=[log], wakes_on=[log, Wake(log, handoffs=1)])])))

    clear(placed)
    clear(narrow)
    assert len({sample.text.rect.y for sample in narrow.legend}) > 1


def test_a_program_that_draws_nothing_loads_nothing_to_draw_with() -> None:
    code = "import orchestrator, sys; print([m for m in sys.modules if m.startswith('orchestrator.drawing.')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


# The pictures of the READMEs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PICTURES)
def test_a_committed_picture_is_what_is_drawn_today(name: str) -> None:
    today = drawn(name) == (FOLDER / name).read_text(encoding="utf-8")
    assert today, f"{name} is outdated; write the pictures anew with: python tests/pictures.py"


def test_no_other_picture_is_committed() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PICTURES)
