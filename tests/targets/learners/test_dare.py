"""Trees that forget: equal to a fit without the rows, bit for bit and, with other seeds, in distribution."""

import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from expunge.core.errors import ConfigError, TargetError
from expunge.targets.forest import forget as forgetting
from expunge.targets.forest.cuts import total
from expunge.targets.forest.kept import arrays
from expunge.targets.learners.dare_forest import DareForest
from expunge.targets.learners.dare_tree import DareTree
from expunge.testing.learner_contract import hold_equal


def data(n, d, classes, seed, *, round_to=1):
    """Rows of which some attributes are continuous, one is binary, and one has ties."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)).astype(np.float32)
    X[:, 0] = X[:, 0] > 0
    X[:, -1] = X[:, -1].round(round_to)
    y = rng.integers(0, classes, n) if seed % 2 else (X.sum(axis=1) > 0) * 1 + (X[:, -1] > 1) * (classes > 2)
    return X, y, np.array([f"r{i}" for i in range(n)])


SETTINGS = st.fixed_dictionaries(
    {
        "max_depth": st.integers(1, 6),
        "max_features": st.sampled_from([1, 2, 9, "sqrt", None]),
        "thresholds": st.sampled_from([1, 2, 3, 7, None]),
        "random_levels": st.integers(0, 3),
        "trees_per_row": st.sampled_from([1, 2, None]),
        "criterion": st.sampled_from(["gini", "entropy"]),
        "seed": st.integers(0, 10_000),
    }
)


@settings(max_examples=60)
@given(given_=SETTINGS, n=st.integers(2, 60), classes=st.integers(1, 4), draw=st.data())
def test_whatever_is_drawn_unlearning_is_a_fit_without_the_rows(given_, n, classes, draw):
    X, y, ids = data(n, 4, classes, draw.draw(st.integers(0, 1000)))
    gone = draw.draw(st.lists(st.integers(0, n - 1), unique=True, min_size=1, max_size=n - 1))
    stay = np.setdiff1d(np.arange(n), gone)
    forest = DareForest(4, **given_).fit(X, y, ids)
    never = DareForest(4, **given_).fit(X[stay], y[stay], ids[stay])
    cut = draw.draw(st.integers(0, len(gone)))
    hold_equal(forest.unlearn(ids[gone[:cut]]).unlearn(ids[gone[cut:]]), never, X, "in two batches")


def plain_tree(X, y, classes, depth):
    """Counts of the leaf of any row: the weighted gini of every value of every attribute, the first best wins."""
    counts = np.bincount(y, minlength=classes)
    best = (-1.0, None)
    for j in range(X.shape[1]) if depth and counts.max() < len(y) else ():
        for value in np.unique(X[:, j])[:-1]:
            left = np.bincount(y[X[:, j] <= value], minlength=classes)
            worth = sum((side**2).sum() / side.sum() for side in (left, counts - left))
            best = max(best, (worth, (j, value)), key=lambda pair: pair[0])
    if best[1] is None:
        return lambda row: counts / counts.sum()
    j, value = best[1]
    under = X[:, j] <= value
    sides = [plain_tree(X[side], y[side], classes, depth - 1) for side in (under, ~under)]
    return lambda row: sides[0](row) if row[j] <= value else sides[1](row)


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), n=st.integers(3, 50), depth=st.integers(1, 5), classes=st.integers(2, 3))
def test_without_chance_it_is_the_plain_greedy_tree(seed, n, depth, classes):
    X, y, _ = data(n, 3, classes, seed)
    labels, number = np.unique(y, return_inverse=True)
    plain = plain_tree(X, number, len(labels), depth)
    assert np.array_equal(DareTree(max_depth=depth).fit(X, y).predict_proba(X), [plain(row) for row in X])


def test_the_reference_implementation_s_tree_and_deletions_are_matched(shared):
    golden = shared / "golden" / "classical" / "dare"
    kept = np.load(golden / "tree.npz", allow_pickle=False)
    X, y, asked, gone = kept["X"], kept["y"], kept["X_test"], kept["deleted"].tolist()
    tree = DareTree(max_depth=4).fit(X, y)
    assert np.allclose(tree.predict_proba(asked)[:, 1], kept["proba_full"], rtol=0, atol=1e-7)
    for after in (tree.unlearn(map(str, gone)), DareTree(max_depth=4).fit(np.delete(X, gone, 0), np.delete(y, gone))):
        assert np.allclose(after.predict_proba(asked)[:, 1], kept["proba_after_delete"], rtol=0, atol=1e-7)
    told = json.loads((golden / "expected.json").read_text())
    assert told["dels"] == gone
    readme = SimpleNamespace(**told["readme"])
    small = DareTree(max_depth=3).fit([[0, 1], [0, 1], [0, 1], [1, 0], [1, 0]], [1, 1, 1, 0, 1])
    assert small.predict_proba([[1, 0]]).tolist() == readme.before
    assert small.unlearn(["3"]).predict_proba([[1, 0]]).tolist() == [share[1:] for share in readme.after]


def shapes(forest):
    """How often each tree occurs: from the root down, the attribute and how many rows go left."""
    kept = arrays(forest._grown[0])
    attribute, child, size = (kept[f"nodes_{name}"] for name in ("attribute", "child", "size"))

    def told(node):
        if attribute[node] < 0:
            return ()
        left, right = child[node]
        return int(attribute[node]), int(size[left]), told(left), told(right)

    return Counter(told(root) for root in range(forest.n_trees))


def chance(one, other):
    """p value of the hypothesis that two counts are of one distribution; rare outcomes are taken together."""
    common = [shape for shape in one if one[shape] + other[shape] >= 20]
    rest = [sum(counts[s] for s in counts if s not in common) for counts in (one, other)]
    table = np.array([[counts[s] for s in common] for counts in (one, other)])
    table = np.column_stack([table, rest]) if sum(rest) >= 20 else table
    assert table.shape[1] >= 10
    return chi2_contingency(table).pvalue


def no_replacement(forest, node, cuts, counts):
    bad = (cuts.at <= 0) | (total(cuts.left) >= total(counts)[cuts.node])
    return cuts.keep(~bad), *np.zeros((2, len(node)), bool)


SMALL = {"max_depth": 2, "max_features": 2, "thresholds": 2}


@pytest.mark.parametrize("levels", [0, 1])
def test_with_other_seeds_trees_occur_as_often_as_in_a_fit_without_the_rows(levels, monkeypatch):
    rng = np.random.default_rng(1)
    X, y, ids = rng.normal(size=(9, 3)).round(1), np.array([0, 1, 1, 0, 1, 0, 0, 1, 0]), [f"r{i}" for i in range(9)]
    gone, T = [2, 6, 7], 3000
    stay = [i for i in range(9) if i not in gone]
    names = [ids[i] for i in gone]

    def fitted(seed, rows):
        forest = DareForest(T, **SMALL, random_levels=levels, seed=seed)
        return forest.fit(X[rows], y[rows], [ids[i] for i in rows])

    whole = fitted(1, range(9))
    never = shapes(fitted(2, stay))
    assert chance(shapes(whole.unlearn(names)), never) > 1e-3
    assert chance(shapes(fitted(1, stay)), never) > 1e-3
    monkeypatch.setattr(forgetting, "_redrawn", no_replacement)
    assert chance(shapes(whole.unlearn(names)), never) < 1e-6


def test_what_a_deletion_would_take_is_said_before_and_changes_nothing():
    X, y, ids = data(300, 4, 3, 8)
    forest = DareForest(6, max_depth=5, thresholds=4).fit(X, y, ids)
    before, in_use = forest.digest(), [table.size for table in forest._grown[0].pool.tables.values()]
    efforts = [forest.effort([name]) for name in ids[:40]]
    assert forest.digest() == before
    assert [table.size for table in forest._grown[0].pool.tables.values()] == in_use
    for name, effort in zip(ids, efforts, strict=False):
        assert forest.unlearn([name]).last_deletion_ == str(effort)
    assert any(e.rebuilt for e in efforts) and any(e.redrawn for e in efforts) and not all(e.rebuilt for e in efforts)
    assert forest.effort([]).nodes == 0


def test_every_earlier_forest_stays_as_it_was_over_many_deletions():
    X, y, ids = data(250, 4, 3, 2)
    forests = [DareForest(3, max_depth=4, thresholds=3).fit(X, y, ids)]
    digests, pools = [forests[0].digest()], {id(forests[0]._grown[0].pool)}
    for name in ids[:200]:
        forests.append(forests[-1].unlearn([name]))
        digests.append(forests[-1].digest())
        pools.add(id(forests[-1]._grown[0].pool))
    assert len(pools) > 1, "no pool was ever exchanged, so that the test is blind to it"
    assert [forest.digest() for forest in forests] == digests
    hold_equal(forests[-1], DareForest(3, max_depth=4, thresholds=3).fit(X[200:], y[200:], ids[200:]), X, "200 later")
    branch = forests[50].unlearn(ids[60:70])
    stay = np.r_[50:60, 70:250]
    hold_equal(branch, DareForest(3, max_depth=4, thresholds=3).fit(X[stay], y[stay], ids[stay]), X, "a second branch")


def test_each_row_is_in_as_many_trees_as_asked_and_others_do_not_move_it():
    X, y, ids = data(400, 4, 2, 3)
    forest = DareForest(20, trees_per_row=3, seed=5).fit(X, y, ids)
    held = forest._held(ids, 400)
    assert (held.sum(axis=1) == 3).all() and held.sum(axis=0).min() > 30
    assert np.array_equal(forest._held(ids[7:9], 2), held[7:9])
    assert not np.array_equal(DareForest(20, trees_per_row=3, seed=6)._held(ids, 400), held)
    assert forest.effort(ids[:1]).nodes <= 3 * 11 < DareForest(20).fit(X, y, ids).effort(ids[:1]).nodes


def test_trees_that_were_damaged_on_disk_are_refused():
    X, y, ids = data(50, 4, 2, 5)
    state = DareForest(3).fit(X, y, ids).state()
    for name in ("cuts_left", "nodes_key", "rows_row"):
        other = state[name].copy()
        other.flat[0] += 1
        with pytest.raises(TargetError, match="checksum"):
            DareForest.from_state({**state, name: other})


def test_a_class_that_goes_is_gone():
    X, y, ids = data(60, 4, 2, 4)
    y = np.where(np.arange(60) < 3, 7, y)
    forest = DareForest(5, max_depth=3).fit(X, y, ids)
    assert forest.classes_.tolist() == [0, 1, 7]
    after = forest.unlearn(ids[:3])
    assert after.classes_.tolist() == [0, 1] and after.predict_proba(X).shape == (60, 2)
    hold_equal(after, DareForest(5, max_depth=3).fit(X[3:], y[3:], ids[3:]), X, "without the class")


def test_it_learns_and_both_criteria_do():
    X, y, _ = data(600, 6, 2, 6)
    for criterion in ("gini", "entropy"):
        forest = DareForest(20, max_depth=6, criterion=criterion).fit(X[:400], y[:400])
        assert (forest.predict(X[400:]) == y[400:]).mean() > 0.8


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_trees": 0},
        {"max_depth": 0},
        {"thresholds": 1.5},
        {"max_features": "log2"},
        {"random_levels": -1},
        {"trees_per_row": 0},
        {"criterion": "mse"},
        {"seed": True},
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DareForest(**wrong).fit([[1.0], [2.0]], [0, 1])


def test_values_that_trees_cannot_hold_are_refused():
    with pytest.raises(TargetError, match="too large"):
        DareTree().fit([[1e39], [2.0]], [0, 1])
    with pytest.raises(TargetError, match="classes"):
        DareTree().fit(np.arange(300.0)[:, None], np.arange(300))
