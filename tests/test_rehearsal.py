"""The rehearsal model: true on documents and questions that it has never seen."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest

from orchestrator import Agent, Block, ModelRequest, Orchestrator, Run, Team, run_sync, tool
from patterns import domain_knowledge, supervise, task_queue
from patterns.rehearsal import RehearsalModel
from patterns.teams import domain_knowledge_team, task_queue_team

QUOTED = re.compile(r'"(.+)" \((.+):(\d+)\)')


def syllables(random: Random, count: int) -> str:
    return "".join(random.choice("bdfgklmnprstvz") + random.choice("aeiou") for _ in range(count))


def world(folder: Path, seed: int) -> tuple[dict[str, str], list[str]]:
    """Documents about places that do not exist: questions with their answers, and questions without any."""
    random = Random(seed)
    kinds = ["capital", "highest mountain", "longest river", "patron saint"]
    places = [syllables(random, 4).capitalize() for _ in range(8)]
    answers: dict[str, str] = {}
    unanswered: list[str] = []
    for place in places:
        lines = [f"# {place}", "", f"{place} is a place that nobody has seen.", ""]
        for kind in kinds:
            if random.random() < 0.6:
                answers[f"What is the {kind} of {place}?"] = (
                    f"The {kind} of {place} is {syllables(random, 3).capitalize()}."
                )
                lines += [answers[f"What is the {kind} of {place}?"], ""]
            else:
                unanswered.append(f"What is the {kind} of {place}?")
        (folder / f"{place.lower()}.md").write_text("\n".join(lines), "utf-8")
    unanswered.append(f"What is the capital of {syllables(random, 5).capitalize()}?")
    return answers, unanswered


def check_quotations(text: str, folder: Path) -> int:
    """Every quotation stands in the file, on the line that is named."""
    found = QUOTED.findall(text)
    for sentence, file, line in found:
        assert sentence in (folder / file).read_text("utf-8").split("\n")[int(line) - 1]
    return len(found)


def check_answers(run: Run, folder: Path, answers: dict[str, str], unanswered: list[str]) -> None:
    assert run.status == "complete", run.error
    assert run.output.startswith("[rehearsal, no language model]")
    sections = {part.split("\n")[0]: part for part in run.output.split("\n\n")[1:]}
    assert sorted(sections) == sorted([*answers, *unanswered])
    for question, answer in answers.items():
        assert f'"{answer}"' in sections[question]
    for question in unanswered:
        assert sections[question] == f"{question}\n  Not found in the documents."
    assert check_quotations(run.output, folder) == len(answers)
    # Nothing else is said: every line is a question, a quotation, or that there is none.
    said = {line.strip() for line in run.output.split("\n")[1:]} - {""} - set(sections)
    assert all(QUOTED.fullmatch(line) or line == "Not found in the documents." for line in said)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("make", [task_queue_team, domain_knowledge_team])
def test_it_answers_with_true_quotations_and_says_what_it_did_not_find(make, seed: int, tmp_path: Path):
    answers, unanswered = world(tmp_path, seed)
    questions = [*answers, *unanswered]
    Random(seed).shuffle(questions)

    run = run_sync(make(workers=3, docs=tmp_path), " ".join(questions), model=RehearsalModel())

    check_answers(run, tmp_path, answers, unanswered)


def test_the_workers_share_what_they_find(tmp_path: Path):
    answers, _ = world(tmp_path, 1)
    run = run_sync(task_queue_team(workers=4, docs=str(tmp_path)), "\n".join(answers), model=RehearsalModel())

    knowledge = run.blocks["domain_knowledge"]
    assert check_quotations(knowledge.value, tmp_path) == len(answers)
    assert {turn.agent for turn in run.turns} == {"supervisor", "worker-1", "worker-2", "worker-3", "worker-4"}


def test_the_same_question_gets_the_same_answer(tmp_path: Path):
    answers, unanswered = world(tmp_path, 2)
    message = " ".join([*answers, *unanswered])
    first, second = (
        run_sync(task_queue_team(docs=str(tmp_path)), message, model=RehearsalModel()).output for _ in range(2)
    )

    assert first == second


@pytest.mark.parametrize("message", ["", "   ", "?!", "...\n---"])
def test_a_message_without_a_question_gets_a_plain_answer(message: str, tmp_path: Path):
    run = run_sync(task_queue_team(docs=str(tmp_path)), message, model=RehearsalModel())

    assert run.status == "complete"
    assert run.output == "[rehearsal, no language model] There was no question to look into."


def test_an_empty_folder_is_said_to_hold_nothing(tmp_path: Path):
    run = run_sync(task_queue_team(docs=str(tmp_path)), "What is the capital of Peru?", model=RehearsalModel())

    assert "What is the capital of Peru?\n  Not found in the documents." in run.output


def test_a_worker_without_a_tool_to_search_with_says_so():
    run = run_sync(supervise(Agent("lead"), [Agent("ann")]), "What is a block?", model=RehearsalModel())

    assert run.status == "complete"
    assert "What is a block?\n  there is no tool 'search_documents'; you have:" in run.output


def test_a_queue_that_refuses_the_tasks_is_quoted():
    team = supervise(Agent("lead"), [Agent("ann")], tasks=task_queue(limit=30))
    run = run_sync(team, "What is a block that nobody can describe?", model=RehearsalModel())

    assert "would have 51 characters and its limit is 30" in run.output


def test_an_agent_by_itself_looks_up_what_it_was_asked(tmp_path: Path):
    from patterns import search_documents

    answers, _ = world(tmp_path, 3)
    question, answer = next(iter(answers.items()))
    team = Team("solo", [Agent("ann", blocks=[Block("human")], tools=[search_documents(tmp_path)])])
    run = run_sync(team, question, model=RehearsalModel())

    assert f'"{answer}"' in run.output
    assert run.blocks["human"].value == "", "what is an agent's own stays as it is"


def test_an_agent_that_nobody_can_help_says_so():
    run = run_sync(Team("solo", [Agent("ann")]), "What is a block?", model=RehearsalModel())

    assert run.output == "[rehearsal, no language model] There is nobody to ask."


def test_an_agent_with_tools_that_no_rule_calls_says_which():
    @tool
    async def opening_hours(day: str) -> str:
        """When the shop is open."""
        return day

    team = Team("shop", [Agent("ann", blocks=[Block("human")], tools=[opening_hours])])
    run = run_sync(team, "When are you open?", model=RehearsalModel())

    said = "There is nobody to ask; to call opening_hours takes a language model."
    assert run.output == f"[rehearsal, no language model] {said}"


def test_a_task_that_failed_is_told_as_such(tmp_path: Path):
    team = supervise(Agent("lead"), [Agent("ann")], tries=1)

    class Half:
        async def respond(self, request: ModelRequest):
            if request.agent == "ann":
                raise OSError("away")
            return await RehearsalModel().respond(request)

    run = run_sync(team, "What is a block?", model=Half())

    assert "What is a block?\n  The task is not done, but failed.\n" in run.output + "\n"


async def test_every_text_says_that_no_model_was_asked(tmp_path: Path):
    answers, unanswered = world(tmp_path, 4)
    texts: list[str] = []

    class Listening(RehearsalModel):
        async def respond(self, request: ModelRequest):
            response = await super().respond(request)
            texts.append(response.text)
            return response

    for team in (task_queue_team(docs=str(tmp_path)), domain_knowledge_team(docs=str(tmp_path))):
        async with Orchestrator(team, model=Listening()) as live:
            await live.run(" ".join([*answers, *unanswered]))

    assert len(texts) > 10
    assert all(text.startswith("[rehearsal, no language model]") for text in texts)


def test_questions_with_tag_like_text_come_back_as_they_were(tmp_path: Path):
    (tmp_path / "a.md").write_text("The tag <value> & friends holds a text.\n")
    run = run_sync(task_queue_team(docs=str(tmp_path)), "What holds the tag <value> & friends?", model=RehearsalModel())

    assert 'What holds the tag <value> & friends?\n  "The tag <value> & friends holds a text." (a.md:1)' in run.output


def test_domain_knowledge_is_a_block_that_agents_append_to():
    knowledge = domain_knowledge("a fact", label="law", limit=50)

    assert (knowledge.label, knowledge.value, knowledge.limit) == ("law", "a fact", 50)
    assert "each with its source" in knowledge.description
