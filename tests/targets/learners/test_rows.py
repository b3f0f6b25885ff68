"""Rows are shared, never written to, and what leaves the process holds live ones only."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import StoreError
from expunge.targets import learners
from expunge.targets.learners._rows import Block, Numbers, Rows, rows_of

MARK = 1234.5


def rows(n, *, start=0):
    ids = [f"r{i}" for i in range(start, start + n)]
    return rows_of(ids, np.arange(start, start + n, dtype=float)[:, None], None)


def test_a_deletion_shares_the_rows_and_copies_one_byte_for_each():
    held = rows(1000)
    less = held.without(held.find(["r7", "r9"]))
    assert less.parts[0].block is held.parts[0].block
    assert less.parts[0].live.nbytes == 1000
    assert len(held) == 1000
    assert len(less) == 998
    assert "r7" in held
    assert "r7" not in less


def test_a_block_of_which_half_is_gone_is_written_anew():
    held = rows(100)
    less = held.without(held.find([f"r{i}" for i in range(51)]))
    assert len(less.parts[0].block.ids) == 49
    assert less.parts[0].block.X.base is None or len(less.parts[0].block.X.base) == 49


def test_appending_one_by_one_leaves_few_blocks():
    held = Rows()
    for i in range(300):
        held = held.plus([f"r{i}"], np.array([[float(i)]]), None)
    assert len(held.parts) <= 10
    assert held.ordered.X[:, 0].tolist() == [float(name[1:]) for name in held.ordered.ids]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=60))
def test_rows_behave_as_a_dictionary(steps):
    held, expected = Rows(), {}
    for number, (add, i) in enumerate(steps):
        name = f"r{i}"
        if add and name not in expected:
            held, expected = held.plus([name], np.array([[float(number)]]), None), {**expected, name: float(number)}
        elif not add and name in expected:
            held = held.without(held.find([name]))
            del expected[name]
        elif not add:
            with pytest.raises(StoreError, match=f"no row '{name}'"):
                held.find([name])
        assert list(held) == sorted(expected)
    if expected:
        names = sorted(expected)
        assert held.ordered.ids == tuple(names)
        assert held.ordered.X[:, 0].tolist() == [expected[name] for name in names]
        assert held.take(held.find(names[:1]))[0].tolist() == [[expected[names[0]]]]


@given(st.integers(1, 120), st.integers(0, 20), st.booleans(), st.data())
def test_rows_stay_sorted_by_id_whatever_goes(n, more, numbered, data):
    names = list(Numbers(n)) if numbered else data.draw(st.permutations([f"{i}" for i in range(n)]))
    held = rows_of(Numbers(n) if numbered else names, np.array([[float(name)] for name in names]), np.array(names))
    if more:
        fresh = [f"{n + i}" for i in range(more)]
        held = held.plus(fresh, np.array([[float(name)] for name in fresh]), np.array(fresh))
    left = {*names, *(f"{n + i}" for i in range(more))}
    while left:
        assert list(held) == list(held.names) == list(held.ordered.ids) == sorted(left)
        assert held.ordered.y.tolist() == sorted(left)
        assert held.ordered.X[:, 0].tolist() == [float(name) for name in sorted(left)]
        assert held.compact().ordered.y.dtype == np.array(sorted(left)).dtype, "no trace of a longer label"
        gone = data.draw(st.lists(st.sampled_from(sorted(left)), min_size=1, max_size=40, unique=True))
        held, left = held.without(held.find(gone)), left.difference(gone)


@pytest.mark.parametrize("name", ["ridge", "knn_regressor", "standard_scaler", "min_max_scaler"])
def test_a_pickle_holds_no_byte_of_an_unlearned_row(name):
    X = np.random.default_rng(0).standard_normal((20, 2))
    X[5] = MARK
    learner = getattr(learners, name)().fit(X, X[:, 0], ids=[f"secret-{i}" for i in range(20)])
    assert np.float64(MARK).tobytes() in pickle.dumps(learner)
    fresh = pickle.dumps(learner.unlearn(["secret-5"]))
    assert np.float64(MARK).tobytes() not in fresh
    assert b"secret-5" not in fresh
    assert b"secret-6" in fresh


def test_what_the_caller_does_to_its_arrays_changes_nothing():
    X, y = np.ones((4, 2)), np.arange(4.0)
    learner = learners.ridge().fit(X, y)
    before = learner.digest()
    X[:], y[:] = 7.0, 7.0
    assert learner.digest() == before
    assert learner.unlearn(["1"]).state()["X"].max() == 1.0


def test_a_fit_that_is_refused_leaves_the_learner_as_it_was():
    learner = learners.gaussian_naive_bayes().fit([[1.0], [2.0]], ["a", "b"])
    before = learner.digest()
    with pytest.raises(StoreError, match="given twice"):
        learner.fit([[5.0], [6.0]], ["a", "b"], ids=["x", "x"])
    assert learner.digest() == before


def test_a_salt_changes_the_digest():
    learner = learners.pca().fit([[1.0], [2.0]])
    assert learner.digest("salt") != learner.digest() == learner.digest("")


@given(st.lists(st.one_of(st.integers(-3, 14).map(str), st.text(max_size=3), st.sampled_from(["007", "+1", "\u0663"]))))
def test_numbers_are_found_as_names_are(names):
    numbered = Block(Numbers(12), np.zeros((12, 1)), None)
    named = Block(tuple(str(i) for i in range(12)), np.zeros((12, 1)), None)
    assert numbered.places(names).tolist() == named.places(names).tolist()
    assert list(Numbers(12)) == list(named.ids)


def test_a_number_of_thousands_of_digits_is_no_name_of_a_row():
    assert Numbers(5).places(["3", "9" * 6000]).tolist() == [3, -1]


def test_free_numbers_are_those_that_no_row_has():
    learner = learners.pca().fit(np.eye(3), ids=["4", "a", "5"]).partial_fit(np.eye(3))
    assert learner.ids_ == {"4", "a", "5", "3", "6", "7"}
