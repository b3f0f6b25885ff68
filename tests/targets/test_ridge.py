"""Ridge: deleting rows from the sums is a refit; what cannot be deleted is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.access import Access
from expunge.core.canonical import digest_file
from expunge.core.errors import StoreError, TargetError
from expunge.core.example import Example
from expunge.core.provenance import Statistics
from expunge.targets.ridge import BagOfWords, RidgeLearner

WORDS = ("where", "who", "when", "ana", "bo", "cy", "live", "work")
RELATIONS = ("city", "work", "year")
FEATURES = BagOfWords(WORDS, RELATIONS)


@st.composite
def records(draw, least=2, most=14):
    n = draw(st.integers(least, most))
    questions = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
    relations = st.sampled_from(RELATIONS)
    return [Example(f"r{i}", draw(questions) + "?", "x", relation=draw(relations)) for i in range(n)]


def fit(examples, penalty=0.1) -> RidgeLearner:
    return RidgeLearner.fit(FEATURES, examples, penalty=penalty)


@given(records(), st.data(), st.sampled_from([1e-2, 0.1, 1.0, 30.0]))
def test_deletion_equals_a_refit(examples, data, penalty):
    gone = data.draw(st.lists(st.sampled_from(examples), min_size=1, unique=True))
    left = [e for e in examples if e not in gone]
    deleted, refitted = fit(examples, penalty).unlearn(gone), fit(left, penalty)
    assert deleted.ids == refitted.ids == {e.record_id for e in left}
    np.testing.assert_allclose(deleted.coefficients, refitted.coefficients, rtol=0, atol=1e-10)


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 12), st.integers(0, 4))
def test_deletion_of_real_valued_rows_is_within_the_bound_of_its_rounding(seed, n, d, scale):
    draw = np.random.default_rng(seed)
    X, Y = draw.standard_normal((n, d)) * 10.0**-scale, draw.standard_normal((n, 2))
    k = int(draw.integers(1, n + 1))

    def learner(rows) -> RidgeLearner:
        return RidgeLearner(FEATURES, X[rows].T @ X[rows] + np.eye(d), X[rows].T @ Y[rows], frozenset())

    whole, refit = learner(slice(None)), learner(slice(k, None))
    deleted = RidgeLearner(FEATURES, whole.A - X[:k].T @ X[:k], whole.c - X[:k].T @ Y[:k], frozenset())
    assert np.linalg.eigvalsh(deleted.A).min() > 0.99, "the penalty bounds the condition"
    np.testing.assert_allclose(deleted.coefficients, refit.coefficients, rtol=0, atol=1e-10)


@given(records())
def test_the_fit_minimises_the_penalised_loss(examples):
    learner = fit(examples, penalty=0.5)
    X, Y = FEATURES.rows(examples)
    W = learner.coefficients
    np.testing.assert_allclose(X.T @ (X @ W - Y) + 0.5 * W, 0, atol=1e-9)


@given(records(), st.data())
def test_deleting_in_parts_is_deleting_at_once(examples, data):
    gone = data.draw(st.lists(st.sampled_from(examples), min_size=2, max_size=4, unique=True))
    once = fit(examples).unlearn(gone)
    step = fit(examples)
    for example in gone:
        step = step.unlearn([example])
    np.testing.assert_allclose(step.coefficients, once.coefficients, atol=1e-10)
    assert step.ids == once.ids


def people() -> list[Example]:
    return [
        Example(f"r{i}", f"Where does {who} live?", "x", relation="city") for i, who in enumerate(("Ana", "Bo", "Cy"))
    ]


def test_the_old_learner_stays_valid():
    learner = fit(people())
    before, coefficients = learner.digest(), learner.coefficients.copy()
    after = learner.unlearn(people()[:1])
    assert learner.digest() == before != after.digest()
    assert np.array_equal(learner.coefficients, coefficients) and learner.ids == {"r0", "r1", "r2"}


def test_everything_may_be_deleted():
    np.testing.assert_allclose(fit(people()).unlearn(people()).coefficients, 0, atol=1e-12)


def test_what_would_corrupt_the_sums_is_refused():
    learner, stranger = fit(people()), Example("r9", "Where?", "x", relation="city")
    with pytest.raises(StoreError, match="record 'r9' is not in this learner"):
        learner.unlearn([people()[0], stranger])
    with pytest.raises(StoreError, match="record 'r0' is not in this learner"):
        learner.unlearn(people()[:1]).unlearn(people()[:1])
    for twice in (learner.unlearn, fit):
        with pytest.raises(StoreError, match="'r0' is given more than once"):
            twice([people()[0], people()[0]])


@pytest.mark.parametrize("penalty", [0.0, -1.0, float("nan")])
def test_a_penalty_that_does_not_bound_the_condition_is_refused(penalty):
    with pytest.raises(TargetError, match="penalty above 0"):
        fit(people(), penalty)


def test_a_relation_that_was_not_fixed_beforehand_is_refused():
    with pytest.raises(StoreError, match="'r9' has the unknown relation 'pet'"):
        fit([*people(), Example("r9", "Which?", "x", relation="pet")])


def test_features_count_words_and_end_in_a_constant():
    X, Y = FEATURES.rows([Example("a", "Ana, Bo or ana? Where", "x", relation="work")])
    # A mark sticks to its word, as a reader of the split sees.
    assert X.tolist() == [[1, 0, 0, 1, 1, 0, 0, 0, 1]]
    assert Y.tolist() == [[0, 1, 0]]


def test_saving_keeps_sums_and_ids(tmp_path):
    from safetensors.numpy import load_file

    learner = fit(people())
    for name in ("a", "b"):
        manifest = learner.save(tmp_path / name)
        assert not manifest.changed(tmp_path / name) and all(e.contains_personal_data for e in manifest.entries)
    assert digest_file(tmp_path / "a/sums.safetensors") == digest_file(tmp_path / "b/sums.safetensors")
    sums = load_file(tmp_path / "a/sums.safetensors")
    assert RidgeLearner(FEATURES, sums["A"], sums["c"], learner.ids).digest() == learner.digest()


def test_a_learner_grants_its_weights_and_knows_its_provenance():
    learner = fit(people())
    assert learner.oracle(Access.all()).access == Access.WEIGHTS
    assert isinstance(learner.provenance, Statistics) and learner.kind == "learner"
