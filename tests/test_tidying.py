"""A curator tidies what has really piled up about a user, while agents go on writing: what stays, and by whom."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

import anyio
import pytest

from orchestrator import Agent, ModelRequest, ModelResponse, Orchestrator, Store, Team, ToolCall, ToolMessage
from orchestrator.events import ChangeRefused
from orchestrator.stores import MemoryStore
from orchestrator.testing import Line, Say, ScriptedModel, edit, simulated_time
from patterns import curate, user_preferences

LABEL: Final = "user_preferences"

#: As several agents have left it in half a year: said twice, said otherwise, taken back, and overtaken.
MESSY = """\
Name is Anna Weber
user's name: Anna Weber.
Speaks German and English
Prefers German
Lives in Bern
Vegetarian
Likes short answers
LIKES SHORT ANSWERS
Birthday 3 May
Allergic to nuts (important!)
likes museums
Works as an architect
Has a dog called Milo
Prefers answers in English since March
Moved to Zurich in April
Birthday is the 3rd of May

Milo died in May, do not mention him
Likes short answers, but with sources
Eats fish again since June
no nuts! allergy
Likes museums, hates queues
Budget for hotels: at most 150 a night
Hotels: up to 200 a night, as of July
Works part-time as an architect since July"""

#: What a careful curator makes of it, and of the two lines that came while it thought; newer lines win.
TIDY = """\
Name is Anna Weber
Speaks German and English; prefers answers in English since March
Lives in Zurich since April
Eats fish, no meat
Likes short answers, but with sources
Birthday 3 May
Allergic to nuts (important!)
Likes museums, hates queues
Had a dog, Milo, who died in May: do not mention him
Hotels: up to 200 a night, as of July
Works part-time as an architect since July
Travels with her son Emil, who is 4
Likes to go by train"""

FIRST, SECOND, LAST = "Travels with her son Emil, who is 4", "Likes to go by train", "Window seats, please"


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


def serving(*names: str, value: str, **options: Any) -> Team:
    return curate(Agent("curator"), user_preferences(value), [Agent(name) for name in names], **options)


def insert(text: str) -> Say:
    return edit("memory_insert", LABEL, new_string=text)


def rewrite(text: str, after: float) -> Say:
    return edit("memory_rethink", LABEL, new_memory=text, after=after)


async def test_a_block_that_is_full_of_contradictions_is_tidied_while_agents_insert(new_store: Callable[[], Store]):
    assert len(MESSY.splitlines()) >= 20
    script: dict[str, list[Line]] = {
        "concierge": [insert(FIRST), Say("A quiet hotel, then."), insert(LAST), Say("I have noted it.")],
        "guide": [insert(SECOND), Say("There is a night train.")],
        "curator": [
            rewrite(TIDY.removesuffix(f"\n{SECOND}"), after=30),  # thinks while the guide inserts
            rewrite(TIDY, after=30),
            Say("Tidied.", after=30),  # thinks while the concierge inserts
            Say("There is nothing to tidy."),
        ],
    }
    store, team = new_store(), serving("concierge", "guide", value=MESSY, every=1)
    outputs: dict[str, str] = {}

    with ScriptedModel(script) as model:
        async with Orchestrator(team, store, model=model) as live:

            async def say(agent: str, at: float) -> None:
                await anyio.sleep(at)
                outputs[f"{agent} at {at}"] = (await live.run("What do you suggest?", agent=agent)).output

            with anyio.fail_after(1_000):
                async with anyio.create_task_group() as group:
                    group.start_soon(say, "concierge", 0)
                    group.start_soon(say, "guide", 15)
                    group.start_soon(say, "concierge", 75)
            history = await live.blocks.history(LABEL)
            lines = await live.blocks.blame(LABEL)
        refused = [event for event in await store.events() if isinstance(event, ChangeRefused)]

    # All that was ever there is in the history, in order; the rewrite came after both of the inserts that it holds.
    assert [(revision.version, revision.operation, revision.by) for revision in history] == [
        (1, "create", "owner"),
        (2, "insert", "concierge"),
        (3, "insert", "guide"),
        (4, "rethink", "curator"),
        (5, "insert", "concierge"),
    ]
    assert [revision.value for revision in history] == [
        MESSY,
        f"{MESSY}\n{FIRST}",
        f"{MESSY}\n{FIRST}\n{SECOND}",
        TIDY,
        f"{TIDY}\n{LAST}",
    ]
    # Whoever wrote a line that was left as it was is still its author.
    assert [(line.by, line.text) for line in lines if line.by != "curator"] == [
        ("owner", "Name is Anna Weber"),
        ("owner", "Birthday 3 May"),
        ("owner", "Allergic to nuts (important!)"),
        ("owner", "Likes museums, hates queues"),
        ("owner", "Hotels: up to 200 a night, as of July"),
        ("owner", "Works part-time as an architect since July"),
        ("concierge", FIRST),
        ("guide", SECOND),
        ("concierge", LAST),
    ]
    # The first rewrite would have destroyed the guide's line: the curator was told of it, and thought again.
    assert [(event.by, event.code) for event in refused] == [("curator", "changed")]
    curating = [request for request in model.requests if request.agent == "curator"]
    (told, *_) = [message for message in curating[-1].messages if isinstance(message, ToolMessage)]
    assert f"New since then:\n+ {SECOND} (guide)\n" in told.text
    assert [request.blocks[LABEL] for request in curating] == [history[n].value for n in (1, 2, 3, 4)]
    # Its words are nobody's answer.
    assert outputs == {
        "concierge at 0": "A quiet hotel, then.",
        "guide at 15": "There is a night train.",
        "concierge at 75": "I have noted it.",
    }


# --- updates of memories as they have really come


DATA: Final = Path(__file__).parent.parent.parent / "shared" / "data" / "letta_memory_updates.json"


class Updates:
    """Facts that stand in a block twice, in disorder; an update that an agent adds while the curator thinks."""

    def __init__(self, row: dict[str, Any], seed: int) -> None:
        self._random = Random(seed)
        self.update: str = row["new"]
        self._facts: list[str] = row["facts"]
        self._outdated = {self._facts[number] for number in row["supersedes"]}
        again = [f" {fact.upper()}" for fact in self._facts]
        self.messy = "\n".join([*self._facts, *self._random.sample(again, len(again))])

    def tidy(self, messy: str) -> str:
        """Each fact once, as it first stood there; without those that the update supersedes, if it is there."""
        first: dict[str, str] = {}
        for line in messy.split("\n"):
            first.setdefault(line.strip().casefold(), line)
        gone = self._outdated if self.update in first.values() else set()
        return "\n".join(line for line in first.values() if line not in gone)

    async def respond(self, request: ModelRequest) -> ModelResponse:
        """Bob has learned the update, and ann nothing; the curator takes the longest to think about what it sees."""
        shown = request.blocks[LABEL]
        if request.agent == "curator":
            await anyio.sleep(self._random.uniform(5, 20))
            if (tidied := self.tidy(shown)) != shown:
                return ModelResponse("", [ToolCall("memory_rethink", {"label": LABEL, "new_memory": tidied})])
        elif request.agent == "bob" and request.step == 0:
            return ModelResponse("", [ToolCall("memory_insert", {"label": LABEL, "new_string": self.update})])
        return ModelResponse("done")


async def test_what_real_updates_supersede_goes_and_everything_else_stays():
    if not DATA.exists():
        pytest.skip("the memory updates, which are not ours to ship, are not there")
    rows = json.loads(DATA.read_text(encoding="utf-8"))["rows"][::5]
    refused = 0
    for seed, row in enumerate(rows):
        updates, store = Updates(row, seed), MemoryStore()
        team = serving("ann", "bob", value=updates.messy, every=1)
        async with Orchestrator(team, store, model=updates) as live:
            with anyio.fail_after(1_000):
                async with anyio.create_task_group() as group:
                    group.start_soon(live.agents.message, "ann", "Hello.")
                    await anyio.sleep(Random(f"when {seed}").uniform(0, 25))
                    group.start_soon(live.agents.message, "bob", "Have you heard?")
            history = await live.blocks.history(LABEL)
            lines = await live.blocks.blame(LABEL)

        kept = [fact for number, fact in enumerate(row["facts"]) if number not in row["supersedes"]]
        assert [line.text for line in lines] == [*kept, row["new"]], f"row {seed}"
        assert [line.by for line in lines] == [*["owner"] * len(kept), "bob"]
        assert history[0].value == updates.messy
        assert len(updates.messy.split("\n")) == 20
        assert {revision.by for revision in history[1:]} == {"bob", "curator"}
        refused += sum(isinstance(event, ChangeRefused) for event in await store.events())
    assert refused > len(rows) / 5, "curators were overtaken while they thought"
