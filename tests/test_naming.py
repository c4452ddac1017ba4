"""What blocks are called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import AmbiguousLabel, UnknownName
from orchestrator.naming import Named, Names


def names(*blocks: Named) -> Names:
    return Names("team 'team'", blocks)


def test_a_block_is_called_by_its_label_where_that_is_enough():
    found = names(Named("k1", "notes", ("ann", "bob")), Named("k2", "unseen", ()))

    assert dict(found.by_key) == {"k1": "notes", "k2": "unseen"}
    assert (found.key("notes"), found.key("bob/notes"), found.key("unseen"), found.key("k2")) == (
        "k1",
        "k1",
        "k2",
        "k2",
    )


def test_where_several_have_the_label_each_is_called_by_the_first_agent_that_sees_it():
    found = names(Named("k1", "notes", ("ann", "bob")), Named("k2", "notes", ("eve",)))

    assert dict(found.by_key) == {"k1": "ann/notes", "k2": "eve/notes"}
    assert found.key("bob/notes") == "k1"
    with pytest.raises(AmbiguousLabel) as ambiguous:
        found.key("notes")
    assert ambiguous.value.candidates == ("ann/notes", "eve/notes")


def test_a_block_that_nobody_sees_gives_way_to_one_that_is_seen():
    found = names(Named("k1", "notes", ()), Named("k2", "notes", ("ann",)))

    assert dict(found.by_key) == {"k1": "k1", "k2": "notes"}
    assert (found.key("notes"), found.key("k1")) == ("k2", "k1")


def test_a_name_that_nothing_has_is_told_with_those_there_are():
    with pytest.raises(UnknownName, match="team 'team': has no block 'x/notes'; it has: notes"):
        names(Named("k1", "notes", ("ann",))).key("x/notes")
    with pytest.raises(UnknownName, match="it has: none"):
        names().key("notes")


AGENTS = st.lists(st.sampled_from(["ann", "bob", "eve"]), unique=True, max_size=3)


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), AGENTS), max_size=6))
def test_the_name_of_each_block_names_it_and_no_two_have_one_name(blocks):
    taken: set[tuple[str, str]] = set()
    named = []
    for number, (label, agents) in enumerate(blocks):
        mine = tuple(agent for agent in agents if (agent, label) not in taken)  # labels are unique per agent
        taken.update((agent, label) for agent in mine)
        named.append(Named(f"team:{number}", label, mine))
    found = names(*named)

    assert len(set(found.by_key.values())) == len(named)
    for key, name in found.by_key.items():
        assert found.key(name) == key
