"""Which records an attack reads depends on names alone, and every subject has its share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.attacks._drawing import evenly, halves
from expunge.core.errors import EvidenceError
from expunge.core.example import Example, Examples

NAMES = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 9)), unique=True, min_size=1)


def records(names):
    return Examples(Example(f"{who}{i}", "?", "!", subject=who) for who, i in names)


@given(NAMES, st.integers(1, 30), st.randoms())
def test_a_draw_is_even_over_subjects_and_ignores_the_order_of_records(names, most, random):
    examples = records(names)
    drawn = evenly(examples, most)
    assert len(drawn) == min(most, len(examples)) and set(drawn.ids) <= set(examples.ids)
    have = {who: examples.subjects.count(who) for who in set(examples.subjects)}
    taken = {who: drawn.subjects.count(who) for who in have}
    most_taken = max(taken.values())
    assert all(taken[who] == have[who] or taken[who] >= most_taken - 1 for who in have)
    random.shuffle(names)
    assert evenly(records(names), most).ids == drawn.ids
    assert drawn.ids == evenly(examples, None).ids[:most]


@given(NAMES)
def test_halves_share_no_subject_and_lose_no_record(names):
    examples = records(names)
    if len(set(examples.subjects)) < 2:
        with pytest.raises(EvidenceError, match="nothing left to ask"):
            halves(examples)
        return
    first, second = halves(examples)
    assert not set(first.subjects) & set(second.subjects)
    assert sorted((*first.ids, *second.ids)) == sorted(examples.ids)
    assert 0 <= len(set(second.subjects)) - len(set(first.subjects)) <= 1
