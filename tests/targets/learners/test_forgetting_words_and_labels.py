"""What one row alone brought in goes with it: a word, a label, an extreme, a neighbour, a pair of items."""

import numpy as np
import pytest

from expunge.core.errors import StoreError, TargetError
from expunge.targets import learners
from expunge.targets.learners import _distances


def test_a_word_of_the_deleted_document_alone_vanishes():
    learner = learners.tfidf().fit(["red cat", "red dog", "red unicorn"]).unlearn(["2"])
    assert learner.get_feature_names_out().tolist() == ["cat", "dog", "red"]
    assert "unicorn" not in repr(learner.state())
    assert learner.transform(["unicorn"]).tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    "name", ["multinomial_naive_bayes", "gaussian_naive_bayes", "nearest_centroid", "lda", "knn_classifier"]
)
def test_a_label_of_the_deleted_row_alone_vanishes(name):
    X = np.abs(np.random.default_rng(0).standard_normal((21, 2)))
    y = np.array(["a", "b"] * 10 + ["only-once"])
    learner = getattr(learners, name)().fit(X, y).unlearn(["20"])
    assert learner.classes_.tolist() == ["a", "b"]
    assert learner.predict_proba(X).shape == (21, 2)


def test_the_row_that_holds_an_extreme_takes_it_along():
    learner = learners.min_max_scaler().fit([[0.0], [4.0], [100.0], [100.0]])
    assert learner.unlearn(["2"]).transform([[2.0]]).tolist() == [[0.02]]
    assert learner.unlearn(["2", "3"]).transform([[2.0]]).tolist() == [[0.5]]


def test_equal_distances_are_decided_by_the_ids_not_by_the_order_of_arrival():
    X, y, ids = [[1.0], [-1.0]], ["plus", "minus"], ["b", "a"]
    first = learners.knn_classifier(neighbours=1).fit(X, y, ids=ids)
    second = learners.knn_classifier(neighbours=1).fit(X[::-1], y[::-1], ids=ids[::-1])
    assert first.predict([[0.0]]).tolist() == second.predict([[0.0]]).tolist() == ["minus"]


def test_too_few_neighbours_are_left():
    learner = learners.knn_classifier(neighbours=2).fit([[1.0], [2.0]], ["a", "b"]).unlearn(["0"])
    with pytest.raises(TargetError, match=r"2 neighbours are asked\. 1 rows are held"):
        learner.predict([[1.0]])


def test_pairs_of_items_that_one_person_chose_are_counted_no_more():
    baskets = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1]])
    learner = learners.item_recommender().fit(baskets, ids=["ann", "bob", "eve"])
    assert learner.co_counts_.tolist() == (baskets.T @ baskets).tolist()
    assert learner.predict([[0, 1, 0]]).tolist() == [0]
    less = learner.unlearn(["ann", "bob"])
    assert less.co_counts_.tolist() == [[0, 0, 0], [0, 1, 1], [0, 1, 1]]
    assert less.predict([[0, 1, 0]]).tolist() == [2]


def test_what_cannot_be_predicted_any_more_says_why():
    with pytest.raises(TargetError, match="holds no rows"):
        learners.ridge().fit([[1.0]], [2.0]).unlearn(["0"]).predict([[1.0]])
    with pytest.raises(TargetError, match="covariance is singular"):
        learners.lda().fit([[1.0], [2.0]], [0, 1]).predict([[1.0]])
    with pytest.raises(TargetError, match="normal equations are singular"):
        learners.ridge(penalty=0.0).fit([[1.0, 1.0], [2.0, 2.0]], [2.0, 3.0]).predict([[1.0, 1.0]])


def test_labels_of_two_kinds_and_numbers_as_labels_are_refused():
    learner = learners.nearest_centroid().fit([[1.0]], ["a"])
    with pytest.raises(TargetError, match="two kinds"):
        learner.partial_fit([[1.0]], [3])
    with pytest.raises(TargetError, match="not integers, booleans or strings"):
        learners.nearest_centroid().fit([[1.0]], [0.5])
    with pytest.raises(StoreError, match="not a string"):
        learner.unlearn([0])


def test_distances_in_pieces_are_those_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    queries, rows = rng.standard_normal((7, 3)), rng.standard_normal((11, 3))
    expected = ((queries[:, None] - rows) ** 2).sum(axis=2)
    for cells in (1, 5, 40, 100, 1000):
        monkeypatch.setattr(_distances, "CELLS", cells)
        np.testing.assert_allclose(np.vstack(list(_distances.distances(queries, rows))), expected, rtol=1e-14)
