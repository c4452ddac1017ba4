"""Rules about changes that are made at the same time."""

from __future__ import annotations

from typing import Final

from orchestrator.checking.findings import Rule

OF_RACES: Final = (
    Rule(
        code="R001",
        name="updates are lost",
        severity="error",
        summary="An agent may rewrite a block under last_write_wins while another one may change it.",
        why=(
            "memory_rethink replaces the whole text by one that was thought out from an older one. Under"
            " rethink='last_write_wins' it is written whatever happened meanwhile: what others wrote in that time is"
            " gone, and nobody is told. It stays in the history only."
        ),
        mend=(
            "leave out rethink='last_write_wins', so that an outdated rewrite is refused; or grant one agent alone to"
            " rewrite it, and nobody else to change it"
        ),
        bad=(
            'notes = Block("notes", description="What we found.", rethink="last_write_wins")\n'
            'team = Team("pair", [Agent(name, blocks=[notes.curator()]) for name in ("ann", "bob")])'
        ),
        good=(
            'notes = Block("notes", description="What we found.")\n'
            'team = Team("pair", [Agent("ann", blocks=[notes.curator()]), Agent("bob", blocks=[notes.contributor()])])'
        ),
    ),
    Rule(
        code="R002",
        name="rewriters refuse one another",
        severity="warning",
        summary="Several agents who can have turns at the same time may all rewrite one block.",
        why=(
            "A rewrite is refused if anybody else wrote since its author was shown the block, so nothing is lost; but a"
            " rewrite takes a model call in which the whole block is read and written, and of two that are made at the"
            " same time one is thrown away. The more rewriters, the more work is done in vain."
        ),
        mend="let one of them rewrite it (.curator()), and the others insert (.contributor()), or give each its own",
        bad=(
            'notes = Block("notes", description="What we found.")\n'
            'team = Team("pair", [Agent(name, blocks=[notes.curator()]) for name in ("ann", "bob")])'
        ),
        good=(
            'notes = Block("notes", description="What we found.")\n'
            'team = Team("pair", [Agent("ann", blocks=[notes.curator()]), Agent("bob", blocks=[notes.contributor()])])'
        ),
    ),
    Rule(
        code="R003",
        name="a rewrite may be refused",
        severity="note",
        summary="One agent may rewrite a block while others may change it.",
        why=(
            "Nothing is lost: a rewrite is refused if anybody else wrote since its author was shown the block, and it"
            " is told what is new. Each refusal costs another model call. The share that is said is an estimate, by"
            " the lengths of recorded model calls, for a time in which all the others write with every call."
        ),
        mend="let it rewrite while the others rest (Wake(idle=True)), or leave it: it tries again by itself",
        bad=(
            'notes = Block("notes", description="What we found.")\n'
            'team = Team("pair", [Agent("ann", blocks=[notes.curator()]), Agent("bob", blocks=[notes.contributor()])])'
        ),
        good=(
            'notes = Block("notes", description="What we found.")\n'
            'team = Team("pair", [Agent("ann", blocks=[notes.curator()]), Agent("bob", blocks=[notes.reader()])])'
        ),
    ),
    Rule(
        code="R004",
        name="an edit may be refused",
        severity="note",
        summary="Agents who can have turns at the same time may replace text of one block.",
        why=(
            "Nothing is lost: memory_replace needs the old text to stand there exactly once, and memory_insert after a"
            " line needs that line. Who comes second is refused, is told who changed it, and can try again."
        ),
        mend="grant .contributor() to those who only add; or leave it: they are told, and can try again",
        bad=(
            'notes = Block("notes", description="What we found.")\n'
            'team = Team("pair", [Agent(name, blocks=[notes]) for name in ("ann", "bob")])'
        ),
        good=(
            'notes = Block("notes", description="What we found.")\n'
            'team = Team("pair", [Agent(name, blocks=[notes.contributor()]) for name in ("ann", "bob")])'
        ),
    ),
)
