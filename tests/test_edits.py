"""The rules of changes: one pure function, by table and by hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import (
    Author,
    BlockError,
    BlockState,
    Change,
    Edit,
    Fresh,
    Grant,
    Guarded,
    Insert,
    LineMoved,
    NotGranted,
    OutdatedRewrite,
    OverLimit,
    ReadOnly,
    Replace,
    Rethink,
    Revision,
    TextNotFound,
    TextNotUnique,
    ToolError,
    UnusableText,
    Update,
    escape,
    unescape,
)
from orchestrator.edits import Shown, apply, operation

ANN, BOB, OWNER, ENGINE = Author("ann", "turn-1"), Author("bob", "turn-2"), Author("owner"), Author("engine", "turn-3")

#: Text that a block can hold, with what trips counting and splitting: line ends, entities, code points beyond BMP.
TEXT = st.text(st.sampled_from("ab\n\r &<;é👩\u0301\u2028") | st.characters(exclude_categories=["Cs"], min_codepoint=1))


def block(value: str = "", **attributes: Any) -> BlockState:
    return BlockState(
        **{"key": "t:notes", "label": "notes", "limit": 1000, "version": 7, "by": "bob"} | attributes, value=value
    )


def history(*past: tuple[str, str]) -> Callable[[int], Iterable[Revision]]:
    """Revisions from (author, text) pairs, oldest first, from version 1 on."""
    revisions = [Revision(version=n, value=text, operation="x", by=by, at=0) for n, (by, text) in enumerate(past, 1)]
    return lambda after: [revision for revision in reversed(revisions) if revision.version > after]


def no_history(after: int) -> Iterable[Revision]:
    raise AssertionError("this rule needs no history")


def applied(state: BlockState, edit: Edit, by: Author = ANN, **options: Any) -> str:
    options = {"grant": Grant.RETHINK, "shown": None, "history": no_history} | options
    return apply(state, edit, by, **options).text


@pytest.mark.parametrize(
    ("before", "text", "line", "after"),
    [
        ("", "new", -1, "new"),
        ("", "new", 0, "new"),
        ("a", "new", -1, "a\nnew"),
        ("a", "new", 0, "new\na"),
        ("a", "new", 1, "a\nnew"),
        ("a\nb", "new", 1, "a\nnew\nb"),
        ("a\nb", "new", 2, "a\nb\nnew"),
        ("a\nb", "x\ny", 1, "a\nx\ny\nb"),
        ("a\n", "new", -1, "a\nnew"),
        ("a\n", "new", 1, "a\nnew\n"),
        ("a\n\n", "new", -1, "a\n\nnew"),
        ("\n", "new", -1, "\nnew"),
        ("a", "new\n", -1, "a\nnew\n"),
        ("a\nb\nb", "new", 2, "a\nb\nnew\nb"),
        ("a\r\nb", "new", 1, "a\r\nnew\nb"),
    ],
)
def test_an_insert_goes_to_the_end_the_top_or_after_the_line_it_names(before, text, line, after):
    assert applied(block(before), Insert(text, line)) == after


@pytest.mark.parametrize(
    ("shown", "line", "now", "after"),
    [
        pytest.param("a\nb\nc", 2, "x\na\nb\nc", "x\na\nb\nNEW\nc", id="lines were added above"),
        pytest.param("a\nb\nc", 2, "b\nc", "b\nNEW\nc", id="lines above were removed"),
        pytest.param("a\nb\nc", 2, "A\nb\nc", "A\nb\nNEW\nc", id="a line above was changed"),
        pytest.param("a\nb\nc", 2, "a\nb\nx\ny", "a\nb\nNEW\nx\ny", id="what is below was changed"),
        pytest.param("a\nb\nc", 2, "x\nb\ny", "x\nb\nNEW\ny", id="both were changed and the line is one of its kind"),
        pytest.param("a\nb\nc", 3, "x\na\nb\nc", "x\na\nb\nc\nNEW", id="the last line moved down"),
        pytest.param("b\nb\nc", 1, "b\nb\nx", "b\nNEW\nb\nx", id="a repeated line with the same above it"),
        pytest.param("a\nb\nb", 3, "x\ny\na\nb\nb", "x\ny\na\nb\nb\nNEW", id="a repeated line with the same below it"),
        pytest.param("a\n", 2, "x\na\n", "x\na\n\nNEW", id="the empty line after a line end"),
        pytest.param("a\nb", 2, "a\nb\nc\nd", "a\nb\nNEW\nc\nd", id="others inserted at the end"),
    ],
)
def test_an_insert_finds_the_line_it_was_shown(shown, line, now, after):
    assert applied(block(now), Insert("NEW", line), shown=Shown(3, shown)) == after


@pytest.mark.parametrize(
    ("shown", "line", "now", "words"),
    [
        pytest.param("a\nb\nc", 2, "a\nB\nC", "bob changed the block", id="the line is gone"),
        pytest.param("a\nb\nc", 2, "x\nb\ny\nb", "no longer clearly there", id="there are two of it now"),
        pytest.param("a\nb\nc\nb\nd", 2, "x\nb\ny", "no longer clearly there", id="there were two of it"),
        pytest.param("a\nb", 2, "", "bob changed the block", id="everything is gone"),
        pytest.param("a\nb", 3, "a\nb\nc", "lines 1 to 2", id="it was not shown that line"),
        pytest.param("a\nb", -2, "a\nb", "-1", id="a negative line"),
        pytest.param("", 1, "a", "empty", id="it was shown an empty block"),
    ],
)
def test_an_insert_after_a_line_that_is_not_clearly_there_is_refused(shown, line, now, words):
    with pytest.raises(LineMoved, match=words) as refused:
        applied(block(now), Insert("NEW", line), shown=Shown(3, shown))

    assert f"after line {line}" in str(refused.value)
    assert refused.value.line == line


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        ("one two", "two", "three", "one three"),
        ("one two", "one two", "", ""),
        ("a\nb\nc", "a\nb", "x", "x\nc"),
        ("aab", "ab", "", "a"),
        ("x", "x", "xx", "xx"),
        ("1 < 2 & 3", "< 2 &", "&lt;", "1 &lt; 3"),
        ("e\u0301", "\u0301", "", "e"),
    ],
)
def test_a_replace_puts_the_new_text_where_the_old_one_stands(before, old, new, after):
    assert applied(block(before), Replace(old, new)) == after


@pytest.mark.parametrize(
    ("value", "old", "lines"),
    [("a b a", "a", (1,)), ("a\nb\na", "a", (1, 3)), ("aaa", "aa", (1,)), ("a\na\na", "a\na", (1, 2)), ("ab", "", ())],
)
def test_a_replace_of_what_is_not_unique_names_the_lines(value, old, lines):
    with pytest.raises(TextNotUnique, match="give more of the text around it") as refused:
        applied(block(value), Replace(old, "x"))

    assert refused.value.lines == lines
    assert all(str(line) in str(refused.value) for line in lines)


@pytest.mark.parametrize(
    ("past", "by", "words"),
    [
        ([("owner", "old"), ("cy", "new"), ("bob", "now")], "cy", "cy changed it"),
        ([("owner", "old"), ("bob", "now")], "bob", "bob changed it"),
        (
            [("owner", "x"), ("di", "old"), ("ann", "y"), ("cy", "old!"), ("di", "z"), ("bob", "now")],
            "di",
            "di changed",
        ),
        ([("owner", "x"), ("bob", "now")], None, "never stood there"),
        ([("owner", "Old"), ("bob", "now")], None, "never stood there in these words"),
    ],
)
def test_a_replace_of_what_is_gone_says_who_removed_it(past, by, words):
    with pytest.raises(TextNotFound, match=words) as refused:
        applied(block("now"), Replace("old", "x"), history=history(*past))

    assert refused.value.by == by
    assert "'old'" in str(refused.value)


@pytest.mark.parametrize(
    ("since", "author", "rule", "refused_for"),
    [
        ([], ANN, "if_unchanged", None),
        (["ann"], ANN, "if_unchanged", None),
        (["ann", "ann"], ANN, "if_unchanged", None),
        (["bob"], ANN, "if_unchanged", "bob"),
        (["bob", "ann"], ANN, "if_unchanged", "bob"),
        (["cy", "bob"], ANN, "if_unchanged", "bob"),
        (["owner"], ANN, "if_unchanged", "owner"),
        (["engine"], ANN, "if_unchanged", "engine"),
        (["bob"], ANN, "last_write_wins", None),
        (["bob"], OWNER, "if_unchanged", None),
        (["bob"], ENGINE, "if_unchanged", None),
    ],
)
def test_a_rethink_is_refused_when_somebody_else_wrote_since(since, author, rule, refused_for):
    past = history(("bob", "1"), ("bob", "2"), *((by, f"then {by}") for by in since))
    state = block("now", version=2 + len(since), rethink=rule)

    if refused_for is None:
        assert applied(state, Rethink("new"), author, shown=Shown(2, "2"), history=past) == "new"
        return
    with pytest.raises(OutdatedRewrite, match=f"by {refused_for} since you were shown version 2") as refused:
        applied(state, Rethink("new"), author, shown=Shown(2, "2"), history=past)
    assert (refused.value.shown, refused.value.by) == (2, refused_for)
    assert f"base your rewrite on version {2 + len(since)}" in str(refused.value)


def test_an_update_decides_on_the_stored_text_and_may_leave_or_refuse_it():
    def refuse(text: str) -> str:
        raise ToolError(f"{text} is taken")

    assert applied(block("now"), Update(str.upper), shown=Shown(1, "then")) == "NOW"
    assert applied(block("now"), Update(lambda text: None)) == "now"
    with pytest.raises(ToolError, match="now is taken"):
        applied(block("now"), Update(refuse))


@pytest.mark.parametrize(
    ("edit", "word", "needed"),
    [
        (Insert("x"), "insert", Grant.INSERT),
        (Replace("now", "x"), "replace", Grant.REPLACE),
        (Rethink("x"), "rethink", Grant.RETHINK),
        (Update(str.upper), "replace", Grant.REPLACE),
    ],
)
def test_grants_and_read_only_bind_agents_and_nobody_else(edit, word, needed):
    assert operation(edit) == word
    for grant in Grant:
        if grant >= needed:
            assert applied(block("now"), edit, grant=grant) != "now"
        else:
            with pytest.raises(NotGranted, match=f"does not grant you {needed}; your grant is {grant}") as refused:
                applied(block("now"), edit, grant=grant)
            assert (refused.value.operation, refused.value.grant) == (word, str(grant))
    with pytest.raises(ReadOnly, match="is read-only and cannot be changed by agents"):
        applied(block("now", read_only=True), edit)
    for author in (OWNER, ENGINE):
        assert applied(block("now", read_only=True), edit, author, grant=Grant.READ) != "now"


@pytest.mark.parametrize("author", [ANN, OWNER, ENGINE], ids=lambda author: author.name)
@pytest.mark.parametrize(
    ("edit", "size"),
    [
        (Insert("123"), 6),
        (Replace("é", "12345"), 6),
        (Rethink("👩" * 6), 6),
        (Rethink("e\u0301" * 3), 6),
        (Update(lambda text: text * 3), 6),
        (Rethink("x" * 1_000_000), 1_000_000),
    ],
)
def test_nobody_exceeds_the_limit_and_it_counts_code_points(author, edit, size):
    with pytest.raises(OverLimit, match=f"{size:,} characters and its limit is {5:,}") as refused:
        applied(block("né", limit=5), edit, author)

    assert (refused.value.size, refused.value.limit) == (size, 5)
    assert applied(block("né", limit=size), edit, author) != "né"


@pytest.mark.parametrize("author", [ANN, OWNER, ENGINE], ids=lambda author: author.name)
def test_a_guard_sees_the_change_and_its_author_and_may_refuse_it(author):
    asked = []

    def guard(change: Change) -> str | None:
        asked.append(change)
        return "no shouting" if change.new.isupper() else None

    assert applied(block("now"), Rethink("later"), author, guard=guard) == "later"
    with pytest.raises(Guarded, match="refuses this change: no shouting") as refused:
        applied(block("now"), Rethink("LATER"), author, guard=guard)

    assert asked == [Change("notes", "now", "later", author), Change("notes", "now", "LATER", author)]
    assert refused.value.reason == "no shouting"


def test_a_guard_that_fails_refuses_the_change_and_says_so():
    def guard(change: Change) -> str | None:
        raise LookupError("no such state")

    with pytest.raises(Guarded, match=r"LookupError.*no such state"):
        applied(block("now"), Insert("x"), guard=guard)


@pytest.mark.parametrize("author", [ANN, OWNER, ENGINE], ids=lambda author: author.name)
@pytest.mark.parametrize(("text", "words"), [("a\0b", "NUL"), ("\ud83d", "surrogate"), ("\udc69\ud83d", "surrogate")])
def test_what_no_database_can_hold_is_refused_to_everybody(author, text, words):
    for edit in (Insert(text), Replace("now", text), Rethink(text), Update(lambda _: text)):
        with pytest.raises(UnusableText, match=words):
            applied(block("now"), edit, author)


@pytest.mark.parametrize("edit", [Replace("now", "now"), Rethink("now"), Update(lambda text: text), Insert("")])
def test_an_edit_that_changes_nothing_asks_nobody(edit):
    def guard(change: Change) -> str | None:
        raise AssertionError("a guard is asked about changes")

    state = block("" if isinstance(edit, Insert) else "now", limit=1)
    assert applied(state, edit, guard=guard) == state.value


@pytest.mark.parametrize(
    ("code", "edit", "options"),
    [
        ("not_granted", Insert("x"), {"grant": Grant.READ}),
        ("over_limit", Insert("x" * 1000), {}),
        ("not_found", Replace("old", "x"), {"history": history(("bob", "now"))}),
        ("not_unique", Replace("", "x"), {}),
        ("line_moved", Insert("x", 9), {}),
        ("changed", Rethink("x"), {"shown": Shown(0, ""), "history": history(("bob", "now"))}),
        ("guarded", Insert("x"), {"guard": lambda change: "no"}),
        ("unusable_text", Insert("\0"), {}),
    ],
)
def test_a_refusal_carries_the_block_as_it_is(code, edit, options):
    with pytest.raises(BlockError, match=r"^block 'notes' ") as refused:
        applied(block("now"), edit, **options)

    assert refused.value.code == code
    assert refused.value.fresh == Fresh(value="now", version=7, by="bob")


def test_a_long_text_is_shortened_in_the_message_and_whole_in_the_error():
    with pytest.raises(TextNotFound) as refused:
        applied(block("now"), Replace("x" * 5000, ""), history=history(("bob", "now")))

    assert len(str(refused.value)) < 250
    assert refused.value.text == "x" * 5000


@given(value=TEXT, text=TEXT, data=st.data())
def test_an_applied_insert_stands_in_the_result_as_lines_of_its_own(value, text, data):
    line = data.draw(st.integers(-1, value.count("\n") + 1 if value else 0))

    lines, added = applied(block(value), Insert(text, line)).split("\n"), text.split("\n")

    assert any(lines[at : at + len(added)] == added for at in range(len(lines)))


@given(texts=st.lists(TEXT.filter(lambda text: not text.endswith("\n") and text), min_size=1), top=st.booleans())
def test_inserts_at_the_end_and_at_the_top_are_all_there_in_their_order(texts, top):
    state = block(limit=1_000_000)
    for text in texts:  # each of them was shown the empty block
        state = state.model_copy(update={"value": applied(state, Insert(text, 0 if top else -1), shown=Shown(1, ""))})

    assert state.value == "\n".join(reversed(texts) if top else texts)


@given(shown=st.lists(st.sampled_from("abc"), min_size=1), now=st.lists(st.sampled_from("abcx")), data=st.data())
def test_an_insert_after_a_line_stands_below_that_line_or_is_refused(shown, now, data):
    line = data.draw(st.integers(1, len(shown)))
    try:
        after = applied(block("\n".join(now)), Insert("NEW", line), shown=Shown(1, "\n".join(shown))).split("\n")
    except LineMoved:
        assert now[:line] != shown[:line]
        return
    assert [above for above, below in pairwise(after) if below == "NEW"] == [shown[line - 1]]
    assert [kept for kept in after if kept != "NEW"] == now


@given(before=TEXT, old=TEXT.filter(bool), after=TEXT, new=TEXT)
def test_a_replace_is_applied_exactly_when_there_is_one_place_for_it(before, old, after, new):
    value = before + old + after
    places = sum(value.startswith(old, at) for at in range(len(value)))
    try:
        changed = applied(block(value), Replace(old, new))
    except TextNotUnique:
        assert places > 1
    else:
        assert places == 1
        assert changed == before + new + after


@given(one=TEXT, other=TEXT)
def test_escaping_keeps_different_texts_different_and_comes_back(one, other):
    assert "<" not in escape(one)
    assert unescape(escape(one)) == one
    assert (escape(one) == escape(other)) == (one == other)


@given(text=TEXT)
def test_unescaping_what_was_never_escaped_does_no_harm(text):
    assert unescape(text.replace("&", "+")) == text.replace("&", "+")
    if "&amp;" not in text and "&lt;" not in text:
        assert unescape(text) == text
    assert unescape("R&D; &gt; &lt &#60; a&b") == "R&D; &gt; &lt &#60; a&b"
