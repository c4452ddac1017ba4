"""What `check` says of a team's blocks, wakes, tools, models and budget: who has it, and the nearest who has not."""

from __future__ import annotations

import re
from typing import Any

import pytest
from handing import pass_on

import orchestrator
from orchestrator import (
    Agent,
    Block,
    Budget,
    DeclarationError,
    Finding,
    Grant,
    LiteLLMModel,
    Report,
    Team,
    Waiver,
    Wake,
    check,
    tool,
)
from orchestrator.checking.asked import Asked
from orchestrator.checking.findings import Rule
from orchestrator.checking.lint_labels import alike
from orchestrator.checking.lint_running import fan_out
from orchestrator.checking.rules import RULES, rule
from orchestrator.checking.waking import Waking
from orchestrator.models import VARIABLE, windows
from orchestrator.models.windows import window_of
from orchestrator.testing import FunctionModel
from patterns import curate, hand_off, supervise, user_preferences
from patterns.teams import domain_knowledge_team


def block(label: str, value: str = "", **options: Any) -> Block:
    return Block(label, value, f"It is called {label}.", **options)


def codes(*agents: Agent, **options: Any) -> list[str]:
    """What is found in a team, but for races, models, and messages that alone wake."""
    found = check(Team("team", agents, **options)).findings
    return sorted({finding.code for finding in found} - {"L012", "L032", "R002", "R003", "R004"})


def found(code: str, team: Team, **options: Any) -> list[Finding]:
    return [finding for finding in check(team, **options).findings if finding.code == code]


# --- the table

OF_TEAMS = [rule for rule in RULES.values() if not rule.code.startswith("D")]


def declared(snippet: str) -> Team:
    namespace: dict[str, Any] = {name: getattr(orchestrator, name) for name in orchestrator.__all__}
    exec(snippet, namespace)  # noqa: S102 -- it is what our own table says
    team = namespace["team"]
    assert isinstance(team, Team)
    return team


@pytest.mark.parametrize("rule", OF_TEAMS, ids=lambda rule: rule.code)
def test_the_bad_example_of_a_rule_has_it_and_the_good_one_has_not(rule: Rule) -> None:
    bad, good = found(rule.code, declared(rule.bad)), found(rule.code, declared(rule.good))

    assert [(finding.severity, finding.waived) for finding in bad] == [(rule.severity, None)] * len(bad)
    assert bad
    assert all(finding.mend == rule.mend for finding in bad)
    assert not good


@pytest.mark.parametrize("rule", OF_TEAMS, ids=lambda rule: rule.code)
def test_a_rule_says_all_that_is_needed(rule: Rule) -> None:
    assert rule.code[0] in "RLW"
    assert rule.code[1:].isdigit()
    assert all(part.strip() for part in rule)
    assert rule.summary.endswith(".")
    assert rule.why.endswith(".")
    assert not rule.mend.endswith(".")


def test_a_good_example_of_an_error_or_a_warning_passes_strictly() -> None:
    grave = [rule for rule in OF_TEAMS if rule.severity != "note"]

    assert len(grave) > 10
    assert [rule.code for rule in grave if not check(declared(rule.good)).passes(strict=True)] == []
    assert [rule.code for rule in grave if check(declared(rule.bad)).passes(strict=True)] == []


def test_a_code_is_found_however_it_is_typed_and_one_that_is_not_lists_those_there_are() -> None:
    assert rule("r001") is RULES["R001"]
    with pytest.raises(
        DeclarationError, match=r"^R9: is no code of a finding; there are: R001, R002, .*, W002, D001, .*, D405$"
    ):
        rule("R9")


# --- the report


def test_errors_come_first_and_notes_fail_nobody() -> None:
    lww = Block("lww", description="Shared.", rethink="last_write_wins")
    agents = [Agent(name, blocks=[lww.curator()]) for name in ("ann", "bob")]
    report = check(Team("team", [*agents, Agent("carol", blocks=[Block("bare")])]))

    assert [finding.severity for finding in report.findings] == ["error", "warning", "note", "note", "note"]
    assert [finding.code for finding in report.errors + report.warnings] == ["R001", "L004"]
    assert not report.passes()
    assert not report.passes(strict=True)


def test_warnings_fail_only_strictly() -> None:
    report = check(Team("team", [Agent("ann", blocks=[Block("bare")])]))

    assert [finding.code for finding in report.findings] == ["L004", "L032"]
    assert report.passes()
    assert not report.passes(strict=True)


def test_a_report_as_a_document_can_be_read_again() -> None:
    notes = block("notes")
    report = check(Team("team", [Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes.curator()])]))

    document = report.document()

    assert (document["team"], document["errors"], document["warnings"], document["waived"]) == ("team", 0, 0, 0)
    assert document["notes"] == len(report.notes) == 3
    assert document["races"][0]["schedule"] == list(report.races[0].schedule)
    assert Report.model_validate(document) == report


def test_the_same_team_is_told_the_same() -> None:
    assert check(domain_knowledge_team()) == check(domain_knowledge_team())


# --- waivers


def bare(*waivers: Waiver, name: str = "ann") -> Team:
    return Team("team", [Agent(name, blocks=[Block("notes")])], waivers=waivers)


@pytest.mark.parametrize("place", ["", "notes", "block 'notes'"])
def test_what_is_waived_is_shown_with_its_reason_and_fails_nobody(place: str) -> None:
    report = check(bare(Waiver("L004", place, reason="known")))

    assert [(finding.code, finding.waived) for finding in report.waived] == [("L004", "known")]
    assert report.warnings == ()
    assert report.passes(strict=True)


def test_a_waiver_fits_only_what_it_names() -> None:
    report = check(bare(Waiver("L004", "otes", reason="known")))

    assert [finding.code for finding in report.warnings] == ["L004", "W001"]
    assert (
        report.warnings[1].reason
        == "there is no finding L004 (no description) at 'otes'; there is one at block 'notes'"
    )
    assert found("W001", bare(Waiver("L002", reason="known")))[0].reason.startswith("there is no finding L002 (a block")


def test_a_waiver_of_an_unknown_code_is_told_of() -> None:
    (finding,) = found("W002", bare(Waiver("L999", "notes", reason="known")))

    assert (finding.place, finding.reason) == ("waiver 'L999'", "there is no rule 'L999', so it waives nothing")


def test_an_error_can_be_waived_too() -> None:
    notes = Block("notes", description="Shared.", rethink="last_write_wins")
    agents = [Agent(name, blocks=[notes.curator()]) for name in ("ann", "bob")]
    report = check(Team("team", agents, waivers=[Waiver("R001", "notes", reason="as Letta does")]))

    assert report.passes(strict=True)
    assert [finding.code for finding in report.waived] == ["R001"]


def test_teams_unite_their_waivers() -> None:
    one, other = Waiver("L004", "notes", reason="known"), Waiver("L012", reason="they are sent messages")

    team = bare(one) | bare(one, other, name="bob")

    assert team.waived == (one, other)


@pytest.mark.parametrize(
    ("code", "place", "reason", "told"),
    [
        ("L004", "", " ", "a waiver of 'L004': has no reason; say why"),
        ("L004", "", None, "a waiver of 'L004': has no reason; say why"),
        ("", "", "known", "a waiver: its code is ''; give that of a finding"),
        (4, "", "known", "a waiver: its code is 4; give"),
        ("L004", Block("notes"), "known", "a waiver of 'L004': its place is a Block; give the name"),
    ],
)
def test_a_waiver_is_checked_when_it_is_declared(code: Any, place: Any, reason: Any, told: str) -> None:
    with pytest.raises(DeclarationError, match=told):
        Waiver(code, place, reason=reason)


@pytest.mark.parametrize("waivers", [Waiver("L004", reason="known"), "L004", 4])
def test_waivers_are_a_list(waivers: Any) -> None:
    with pytest.raises(DeclarationError, match="team 'team': its waivers are not a list"):
        Team("team", [Agent("ann")], waivers=waivers)


def test_among_waivers_there_is_nothing_else() -> None:
    with pytest.raises(DeclarationError, match="has a str among its waivers; give Waiver objects"):
        Team("team", [Agent("ann")], waivers=["L004"])  # type: ignore[list-item]


# --- blocks


def test_an_archive_that_is_seen_needs_no_writer() -> None:
    old = block("old")
    notes = block("notes", overflow=old)

    assert codes(Agent("ann", blocks=[notes, old.reader()])) == []
    assert codes(Agent("ann", blocks=[notes])) == ["L001"]


def test_an_archive_that_nobody_sees_needs_no_description() -> None:
    notes = block("notes", overflow=Block("old"))

    assert codes(Agent("ann", blocks=[notes])) == ["L001"]
    seen = Block("old")
    assert codes(Agent("ann", blocks=[block("notes", overflow=seen), seen.reader()])) == ["L004"]


def test_persona_and_human_have_a_description() -> None:
    assert codes(Agent("ann", blocks=[Block("persona", "I am ann."), Block("human", "Bob.")])) == []


@pytest.mark.parametrize("more", [{}, {"limit": 600}, {"overflow": block("old")}, {"full": True}])
def test_a_small_block_is_one_in_which_nothing_makes_room(more: dict[str, Any]) -> None:
    wakes = more.pop("full", False)
    notes = block("notes", **{"limit": 599, **more})
    curator = Agent("tidy", blocks=[notes.reader()], wakes_on=[Wake(notes, full=0.8)] if wakes else [])
    ann, bob = (Agent(name, blocks=[notes.contributor()]) for name in ("ann", "bob"))

    assert ("L005" in codes(ann, bob, curator)) == (not more and not wakes)


def test_one_writer_may_do_with_little_room() -> None:
    assert codes(Agent("ann", blocks=[block("status", limit=20)])) == []


@pytest.mark.parametrize(
    ("attachments", "is_hot"),
    [
        (lambda b: (b.contributor(), b.reader()), True),
        (lambda b: (b.reader(), b.reader()), False),
        (lambda b: (b.contributor(),), False),
    ],
    ids=["changed", "only read", "own"],
)
def test_a_hot_block_is_shared_and_changed(attachments: Any, is_hot: bool) -> None:
    notes = block("notes", "text", placement="system")
    agents = [Agent(f"agent-{n}", blocks=[attachment]) for n, attachment in enumerate(attachments(notes))]

    assert codes(*agents) == (["L008"] if is_hot else [])


# --- labels


@pytest.mark.parametrize(
    ("one", "other", "how"),
    [
        ("Notes", "notes", "in case only"),
        ("user_notes", "user-notes", "in punctuation only"),
        ("usernotes", "user_notes", "in punctuation only"),
        ("note", "notes", "by a plural only"),
        ("policy", "policies", "by a plural only"),
        ("user_preference", "users_preferences", "by a plural only"),
        ("clause", "cause", "by one letter only"),
        ("organisation", "organization", "by one letter only"),
        ("recieved", "received", "by one letter only"),
        ("my_orders", "my_ordres", "by one letter only"),
        ("notes", "facts", ""),
        ("plan_a", "plan_b", ""),
        ("result_ann", "result_dan", ""),
        ("result_1", "result_2", ""),
        ("result1", "result2", ""),
        ("results1", "results12", ""),
        ("glass", "glas", "by one letter only"),
        ("user_notes", "notes", ""),
        ("user_notes", "team_facts", ""),
        ("orders", "orbits", ""),
    ],
)
def test_labels_that_a_model_will_confuse(one: str, other: str, how: str) -> None:
    assert alike(one, other) == alike(other, one) == how


def test_labels_of_different_agents_are_not_confused() -> None:
    assert codes(Agent("ann", blocks=[block("note")]), Agent("bob", blocks=[block("notes")])) == []


def test_blocks_that_were_perhaps_meant_to_be_one() -> None:
    def team(one: str, other: str, label: str = "facts") -> Team:
        return Team("two", [Agent("ann", blocks=[block(label, one)]), Agent("bob", blocks=[block(label, other)])])

    (finding,) = found("L007", team("same", "same"))

    assert finding.reason == "ann and bob each have a block of their own with this label and the same text"
    assert found("L007", team("", ""))[0].reason.endswith("no text yet")
    assert found("L007", team("same", "other")) == []
    assert found("L007", team("I am ann", "I am ann", "persona")) == []


# --- what wakes


def test_the_entry_agent_may_have_wakes_that_never_fire() -> None:
    notes = block("notes")
    sleepy = Agent("ann", blocks=[notes], wakes_on=[Wake(notes, by=["bob"])])

    assert codes(sleepy, Agent("bob")) == []
    assert codes(Agent("bob"), sleepy) == ["L011"]


@pytest.mark.parametrize(
    ("wake", "can_fire"),
    [
        (lambda notes: notes, True),  # the owner may change it
        (lambda notes: Wake(notes, by=["owner"]), True),
        (lambda notes: Wake(notes, by=["ann"]), True),
        (lambda notes: Wake(notes, by=["carol"]), False),  # may only read it
        (lambda notes: Wake(notes, by=["bob"]), False),  # itself
        (lambda notes: Wake(notes, full=0.5), True),
        (lambda notes: Wake(notes, when=bool), True),
        (lambda notes: Wake(every=3, by=["bob"]), False),
        (lambda notes: Wake(every=3, by=["carol"]), True),
        (lambda notes: Wake(idle=True), True),
    ],
    ids=["anybody", "owner", "ann", "reader", "itself", "full", "when", "counts itself", "counts others", "idle"],
)
def test_a_wake_fires_if_anybody_can_set_it_off(wake: Any, can_fire: bool) -> None:
    notes = block("notes")
    ann, carol = Agent("ann", blocks=[notes]), Agent("carol", blocks=[notes.reader()])
    bob = Agent("bob", blocks=[notes], wakes_on=[wake(notes)])

    assert codes(ann, bob, carol) == ([] if can_fire else ["L011"])


def test_what_can_never_fire_is_named() -> None:
    notes, note = block("notes"), block("note_book")
    wakes = [Wake(notes, by=["bob"]), Wake(every=1, by=["bob"]), Wake(note, handoffs=2)]
    team = Team("two", [Agent("ann"), Agent("bob", blocks=[notes, note], wakes_on=wakes)])

    (finding,) = found("L011", team)

    assert finding.reason == (
        "none of its wakes can ever fire: nobody of by= may change 'notes' (its own changes never count), there are no"
        " turns of others to count and nobody can hand over to it"
    )


def test_who_only_takes_control_is_told_of_once() -> None:
    note = block("note")

    assert codes(Agent("ann", blocks=[note]), Agent("bob", blocks=[note], wakes_on=[Wake(note, handoffs=2)])) == [
        "L016"
    ]


def test_a_circle_is_left_where_somebody_only_reads() -> None:
    notes = block("notes")
    ann = Agent("ann", blocks=[notes], wakes_on=[notes])

    assert codes(ann, Agent("bob", blocks=[notes], wakes_on=[notes])) == ["L013"]
    assert codes(ann, Agent("bob", blocks=[notes.reader()], wakes_on=[notes])) == []


def test_a_circle_over_several_agents_and_blocks_is_told_once() -> None:
    one, two, three = block("one"), block("two"), block("three")
    ann = Agent("ann", blocks=[one, three.reader()], wakes_on=[three])
    bob = Agent("bob", blocks=[two, one.reader()], wakes_on=[one])
    carol = Agent("carol", blocks=[three, two.reader()], wakes_on=[two])

    (finding,) = found("L014", Team("circle", [ann, bob, carol]))

    assert finding.place == "agent 'ann'"
    assert "ann, bob and carol wake one another by changes of 'one', 'three' and 'two'" in finding.reason


def test_one_wake_that_counts_anybody_makes_a_circle_a_warning() -> None:
    notes = block("notes")
    ann = Agent("ann", blocks=[notes], wakes_on=[Wake(notes, by=["bob"])])

    assert codes(ann, Agent("bob", blocks=[notes], wakes_on=[Wake(notes, by=["ann"])])) == ["L014"]
    assert codes(ann, Agent("bob", blocks=[notes], wakes_on=[notes])) == ["L013"]


def test_lines_that_move_to_an_archive_can_close_a_circle() -> None:
    old = block("old", "text")
    notes = block("notes", overflow=old)
    ann = Agent("ann", blocks=[notes], wakes_on=[Wake(notes, by=["bob"])])
    bob = Agent("bob", blocks=[old.reader(), notes], wakes_on=[old])

    assert codes(ann, bob) == ["L013"]


def test_what_ends_by_itself_is_no_circle() -> None:
    notes = block("notes")

    def pair(wake: Wake) -> list[Agent]:
        return [Agent(name, blocks=[notes], wakes_on=[wake], tools=[pass_on]) for name in ("ann", "bob")]

    assert codes(*pair(Wake(notes, when=lambda text: "?" in text))) == []
    assert codes(*pair(Wake(notes, full=0.9))) == []
    assert codes(*pair(Wake(notes, handoffs=6))) == []


@pytest.mark.parametrize(("every", "expected"), [(1, ["L014"]), (2, [])])
def test_a_curator_that_calls_as_many_turns_as_it_is_woken_after_never_ends(every: int, expected: list[str]) -> None:
    notes = block("notes", "text")
    bob = Agent("bob", blocks=[notes.reader()], wakes_on=[Wake(notes, by=["tidy"])])
    tidy = Agent("tidy", blocks=[notes], wakes_on=[Wake(every=every)])

    assert codes(Agent("ann"), bob, tidy) == expected


# --- handing over


@pytest.mark.parametrize(
    ("limit", "turns", "told"), [(6, 1000, False), (1000, 1000, True), (6, 6, True), (6, 7, False)]
)
def test_a_handoff_limit_counts_below_the_budget(limit: int, turns: int, told: bool) -> None:
    team = hand_off(Agent("ann"), Agent("bob"), limit=limit)

    assert bool(found("L015", team, budget=Budget(turns=turns))) == told


def test_a_tool_that_may_do_anything_may_hand_over() -> None:
    note = block("note")
    taking = Wake(note, handoffs=2)
    bob = Agent("bob", blocks=[note], wakes_on=[taking])

    assert codes(Agent("ann", blocks=[note], tools=[pass_on]), bob) == []
    assert codes(Agent("ann", blocks=[note], tools=[ask]), bob) == ["L016"]


def ask(question: str) -> str:
    """Ask somebody outside."""
    return question


def test_the_tools_of_a_pair_need_their_note_and_their_partner() -> None:
    pair = hand_off(Agent("ann"), Agent("bob"))
    ann, _ = pair.members
    note = ann.attachments[0].block

    assert check(pair).passes(strict=True)
    assert codes(Agent("ann", tools=ann.toolbox), Agent("bob")) == ["L021"]
    reader = Agent("ann", blocks=[note.reader()], tools=ann.toolbox)
    (finding,) = found(
        "L021", Team("reading", [reader, Agent("bob", blocks=[note], wakes_on=[Wake(note, handoffs=1)])])
    )
    assert finding.reason == (
        "its tool 'hand_off_to_bob' needs to insert in the block 'handoff_context', and it may only read"
    )
    writer = Agent("ann", blocks=[note], tools=ann.toolbox)
    (nobody,) = found("L023", Team("alone", [writer]))
    assert nobody.reason == "its tool 'hand_off_to_bob' hands over to 'bob', who is not in the team"
    (unwilling,) = found("L023", Team("unwilling", [writer, Agent("bob", blocks=[note])]))
    assert unwilling.reason.endswith("'bob', who takes no control from it with that note")
    missing = found("L023", Team("missing", [Agent("ann", tools=ann.toolbox), Agent("bob", blocks=[note])]))
    assert missing == []  # that it lacks the note is enough to know


# --- queues


def test_the_tools_of_a_queue_need_it() -> None:
    lead, ann = supervise(Agent("lead"), [Agent("ann")]).members

    (adds,) = found("L021", Team("blind", [Agent("lead", tools=lead.toolbox)]))
    (settles,) = found("L021", Team("blind", [Agent("ann", tools=ann.toolbox)]))

    assert adds.reason == "its tool 'add_tasks' needs the block 'task_queue', which it does not have"
    assert settles.reason == "its tool 'settle_task' needs the block 'task_queue', which it does not have"
    queue = lead.attachments[0].block
    (weak,) = found("L021", Team("weak", [Agent("lead", blocks=[queue.contributor()], tools=lead.toolbox)]))
    assert weak.reason == "its tool 'add_tasks' needs to replace in the block 'task_queue', and it may only insert"


def take(text: str, agent: str) -> str | None:
    return text.replace("open", agent, 1) if "open" in text else None


@pytest.mark.parametrize(
    ("lead", "value", "why"),
    [
        (lambda queue: [], "", "nobody outside sees it"),
        (lambda queue: [queue.reader()], "", "of those outside, lead may only read it"),
        (lambda queue: [queue.contributor()], "", ""),
        (lambda queue: [], "open", ""),  # there is work from the beginning
    ],
    ids=["unseen", "read", "filled", "begun"],
)
def test_a_queue_is_filled_from_outside_or_from_the_beginning(lead: Any, value: str, why: str) -> None:
    queue = block("queue", value)
    work = Wake(queue, when=lambda text: text.count("open"), claim=take)
    team = Team("crew", [Agent("lead", blocks=lead(queue)), Agent("ann", blocks=[queue], wakes_on=[work])])

    reasons = [finding.reason for finding in found("L022", team)]

    assert reasons == ([f"a pool (ann) claims work from it, and {why}"] if why else [])


def test_a_when_that_fails_calls_for_nobody_at_first() -> None:
    queue = block("queue", "open")
    work = Wake(queue, when=lambda text: text.index("absent"), claim=take)

    assert codes(Agent("lead"), Agent("ann", blocks=[queue], wakes_on=[work])) == ["L022"]


@pytest.mark.parametrize("needs", [["notes"], {"notes": "insert"}])
def test_what_a_tool_needs_is_said_with_grants(needs: Any) -> None:
    with pytest.raises(DeclarationError, match="give labels of blocks, each with a Grant"):
        tool(needs=needs)(ask)


def test_whom_a_tool_hands_over_to_is_said_by_name() -> None:
    with pytest.raises(DeclarationError, match="hands_to is 5; give the name of an agent"):
        tool(hands_to=5)  # type: ignore[call-overload]


def test_what_a_tool_needs_changes_nothing_else_of_it() -> None:
    made, plain = tool(needs={"notes": Grant.INSERT}, hands_to="bob")(ask), tool(ask)

    assert (made.needs, made.hands_to) == ({"notes": Grant.INSERT}, "bob")
    assert (plain.needs, plain.hands_to) == ({}, "")
    assert made.spec == plain.spec
    assert tool()(ask).spec == plain.spec


# --- models and budgets


def test_a_model_that_there_is_not_is_named_with_whom_it_would_answer_for(monkeypatch: pytest.MonkeyPatch) -> None:
    team = Team("trio", [Agent("ann", model="gpt-5-mini"), Agent("bob", model="openai/gpt-5-mini"), Agent("carl")])

    assert [finding.reason for finding in found("L035", team)] == [
        "there is no model 'gpt-5-mini', which is to answer for ann"
    ]
    (finding,) = found("L035", team, model="rehersal")
    assert (finding.severity, finding.place) == ("error", "team 'trio'")
    assert finding.reason == "there is no model 'rehersal', which is to answer for ann, bob and carl"
    assert found("L035", team, model="rehearsal") == found("L035", team, model=FunctionModel(lambda request: "")) == []
    monkeypatch.setenv(VARIABLE, "openai/")
    assert found("L035", team)[1].reason == "there is no model 'openai/', which is to answer for carl"


def test_no_model_is_a_note_and_some_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def team(*models: str | None) -> Team:
        return Team("team", [Agent(f"agent-{n}", model=model) for n, model in enumerate(models)])

    def told(team: Team, **options: Any) -> list[str]:
        return [finding.code for finding in check(team, **options).findings if finding.code in ("L032", "L033")]

    assert told(team(None, None)) == ["L032"]
    assert told(team("rehearsal", None)) == ["L033"]
    assert told(team("rehearsal", "rehearsal")) == []
    assert told(team("rehearsal", None), model="rehearsal") == []
    assert told(team(None, None), model=FunctionModel(lambda request: "")) == []
    monkeypatch.setenv(VARIABLE, "rehearsal")
    assert told(team("rehearsal", None)) == told(team(None)) == []
    monkeypatch.setenv(VARIABLE, "")
    assert told(team(None)) == ["L032"]


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("openai/gpt-4o", True),
        ("gemini/gemini-2.5-flash", False),
        ("openai/there-is-no-such-model", False),
        ("rehearsal", False),
        (LiteLLMModel("openai/gpt-4o"), True),
        (FunctionModel(lambda request: ""), False),
    ],
    ids=["small", "large", "unknown", "rehearsal", "an object", "a stand-in"],
)
def test_blocks_that_together_exceed_what_a_model_reads(model: Any, told: bool) -> None:
    shelf = [block(f"shelf_{letter}", limit=100_000) for letter in "abcdefgh"]
    team = Team("readers", [Agent("ann", blocks=shelf)])

    findings = found("L031", team, model=model)

    assert [finding.place for finding in findings] == (["agent 'ann'"] if told else [])
    if told:
        assert findings[0].reason == (
            "its blocks may grow to 800,000 characters, about 216,216 tokens, and openai/gpt-4o reads 128,000 at most"
        )


@pytest.mark.parametrize(
    ("name", "window"),
    [
        ("openai/gpt-4o", 128_000),
        ("anthropic/claude-haiku-4-5", 200_000),
        ("gemini/gemini-2.5-flash", 1_048_576),
        ("anthropic/gpt-4o", None),  # another provider's
        ("gpt-4o", None),  # no name of a model here
        ("openai/nothing", None),
        ("openai/sample_spec", None),
    ],
)
def test_how_much_a_model_reads_stands_in_the_price_list(name: str, window: int | None) -> None:
    assert window_of(name) == window


@pytest.mark.parametrize("content", [None, "not JSON", "[]"])
def test_without_a_price_list_nothing_is_known(content: str | None, tmp_path: Any, monkeypatch: Any) -> None:
    if content is not None:
        (tmp_path / windows._LIST).write_text(content)
    monkeypatch.setattr(windows, "find_spec", lambda name: type("Spec", (), {"submodule_search_locations": [tmp_path]}))
    windows._price_list.cache_clear()
    try:
        assert window_of("openai/gpt-4o") is None
        monkeypatch.setattr(windows, "find_spec", lambda name: None)
        windows._price_list.cache_clear()
        assert window_of("openai/gpt-4o") is None
    finally:
        windows._price_list.cache_clear()


def test_a_budget_has_a_turn_for_everybody_who_may_be_woken() -> None:
    team = domain_knowledge_team(workers=3)  # the analyst, three specialists, and the analyst again

    assert fan_out(Waking(team)) == 5
    (finding,) = found("L034", team, budget=Budget(turns=4))
    assert finding.reason == "a message to analyst may call for 5 turns, and a run may have 4 turns"
    assert found("L034", team, budget=Budget(turns=5)) == []


def test_a_pool_needs_one_turn_and_those_who_tidy_none() -> None:
    crew = supervise(Agent("lead"), [Agent(f"worker-{n}") for n in range(9)])

    assert fan_out(Waking(crew)) == 3  # the lead, a worker, and the lead again
    assert fan_out(Waking(crew | curate(Agent("curator"), user_preferences(), crew.members))) == 3


def test_what_others_would_write_for_whom_is_looked_at_once() -> None:
    one, two = block("one"), block("two")
    ann = Agent("ann", blocks=[one, two.reader()])
    bob = Agent("bob", blocks=[one.reader(), two], wakes_on=[one, two])
    carol = Agent("carol", blocks=[one.reader(), two], wakes_on=[one, two])

    assert fan_out(Waking(Team("team", [ann, bob, carol]))) == 3


def test_the_model_that_counts_is_the_one_that_would_answer() -> None:
    ann, bob = Agent("ann", model="rehearsal"), Agent("bob")
    team = Team("two", [ann, bob])

    assert Asked(team, None, Budget(), "else").model_of(ann) == "rehearsal"
    assert Asked(team, None, Budget(), "else").model_of(bob) == "else"
    assert Asked(team, "all", Budget(), "else").model_of(ann) == "all"
    assert Asked(team, None, Budget(), None).model_of(bob) is None


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"team": Agent("ann")}, "team is Agent(name='ann'"),
        ({"budget": 5}, "budget is 5; give a Budget"),
        ({"model": 5}, "5 is no model; give a name or an object with respond()"),
    ],
)
def test_an_argument_that_cannot_be_what_it_is_is_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(DeclarationError, match=re.escape(f"a check: {why}")):
        check(**{"team": Team("solo", [Agent("ann")]), **given})
