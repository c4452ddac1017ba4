"""What is declared is checked when it is built; what is right becomes keys, names, grants and edges."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import anyio
import networkx
import pytest

from orchestrator import (
    Agent,
    AmbiguousLabel,
    Attachment,
    Block,
    Budget,
    DeclarationError,
    Edge,
    Grant,
    ModelNotFound,
    ModelRequest,
    Orchestrator,
    Team,
    ToolContext,
    Wake,
    tool,
)
from orchestrator.models import VARIABLE
from orchestrator.testing import FunctionModel

NOTES, OTHER, RULES = Block("notes"), Block("notes"), Block("rules", read_only=True)
ANN, BOB = Agent("ann", blocks=[NOTES]), Agent("bob", blocks=[NOTES])
FOUR = [ANN, BOB, Agent("cy", blocks=[OTHER]), Agent("di", blocks=[OTHER])]
SILENT, LOUD = FunctionModel(lambda request: ""), FunctionModel(lambda request: "!")


def lookup(city: str) -> str:
    """The weather in a city."""
    return city


def like(name: str = "lookup", doc: str | None = "What it does.", /, **annotations: Any) -> Callable[..., Any]:
    """A function with these parameters."""
    source = f"def function({', '.join(f'{parameter}: object' for parameter in annotations)}): ..."
    exec(source, made := {})  # noqa: S102 - names of parameters are what is tested
    function: Callable[..., Any] = made["function"]
    function.__name__, function.__doc__, function.__annotations__ = name, doc, annotations
    return function


def untyped(city):
    """The weather in a city."""


def stream(city: str) -> Any:
    """A generator."""
    yield city


async def later(*_: object) -> None:
    """A coroutine function."""


def solo(**options: Any) -> Team:
    return Team("solo", [Agent("ann", **options)])


def opened(*args: Any, **options: Any) -> Orchestrator:
    return Orchestrator(solo(), *args, **{"model": SILENT, **options})


# What is declared, and what the message must say, piece by piece: where, what, and what to do.
BAD = {
    "Block('my notes')": "a block … label 'my notes' … letters, digits",
    "Block('x' * 65)": "a block … 1 to 64",
    "Block('notes\\n')": "'notes\\n' … letters, digits",
    "Block('Memory_Blocks')": "'Memory_Blocks' … choose another",
    "Block('notes', key='a/b')": "block 'notes' … key 'a/b' … letters, digits",
    "Block('notes', b'x')": "block 'notes' … value is a bytes … give text",
    "Block('notes', '', None)": "block 'notes' … description … give text",
    "Block('notes', 'a\\x00b')": "block 'notes' … NUL",
    "Block('notes', '', '\\ud800')": "block 'notes' … surrogate",
    "Block('notes', limit=0)": "block 'notes' … limit is 0 … 1 or more",
    "Block('notes', limit='5')": "block 'notes' … limit is '5'; give a whole number, 1 or more",
    "Block('notes', 'x' * 5, limit=4)": "block 'notes' … 5 char … limit is 4",
    "Block('notes', rethink='never')": "rethink is 'never' … 'last_write_wins'",
    "Block('notes', guard='no')": "block 'notes' … guard … function of a Change",
    "Block('notes', guard=later)": "block 'notes' … guard … async",
    "Block('notes', tags='a')": "block 'notes' … tags … tuple",
    "Block('notes', tags=(1,))": "block 'notes' … tags … text",
    "Block('notes', metadata={1: 2})": "block 'notes' … metadata … text",
    "Block('notes', read_only='no')": "block 'notes' … read_only … 'no' … True",
    "Attachment(RULES, Grant.INSERT)": "'rules' … read-only … insert",
    "RULES.curator()": "block 'rules' … read-only … rethink",
    "Attachment('notes', Grant.READ)": "attachment … Block … str",
    "Attachment(NOTES, 'read')": "block 'notes' … 'read' … Grant",
    "Wake('notes')": "a wake … Block … str",
    "Wake(NOTES, by='ann')": "wake on block 'notes' … by … by=('ann',)",
    "Wake(NOTES, by=5)": "wake on block 'notes' … by … tuple",
    "Wake(NOTES, by=['ann'], when=len)": "wake on block 'notes' … by= … when=",
    "Wake(NOTES, claim=max)": "wake on block 'notes' … claim= … no when=",
    "Wake(NOTES, when=len, release=max)": "'notes' … release= … no claim=",
    "Wake(NOTES, when=5)": "wake on block 'notes' … when … function",
    "Wake(NOTES, when=len, claim='x')": "wake on block 'notes' … claim … function",
    "Wake(NOTES, when=later)": "wake on block 'notes' … when … async",
    "Agent('a/b')": "an agent … name 'a/b' … letters, digits",
    "Agent('owner')": "agent 'owner' … history keeps",
    "Agent('ann', None)": "agent 'ann' … instructions … text",
    "Agent('ann', 'a\\x00b')": "agent 'ann' … instructions … NUL",
    "Agent('ann', model=7)": "agent 'ann' … model is 7 … respond()",
    "Agent('ann', model=FunctionModel)": "agent 'ann' … FunctionModel … object",
    "Agent('ann', blocks=NOTES)": "agent 'ann' … blocks … give a list",
    "Agent('ann', blocks=['notes'])": "agent 'ann' … str … give Block objects",
    "Agent('ann', blocks=[NOTES, OTHER])": "agent 'ann' … two … 'notes'",
    "Agent('ann', wakes_on=[NOTES])": "'ann' … 'notes' … add it to blocks",
    "Agent('ann', max_steps=0)": "agent 'ann' … max_steps is 0 … 1 or more",
    "Agent('ann', timeout=float('nan'))": "agent 'ann' … timeout is nan … seconds",
    "Agent('ann', timeout=True)": "agent 'ann' … timeout is True … seconds",
    "Agent('ann', tools=tool(lookup))": "agent 'ann' … tools … a list",
    "Agent('ann', tools=['lookup'])": "agent 'ann' … 'lookup' … function",
    "Agent('ann', tools=[lookup, like()])": "agent 'ann' … two tools … 'lookup'",
    "Agent('ann', tools=[like('memory_insert')])": "'ann' … 'memory_insert'",
    "tool(lambda: 1)": "tool '<lambda>' … a name made of",
    "tool(like('lookup', None))": "tool 'lookup' … docstring … models decide",
    "tool(untyped)": "tool 'untyped' … 'city' has no type",
    "tool(stream)": "tool 'stream' … generator … return the answer",
    "tool(like(city='Town'))": "'lookup' … annotation … 'Town'",
    "tool(like(city=BaseException))": "tool 'lookup' … JSON … BaseException",
    "tool(like(_city=str))": "tool 'lookup' … '_city' … underscore",
    "tool(like(a=ToolContext, b=ToolContext))": "tool 'lookup' … two … ToolContext",
    "tool(dict)": "tool 'dict' … function",
    "Team('a:b', [ANN])": "a team … name 'a:b' … letters, digits",
    "Team('pair', [])": "team 'pair' … no agents",
    "Team('pair', ANN)": "team 'pair' … agents … list",
    "Team('pair', [ANN, Agent('ann')])": "team 'pair' … two agents … 'ann'",
    "Team('pair', [ANN], entry='bob')": "team 'pair' … entry 'bob' … : ann",
    "Team('four', FOUR)": "team 'four' … 'four:notes' … key= … same Block",
    "solo(blocks=[NOTES], wakes_on=[Wake(NOTES, by=['bob'])])": "team 'solo' … 'ann' … 'bob' … none of its agents",
    "solo(blocks=[NOTES]) | solo(blocks=[NOTES.reader()])": "agent 'ann' … replace … 'notes' … read",
    "solo(model='m/1') | solo(model='m/2')": "agent 'ann' … 'm/1' in one team … 'm/2' in",
    "solo(blocks=[NOTES]) | solo(blocks=[OTHER])": "agent 'ann' … two blocks … 'notes'",
    "solo(tools=[lookup]) | solo(tools=[like()])": "agent 'ann' … two tools … 'lookup'",
    "Budget(usd=0)": "a budget … usd is 0 … None for no bound … more than 0",
    "Budget(usd=True)": "a budget … usd is True … more than 0",
    "Budget(seconds=float('nan'))": "a budget … seconds is nan … more than 0",
    "Orchestrator(ANN)": "an orchestrator … needs a Team … Agent",
    "opened(max_concurrency=True)": "max_concurrency is True … 1 or more",
    "opened('company.db')": "an orchestrator … store is 'company.db' … Store",
    "opened(environment=5)": "an orchestrator … environment is 5 … Environment",
}


@pytest.mark.parametrize("declaration", BAD)
def test_a_declaration_that_cannot_work_says_what_where_and_what_to_do(declaration):
    with pytest.raises(DeclarationError) as refused:
        eval(declaration)  # noqa: S307 - as text it is its own name in the report, and no type checker minds

    message = str(refused.value)
    assert re.search(".*".join(map(re.escape, BAD[declaration].split(" … "))), message), message
    assert message == f"{refused.value.where}: {refused.value.problem}"


@pytest.mark.parametrize("name", ["json", "copy", "schema", "model_dump", "model_config", "self", "name"])
def test_a_tool_may_call_its_parameters_what_it_likes(name):
    made = tool(like(**{name: str}))

    context = ToolContext("ann", "run-1", "turn-1", 0, 0, {})
    assert list(made.spec.parameters["properties"]) == made.spec.parameters["required"] == [name]
    assert made.bind({name: "x"}, context)() is None


@pytest.mark.parametrize(
    ("declared", "given", "variable", "words"),
    [
        (None, None, None, ["agent 'ann'", "Agent('ann', model=", "Orchestrator(team, model=", VARIABLE]),
        ("gpt-0", None, None, ["agent 'ann'", "'gpt-0'"]),
        (None, "gpt-1", None, ["'gpt-1'"]),
        (None, None, "gpt-2", [VARIABLE, "'gpt-2'"]),
        ("gpt-0", "gpt-1", "gpt-2", ["'gpt-1'"]),
        ("gpt-0", None, "gpt-2", ["agent 'ann'", "'gpt-0'"]),
        ("nowhere/", None, None, ["agent 'ann'", "nowhere/"]),
    ],
)
def test_a_model_that_cannot_be_found_is_missed_at_once_and_by_name(monkeypatch, declared, given, variable, words):
    if variable:
        monkeypatch.setenv(VARIABLE, variable)

    with pytest.raises(ModelNotFound) as missing:
        Orchestrator(solo(model=declared), model=given)

    assert [word for word in words if word not in str(missing.value)] == [], str(missing.value)


async def test_the_orchestrators_model_overrides_the_agents_even_if_it_is_empty():
    class Empty:
        def __len__(self) -> int:
            return 0

        async def respond(self, request: ModelRequest) -> Any:
            return await LOUD.respond(request)

    for given, output in [(None, ""), (LOUD, "!"), (Empty(), "!")]:
        with anyio.fail_after(5):
            async with Orchestrator(solo(model=SILENT), model=given) as live:
                assert (await live.run("hello")).output == output


def test_the_same_block_on_two_agents_is_shared_and_on_one_it_is_its_own():
    shared, own = Block("notes"), Block("persona")
    team = Team("pair", [Agent("ann", blocks=[shared, own]), Agent("bob", blocks=[shared])])

    assert team.blocks == {"pair:notes": shared, "pair:ann/persona": own}
    assert (team.key_of(shared), team.key_of(own)) == ("pair:notes", "pair:ann/persona")
    assert [team.initial_state(key).agent for key in team.blocks] == [None, "ann"]


def test_two_shared_blocks_of_one_label_are_told_apart_by_their_key():
    left, right = Block("notes", key="left"), Block("notes")
    agents = [Agent(f"{side}{n}", blocks=[block]) for side, block in (("l", left), ("r", right)) for n in (1, 2)]
    team = Team("four", agents)

    assert (team.key_of(left), team.key_of(right)) == ("four:left", "four:notes")
    assert team.names == {"four:left": "l1/notes", "four:notes": "r1/notes"}
    assert (team.key("l2/notes"), team.key("r1/notes")) == ("four:left", "four:notes")


def test_a_bare_label_names_the_only_block_of_that_label():
    team = Team("pair", [ANN, BOB, Agent("cy", blocks=[Block("plan")])])

    assert team.key("notes") == team.key("ann/notes") == team.key("bob/notes") == "pair:notes"
    assert team.key("plan") == team.key("cy/plan") == "pair:cy/plan"
    with pytest.raises(DeclarationError, match=r"team 'pair': has no block 'cy/notes'; it has: notes, plan"):
        team.key("cy/notes")


def test_a_label_of_several_blocks_is_ambiguous_and_the_candidates_are_listed():
    team = Team("pair", [Agent(name, blocks=[Block("persona", f"I am {name}")]) for name in ("ann", "bob")])

    with pytest.raises(AmbiguousLabel, match="names several blocks; say which: ann/persona, bob/persona") as found:
        team.key("persona")

    assert not isinstance(found.value, KeyError), "it is there, but the name is not enough: no default will do"
    assert found.value.candidates == ("ann/persona", "bob/persona")


async def test_the_blocks_of_a_run_are_a_mapping_by_every_name_they_have():
    team = Team("trio", [Agent(name, blocks=[Block("persona", f"I am {name}"), NOTES]) for name in ("ann", "bob")])

    with anyio.fail_after(5):
        async with Orchestrator(team, model=SILENT) as live:
            blocks = (await live.run("hello")).blocks

    assert dict(blocks.items()).keys() == {"ann/persona", "notes", "bob/persona"}
    assert blocks["bob/persona"].value == "I am bob"
    assert blocks["bob/notes"] == blocks["notes"]
    assert [name in blocks for name in ("notes", "bob/notes", "plan")] == [True, True, False]
    assert blocks.get("plan") is None
    with pytest.raises(KeyError, match=r"ann/persona"):
        blocks["plan"]
    with pytest.raises(AmbiguousLabel, match=r"ann/persona"):
        blocks.get("persona")


def test_a_plain_block_grants_replace_and_the_three_others_what_they_are_called():
    given: list[Block | Attachment] = [
        NOTES,
        NOTES.reader(),
        NOTES.contributor(),
        NOTES.curator(),
        RULES,
        RULES.reader(),
    ]

    grants = [str(Agent("ann", blocks=[block]).attachments[0].grant) for block in given]

    assert grants == ["replace", "read", "insert", "rethink", "read", "read"]


def test_persona_and_human_describe_themselves_unless_they_are_described():
    assert "Who you are" in Block("persona").description
    assert "person you talk with" in Block("human").description
    assert (Block("persona", description="Mine.").description, Block("notes").description) == ("Mine.", "")


def test_own_and_read_only_blocks_are_placed_first_and_shared_ones_last():
    blocks = [Block("shared"), Block("rules", read_only=True), Block("pinned", placement="system")]
    own, free = Block("own"), Block("free", placement="tail")
    team = Team("pair", [Agent("ann", blocks=[*blocks, own, free]), Agent("bob", blocks=blocks)])

    placed = [f"{block.label}: {team.initial_state(key).placement}" for key, block in team.blocks.items()]
    assert placed == ["shared: tail", "rules: system", "pinned: system", "own: system", "free: tail"]


FROZEN = {"value": NOTES, "grant": RULES.reader(), "by": Wake(NOTES), "blocks": ANN, "agents": solo(), "usd": Budget()}


@pytest.mark.parametrize(("field", "declared"), FROZEN.items())
def test_a_declaration_does_not_change(field, declared):
    with pytest.raises(FrozenInstanceError):
        setattr(declared, field, "x")


def test_a_declaration_keeps_nothing_of_the_lists_it_was_made_from():
    tags, metadata, by, parts, agents = ["a"], {"a": 1}, ["ann"], ["first"], [ANN]
    block, wake = Block("notes", tags=tags, metadata=metadata), Wake(NOTES, by=by)
    agent, team = Agent("cy", parts), Team("solo", agents)
    for given in (tags, by, parts, agents):
        given.append("b")
    metadata["b"] = 2

    assert (block.tags, dict(block.metadata), wake.by) == (("a",), {"a": 1}, ("ann",))
    assert (agent.instruction_parts, team.members) == (("first",), (ANN,))


def test_an_edge_leads_from_who_may_write_to_who_sees_and_says_whether_it_wakes():
    notes, rules = Block("notes"), Block("rules", read_only=True)
    ann, cy = Agent("ann", blocks=[notes.contributor(), rules]), Agent("cy", blocks=[notes.reader()])
    team = Team("three", [ann, Agent("bob", blocks=[notes.curator(), rules], wakes_on=[notes]), cy])

    assert team.edges == (
        Edge("notes", "ann", "bob", Grant.INSERT, wakes=True),
        Edge("notes", "ann", "cy", Grant.INSERT, wakes=False),
        Edge("notes", "bob", "ann", Grant.RETHINK, wakes=False),
        Edge("notes", "bob", "cy", Grant.RETHINK, wakes=False),
    )
    assert type(team.graph) is networkx.MultiDiGraph
    assert list(team.graph.nodes(data="entry")) == [("ann", True), ("bob", False), ("cy", False)]
    assert set(team.graph.edges(keys=True)) == {(edge.source, edge.target, edge.block) for edge in team.edges}
    assert team.graph.edges["ann", "bob", "notes"] == {"grant": "insert", "wakes": True}
    assert team.graph.edges["bob", "cy", "notes"] == {"grant": "rethink", "wakes": False}


def test_teams_merge_by_the_names_of_agents_and_the_left_one_leads():
    notes, plan, pool = Block("notes"), Block("plan"), Wake(Block("tasks"), when=len)
    seen = [notes, plan, pool.block]
    left_ann = Agent("ann", ("Brief.", "Kind."), blocks=[notes, pool.block], wakes_on=[notes, pool], tools=[lookup])
    wakes, tools = [notes, plan, pool], [lookup, like("other")]
    right_ann = Agent("ann", ("Kind.", "Quick."), model="m/1", blocks=seen, wakes_on=wakes, tools=tools)
    left = Team("left", [Agent("cy"), left_ann], entry="ann")
    right = Team("right", [Agent("bob", blocks=[plan, pool.block], wakes_on=[pool]), right_ann])
    both = left | right
    ann = both.agent("ann")

    assert (both.name, both.entry, [agent.name for agent in both.members]) == ("left", "ann", ["cy", "ann", "bob"])
    assert ann.instruction_parts == ("Brief.", "Kind.", "Quick.")
    assert ann.model == "m/1"
    assert [attachment.block for attachment in ann.attachments] == [notes, pool.block, plan]
    assert [wake.block for wake in ann.wakes] == [notes, pool.block, plan], "each wake once"
    assert [tool.name for tool in ann.toolbox] == ["lookup", "other"]
    assert (left.key_of(notes), right.key_of(plan), both.key_of(plan)) == ("left:ann/notes", "right:plan", "left:plan")
    assert [entry.members for entry in both.wakes if entry.wake is pool] == [("ann", "bob")]


def test_a_team_merged_with_itself_is_as_it_was():
    team = Team("pair", [Agent("ann", "Hello.", blocks=[NOTES], wakes_on=[NOTES], tools=[lookup]), BOB])

    assert (team | team).members == team.members
    with pytest.raises(TypeError, match="unsupported operand"):
        team | ANN


class Counted(str):
    """A label whose comparisons are calls, so that those inside of list.count are counted too."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)


def calls_to_declare(count: int) -> int:
    """How many calls it takes to declare so many agents, each with a block of its own, and to name their blocks."""
    calls = 0

    def profile(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        shared = Block("notes")
        agents = [Agent(f"agent-{n}", blocks=[Block(Counted("persona")), shared.reader()]) for n in range(count)]
        team = Team("crowd", agents, entry=f"agent-{count - 1}")
        assert len(team.names) == count + 1
        assert len(team.wakes) == len(team.edges) == 0
        Orchestrator(team, model=SILENT)
    finally:
        sys.setprofile(before)
    return calls


def test_declaring_twice_as_many_agents_takes_twice_as_many_calls():
    calls_to_declare(10)  # what is imported or cached once is not counted

    assert calls_to_declare(2000) < 2.1 * calls_to_declare(1000)
