"""Every example with a script in place of its model, in simulated time: who writes what, when, and who saw it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import anyio
import pytest
from shown import FILES, Seen, ran

from orchestrator import ModelRequest, Store, ToolMessage
from orchestrator.testing import Line, Say, ScriptedModel, call, edit, simulated_time, together
from patterns.tasks import Queue


@pytest.fixture
def anyio_backend() -> Any:
    return simulated_time()


class Played(NamedTuple):
    """What a script came to."""

    seen: Seen
    model: ScriptedModel
    seconds: float

    def shown(self, agent: str) -> list[ModelRequest]:
        """What the agent's model was shown, request by request."""
        return [request for request in self.model.requests if request.agent == agent]

    def answers(self, agent: str) -> list[ToolMessage]:
        """What tools have answered the agent."""
        return [message for message in self.shown(agent)[-1].messages if isinstance(message, ToolMessage)]


class Play(NamedTuple):
    """A script, and what has to come of it."""

    script: dict[str, list[Line]]
    check: Callable[[Played], Awaitable[None]]


def insert(label: str, text: str, after: float = 0) -> Say:
    return edit("memory_insert", label, new_string=text, after=after)


async def supervisor_and_worker(played: Played) -> None:
    assert played.shown("worker")[0].blocks["organization"] == "Organization: Letta\nAsked: origin?"
    assert played.shown("supervisor")[-1].blocks["organization"].endswith("Asked: origin?\nMemGPT")
    assert await played.seen.authors("organization") == ["owner", "supervisor", "worker"]
    assert played.shown("worker")[0].blocks["persona"] == "I am a worker."
    assert played.seen.printed.startswith("It comes from MemGPT.\n")


async def two_researchers(played: Played) -> None:
    assert played.seconds == 10  # at the same time
    assert sorted(await played.seen.lines("organization")) == ["Organization: Letta", "ada: blocks", "ben: MemGPT"]
    assert sorted(await played.seen.authors("organization")) == ["ada", "ben", "owner"]


async def read_only_policies(played: Played) -> None:
    assert [answer.ok for answer in played.answers("clerk")] == [False, False, False, True]
    assert await played.seen.authors("company_policies") == ["owner", "owner"]
    assert await played.seen.authors("notes") == ["owner", "clerk"]
    (manager,) = played.shown("manager")
    assert manager.blocks == {"company_policies": "Answer in German."}
    assert manager.tools == ()


async def managing_blocks(played: Played) -> None:
    (supervisor,) = played.shown("supervisor")
    assert supervisor.blocks["terms_of_service"] == "No spam, no scraping."
    assert await played.seen.authors("organization") == ["owner"]


async def task_queue_team(played: Played) -> None:
    assert played.seconds == 40
    tasks = Queue.parse("\n".join(await played.seen.lines("task_queue"))).tasks
    assert [(task.title, task.by, task.after) for task in tasks] == [
        ("What is MemGPT?", "worker-1", ()),
        ("When was Letta announced?", "worker-2", ()),
        ("What became of the Letta server?", "worker-1", (1, 2)),
        ("Sum up", "worker-2", (3,)),
    ]
    begun = Queue.parse(played.shown("worker-2")[2].blocks["task_queue"]).tasks
    assert [task.status for task in begun] == ["done", "done", "done", "claimed"]
    assert "\nAll is done.\n" in played.seen.printed


async def knowledge_base(played: Played) -> None:
    assert await played.seen.authors("domain_knowledge") == ["owner", "analyst", "historian", "engineer"]
    # The engineer is at its second step when the historian has learned something, and sees it.
    assert "of 2023" not in played.shown("engineer")[0].blocks["domain_knowledge"]
    assert "of 2023" in played.shown("engineer")[1].blocks["domain_knowledge"]
    assert played.seen.printed.startswith("Both have written.\n")
    assert "The newcomer starts with 3 lines" in played.seen.printed


async def watching_results(played: Played) -> None:
    assert [(change.by, change.label) for change in await played.seen.changes()] == [
        ("parent", "brief"),
        ("ann", "result_ann"),
        ("parent", "comments"),  # before the others are done
        ("carol", "result"),
        ("bob", "result_bob"),
        ("parent", "comments"),
    ]
    seen = {label for request in played.shown("parent") for label in request.blocks}
    assert seen == {"brief", "comments", "result_ann", "result_bob"}
    assert played.seen.printed.splitlines()[-3:] == ["ann is done", "all are", "mine was read by the program alone."]


async def user_profile(played: Played) -> None:
    assert (await played.seen.authors("user_preferences"))[-1] == "curator"
    assert await played.seen.lines("user_preferences") == ["German; short answers; trains."]
    assert played.seen.printed.startswith("A labelled text.\n")  # what the curator says is no answer


async def handoff(played: Played) -> None:
    (first, *_) = played.shown("specialist")
    assert first.blocks["handoff_context"] == "From triage to specialist: the origin"
    assert await played.seen.authors("handoff_context") == ["owner", "triage"]
    assert "MemGPT, since 2023.\n" in played.seen.printed


async def global_config(played: Played) -> None:
    clerk, auditor = played.shown("clerk"), played.shown("auditor")
    assert [request.blocks["system_config"].split("\n")[0] for request in (*clerk, *auditor)] == [
        "language: English",
        "language: German",  # in the middle of the turn
        "language: German",
        "language: German",
    ]
    assert await played.seen.authors("system_config") == ["owner", "owner"]


async def all_five(played: Played) -> None:
    assert (await played.seen.authors("handoff_context"))[-1] == "triage"
    assert "historian" in await played.seen.authors("domain_knowledge")
    assert await played.seen.lines("user_preferences") == ["Short answers."]
    assert await played.seen.authors("user_preferences") == ["owner", "triage", "curator"]
    assert all("language: English" in request.blocks["system_config"] for request in played.model.requests)
    assert played.seen.printed.startswith("MemGPT is a project.\n")


async def full_block(played: Played) -> None:
    assert "curator" in await played.seen.authors("notes")
    assert (await played.seen.lines("notes"))[0] == "It rose."
    assert [answer.ok for answer in played.answers("reporter")][:2] == [True, True]
    assert (await played.seen.history("journal")).revisions[-1].by == "reporter"


def _insert_told(request: ModelRequest) -> Any:
    """Both inserts that the reporter makes of a message."""
    told = request.messages[-1].text
    return together(insert("journal", told), insert("notes", told))


PLAYS = {
    "supervisor_and_worker": Play(
        {
            "supervisor": [insert("organization", "Asked: origin?"), "asked", "It comes from MemGPT."],
            "worker": [insert("organization", "MemGPT"), "found"],
        },
        supervisor_and_worker,
    ),
    "two_researchers": Play(
        {
            "ada": [insert("organization", "ada: blocks", after=10), "done"],
            "ben": [insert("organization", "ben: MemGPT", after=10), "done"],
        },
        two_researchers,
    ),
    "read_only_policies": Play(
        {
            "clerk": [
                together(
                    insert("company_policies", "x"),
                    edit("memory_replace", "company_policies", old_string="helpful", new_string="rude"),
                    edit("memory_rethink", "company_policies", new_memory=""),
                    insert("notes", "they do not let me"),
                ),
                "no",
            ],
            "manager": ["Jawohl."],
        },
        read_only_policies,
    ),
    "managing_blocks": Play({"supervisor": ["They are short."]}, managing_blocks),
    "task_queue_team": Play(
        {
            "lead": [call("add_tasks", tasks=[{"title": "Sum up", "after": [3]}]), "begun", "All is done."],
            "worker-1": [call("settle_task", result="a", after=10), "", call("settle_task", result="b", after=10), ""],
            "worker-2": [call("settle_task", result="c", after=20), "", call("settle_task", result="d", after=10), ""],
        },
        task_queue_team,
    ),
    "knowledge_base": Play(
        {
            "analyst": [insert("domain_knowledge", "Asked: MemGPT?"), "asked", "One has.", "Both have written."],
            "historian": [insert("domain_knowledge", "MemGPT is of 2023.", after=10), "added"],
            "engineer": [
                call("search_documents", query="MemGPT", after=20),
                insert("domain_knowledge", "It pages.", after=10),
                "added",
            ],
        },
        knowledge_base,
    ),
    "watching_results": Play(
        {
            "parent": [
                insert("brief", "What are memory blocks?"),
                "briefed",
                insert("comments", "ann is done"),
                "one",
                insert("comments", "all are"),
                "two",
            ],
            "ann": [insert("result_ann", "text", after=10), "done"],
            "bob": [insert("result_bob", "more text", after=40), "done"],
            "carol": [insert("result", "mine", after=20), "done"],
        },
        watching_results,
    ),
    "user_profile": Play(
        {
            "librarian": [insert("user_preferences", "Short answers."), "noted", "A labelled text."],
            "concierge": [insert("user_preferences", "Trains.", after=5), "noted"],
            "curator": [
                edit("memory_rethink", "user_preferences", new_memory="German; short answers; trains."),
                "tidied",
            ]
            * 2,
        },
        user_profile,
    ),
    "handoff": Play(
        {
            "triage": [call("hand_off_to_specialist", note="the origin")],
            "specialist": ["MemGPT, since 2023."],
        },
        handoff,
    ),
    "global_config": Play(
        {"clerk": [call("visit_site"), insert("log", "clerk"), "acted"], "auditor": ["acted, too"]}, global_config
    ),
    "all_five": Play(
        {
            "triage": [
                insert("user_preferences", "Short answers.\nShort answers, please."),
                call("hand_off_to_expert", note="What is MemGPT?"),
            ],
            "expert": [call("add_tasks", tasks=["What is MemGPT?"]), "begun", "MemGPT is a project."],
            "historian": [
                together(insert("domain_knowledge", "MemGPT: a project."), call("settle_task", result="a project")),
                "done",
            ],
            "curator": [edit("memory_rethink", "user_preferences", new_memory="Short answers."), "tidy"],
        },
        all_five,
    ),
    "full_block": Play(
        {
            "reporter": [_insert_told, "noted"] * 6,
            "curator": [edit("memory_rethink", "notes", new_memory="It rose."), "condensed"] * 2,
        },
        full_block,
    ),
}


def test_every_example_is_played_here_but_the_one_that_has_a_script_of_its_own() -> None:
    assert sorted([*PLAYS, "external_sync"]) == FILES


@pytest.mark.parametrize("name", PLAYS)
async def test_an_example_follows_a_script(
    name: str, new_store: Callable[[], Store], capsys: pytest.CaptureFixture[str]
) -> None:
    began = anyio.current_time()
    play = PLAYS[name]
    store = new_store()
    try:
        with ScriptedModel(play.script) as model:
            seen = await ran(name, store, capsys, model)

        await play.check(Played(seen, model, anyio.current_time() - began))
    finally:
        await store.close()
