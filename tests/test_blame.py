"""Who wrote which line."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.blame import blame
from orchestrator.blocks import Revision


def history(*versions: tuple[str, str]) -> list[Revision]:
    return [
        Revision(version=number, value=text, operation="modify", by=by, turn=f"turn-{number}", at=float(number))
        for number, (by, text) in enumerate(versions, 1)
    ]


def told(*versions: tuple[str, str]) -> list[tuple[str, str]]:
    return [(line.text, line.by) for line in blame(history(*versions))]


def test_each_line_tells_who_wrote_it_when_in_which_version_and_turn():
    first, second = blame(history(("ann", "one"), ("bob", "one\ntwo")))

    assert first == ("one", 1, "ann", "turn-1", 1.0)
    assert second == ("two", 2, "bob", "turn-2", 2.0)


def test_lines_that_a_rewrite_left_as_they_were_keep_their_author():
    assert told(("ann", "a\nb\nc\nd"), ("bob", "a\nB\nc\nx\nd")) == [
        ("a", "ann"),
        ("B", "bob"),
        ("c", "ann"),
        ("x", "bob"),
        ("d", "ann"),
    ]


def test_a_line_that_is_moved_is_its_movers():
    assert told(("ann", "a\nb\nc"), ("bob", "c\na\nb")) == [("c", "bob"), ("a", "ann"), ("b", "ann")]


def test_a_line_that_was_removed_and_written_again_is_its_second_authors():
    assert told(("ann", "a\nb"), ("bob", "a"), ("eve", "a\nb")) == [("a", "ann"), ("b", "eve")]


def test_an_empty_block_has_no_lines_and_empty_lines_are_lines():
    assert told(("ann", "")) == []
    assert told() == []
    assert told(("ann", ""), ("bob", "\n")) == [("", "bob"), ("", "bob")]
    assert told(("ann", "a\n"), ("bob", "")) == []


TEXT = st.lists(st.sampled_from(["a", "b", "c", "", "dd"]), max_size=8).map("\n".join)
VERSIONS = st.lists(st.tuples(st.sampled_from(["ann", "bob"]), TEXT), min_size=1, max_size=6)


@given(VERSIONS)
@example([("ann", "a\na"), ("bob", "a")])
@example([("ann", "a\nb\na"), ("bob", "a\na")])
def test_the_lines_are_always_the_text(versions):
    lines = blame(history(*versions))

    assert "\n".join(line.text for line in lines) == versions[-1][1]
    for line in lines:
        by, text = versions[line.version - 1]
        assert line.by == by
        assert line.text in text.split("\n"), "it stood in that version"
        if line.version > 1:
            before = versions[line.version - 2][1]
            assert by == versions[line.version - 1][0]
            assert before != text


@given(TEXT, TEXT)
def test_what_two_versions_begin_or_end_with_keeps_its_author(before, added):
    inserted = f"{before}\nnew\n{added}"
    lines = blame(history(("ann", before), ("bob", inserted)))
    count = len(before.split("\n")) if before else 0

    assert {line.by for line in lines[:count]} <= {"ann"}
    assert sum(line.text == "new" and line.by == "bob" for line in lines) == 1

    removed = blame(history(("ann", inserted), ("bob", before)))
    assert {line.by for line in removed} <= {"ann"}
