"""Rules about models, budgets, and what a declaration waives."""

from __future__ import annotations

from typing import Final

from orchestrator.checking.findings import Rule

_WIDE: Final = 'shelf = [Block(f"shelf_{{letter}}", description="Books.", limit={limit}) for letter in "abcdefgh"]\n'
_ANN: Final = 'notes = Block("notes", description="What I found.")\n'

OF_RUNNING: Final = (
    Rule(
        code="L031",
        name="more than the model can read",
        severity="warning",
        summary="An agent's blocks may together grow longer than its model's context.",
        why=(
            "All blocks are shown in each model call. When they are full, the provider refuses the call, and the turn"
            " fails (ContextTooLong). Windows are those of litellm's price list; characters are taken as tokens at 3.7"
            " to one."
        ),
        mend="lower limits, let old lines move on (overflow=), take blocks away, or choose a model with more context",
        bad=_WIDE.format(limit="100_000") + 'team = Team("one", [Agent("ann", model="openai/gpt-4o", blocks=shelf)])',
        good=_WIDE.format(limit="20_000") + 'team = Team("one", [Agent("ann", model="openai/gpt-4o", blocks=shelf)])',
    ),
    Rule(
        code="L032",
        name="no model",
        severity="note",
        summary="Nobody names a model.",
        why="The team opens only where one is named.",
        mend="name one: --model, ORCHESTRATOR_MODEL, Orchestrator(team, model=…) or Agent(model=…)",
        bad=_ANN + 'team = Team("one", [Agent("ann", blocks=[notes])])',
        good=_ANN + 'team = Team("one", [Agent("ann", model="openai/gpt-5-mini", blocks=[notes])])',
    ),
    Rule(
        code="L033",
        name="some have no model",
        severity="warning",
        summary="Some agents name a model, and others none.",
        why="The team does not open unless all of them have one; and the one that is named for all overrides theirs.",
        mend="name a model for the others too, or the one for those without it in ORCHESTRATOR_MODEL",
        bad=_ANN
        + 'team = Team("two", [Agent("ann", model="openai/gpt-5-mini", blocks=[notes]), Agent("bob", blocks=[notes])])',
        good=_ANN
        + 'team = Team("two", [Agent(name, model="openai/gpt-5-mini", blocks=[notes]) for name in ("ann", "bob")])',
    ),
    Rule(
        code="L034",
        name="a budget below the fan-out",
        severity="warning",
        summary="One message may call more agents than the budget has turns.",
        why="A run whose turns are spent ends with status 'budget', before those who were woken last have begun.",
        mend="raise the budget: --max-turns, Budget(turns=…); or let fewer agents be woken at once",
        bad=_ANN
        + 'bell = Block("bell", description="Rings.")\n'
        + 'crowd = [Agent(f"agent-{n}", blocks=[bell.reader()], wakes_on=[bell]) for n in range(1000)]\n'
        + 'team = Team("crowd", [Agent("ann", blocks=[bell]), *crowd])',
        good=_ANN
        + 'bell = Block("bell", description="Rings.")\n'
        + 'crowd = [Agent(f"agent-{n}", blocks=[bell.reader()], wakes_on=[bell]) for n in range(99)]\n'
        + 'team = Team("crowd", [Agent("ann", blocks=[bell]), *crowd])',
    ),
    Rule(
        code="L035",
        name="an unknown model",
        severity="error",
        summary="A model is named that there is not.",
        why="The team does not open. Models of providers are named provider/model; others are offered by packages.",
        mend="correct the name: rehearsal, or provider/model, such as openai/gpt-5-mini",
        bad=_ANN + 'team = Team("one", [Agent("ann", model="gpt-5-mini", blocks=[notes])])',
        good=_ANN + 'team = Team("one", [Agent("ann", model="openai/gpt-5-mini", blocks=[notes])])',
    ),
    Rule(
        code="W001",
        name="a waiver that fits nothing",
        severity="warning",
        summary="The declaration waives a finding that there is not.",
        why="What it was written for has been mended, or is called otherwise now: it would hide something new.",
        mend="take it away, or correct its place",
        bad=_ANN
        + 'team = Team("one", [Agent("ann", blocks=[notes])], waivers=[Waiver("L004", "notes", reason="known")])',
        good=_ANN + 'team = Team("one", [Agent("ann", blocks=[notes])])',
    ),
    Rule(
        code="W002",
        name="a waiver of no rule",
        severity="warning",
        summary="The declaration waives a code that there is not.",
        why="A code that was mistyped waives nothing.",
        mend="correct it; orchestrator check --explain all lists the codes",
        bad=_ANN
        + 'team = Team("one", [Agent("ann", blocks=[notes])], waivers=[Waiver("L404", "notes", reason="known")])',
        good=_ANN + 'team = Team("one", [Agent("ann", blocks=[notes])])',
    ),
)
