"""Every example is run as it is, and with a script: what stands in its blocks, and who wrote it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from shown import FILES, FOLDER, Seen, example, ran

import orchestrator
from orchestrator import Orchestrator, Store, Team, run_sync
from orchestrator.cli.loading import load
from orchestrator.testing import ScriptedModel, edit
from patterns.tasks import Queue


@pytest.fixture(autouse=True)
def nobodys_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXA_API_KEY", raising=False)


# --- the folder


def test_every_example_is_run_here() -> None:
    assert sorted(AS_IT_IS) == FILES


def test_every_example_stands_in_the_readme_with_its_command() -> None:
    readme = (FOLDER / "README.md").read_text("utf-8")
    table = re.findall(r"^\| \[(\w+)\.py\]\(\1\.py\) \| .+ \| `python examples/(\w+)\.py` \|$", readme, re.M)

    assert sorted(name for name, _ in table) == FILES
    assert all(name == command for name, command in table)


@pytest.mark.parametrize("name", FILES)
def test_an_example_can_be_read_at_a_glance(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text("utf-8")

    assert 25 <= len(text.splitlines()) <= 80
    assert text.startswith('"""')
    assert 'if __name__ == "__main__":' in text


@pytest.mark.parametrize("name", FILES)
def test_the_command_line_takes_the_team_of_an_example(name: str) -> None:
    team = load(f"{FOLDER / name}.py:team", {})

    assert isinstance(team, Team)
    assert team.graph.number_of_nodes() == len(team.members)
    assert run_sync(team, "What is MemGPT?", model="rehearsal").status == "complete"


@pytest.mark.parametrize("name", ["supervisor_and_worker", "two_researchers", "external_sync"])
def test_an_example_runs_as_a_program(name: str) -> None:
    """One each of those that default to rehearsal, to a stand-in and to a script."""
    where = str(Path(orchestrator.__file__).parent.parent)
    for options in ([], ["--model", "rehearsal"]):
        done = subprocess.run(
            [sys.executable, str(FOLDER / f"{name}.py"), *options],
            env={"PYTHONPATH": where},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) >= 3


# --- as they are


async def supervisor_and_worker(seen: Seen) -> None:
    assert await seen.authors("organization") == ["owner", "supervisor", "worker"]
    first, asked, *found = await seen.lines("organization")
    assert (first, asked) == ("Organization: Letta", "Asked: Where do memory blocks come from?")
    assert any("Memory blocks come from MemGPT" in line for line in found)
    assert "(origin.md:3)" in seen.printed.partition("Who wrote")[0]
    assert "Only the worker sees this: I am a worker." in seen.printed


async def two_researchers(seen: Seen) -> None:
    authors = await seen.authors("organization")
    assert (authors[0], sorted(authors[1:])) == ("owner", ["ada", "ben"])
    first, *found = await seen.lines("organization")
    assert first == "Organization: Letta"
    # Each line begins with the name of its author.
    assert [line.partition(": ")[0] for line in found] == authors[1:]
    assert all("origin.md:" in line for line in found)


async def read_only_policies(seen: Seen) -> None:
    assert await seen.authors("company_policies") == ["owner", "owner"]
    assert await seen.lines("company_policies") == ["Answer in German."]
    for tool in ("memory_insert", "memory_replace", "memory_rethink"):
        assert f"{tool}: Refused, nothing was changed: block 'company_policies' is read-only" in seen.printed
    assert "I act by: Answer in German." in seen.printed
    assert "version 1 by owner: Always be helpful and respectful." in seen.printed


async def managing_blocks(seen: Seen) -> None:
    assert await seen.authors("worker/human") == ["owner", "owner"]
    assert await seen.lines("worker/human") == ["The human is called Alice."]
    assert await seen.lines("supervisor/human") == ["The human is called Bob."]
    assert (await seen.authors("organization"))[0] == "owner"
    for line in (
        "all: ['human', 'organization', 'human', 'terms_of_service']",
        "by label: ['supervisor', 'worker']",
        "with 'org' in the label: ['organization']",
        "page 1: ['human', 'organization']",
        "page 2: ['human', 'terms_of_service']",
        "by label: Organization: Letta",
        "by id: No spam.",
        "the worker's: The human is called Bob.",
        "version 2, at most 6000 characters: No spam, no scraping.",
        "organization is used by: ['supervisor', 'worker']",
        "only the first: ['supervisor']",
        "run complete, with the blocks: ['organization', 'supervisor/human', 'terms_of_service', 'worker/human']",
        "the supervisor's: ['human', 'organization']",
        "once said: ['No spam.', 'No spam, no scraping.']",
    ):
        assert line in seen.printed.splitlines()


async def external_sync(seen: Seen) -> None:
    assert set(await seen.authors("customers")) == {"owner"}
    assert await seen.lines("customers") == ["Acme,paid", "Globex,paid", "Initech,free", ""]
    summary, mark, *notes = await seen.lines("accounts")
    assert (summary, mark) == ("Customers: 3", "Notes of the team:")
    done = ("ann has called", "bob has written to")
    assert sorted(notes) == [f"- {what} {who}" for what in done for who in ("Acme", "Globex", "Initech")]
    authors = await seen.authors("accounts")
    assert [authors.count(name) for name in ("ann", "bob", "owner")] == [3, 3, 4]  # created, and brought in three times


async def task_queue_team(seen: Seen) -> None:
    tasks = Queue.parse("\n".join(await seen.lines("task_queue"))).tasks
    assert [task.status for task in tasks] == ["done"] * 4
    assert [task.after for task in tasks] == [(), (), (1, 2), ()]
    assert {task.by for task in tasks} <= {"worker-1", "worker-2"}
    assert set(await seen.authors("task_queue")) == {"owner", "lead", "engine", *(task.by for task in tasks)}
    # The third was not begun before the first two were done.
    texts = [revision.value for revision in (await seen.history("task_queue")).revisions]
    begun = next(text for text in texts if "3. [claimed" in text)
    assert "1. [done" in begun
    assert "2. [done" in begun
    assert 'What became of the Letta server?\n  "The source code of the Letta server was archived' in seen.printed
    assert "lead starts" in seen.printed


async def knowledge_base(seen: Seen) -> None:
    authors = await seen.authors("domain_knowledge")
    assert (authors[:2], sorted(authors[2:])) == (["owner", "analyst"], ["engineer", "historian"])
    text = "\n".join(await seen.lines("domain_knowledge"))
    assert 'What is MemGPT? "The MemGPT paper' in text
    assert 'Which tool is safe to use concurrently? "The tool `memory_insert` adds' in text
    answer, _, rest = seen.printed.partition("Who added what:")
    assert "Charles Packer" in answer
    assert "safe to use concurrently." in answer
    assert re.search(r"The newcomer starts with \d+ lines", rest)


async def watching_results(seen: Seen) -> None:
    assert await seen.authors("brief") == ["owner", "parent"]
    assert await seen.lines("result_ann") == ["ann's result"]
    assert await seen.authors("result_bob") == ["owner", "bob"]
    assert await seen.authors("carol/result") == ["owner", "carol"]
    assert set(await seen.authors("comments")) == {"owner", "parent"}
    assert (await seen.lines("comments"))[-1] == "2 of 2 are there: result_ann, result_bob"
    assert "carol's result was read by the program alone." in seen.printed


async def user_profile(seen: Seen) -> None:
    assert set(await seen.authors("user_preferences")) == {"owner", "librarian", "concierge", "curator"}
    kept = ["Call me Kim.", "I like trains.", "I prefer short answers.", "Likes museums.", "Speaks German."]
    assert sorted(await seen.lines("user_preferences")) == kept
    answer = seen.printed.partition("What is known of the user")[0]
    assert "Memory blocks are labelled pieces of text." in answer


async def handoff(seen: Seen) -> None:
    assert await seen.authors("handoff_context") == ["owner", "triage"]
    (note,) = await seen.lines("handoff_context")
    assert note.startswith("From triage to specialist: ")
    assert "triage hands over to specialist" in seen.printed
    assert "(origin.md:" in seen.printed
    assert "In turn: ['triage', 'specialist']" in seen.printed


async def global_config(seen: Seen) -> None:
    assert await seen.authors("system_config") == ["owner", "owner"]
    assert await seen.authors("log") == ["owner", "clerk", "auditor"]
    assert await seen.lines("log") == ["clerk: language: German", "auditor: language: German"]
    assert "clerk, step 0, was shown version 1" in seen.printed
    for step in ("clerk, step 1", "clerk, step 2", "auditor, step 0"):
        assert f"{step}, was shown version 2" in seen.printed


async def all_five(seen: Seen) -> None:
    assert "triage" in await seen.authors("handoff_context")
    assert {"expert", "engine"} <= set(await seen.authors("task_queue"))
    assert {"historian", "engineer"} & set(await seen.authors("domain_knowledge"))
    assert "I prefer short answers." in await seen.lines("user_preferences")
    assert await seen.authors("system_config") == ["owner"]
    tasks = Queue.parse("\n".join(await seen.lines("task_queue"))).tasks
    assert {task.status for task in tasks} == {"done"}
    assert "system_config: seen by triage, expert, historian, engineer, curator; written by owner" in seen.printed


async def full_block(seen: Seen) -> None:
    journal, archive = await seen.lines("journal"), await seen.lines("journal_archive")
    hours = [line for line in (*archive, *journal) if line.startswith("At ") and "river" in line]
    assert hours == [f"At {hour:02} the river rose." for hour in range(8, 12)]  # none is lost, and in order
    assert "curator" in await seen.authors("notes")
    assert "Refused, nothing was changed" in seen.printed
    assert "After its limit was raised:" in seen.printed
    assert (await seen.lines("notes"))[-1].startswith("At noon it rained")


AS_IT_IS = {
    check.__name__: check
    for check in (
        supervisor_and_worker,
        two_researchers,
        read_only_policies,
        managing_blocks,
        external_sync,
        task_queue_team,
        knowledge_base,
        watching_results,
        user_profile,
        handoff,
        global_config,
        all_five,
        full_block,
    )
}


@pytest.mark.parametrize("name", sorted(AS_IT_IS))
async def test_an_example_does_what_it_says(
    name: str, new_store: Callable[[], Store], capsys: pytest.CaptureFixture[str]
) -> None:
    store = new_store()
    try:
        await AS_IT_IS[name](await ran(name, store, capsys))
    finally:
        await store.close()


# --- with another model


async def test_notes_of_agents_are_kept_when_the_program_was_slower(new_store: Callable[[], Store]) -> None:
    """Between reading and writing the block, the program is overtaken twice."""
    external_sync = example("external_sync")
    overtaken = 0

    class Slow:
        """The team's blocks, for a program that an agent overtakes."""

        def __init__(self, live: Orchestrator) -> None:
            self.blocks = self
            self._live = live
            self.modify = live.blocks.modify

        async def retrieve(self, label: str) -> object:
            nonlocal overtaken
            state = await self._live.blocks.retrieve(label)
            if overtaken < 2:
                overtaken += 1
                await self._live.agents.message("ann", "Note it.")
            return state

    first, second = (edit("memory_insert", "accounts", new_string=note) for note in ("- 1", "- 2"))
    with ScriptedModel({"ann": [first, "noted", second, "noted"]}) as model:
        async with Orchestrator(external_sync.team, new_store(), model=model) as live:
            await external_sync.bring_in(Slow(live), "Acme,free\n")

            accounts = await live.blocks.history("accounts")
            assert accounts[-1].value == "Customers: 1\nNotes of the team:\n- 1\n- 2"
            assert [revision.by for revision in accounts] == ["owner", "ann", "ann", "owner"]
            assert (await live.blocks.retrieve("customers")).value == "Acme,free\n"


async def test_the_researchers_use_whatever_search_they_are_given() -> None:
    async def look_around(query: str) -> str:
        """Look around."""
        return f"nothing about {query}"

    two_researchers = example("two_researchers")
    team = two_researchers.team(orchestrator.tool(look_around))
    async with Orchestrator(team, model=two_researchers.stand_in) as live:
        run = await live.run("Letta")

    assert run.blocks["organization"].value == "Organization: Letta\nada: nothing about Letta"


def test_the_researchers_search_the_web_where_there_is_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    two_researchers = example("two_researchers")
    searching = lambda: {tool.name for agent in two_researchers.team().members for tool in agent.toolbox}  # noqa: E731
    assert searching() == {"search_documents"}

    monkeypatch.setenv("EXA_API_KEY", "a key")

    assert searching() == {"web_search"}
