"""A team on the wires of two providers: which of them is asked makes no difference to the blocks."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any

import anyio
import pytest
from provider_server import Answer, Asked, Call, Provider

from orchestrator import Agent, Block, Orchestrator, StepTaken, Team, Wake
from orchestrator.ports import Reader
from orchestrator.stores import MemoryStore

pytestmark = pytest.mark.filterwarnings(
    "ignore:Item '.*' on TypedDict class:UserWarning"
)  # of pydantic, at litellm's import

#: What each agent writes, into which block, when it has seen what there.
PLAN = {
    "lead": [("plan", "1. find the origin"), ("plan", "2. write it up")],
    "scout": [("facts", "origin: MemGPT"), ("facts", "year: 2023")],
    "clerk": [("report", "MemGPT, 2023")],
    "judge": [("verdict", "good")],
}


def team(wires: dict[str, str]) -> Team:
    plan, facts, report, verdict = (Block(label) for label in ("plan", "facts", "report", "verdict"))

    def holds(text: str) -> Any:
        return lambda value: text in value

    return Team(
        "desk",
        [
            Agent("lead", "You are lead.", model=wires["lead"], blocks=[plan, report.reader()]),
            Agent(
                "scout",
                "You are scout.",
                model=wires["scout"],
                blocks=[plan.reader(), facts],
                wakes_on=[Wake(plan, when=holds("2."))],
            ),
            Agent(
                "clerk",
                "You are clerk.",
                model=wires["clerk"],
                blocks=[facts.reader(), report],
                wakes_on=[Wake(facts, when=holds("year"))],
            ),
            Agent(
                "judge", "You are judge.", model=wires["judge"], blocks=[report.reader(), verdict], wakes_on=[report]
            ),
        ],
    )


def decide(asked: Asked) -> Answer:
    """By what the request shows: who is asked, and which of its lines are not in its blocks yet."""
    everything = json.dumps(asked.body)
    found = re.search(r"You are (\w+)\.", everything)
    assert found is not None, everything
    shown = {label: re.search(rf"<{label}>(.*?)</{label}>", everything) for label, _ in PLAN[found[1]]}
    missing = [(label, line) for label, line in PLAN[found[1]] if line not in (shown[label] or [""])[0]]
    if not missing:
        return Answer(f"{found[1]} is done")
    label, line = missing[0]
    return Answer(None, (Call("memory_insert", json.dumps({"label": label, "new_string": line})),))


async def final_blocks(wires: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Label to value, author, and the history of both, after a run."""
    store = MemoryStore()
    desk = team(wires)
    with Provider(decide=decide) as provider:
        monkeypatch.setenv("OPENAI_API_BASE", provider.openai)
        monkeypatch.setenv("ANTHROPIC_API_BASE", provider.url)
        monkeypatch.setenv("OPENAI_API_KEY", "canary-0123456789")
        monkeypatch.setenv("ANTHROPIC_API_KEY", "canary-0123456789")
        with anyio.fail_after(60):
            async with Orchestrator(desk, store) as live:
                run = await live.run("Where do memory blocks come from?")
        paths = {asked.path for asked in provider.asked}

    assert (run.status, str(run.error or "")) == ("complete", "")
    assert run.output == "lead is done"
    assert run.usage.calls == len(provider.asked)
    assert run.usage.input_tokens == 11 * run.usage.calls
    assert run.cost is not None
    assert run.cost > 0
    wanted = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
    assert paths == {wanted[wire.partition("/")[0]] for wire in wires.values()}
    steps = [event for event in await store.events() if isinstance(event, StepTaken)]
    assert len(steps) == run.usage.calls
    found = {}
    for label in ("plan", "facts", "report", "verdict"):
        revisions = await store.read(partial(_revisions, desk.key(label)))
        found[label] = (run.blocks[label].value, run.blocks[label].by, revisions)
    return found


def _revisions(key: str, rows: Reader) -> list[tuple[int, str, str]]:
    return [(revision.version, revision.by, revision.value) for revision in rows.revisions(key)]


async def test_four_agents_on_either_wire_or_on_both_write_the_same_blocks(monkeypatch):
    openai, anthropic = "openai/gpt-5-mini", "anthropic/claude-haiku-4-5"
    on_openai = await final_blocks(dict.fromkeys(PLAN, openai), monkeypatch)
    on_anthropic = await final_blocks(dict.fromkeys(PLAN, anthropic), monkeypatch)
    mixed = {"lead": anthropic, "scout": openai, "clerk": anthropic, "judge": openai}
    on_both = await final_blocks(mixed, monkeypatch)

    assert on_openai == on_anthropic == on_both
    assert {label: (value, by) for label, (value, by, _) in on_openai.items()} == {
        "plan": ("1. find the origin\n2. write it up", "lead"),
        "facts": ("origin: MemGPT\nyear: 2023", "scout"),
        "report": ("MemGPT, 2023", "clerk"),
        "verdict": ("good", "judge"),
    }
