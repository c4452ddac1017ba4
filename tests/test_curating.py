"""A curator that thinks for a long time while others insert: no insert is lost, in any timing."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import anyio
import pytest

from orchestrator import (
    Agent,
    Block,
    ChangeRefused,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    Store,
    Team,
    ToolCall,
    ToolMessage,
    Wake,
)
from orchestrator.stores import MemoryStore
from orchestrator.testing import Line, Say, ScriptedModel, edit, simulated_time


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


class Timing:
    """Agents who insert a fact that is theirs and one that everybody inserts; a curator who removes duplicates.

    Each takes a random time to think, the curator by far the longest.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    async def respond(self, request: ModelRequest) -> ModelResponse:
        if request.agent == "curator":
            return await self._tidy(request)
        await anyio.sleep(self._random.uniform(0, 2))
        if request.step == 0:
            fact = ToolCall("memory_insert", {"label": "facts", "new_string": f"{request.agent} saw {request.run}"})
            same = ToolCall("memory_insert", {"label": "facts", "new_string": "water is wet"})
            return ModelResponse("", [fact, same])
        return ModelResponse("noted")

    async def _tidy(self, request: ModelRequest) -> ModelResponse:
        lines = request.blocks["facts"].split("\n")
        tidy = list(dict.fromkeys(lines))
        await anyio.sleep(self._random.uniform(1, 10))
        if len(tidy) == len(lines) or request.step > 5:
            return ModelResponse("tidy")
        return ModelResponse("", [ToolCall("memory_rethink", {"label": "facts", "new_memory": "\n".join(tidy)})])


def everybody(**wake: Any) -> Team:
    facts = Block("facts", "facts:")
    agents = [Agent(name, blocks=[facts.contributor()]) for name in ("ann", "bob", "carol")]
    return Team("team", [*agents, Agent("curator", blocks=[facts.curator()], wakes_on=[Wake(**wake)])])


async def play(seed: int, store: Store, team: Team) -> tuple[str, int, set[str]]:
    """Three messages to each of three agents, at random times: the text, the refused rewrites, the facts inserted."""
    random = Random(f"messages {seed}")
    facts: set[str] = set()
    async with Orchestrator(team, store, model=Timing(seed)) as live:

        async def ask(agent: str) -> None:
            await anyio.sleep(random.uniform(0, 20))
            run = await live.run("look", agent=agent)
            assert (run.status, run.output) == ("complete", "noted")
            facts.add(f"{agent} saw {run.id}")

        async with anyio.create_task_group() as group:
            for agent in ("ann", "bob", "carol") * 3:
                group.start_soon(ask, agent)
        text = (await live.blocks.retrieve("facts")).value
        history = await live.blocks.history("facts")
    assert [revision.version for revision in history] == list(range(1, len(history) + 1))
    refused = sum(isinstance(event, ChangeRefused) and event.code == "changed" for event in await store.events())
    return text, refused, facts


async def test_no_insert_is_lost_to_a_curator_in_a_thousand_timings():
    team = everybody(every=2, idle=True)
    refused = rewritten = 0
    for seed in range(1000):
        text, outdated, facts = await play(seed, MemoryStore(), team)
        lines = text.split("\n")
        assert facts <= set(lines), f"seed {seed}: lost {facts - set(lines)}"
        assert set(lines) == facts | {"facts:", "water is wet"}, f"seed {seed}"
        refused += outdated
        rewritten += lines.count("water is wet") < len(facts)
    assert refused > 1000, "the curator was overtaken while it thought, more than once in each timing"
    assert rewritten == 1000, "and tidied all the same"


async def test_the_same_on_every_store(new_store: Callable[[], Store]):
    for seed in range(5):
        text, _, facts = await play(seed, new_store(), everybody(every=3, idle=True))
        assert set(text.split("\n")) == facts | {"facts:", "water is wet"}


async def test_a_curator_who_was_overtaken_is_told_what_changed_and_is_asked_again_with_the_fresh_text():
    profile = Block("profile", "likes tea\nlikes tea")
    members = [
        Agent("ann", blocks=[profile.contributor()]),
        Agent("bob", blocks=[profile.contributor()]),
        Agent("curator", blocks=[profile.curator()], wakes_on=[Wake(every=1, by=["ann"])]),
    ]
    first = edit("memory_rethink", "profile", new_memory="likes tea", after=10)
    second = edit("memory_rethink", "profile", new_memory="likes tea\nlives in <Rome>", after=10)
    script: dict[str, list[Line]] = {
        "ann": [Say("hello")],
        "bob": [edit("memory_insert", "profile", new_string="lives in &lt;Rome>", after=5), Say("noted")],
        "curator": [first, second, Say("tidy")],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(Team("team", members), model=model) as live, anyio.create_task_group() as group:
            group.start_soon(lambda: live.run("go", agent="bob"))
            run = await live.run("go")
            history = await live.blocks.history("profile")
    assert run.status == "complete"
    told = [message for message in model.requests[-1].messages if isinstance(message, ToolMessage)]
    assert told[0].text == (
        "Refused, nothing was changed: block 'profile' was changed by bob since you were shown version 1;"
        " base your rewrite on version 2, given below.\n"
        "New since then:\n"
        "+ lives in &lt;Rome> (bob)\n"
        "It is now at version 2, last changed by bob, and reads:\n"
        "<value>\nlikes tea\nlikes tea\nlives in &lt;Rome>\n</value>"
    )
    again = [request for request in model.requests if request.agent == "curator"][1]
    assert again.blocks["profile"] == "likes tea\nlikes tea\nlives in <Rome>"
    assert [(r.version, r.operation, r.by) for r in history] == [
        (1, "create", "owner"),
        (2, "insert", "bob"),
        (3, "rethink", "curator"),
    ]
    assert history[-1].value == "likes tea\nlives in <Rome>"
