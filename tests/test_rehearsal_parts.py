"""The parts that the rehearsal model plays besides tasks and questions, each asked by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator import (
    AssistantMessage,
    ModelRequest,
    ModelResponse,
    ToolCall,
    ToolMessage,
    ToolSpec,
    UserMessage,
    unescape,
)
from orchestrator.blocks import Grant
from orchestrator.memory import memory_specs
from patterns import domain_knowledge, search_documents, user_preferences
from patterns.rehearsal import RehearsalModel

SIGN = "[rehearsal, no language model] "

IDLE = "[wake] Nobody has anything left to do for now. Your blocks show what was written since you last looked."
FULL = "[wake] The block log is nearly full: 95 of 100 characters."
CHANGED = "[wake] ann changed the block log, which is now at version 7."
CALLED = "[wake] The block task_queue calls for you."
HANDED = "[wake] ann handed control over to you, with a note in the block handoff_context."


def request(said: str, blocks: dict[str, str] | None = None, *tools: ToolSpec, **grants: Grant) -> ModelRequest:
    """What bob is asked: all blocks are shared, and each is granted by its label."""
    blocks = blocks or {}
    return ModelRequest(
        agent="bob",
        messages=(UserMessage(text="an older message"), AssistantMessage(text="done"), UserMessage(text=said)),
        tail="".join(f"<{label}>" for label in blocks),
        blocks=blocks,
        tools=(*memory_specs(grants.items()), *tools),
    )


def spec(name: str) -> ToolSpec:
    return ToolSpec(name, "A tool.", {"properties": {}})


SEARCH = search_documents().spec
HAND_OFF = spec("hand_off_to_ann")
ADD_TASKS = spec("add_tasks")


async def respond(asked: ModelRequest) -> ModelResponse:
    """The answer, which the same request gets twice, and which has the sign."""
    model = RehearsalModel()
    response, again = await model.respond(asked), await model.respond(asked)
    assert response == again
    assert f"{response.text} ".startswith(SIGN)
    return response


def gone_on(asked: ModelRequest, response: ModelResponse, *answers: str, ok: bool = True, **blocks: str) -> Any:
    """The request of the next step, after the calls were answered and blocks have changed."""
    calls = [call.having(id=f"{len(asked.messages)}-{number}") for number, call in enumerate(response.tool_calls)]
    told = answers or ("Done.",) * len(calls)
    return replace(
        asked,
        step=asked.step + 1,
        blocks={**asked.blocks, **blocks},
        messages=(
            *asked.messages,
            AssistantMessage(text=response.text, tool_calls=tuple(calls)),
            *(
                ToolMessage(call=call.id or "", name=call.name, text=text, ok=ok)
                for call, text in zip(calls, told, strict=True)
            ),
        ),
    )


def arguments(response: ModelResponse) -> list[tuple[str, Any]]:
    return [(call.name, call.arguments) for call in response.tool_calls]


# --- the curator


UNTIDY = "likes tea\nLikes Tea \n\n  likes tea\nlives in Bern\na\na"
TIDY = "likes tea\nlives in Bern\na"


@pytest.mark.parametrize("said", [IDLE, FULL, "Tidy up.", CHANGED])
async def test_a_curator_merges_lines_that_stand_twice_and_says_how_many(said: str):
    asked = request(said, {"log": UNTIDY, "other": "x\nx"}, log=Grant.RETHINK, other=Grant.INSERT)
    response = await respond(asked)

    assert arguments(response) == [("memory_rethink", {"label": "log", "new_memory": TIDY})]
    last = await respond(gone_on(asked, response, log=TIDY))
    assert (last.text, last.tool_calls) == (f"{SIGN}merged 3 lines and dropped 1 empty line of log", ())


async def test_a_curator_tidies_each_block_that_it_may_rewrite():
    blocks = {"log": "a\n\nb\n", "tidy": "c\nd", "more": "<e>\n<e>", "empty": ""}
    asked = request(IDLE, blocks, **dict.fromkeys(blocks, Grant.RETHINK))
    response = await respond(asked)

    assert arguments(response) == [
        ("memory_rethink", {"label": "log", "new_memory": "a\nb"}),
        ("memory_rethink", {"label": "more", "new_memory": "&lt;e>"}),
    ]
    last = await respond(gone_on(asked, response, log="a\nb", more="<e>"))
    assert last.text == (
        f"{SIGN}dropped 2 empty lines of log\n"
        "no line of tidy stands there twice; to condense it takes a language model\n"
        "merged 1 line of more\n"
        "no line of empty stands there twice; to condense it takes a language model"
    )


async def test_a_curator_who_was_refused_tries_once_more_on_the_fresh_text():
    asked = request(IDLE, {"log": "a\na"}, log=Grant.RETHINK)
    again = gone_on(asked, await respond(asked), "Refused", ok=False, log="a\na\nb\nb")
    second = await respond(again)

    assert arguments(second) == [("memory_rethink", {"label": "log", "new_memory": "a\nb"})]
    assert (await respond(gone_on(again, second, log="a\nb"))).text == f"{SIGN}merged 2 lines of log"
    third = await respond(gone_on(again, second, "Refused", ok=False, log="a\na\nb\nb\nc"))
    assert (third.text, third.tool_calls) == (f"{SIGN}the rewrite of log was refused", ())


async def test_a_curator_whom_somebody_else_has_forestalled_leaves_it_at_that():
    asked = request(IDLE, {"log": "a\na"}, log=Grant.RETHINK)
    last = await respond(gone_on(asked, await respond(asked), "Refused", ok=False, log="a"))

    assert (last.text, last.tool_calls) == (f"{SIGN}the rewrite of log was refused", ())


async def test_a_curator_does_not_rewrite_again_what_others_have_written_into_its_tidy_text():
    asked = request(IDLE, {"log": "a\na"}, log=Grant.RETHINK)
    last = await respond(gone_on(asked, await respond(asked), log="a\nb\nb"))

    assert (last.text, last.tool_calls) == (f"{SIGN}merged 1 line of log", ())


@pytest.mark.parametrize("said", [IDLE, FULL])
@pytest.mark.parametrize("tool", [SEARCH, HAND_OFF, ADD_TASKS], ids=lambda tool: tool.name)
async def test_whoever_may_rewrite_tidies_when_woken_for_that_whatever_else_it_can_do(said: str, tool: ToolSpec):
    response = await respond(request(said, {"log": "a\na"}, tool, log=Grant.RETHINK))

    assert arguments(response) == [("memory_rethink", {"label": "log", "new_memory": "a"})]


@pytest.mark.parametrize("tool", [SEARCH, HAND_OFF, ADD_TASKS], ids=lambda tool: tool.name)
async def test_whoever_has_other_tools_does_not_tidy_when_asked_something(tool: ToolSpec):
    response = await respond(request("What is a block?", {"log": "a\na"}, tool, log=Grant.RETHINK))

    assert [call.name for call in response.tool_calls] == [tool.name]


async def test_whoever_may_not_rewrite_is_no_curator():
    assert (await respond(request(IDLE, {"log": "a\na"}, log=Grant.REPLACE))).tool_calls == ()


async def test_an_analyst_who_may_rewrite_answers_when_the_specialists_have_written():
    found = 'Asked: What is it?\nWhat is it? "A block." (a.md:1)\nx\nx'
    response = await respond(request(CHANGED, {"log": found}, log=Grant.RETHINK))

    assert response.tool_calls == ()
    assert response.text.endswith('What is it?\n  "A block." (a.md:1)')


# --- preferences


LEARNED = "I prefer short answers.\nPlease always quote <file> & line!\nPlease call me Ann."
SAID = f"{LEARNED} What is MemGPT? Do you think I like tea? I would like to know what a block is."
REST = ["What is MemGPT?", "Do you think I like tea?", "I would like to know what a block is."]


async def test_what_the_user_prefers_is_noted_word_for_word_and_the_rest_is_looked_up():
    label = user_preferences().label
    blocks = {"notes": "", label: "I prefer short answers."}
    asked = request(SAID, blocks, SEARCH, **dict.fromkeys(blocks, Grant.INSERT))
    noting = await respond(asked)

    ((name, noted),) = arguments(noting)
    assert (name, noted["label"]) == ("memory_insert", label)
    assert unescape(noted["new_string"]) == "Please always quote <file> & line!\nPlease call me Ann."

    going_on = gone_on(asked, noting, user_preferences=LEARNED)
    searching = await respond(going_on)
    assert arguments(searching) == [("search_documents", {"query": question}) for question in REST]

    sharing = await respond(found := gone_on(going_on, searching, *["Nothing found."] * 3))
    ((_, shared),) = arguments(sharing)
    assert shared["label"] == "notes", "what was found is no preference"
    reporting = await respond(gone_on(found, sharing))
    assert [line for line in reporting.text.split("\n") if line in SAID and line] == REST


async def test_a_note_of_preferences_that_is_refused_is_not_tried_again():
    asked = request("I like tea. What is it?", {"user_preferences": ""}, SEARCH, user_preferences=Grant.INSERT)
    response = await respond(gone_on(asked, await respond(asked), "Refused", ok=False))

    assert arguments(response) == [("search_documents", {"query": "What is it?"})]


@pytest.mark.parametrize(
    ("said", "noted"),
    [
        ("I like tea.", True),
        ("- i really love tea", True),
        ("I don't like coffee, I hate it.", True),
        ("Please never shout", True),
        ("Call me Ann", True),
        ("What do I like?", False),
        ("I'd like an answer.", False),
        ("Please answer.", False),
        ("[wake] I like tea.", False),
    ],
)
async def test_a_preference_is_a_sentence_that_says_so(said: str, noted: bool):
    asked = request(said, {"user_preferences": ""}, user_preferences=Grant.INSERT)
    response = await respond(asked)

    assert [name for name, _ in arguments(response)] == ["memory_insert"] * noted
    if noted:
        assert arguments(response)[0][1]["new_string"] == said.removeprefix("- ")
        last = await respond(gone_on(asked, response, user_preferences="x"))
        assert last.text == f"{SIGN}There was no question to look into."


async def test_without_a_block_for_them_preferences_are_sentences_like_all_others():
    blocks = {"user_preferences": "", "notes": ""}
    response = await respond(
        request("I like tea.", blocks, SEARCH, user_preferences=Grant.READ, notes=Grant.INSERT),
    )

    assert arguments(response) == [("search_documents", {"query": "I like tea."})]


async def test_a_lead_notes_preferences_and_then_leads():
    asked = request("I like tea. What is it?", {"user_preferences": ""}, ADD_TASKS, user_preferences=Grant.INSERT)
    noting = await respond(asked)

    assert [name for name, _ in arguments(noting)] == ["memory_insert"]
    going_on = gone_on(asked, noting, user_preferences="I like tea.")
    leading = await respond(going_on)
    assert arguments(leading) == [("add_tasks", {"tasks": ["What is it?"]})]
    assert (await respond(gone_on(going_on, leading, "Added."))).text == f"{SIGN}Added."


# --- handing over


async def test_who_cannot_look_up_what_it_is_asked_hands_over_with_the_questions():
    asked = request("What is <b>? Who made it?", {"handoff_context": ""}, HAND_OFF, handoff_context=Grant.INSERT)
    response = await respond(asked)

    assert arguments(response) == [("hand_off_to_ann", {"note": "Asked: What is &lt;b>?\nAsked: Who made it?"})]
    refused = await respond(gone_on(asked, response, "Refused: that were 7 handoffs.", ok=False))
    assert (refused.text, refused.tool_calls) == (f"{SIGN}Refused: that were 7 handoffs.", ())


async def test_without_a_question_nothing_is_handed_over():
    response = await respond(request("...", {}, HAND_OFF))

    assert (response.text, response.tool_calls) == (f"{SIGN}There was no question to look into.", ())


@pytest.mark.parametrize(
    ("tool", "called"),
    [(SEARCH, "search_documents"), (ADD_TASKS, "add_tasks")],
    ids=["who can search", "who can add tasks"],
)
async def test_who_can_answer_does_not_hand_over(tool: ToolSpec, called: str):
    response = await respond(request("What is it?", {}, HAND_OFF, tool))

    assert [call.name for call in response.tool_calls] == [called]


NOTES = (
    "From ann to bob: Asked: What was it?\n"
    "From bob to ann: Asked: Not for bob?\n"
    "From ann to bob: The user is in a hurry.\nAsked: What is it?\n  Asked: Who made it?\nAsked: What is it?\n"
    "From bob to ann: Asked: Nor this?"
)


@pytest.mark.parametrize("said", [HANDED, f"{CALLED}\n{HANDED}"])
async def test_who_is_handed_over_to_looks_up_what_the_last_note_asks(said: str):
    blocks = {"notes": "Asked: By somebody else?", "handoff_context": NOTES}
    asked = request(said, blocks, SEARCH, HAND_OFF, handoff_context=Grant.INSERT)
    response = await respond(asked)

    assert arguments(response) == [
        ("search_documents", {"query": "What is it?"}),
        ("search_documents", {"query": "Who made it?"}),
    ]
    reporting = await respond(gone_on(asked, response, "a.md:3: A block.", "Nothing found."))
    assert reporting.tool_calls == (), "a note is for handing over, not for what was found"
    assert reporting.text.endswith('What is it?\n  "A block." (a.md:3)\n\nWho made it?\n  Not found in the documents.')


async def test_questions_of_a_note_that_is_one_line_are_told_apart():
    note = "From ann to bob: Asked: What is it? Asked: Who made it?"
    response = await respond(request(HANDED, {"baton": note}, SEARCH))

    assert [call.arguments["query"] for call in response.tool_calls] == ["What is it?", "Who made it?"]


@pytest.mark.parametrize(
    ("note", "queries"),
    [
        ("From ann to bob: Say what it is. Quickly!", ["Say what it is.", "Quickly!"]),
        ("From carol to bob: Asked: What is it?", []),
        ("", []),
    ],
)
async def test_a_note_without_questions_is_looked_up_by_its_sentences(note: str, queries: list[str]):
    response = await respond(request(HANDED, {"handoff_context": note}, SEARCH))

    assert [call.arguments["query"] for call in response.tool_calls] == queries
    assert queries or response.text == f"{SIGN}There was no question to look into."


async def test_a_lead_that_is_handed_over_to_splits_the_note_into_tasks():
    asked = request(HANDED, {"handoff_context": NOTES}, ADD_TASKS, HAND_OFF)

    assert arguments(await respond(asked)) == [("add_tasks", {"tasks": ["What is it?", "Who made it?"]})]


async def test_who_cannot_look_it_up_either_does_not_hand_it_back():
    response = await respond(request(HANDED, {"handoff_context": NOTES}, HAND_OFF, handoff_context=Grant.INSERT))

    assert response.tool_calls == ()
    assert response.text == f"{SIGN}Nothing was found: there is no tool to search with, and nobody to ask."


async def test_an_analyst_that_is_handed_over_to_asks_the_specialists():
    blocks = {"handoff_context": NOTES, domain_knowledge().label: ""}
    asked = request(HANDED, blocks, HAND_OFF, **dict.fromkeys(blocks, Grant.INSERT))
    response = await respond(asked)

    line = {"label": "domain_knowledge", "new_string": "Asked: What is it?\nAsked: Who made it?"}
    assert arguments(response) == [("memory_insert", line)]
    last = await respond(gone_on(asked, response))
    assert (last.text, last.tool_calls) == (f"{SIGN}Whoever can search has been asked.", ())


@pytest.mark.parametrize("said", [CHANGED, CALLED])
async def test_who_is_woken_by_a_block_hands_nothing_over(said: str):
    response = await respond(request(said, {"log": "Asked: What is it?"}, HAND_OFF, log=Grant.INSERT))

    assert response.tool_calls == ()


async def test_a_request_without_any_message_is_answered():
    asked = replace(request("", {"log": "x"}, SEARCH, log=Grant.INSERT), messages=())

    assert (await respond(asked)).text == f"{SIGN}There was no question to look into."


# --- what it would have cost


async def test_it_reports_a_token_for_every_four_characters_that_a_model_would_have_read_and_written():
    call = ToolCall("f", {"x": "日本"}, id="not counted")
    asked = ModelRequest(
        agent="bob",
        system="s" * 10,
        messages=(UserMessage(text="u" * 5), AssistantMessage(text="a" * 3, tool_calls=(call,))),
        tail="t" * 7,
        tools=(ToolSpec("f", "d", {}),),
    )

    answer = await RehearsalModel().respond(asked)

    read = 10 + 5 + 3 + 7 + len('["f", {"x": "日本"}]') + len('["f", "d", {}]')
    assert answer.usage.input_tokens == -(-read // 4)
    assert answer.tool_calls == ()
    assert answer.usage.output_tokens == -(-len(answer.text) // 4)
    assert answer.usage.cost is None
