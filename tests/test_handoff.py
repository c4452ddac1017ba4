"""Control is handed over with a note, or not at all; and whoever has it gives the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from handing import answers, events, joined, pass_on, played

from orchestrator import (
    Agent,
    AssistantMessage,
    Block,
    BlockEdit,
    Budget,
    DeclarationError,
    Environment,
    HandOff,
    Insert,
    ModelError,
    Orchestrator,
    Store,
    Team,
    ToolCall,
    ToolContext,
    ToolError,
    ToolMessage,
    TurnLost,
    Update,
    UserMessage,
    Wake,
    tool,
)
from orchestrator.declaring import declare
from orchestrator.events import (
    BlockChanged,
    Cause,
    ChangeRefused,
    HandedOver,
    ToolAnswered,
)
from orchestrator.ledger import End, Handing, Ledger
from orchestrator.ports import Effect, RunRecord
from orchestrator.roster import Roster
from orchestrator.starts import Start
from orchestrator.stores import MemoryStore
from orchestrator.testing import Say, ScriptedModel, call, edit, together

# --- control passes


async def test_note_and_control_pass_in_one_transaction_and_the_receiver_answers(new_store):
    store, commits = new_store(), []
    transact = store.transact

    async def told(work: Any) -> Any:
        committed = await transact(work)
        commits.append([event.type for event in committed.events])
        return committed

    store.transact = told  # type: ignore[method-assign]
    script = {"ann": [call("pass_on", to="bob", say="it is urgent")], "bob": [Say("done by bob")]}
    run, model = await played(joined("ann", "bob"), store, script)

    assert (run.status, run.output) == ("complete", "done by bob")
    assert commits[-6:] == [
        ["turn_started"],
        ["step_taken"],
        ["block_changed", "tool_answered", "handed_over", "turn_ended"],
        ["turn_started"],
        ["step_taken", "turn_ended"],
        ["run_ended"],
    ]
    changed, answered, handed, ended = (await store.events())[-8:-4]
    assert (changed.version, changed.value, changed.operation, changed.turn) == (
        2,
        "ann: it is urgent",
        "insert",
        handed.turn,
    )
    assert answered.text == "Control was handed over to bob, with the note in note."
    assert (handed.to, handed.key, handed.label, handed.version, handed.number) == ("bob", "joined:note", "note", 2, 1)
    assert (ended.turn, ended.status, ended.steps, ended.usage.calls, ended.text) == (handed.turn, "done", 1, 1, "")
    first, second = run.turns
    assert (first.handed_to, first.handed_by, first.runs) == ("bob", "joined:note", handed.runs)
    assert (second.agent, second.handed_to, second.handed_by) == ("bob", None, None)
    (cause,) = second.causes
    assert (cause.kind, cause.key, cause.label, cause.version, cause.by, cause.wake) == (
        "handoff",
        "joined:note",
        "note",
        2,
        "ann",
        0,
    )
    assert model.requests[1].messages == (
        UserMessage(
            text="[wake] ann handed control over to you, with a note in the block note, which is now at version 2."
        ),
    )


async def test_the_history_of_whoever_handed_over_has_an_answer_to_each_call(new_store):
    team = joined("ann", "bob")
    script = {
        "ann": [
            together(call("pass_on", to="bob"), call("pass_on", to="bob"), call("pass_on", to="bob")),
            Say("again"),
        ],
        "bob": [Say("done")],
    }
    with ScriptedModel(script) as model:
        async with Orchestrator(team, new_store(), model=model) as live:
            await live.run("go")
            await live.run("go on")

    asked, *told, more = model.requests[-1].messages[1:]
    assert isinstance(asked, AssistantMessage)
    assert isinstance(more, UserMessage)
    assert [answer.call for answer in told] == [one.id for one in asked.tool_calls]


async def test_other_calls_of_the_step_are_made_first_wherever_the_handoff_stands(new_store):
    store = new_store()
    script = {
        "ann": [
            together(
                edit("memory_insert", "note", new_string="first"),
                call("pass_on", to="bob", say="yours"),
                edit("memory_insert", "note", new_string="second"),
                call("no_such_tool"),
            )
        ],
        "bob": [Say("done")],
    }
    run, model = await played(joined("ann", "bob"), store, script)

    assert run.blocks["note"].value == "first\nsecond\nann: yours"
    assert [name for name, _, _ in await answers(store)] == [
        "memory_insert",
        "memory_insert",
        "no_such_tool",
        "pass_on",
    ]
    assert [event.call for event in await events(store, ToolAnswered)] == [0, 2, 3, 1]
    assert [request.agent for request in model.requests] == ["ann", "bob"], "ann is not asked again"
    assert run.turns[0].handed_to == "bob"


async def test_of_two_handoffs_in_a_step_the_first_that_is_accepted_counts(new_store):
    store = new_store()
    script = {
        "ann": [
            together(
                call("pass_on", to="eve", say="to nobody"),
                call("pass_on", to="cat", say="to cat"),
                call("pass_on", to="bob", say="to bob"),
            )
        ],
        "cat": [Say("done")],
    }
    run, _ = await played(joined("ann", "bob", "cat"), store, script)

    assert run.blocks["note"].value == "ann: to cat"
    assert [text for _, _, text in await answers(store)] == [
        "not handed over: 'eve' takes no control from you with a note in note; you can hand over to: bob, cat",
        "Control was handed over to cat, with the note in note.",
        "Not made: control was handed over to cat.",
    ]
    assert [event.to for event in await events(store, HandedOver)] == ["cat"]
    assert run.output == "done"


async def test_the_tool_may_word_its_answer(new_store):
    @tool
    async def give(to: str) -> HandOff:
        """Give."""
        return HandOff(to, BlockEdit("note", Update(lambda text: None), "given"))

    note = Block("note", "as it was")
    store = new_store()
    team = Team(
        "pair",
        [Agent("ann", blocks=[note], tools=[give]), Agent("bob", blocks=[note], wakes_on=[Wake(note, handoffs=1)])],
    )
    run, _ = await played(team, store, {"ann": [call("give", to="bob")], "bob": [Say("done")]})

    assert await answers(store) == [("give", True, "given")]
    assert [event.version for event in await events(store, HandedOver)] == [1], "a note that stays as it is is a note"
    assert run.output == "done"


async def test_a_receiver_that_the_note_wakes_as_well_has_one_turn(new_store):
    note = Block("note")
    bob = Agent("bob", blocks=[note], wakes_on=[note, Wake(note, handoffs=6, by=["ann"])])
    team = Team("pair", [Agent("ann", blocks=[note], tools=[pass_on]), bob])
    script = {"ann": [call("pass_on", to="bob")], "bob": [Say("done")]}
    run, model = await played(team, new_store(), script)

    assert [turn.agent for turn in run.turns] == ["ann", "bob"]
    assert [cause.kind for cause in run.turns[1].causes] == ["handoff", "change"]
    assert "ann changed the block note" in model.requests[1].messages[0].text


async def test_a_handoff_in_the_last_step_that_a_turn_may_take_is_made(new_store):
    note = Block("note")
    ann = Agent("ann", blocks=[note], tools=[pass_on], max_steps=1)
    team = Team("pair", [ann, Agent("bob", blocks=[note], wakes_on=[Wake(note, handoffs=1)])])
    run, _ = await played(team, new_store(), {"ann": [call("pass_on", to="bob")], "bob": [Say("done")]})

    assert (run.status, run.output) == ("complete", "done")


# --- what a run comes to


async def test_the_output_is_what_the_last_one_in_the_chain_said(new_store):
    script = {
        "ann": [Say("let bob look", calls=call("pass_on", to="bob").calls)],
        "bob": [call("pass_on", to="cat")],
        "cat": [Say("done by cat")],
    }
    run, _ = await played(joined("ann", "bob", "cat", "dan"), new_store(), script)

    assert run.output == "done by cat"
    assert [turn.text for turn in run.turns] == ["let bob look", "", "done by cat"]


async def test_whoever_was_not_handed_anything_does_not_give_the_output(new_store):
    note, bell = Block("note"), Block("bell")
    team = Team(
        "three",
        [
            Agent("ann", blocks=[note], tools=[pass_on]),
            Agent("bob", blocks=[note, bell], wakes_on=[Wake(note, handoffs=1)]),
            Agent("cat", blocks=[bell], wakes_on=[bell]),
        ],
    )
    script = {
        "ann": [call("pass_on", to="bob")],
        "bob": [edit("memory_insert", "bell", new_string="ding"), Say("the answer")],
        "cat": [Say("heard it")],
    }
    run, _ = await played(team, new_store(), script)

    assert [turn.agent for turn in run.turns] == ["ann", "bob", "cat"]
    assert run.output == "the answer"


async def test_where_nobody_could_answer_the_last_words_of_the_handoff_are_the_output(new_store):
    ask = Say("bob knows", calls=call("pass_on", to="bob").calls)
    run, _ = await played(joined("ann", "bob"), new_store(), {"ann": [ask]}, budget=Budget(turns=1))

    assert (run.status, run.output) == ("budget", "bob knows")


async def test_a_run_whose_receiver_fails_has_failed(new_store):
    script = {"ann": [call("pass_on", to="bob")], "bob": [ModelError("no answer")]}
    run, _ = await played(joined("ann", "bob"), new_store(), script)

    assert run.status == "failed"
    assert str(run.error) == "the last turn of 'bob' failed: no answer"
    assert [turn.status for turn in run.turns] == ["done", "failed"], "it is not handed over to bob again"


async def test_control_that_went_to_and_fro_ends_at_the_limit_and_the_model_is_told(new_store):
    store = new_store()
    script = {
        "ann": [call("pass_on", to="bob", say="1"), call("pass_on", to="bob", say="3")],
        "bob": [call("pass_on", to="ann", say="2"), call("pass_on", to="ann", say="4"), Say("all right, done")],
    }
    run, _ = await played(joined("ann", "bob", handoffs=3), store, script)

    assert [(event.agent, event.number) for event in await events(store, HandedOver)] == [
        ("ann", 1),
        ("bob", 2),
        ("ann", 3),
    ]
    assert run.blocks["note"].value == "ann: 1\nbob: 2\nann: 3"
    assert (await answers(store))[-1] == (
        "pass_on",
        False,
        "not handed over: control was handed over 3 times in this run, the most allowed: finish it yourself",
    )
    assert [event.code for event in await events(store, ChangeRefused)] == ["handoffs_spent"]
    assert run.output == "all right, done"


async def test_each_run_has_the_handoffs_of_its_own(new_store):
    team, store = joined("ann", "bob", handoffs=1), new_store()
    script = {"ann": [call("pass_on", to="bob")] * 2, "bob": [call("pass_on", to="ann"), Say("one")] * 2}
    with ScriptedModel(script) as model:
        async with Orchestrator(team, store, model=model) as live:
            runs = [await live.run("go"), await live.run("go")]

    assert [run.output for run in runs] == ["one", "one"]
    assert [event.number for event in await events(store, HandedOver)] == [1, 1]
    assert "was handed over once in this run" in (await answers(store))[1][2]


async def test_the_limit_is_that_of_the_wake_of_whoever_is_handed_to(new_store):
    note = Block("note")
    team = Team(
        "three",
        [
            Agent("ann", blocks=[note], tools=[pass_on], wakes_on=[Wake(note, handoffs=9)]),
            Agent("bob", blocks=[note], tools=[pass_on], wakes_on=[Wake(note, handoffs=1, by=["ann"])]),
            Agent("cat", blocks=[note], wakes_on=[Wake(note, handoffs=1), Wake(note, handoffs=4, by=["ann"])]),
        ],
    )
    script = {
        "ann": [call("pass_on", to="bob"), call("pass_on", to="bob"), call("pass_on", to="cat")],
        "bob": [call("pass_on", to="cat"), call("pass_on", to="ann")],
        "cat": [Say("done")],
    }
    store = new_store()
    run, _ = await played(team, store, script)

    assert [event.to for event in await events(store, HandedOver)] == ["bob", "ann", "cat"]
    assert [ok for _, ok, _ in await answers(store)] == [True, False, True, False, True]
    assert run.output == "done"


async def test_handoffs_are_counted_for_each_block(new_store):
    one, two = Block("one"), Block("two")
    wakes = [Wake(one, handoffs=1), Wake(two, handoffs=1)]
    team = Team("pair", [Agent(name, blocks=[one, two], wakes_on=wakes, tools=[pass_on]) for name in ("ann", "bob")])
    script = {
        "ann": [call("pass_on", to="bob", label="one"), call("pass_on", to="bob", label="one"), Say("done")],
        "bob": [call("pass_on", to="ann", label="two")],
    }
    store = new_store()
    run, _ = await played(team, store, script)

    assert [(event.label, event.number) for event in await events(store, HandedOver)] == [("one", 1), ("two", 1)]
    assert run.output == "done"


# --- refused: nothing is written, the turn goes on


async def refused(team: Team, store: Store, arguments: dict[str, Any], before: Callable[[Orchestrator], Any]) -> str:
    """What ann is told when she hands over in vain, after something was done to the live team."""
    script = {"ann": [call("pass_on", **arguments), Say("then I do it")]}
    with ScriptedModel(script) as model:
        async with Orchestrator(team, store, model=model) as live:
            await before(live)
            run = await live.run("go")
    assert (run.status, run.output, [turn.agent for turn in run.turns]) == ("complete", "then I do it", ["ann"])
    assert run.turns[0].handed_to is None
    assert await events(store, HandedOver) == []
    assert [event.by for event in await events(store, BlockChanged)] == []
    answer = model.requests[-1].messages[-1]
    assert isinstance(answer, ToolMessage)
    assert not answer.ok
    return answer.text


async def nothing(live: Orchestrator) -> None:
    pass


@pytest.mark.parametrize(
    ("arguments", "text", "code"),
    [
        ({"to": "eve"}, "'eve' takes no control from you with a note in note; you can hand over to: bob", "no_handoff"),
        ({"to": "ann"}, "'ann' takes no control from you with a note in note; you can hand over to: bob", "no_handoff"),
        ({"to": "bob", "label": "mine"}, "there is nobody you can hand over to", "no_handoff"),
        ({"to": "bob", "label": "memo"}, "block 'memo' is not attached to you", "unknown_label"),
        ({"to": "bob", "say": "x" * 100}, "would have 105 characters and its limit is 50", "over_limit"),
    ],
)
async def test_a_handoff_that_cannot_be_is_refused_with_the_reason(new_store, arguments, text, code):
    store = new_store()
    team = joined("ann", "bob", limit=50)
    ann = Agent(
        "ann", blocks=[*team.agent("ann").attachments, Block("mine")], wakes_on=team.agent("ann").wakes, tools=[pass_on]
    )
    told = await refused(Team("joined", [ann, team.agent("bob")]), store, arguments, nothing)

    assert text in told
    assert [(event.code, event.by, event.operation) for event in await events(store, ChangeRefused)] == [
        (code, "ann", "insert")
    ]


async def test_a_note_that_the_owner_has_made_read_only_refuses_the_handoff(new_store):
    async def lock(live: Orchestrator) -> None:
        await live.blocks.modify("note", read_only=True)

    assert "is read-only" in await refused(joined("ann", "bob"), new_store(), {"to": "bob"}, lock)


@pytest.mark.parametrize("woken", [{"idle": True}, {"every": 1}])
async def test_nobody_hands_over_in_a_turn_that_only_tidies_up(new_store, woken):
    note = Block("note")
    wake = Wake(note, handoffs=6)
    team = Team(
        "tidied",
        [
            Agent("ann", blocks=[note]),
            Agent("bob", blocks=[note], wakes_on=[wake]),
            Agent("curator", blocks=[note], wakes_on=[Wake(**woken)], tools=[pass_on]),
        ],
    )
    store = new_store()
    with anyio.fail_after(10):
        run, model = await played(
            team, store, {"ann": [Say("done")], "curator": [call("pass_on", to="bob"), Say("then not")]}
        )
    assert (run.status, run.output) == ("complete", "done")
    assert [(turn.agent, turn.status, turn.handed_to) for turn in run.turns] == [
        ("ann", "done", None),
        ("curator", "done", None),
    ]
    assert run.blocks["note"].value == "", "no note without a handoff"
    (told,) = model.requests[-1].messages[-1:]
    why = "you were woken to tidy up, and such a turn changes nothing of what a run comes to"
    assert told.text == f"not handed over: {why}"
    assert [event.code for event in await events(store, ChangeRefused)] == ["only_tidying"]


async def test_nobody_hands_over_to_an_agent_that_does_not_see_the_note_any_more(new_store):
    async def detach(live: Orchestrator) -> None:
        await live.agents.blocks.detach("bob", "note")

    told = await refused(joined("ann", "bob", "cat"), new_store(), {"to": "bob"}, detach)
    assert told == (
        "not handed over: 'bob' does not see the block note any more, or has left the team; you can hand over to: cat"
    )


async def test_nobody_hands_over_to_an_agent_that_the_owner_has_deleted(new_store):
    async def delete(live: Orchestrator) -> None:
        await live.agents.delete("bob")

    told = await refused(joined("ann", "bob"), new_store(), {"to": "bob"}, delete)
    assert "has left the team; there is nobody you can hand over to" in told


async def test_a_wake_names_who_may_hand_over(new_store):
    note = Block("note")
    team = Team(
        "pair",
        [
            Agent("ann", blocks=[note], tools=[pass_on], wakes_on=[Wake(note, handoffs=2, by=["bob"])]),
            Agent("bob", blocks=[note], wakes_on=[Wake(note, handoffs=2, by=["cat"])]),
            Agent("cat", blocks=[note]),
        ],
    )
    assert "there is nobody you can hand over to" in await refused(team, new_store(), {"to": "bob"}, nothing)


@pytest.mark.parametrize(
    "result",
    [
        HandOff(3, BlockEdit("note", Insert("x"))),
        HandOff("bob", "note"),
        HandOff("b\0", BlockEdit("note", Insert("x"))),
    ],
)
async def test_a_tool_that_returns_a_handoff_that_is_none_is_told(result):
    @tool
    async def give() -> HandOff:
        """Give."""
        return result

    store = MemoryStore()
    run, _ = await played(Team("one", [Agent("ann", tools=[give])]), store, {"ann": [call("give"), Say("hm")]})

    assert run.output == "hm"
    told = "give returned a HandOff that is none; it takes an agent's name and a BlockEdit"
    assert await answers(store) == [("give", False, told)]


async def test_a_note_that_is_no_edit_or_that_raises_is_told():
    @tool
    async def give(kind: str) -> HandOff:
        """Give."""
        if kind == "no edit":
            return HandOff("bob", BlockEdit("note", "text"))  # type: ignore[arg-type]

        def no(text: str) -> str:
            raise ToolError("say more")

        return HandOff("bob", BlockEdit("note", Update(no)))

    note, store = Block("note"), MemoryStore()
    ann = Agent("ann", blocks=[note], tools=[give])
    team = Team("pair", [ann, Agent("bob", blocks=[note], wakes_on=[Wake(note, handoffs=1)])])
    await played(team, store, {"ann": [together(call("give", kind="no edit"), call("give", kind="raises")), Say("hm")]})

    assert [text for _, _, text in await answers(store)] == [
        "give returned a BlockEdit of str; it takes a label and an edit",
        "say more",
    ]


async def test_a_handoff_whose_answer_is_recorded_is_not_made_and_nobody_hands_over_in_a_turn_that_was_lost():
    store, ledger = MemoryStore(), Ledger(Roster(joined("ann", "bob")), Environment())
    start = Start("ann", ("r",), (Cause(kind="message", run="r"),), None)
    context = ToolContext("ann", "r", "t", 0, 0, {})
    asked = ToolCall("pass_on", {}, "call-1")
    handing = Handing(asked, context, HandOff("bob", BlockEdit("note", Insert("x"))))

    def opened(tx: Any) -> Any:
        declare(tx, ledger.changes)
        ledger.start_run(tx, RunRecord(id="r", agent="ann", text="go"))
        return ledger.start_turn(tx, start, "t")

    turn = (await store.transact(opened)).result
    await store.transact(lambda tx: ledger.record_answer(tx, turn, asked, context, Effect(text="no", ok=False), {}))
    again = await store.transact(lambda tx: ledger.hand_over(tx, turn, handing, [], {}, End("done")))
    assert again == (ToolMessage(call="call-1", name="pass_on", text="no", ok=False), ())
    await store.transact(lambda tx: ledger.end_turn(tx, turn, End("cancelled")))
    with pytest.raises(TurnLost, match="has ended"):
        await store.transact(lambda tx: ledger.hand_over(tx, turn, handing, [], {}, End("done")))
    assert await events(store, HandedOver, BlockChanged) == []


# --- declarations


def test_who_hands_over_by_name_writes_the_note():
    note = Block("note")
    bob = Agent("bob", blocks=[note], wakes_on=[Wake(note, handoffs=1, by=["ann"])])
    with pytest.raises(
        DeclarationError, match=r"agent 'ann' hands control over to 'bob' with a note in block 'note', into"
    ):
        Team("pair", [Agent("ann", blocks=[note.reader()]), bob])
    with pytest.raises(DeclarationError, match=r"give it the block, plain or as \.contributor\(\)"):
        Team("pair", [Agent("ann"), bob])
    with pytest.raises(DeclarationError, match="is woken by 'ann', who is none of its agents"):
        Team("alone", [bob])
    Team("pair", [Agent("ann", blocks=[note.contributor()]), bob])


@pytest.mark.parametrize(("name", "problem"), [("bob", "would hand control over to itself"), ("owner", "has no turn")])
def test_nobody_hands_over_to_itself_and_the_owner_has_no_turn(name, problem):
    note = Block("note")
    with pytest.raises(DeclarationError, match=problem):
        Team("pair", [Agent("bob", blocks=[note], wakes_on=[Wake(note, handoffs=1, by=[name])])])
