"""Rules about single blocks, and about what agents are shown of them."""

from __future__ import annotations

from typing import Final

from orchestrator.checking.findings import Rule

OF_BLOCKS: Final = (
    Rule(
        code="L001",
        name="a block that nobody sees",
        severity="note",
        summary="No agent sees the block: it is an archive only.",
        why="What moves there leaves every agent's sight; only your program can read it.",
        mend="give it to an agent as .reader(), if any should still read what is old; or leave it",
        bad=(
            'old = Block("old", description="Older notes.")\n'
            'notes = Block("notes", description="What I found.", overflow=old)\n'
            'team = Team("one", [Agent("ann", blocks=[notes])])'
        ),
        good=(
            'old = Block("old", description="Older notes.")\n'
            'notes = Block("notes", description="What I found.", overflow=old)\n'
            'team = Team("one", [Agent("ann", blocks=[notes, old.reader()])])'
        ),
    ),
    Rule(
        code="L002",
        name="a block that stays empty",
        severity="warning",
        summary="The block has no text, and no agent may write one.",
        why="All who see it read an empty block in each model call, unless your program writes into it.",
        mend="grant an agent to write into it, give it a value, or say read_only=True if only your program writes it",
        bad=(
            'rules = Block("rules", description="What to keep to.")\n'
            'team = Team("one", [Agent("ann", blocks=[rules.reader()])])'
        ),
        good=(
            'rules = Block("rules", "Be brief.", "What to keep to.")\n'
            'team = Team("one", [Agent("ann", blocks=[rules.reader()])])'
        ),
    ),
    Rule(
        code="L003",
        name="read-only and empty",
        severity="note",
        summary="The block is read-only and has no text.",
        why="Agents see nothing in it until your program writes into it (live.blocks.modify).",
        mend="give it a value to begin with; or leave it, if your program writes it before the first message",
        bad=(
            'prices = Block("prices", description="As of today.", read_only=True)\n'
            'team = Team("one", [Agent("ann", blocks=[prices])])'
        ),
        good=(
            'prices = Block("prices", "Apples: 30", "As of today.", read_only=True)\n'
            'team = Team("one", [Agent("ann", blocks=[prices])])'
        ),
    ),
    Rule(
        code="L004",
        name="no description",
        severity="warning",
        summary="The block says to no agent what it is for.",
        why="Models decide by the description how to read a block, what to write into it, and what not.",
        mend="say in description= what it is for, as to a new colleague",
        bad='team = Team("one", [Agent("ann", blocks=[Block("notes")])])',
        good='team = Team("one", [Agent("ann", blocks=[Block("notes", description="What I found.")])])',
    ),
    Rule(
        code="L005",
        name="too small for its writers",
        severity="warning",
        summary="Each of the block's writers has room for less than a few sentences, and nothing makes room.",
        why=(
            "When a block is full, insertions are refused. Agents who may only insert can do nothing about it, and the"
            " others spend model calls on making room."
        ),
        mend="raise limit=, name an archive (overflow=), or let an agent make room (Wake(block, full=0.8))",
        bad=(
            'notes = Block("notes", description="What we found.", limit=400)\n'
            'team = Team("pair", [Agent(name, blocks=[notes.contributor()]) for name in ("ann", "bob")])'
        ),
        good=(
            'notes = Block("notes", description="What we found.", limit=600)\n'
            'team = Team("pair", [Agent(name, blocks=[notes.contributor()]) for name in ("ann", "bob")])'
        ),
    ),
    Rule(
        code="L006",
        name="labels that look alike",
        severity="warning",
        summary="An agent has two blocks whose labels differ by case, punctuation, a plural or one letter.",
        why="Models name blocks by their labels: the likelier a slip, the more is written into the wrong block.",
        mend="rename one of them after what is different about it",
        bad=(
            'note, notes = Block("note", description="For now."), Block("notes", description="For good.")\n'
            'team = Team("one", [Agent("ann", blocks=[note, notes])])'
        ),
        good=(
            'draft, notes = Block("draft", description="For now."), Block("notes", description="For good.")\n'
            'team = Team("one", [Agent("ann", blocks=[draft, notes])])'
        ),
    ),
    Rule(
        code="L007",
        name="perhaps meant as one block",
        severity="note",
        summary="Several agents have a block of their own with the same label and the same text.",
        why=(
            "The same Block object on two agents is one shared block; two objects are two blocks, and what one agent"
            " writes, the other never sees."
        ),
        mend="give the agents the same Block object; or leave it, if each is to have its own",
        bad=(
            'ann, bob = (Agent(name, blocks=[Block("notes", "", "What we found.")]) for name in ("ann", "bob"))\n'
            'team = Team("pair", [ann, bob])'
        ),
        good=(
            'notes = Block("notes", "", "What we found.")\n'
            'team = Team("pair", [Agent(name, blocks=[notes]) for name in ("ann", "bob")])'
        ),
    ),
    Rule(
        code="L008",
        name="a hot block in the system text",
        severity="warning",
        summary="A block that others may change is placed in the system text.",
        why=(
            "The system text stands first, and providers cache what a prompt begins with. Each change of this block"
            " makes every agent that sees it pay for its whole prompt again."
        ),
        mend='leave out placement="system": shared blocks stand last, where a change costs nothing else',
        bad=(
            'notes = Block("notes", description="What we found.", placement="system")\n'
            'team = Team("pair", [Agent(name, blocks=[notes.contributor()]) for name in ("ann", "bob")])'
        ),
        good=(
            'notes = Block("notes", description="What we found.")\n'
            'team = Team("pair", [Agent(name, blocks=[notes.contributor()]) for name in ("ann", "bob")])'
        ),
    ),
)
