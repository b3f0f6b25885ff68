"""The line below the table: deleting from the ridge learner is a refit on the rest, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.errors import StoreError
from expunge.core.evidence import Replay
from expunge.core.example import Example
from expunge.core.guarantee import Exact
from expunge.targets.learner import load_learner
from expunge.testing.toy import toy_corpus, toy_selection, toy_vocabulary
from expunge.workflow.ridge_line import PENALTY, BagOfWords, features_for, fitted, ridge_line

WORDS = ("where", "who", "when", "ana", "bo", "cy", "live", "work")
RELATIONS = ("city", "work", "year")
FEATURES = BagOfWords(WORDS, RELATIONS)


@st.composite
def records(draw, least=2, most=14):
    n = draw(st.integers(least, most))
    questions = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
    relations = st.sampled_from(RELATIONS)
    return [Example(f"r{i}", draw(questions) + "?", "x", relation=draw(relations)) for i in range(n)]


@settings(max_examples=25)
@given(records(), st.data())
def test_deletion_is_a_refit_bit_for_bit_and_minimises_the_loss_of_the_rest(examples, data):
    gone = data.draw(st.lists(st.sampled_from(examples), min_size=1, max_size=len(examples) - 1, unique=True))
    left = [e for e in examples if e not in gone]
    deleted = fitted(FEATURES, examples, salt="5a").unlearn(e.record_id for e in gone)
    assert deleted.digest() == fitted(FEATURES, left, salt="5a").digest()
    X, Y = FEATURES.rows(left)
    W = deleted.estimator.coef_.T
    np.testing.assert_allclose(X.T @ (X @ W - Y) + PENALTY * W, 0, atol=1e-9)


def test_the_line_is_bitwise_and_the_outcome_carries_the_refit(tmp_path):
    selection = toy_selection()
    learned = selection.retain + selection.forget
    features = features_for(toy_corpus(), tuple(toy_vocabulary()))
    outcome, line = ridge_line(learned, selection, features, tmp_path / "ridge", salt="5a17" * 16)
    assert outcome.claim == Exact("bitwise") and line["guarantee"] == "Exact"
    assert (line["records"], line["deleted"]) == (len(learned), len(selection.forget))
    assert line["largest_coefficient_difference"] == 0.0 and line["seconds"] > 0 and line["ratio_to_retraining"] > 0
    after = outcome.target.digest()
    assert isinstance(outcome.replay, Replay) and outcome.replay.equals == line["refit"] == after != line["before"]
    assert load_learner(tmp_path / "ridge").digest() == after
    assert not set(load_learner(tmp_path / "ridge").ids) & set(selection.forget.ids)
    assert "5a17" * 16 not in (tmp_path / "ridge" / "target.json").read_text(), "the request's salt is purged with it"


def test_a_relation_that_was_not_fixed_beforehand_is_refused():
    with pytest.raises(StoreError, match="'r9' has the unknown relation 'pet'"):
        FEATURES.rows([Example("r9", "Which?", "x", relation="pet")])


def test_features_count_words_and_end_in_a_constant():
    X, Y = FEATURES.rows([Example("a", "Ana, Bo or ana? Where", "x", relation="work")])
    # A mark sticks to its word, as a reader of the split sees.
    assert X.tolist() == [[1, 0, 0, 1, 1, 0, 0, 0, 1]]
    assert Y.tolist() == [[0, 1, 0]]
