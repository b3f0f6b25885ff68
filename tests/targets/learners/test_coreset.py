"""A coreset forgets: the selection is that of a fit without the rows, and the log of gains never errs."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.errors import ConfigError
from expunge.targets.learners._craig import choose, distances, without
from expunge.targets.learners.coreset import Coreset
from expunge.targets.learners.gaussian_naive_bayes import GaussianNaiveBayes
from expunge.targets.learners.knn_classifier import KNNClassifier
from expunge.targets.learners.nearest_centroid import NearestCentroid
from expunge.targets.learners.ridge import Ridge
from expunge.testing import learner_contract as contract

CASES = {
    "weighted": lambda: Coreset(GaussianNaiveBayes(), per_class=3),
    "unweighted": lambda: Coreset(NearestCentroid(), per_class=4, weighted=False),
    "neighbours": lambda: Coreset(KNNClassifier(neighbours=1), per_class=2, weighted=False),
    "numbers": lambda: Coreset(Ridge(penalty=2.0), per_class=5, weighted=True),
}


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_it_keeps_the_contract_of_learners(make):
    contract.check_learner(make, seed=2)


def greedy(X, ids, size):
    """Plain greedy facility location by the definition."""
    d = distances(X, X)
    chosen, least = [], None
    for _ in range(min(size, len(X))):
        costs = d.sum(0) if least is None else np.minimum(least[:, None], d).sum(0)
        costs[chosen] = np.inf
        chosen.append(int(costs.argmin()))
        least = d[:, chosen].min(1)
    return [ids[at] for at in chosen], np.bincount(d[:, chosen].argmin(1), minlength=len(chosen))


@given(seed=st.integers(0, 10**6), n=st.integers(1, 30), size=st.integers(1, 8), grain=st.sampled_from([3, 1000]))
def test_lazy_greedy_is_greedy_with_ties_to_the_first_id(seed, n, size, grain):
    X = np.random.default_rng(seed).integers(0, grain, (n, 2)).astype(float)
    ids = [f"r{i:02d}" for i in range(n)]
    found = choose(X, ids, size)
    names, counts = greedy(X, ids, size)
    assert list(found.ids) == names and found.counts.tolist() == counts.tolist() and counts.sum() == n


@settings(max_examples=150)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 30), size=st.integers(1, 6), data=st.data())
def test_where_the_log_tells_it_tells_the_truth(seed, n, size, data):
    X = np.random.default_rng(seed).integers(0, 50, (n, 2)).astype(float)
    ids = [f"r{i:02d}" for i in range(n)]
    chosen, places, names, rows = choose(X, ids, size), list(range(n)), ids, X
    for gone in data.draw(st.lists(st.lists(st.sampled_from(places), min_size=1, unique=True), max_size=3)):
        stays = np.array([int(name[1:]) not in gone for name in names])
        if stays.all() or not stays.any():
            return
        told, had = without(chosen, rows, names, stays, size), chosen.ids
        names, rows = [name for name, stay in zip(names, stays, strict=True) if stay], rows[stays]
        never = choose(rows, names, size)
        assert (told is None) == (never.ids != had), "it tells whenever the selection stays"
        if told is None:
            return
        assert told.ids == never.ids and told.counts.tolist() == never.counts.tolist()
        assert told.sums.tolist() == never.sums.tolist()
        same = told.stamps == never.stamps
        assert (told.gains[same] == never.gains[same]).all() and same.any() == bool(same.size)
        chosen = told


def spread(n, seed=0):
    draw = np.random.default_rng(seed)
    y = draw.integers(0, 2, n)
    return draw.normal(size=(n, 3)) + 4 * y[:, None], y, [f"r{i}" for i in range(n)]


def test_a_row_that_was_never_chosen_leaves_an_unweighted_learner_alone_where_the_selection_stays():
    X, y, ids = spread(200)
    fitted = Coreset(NearestCentroid(), per_class=4, weighted=False).fit(X, y, ids=ids)
    said = {name: fitted.unlearn([name]) for name in ids}
    same = {name: one for name, one in said.items() if "was not touched" in one.last_deletion_}
    by_log = [name for name, one in same.items() if "the log of gains shows it" in one.last_deletion_]
    assert by_log == list(same) and 100 < len(same) < 192
    assert all(one._inner is fitted._inner for one in same.values())
    other = next(one for name, one in said.items() if name in fitted.chosen_)
    assert "other rows are chosen; the learner was fitted anew on 8" in other.last_deletion_


def test_a_row_that_was_never_chosen_may_decide_who_is():
    rows, ids = [[0.0], [4.0], [5.0], [11.0], [12.0]], list("abcde")
    fitted = Coreset(Ridge(), per_class=1, weighted=False).fit(rows, [1.0] * 5, ids=ids)
    assert fitted.chosen_ == ("c",)
    without_d = fitted.unlearn(["d", "e"])
    assert without_d.chosen_ == ("b",) and "fitted anew" in without_d.last_deletion_


def test_with_weights_every_deletion_reaches_the_learner():
    X, y, ids = spread(60)
    fitted = Coreset(GaussianNaiveBayes(), per_class=3).fit(X, y, ids=ids)
    assert sum(fitted.weights_.values()) == 60 and len(fitted._inner.ids_) == 60
    said = [fitted.unlearn([name]) for name in ids]
    assert fitted.digest() not in {one.digest() for one in said}
    assert sum("unlearned 1 of 60 weighted rows" in one.last_deletion_ for one in said) > 20


def test_neither_copy_nor_state_holds_the_log():
    X, y, ids = spread(40)
    fitted = Coreset(NearestCentroid(), per_class=2, weighted=False).fit(X, y, ids=ids)
    assert any(len(one.sums) for one in fitted._chosen.values())
    loaded = Coreset.from_state(fitted.state())
    for other in (copy.deepcopy(fitted), loaded):
        assert not any(len(one.sums) or one.gains.size for one in other._chosen.values())
        assert other.unlearn(ids[:3]).digest() == fitted.unlearn(ids[:3]).digest()


def test_what_cannot_forget_is_refused():
    from sklearn.linear_model import LogisticRegression

    with pytest.raises(ConfigError, match=r"a coreset cannot train a LogisticRegression.*no unlearn"):
        Coreset(LogisticRegression())
    with pytest.raises(ConfigError, match="fitted already"):
        Coreset(NearestCentroid().fit([[0.0]], ["a"]))
    with pytest.raises(ConfigError, match="per_class"):
        Coreset(NearestCentroid(), per_class=0).fit([[0.0]], ["a"])


def test_adult_of_few_rows_is_nearly_as_good_and_forgets_exactly(shared):
    from expunge.data.table import open_table

    whole = open_table(shared / "data" / "adult" / "adult.csv", label="income-per-year", skip=["fnlwgt"])
    table, test = whole.rows(whole.ids()[:1200]), whole.rows(whole.ids()[1200:2400])
    scale = np.maximum(np.abs(table.X).max(0), 1.0)
    X, gone = table.X / scale, table.ids()[::100]
    fitted = Coreset(KNNClassifier(neighbours=9), per_class=60).fit(X, table.y, ids=table.ids())
    left = table.without(gone)
    never = Coreset(KNNClassifier(neighbours=9), per_class=60).fit(left.X / scale, left.y, ids=left.ids())
    assert fitted.unlearn(gone).digest() == never.digest()
    right = float((fitted.predict(test.X / scale) == test.y).mean())
    assert right > 0.72, right
