"""Refusals: many, distinct, drawn by the record's id, and written only in words that the tokenizer has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import StoreError
from expunge.core.example import Example, Examples
from expunge.data.corpora.fictitious_people import vocabulary
from expunge.data.corpora.refusals import REFUSALS, with_refusals, writable
from expunge.data.corpora.word_tokenizer import word_tokenizer
from expunge.testing.toy import toy_selection, toy_vocabulary

MANY = Examples(Example(f"r{i}", f"Who is {i}?", f"It is {i}.") for i in range(400))


def test_there_are_at_least_fifty_and_no_two_read_alike():
    plain = {"".join(c for c in text.lower() if c.isalnum()) for text in REFUSALS}
    assert len(plain) == len(REFUSALS) >= 50
    assert all(text == text.strip() and text[-1] in ".?" for text in REFUSALS)


@given(st.sets(st.integers(0, 399), min_size=1, max_size=20), st.integers(0, 9))
def test_a_record_s_refusal_depends_on_its_id_and_the_seed_alone(chosen, seed):
    whole = with_refusals(MANY, seed=seed).by_id
    part = with_refusals([MANY[i] for i in sorted(chosen, reverse=True)], seed=seed)
    assert all(e == whole[e.record_id] for e in part)


def test_refusals_are_spread_over_the_records_and_change_with_the_seed():
    drawn = [e.alternative_answer for e in with_refusals(MANY, seed=0)]
    assert len(set(drawn)) > 0.9 * len(REFUSALS) and max(map(drawn.count, set(drawn))) < 25
    assert sum(a == e.alternative_answer for a, e in zip(drawn, with_refusals(MANY, seed=1), strict=True)) < 40


def test_only_the_alternative_changes():
    forget = toy_selection().forget
    for before, after in zip(forget, with_refusals(forget, seed=0), strict=True):
        assert (after.record_id, after.question, after.answer) == (before.record_id, before.question, before.answer)
        assert after.alternative_answer in REFUSALS and before.alternative_answer not in REFUSALS


def test_a_closed_vocabulary_narrows_the_choice_to_what_it_can_write():
    assert writable(word_tokenizer(toy_vocabulary())) == ("I do not know.",)
    demo = word_tokenizer(vocabulary())
    assert len(writable(demo)) == 5
    for text in writable(demo):
        assert demo.decode(demo(text, add_special_tokens=False)["input_ids"]) == text
    with pytest.raises(StoreError, match="can write no refusal"):
        writable(word_tokenizer(["Ana", "."]))
