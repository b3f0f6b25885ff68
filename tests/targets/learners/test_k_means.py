"""K-means that forgets: bit for bit a fit without the rows, drawn by k-means++, checked by the lattice, cheap."""

import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.errors import ConfigError, TargetError
from expunge.targets.learners._k_means import Settings, first_rows, quantised, run, squared, total, without
from expunge.targets.learners.dc_k_means import DCKMeans
from expunge.targets.learners.quantised_k_means import QuantisedKMeans
from expunge.testing import learner_contract as contract

CASES = {
    "coarse": lambda: QuantisedKMeans(3, epsilon=2.0),
    "fine": lambda: QuantisedKMeans(4, epsilon=0.01, gamma=0.5, max_iter=4, random_state=5),
    "large gamma": lambda: QuantisedKMeans(5, epsilon=0.5, gamma=0.9),
    "no rounds": lambda: QuantisedKMeans(2, max_iter=0),
    "tree": lambda: DCKMeans(3, width=4, depth=1),
    "deep tree": lambda: DCKMeans(2, width=2, depth=3, random_state=3),
    "no tree": lambda: DCKMeans(3, depth=0),
}


def module_of(kind):
    return sys.modules[kind.__module__]


def blobs(n, seed=0, d=2, k=3):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(n, d)) + 6.0 * draw.integers(0, k, (n, 1)), [f"r{i}" for i in range(n)]


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_it_keeps_the_contract_of_learners(make):
    contract.check_learner(make, seed=1)


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 40), data=st.data())
def test_unlearning_is_a_fit_without_the_rows(make, seed, n, data):
    X, ids = blobs(n, seed)
    gone = set(data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=n)))
    fitted = make().fit(X, ids=ids)
    kept = data.draw(st.permutations([i for i in range(n) if i not in gone]))
    never = make().fit(X[kept], ids=[ids[i] for i in kept]) if kept else make()
    assert fitted.unlearn([ids[i] for i in gone]).digest() == never.digest()


def test_most_deletions_of_a_coarse_lattice_fit_nothing_and_are_right(monkeypatch):
    X, ids = blobs(300)
    fitted = QuantisedKMeans(3, epsilon=1.0).fit(X, ids=ids)
    never = {i: QuantisedKMeans(3, epsilon=1.0).fit(np.delete(X, i, 0), ids=ids[:i] + ids[i + 1 :]) for i in range(40)}

    def forbidden(*_):
        raise AssertionError("it was fitted anew")

    untouched = [i for i in range(40) if "no quantised centre moved" in fitted.unlearn([ids[i]]).last_deletion_]
    assert len(untouched) >= 35
    with monkeypatch.context() as patch:
        patch.setattr(module_of(QuantisedKMeans), "run", forbidden)
        assert all(fitted.unlearn([ids[i]]).digest() == never[i].digest() for i in untouched)
        with pytest.raises(AssertionError, match="fitted anew"):
            fitted.unlearn([fitted._trace.first[0]])


def test_the_log_tells_why_it_was_fitted_anew():
    X, ids = blobs(60)
    fitted = QuantisedKMeans(3, epsilon=0.01).fit(X, ids=ids)
    assert fitted.last_deletion_ == ""
    said = {fitted.unlearn([name]).last_deletion_ for name in ids}
    assert "fitted anew: a first centre was deleted" in said
    assert any("a quantised centre of round 1 moved" in text for text in said)


def test_a_deletion_that_changes_where_the_rounds_end_is_noticed():
    ids, said = [f"r{i}" for i in range(7)], []
    for seed in range(150):
        X = np.random.default_rng(seed).integers(0, 12, (7, 1)).astype(float)
        chosen = Settings(2, lattice=6, rounds=6, seed=seed)
        trace = run(X, ids, chosen)
        for i in (i for i in range(7) if ids[i] not in trace.first):
            found = without(trace, X[[i]], 6, chosen)
            never = run(np.delete(X, i, 0), ids[:i] + ids[i + 1 :], chosen)
            if isinstance(found, str):
                said.append(found)
                continue
            assert [one.loss for one in found.rounds] == [one.loss for one in never.rounds]
            assert all(map(np.array_equal, found.final, never.final))
    assert sum("lowers the loss" in text for text in said) > 3 and sum("moved" in text for text in said) > 30


def test_first_centres_are_drawn_with_probability_proportional_to_squared_distance():
    X = np.array([[0.0], [1.0], [3.0]])
    counts = np.zeros((3, 3))
    for seed in range(4000):
        a, b = first_rows(X, ["a", "b", "c"], Settings(2, seed=seed))
        counts[a, b] += 1
    weights = (X - X.T) ** 2
    expected = 4000 / 3 * weights / weights.sum(1, keepdims=True)
    apart = expected > 0
    assert counts[~apart].sum() == 0
    assert ((counts - expected)[apart] ** 2 / expected[apart]).sum() < 20.5, "chi squared, 5 degrees, 0.001"


def test_phases_are_uniform_and_differ_by_round():
    drawn = np.concatenate([Settings(2, lattice=8, seed=seed).phase(3, 50) for seed in range(40)])
    assert np.bincount(drawn, minlength=8).min() > 190 and drawn.max() == 7
    assert (Settings(2, lattice=2**20).phase(1, 9) != Settings(2, lattice=2**20).phase(2, 9)).any()


@given(
    seed=st.integers(0, 10**6),
    gamma=st.sampled_from([0.0, 0.2, 0.75, 0.123456789012345678]),
    lattice=st.sampled_from([1, 5, 64]),
)
def test_centres_are_the_nearest_lattice_points_of_corrected_means(seed, gamma, lattice):
    draw = np.random.default_rng(seed)
    k, d, counts = 3, 2, draw.integers(0, 9, 3)
    sums = draw.integers(-900, 900, (k, d)).astype(float) * (counts > 0)[:, None]
    before, n = draw.integers(-200, 200, (k, d)).astype(float), int(counts.sum())
    chosen = Settings(k, lattice, Fraction(str(gamma)), seed=seed)
    found = quantised(sums, counts, n, before, chosen, 2)
    phase = chosen.phase(2, d)
    assert not ((found - phase) % lattice).any(), "on the lattice"
    for c in range(k):
        share = min(1.0, counts[c] / (gamma * n / k)) if gamma * n else 1.0 * (counts[c] > 0)
        mean = sums[c] / counts[c] if counts[c] else before[c]
        assert np.abs(share * mean + (1 - share) * before[c] - found[c]).max() <= lattice / 2 + 1e-9


@given(st.lists(st.integers(0, 2**53 - 1), max_size=30))
def test_losses_are_exact(numbers):
    assert total(np.array(numbers, dtype=float)) == sum(numbers)


def test_it_clusters_as_well_as_lloyd():
    from sklearn.cluster import KMeans

    X, ids = blobs(600, d=4, k=4)
    best = min(QuantisedKMeans(4, epsilon=0.05, random_state=s).fit(X, ids=ids).inertia_ for s in range(4))
    tree = min(inertia(DCKMeans(4, width=4, random_state=s).fit(X, ids=ids), X) for s in range(4))
    lloyd = KMeans(4, n_init=4, random_state=0).fit(X).inertia_
    assert best < 1.02 * lloyd and tree < 1.1 * lloyd


def inertia(fitted, X):
    return float((fitted.transform(X).min(1) ** 2).sum())


def test_predictions_are_the_nearest_centres():
    X, ids = blobs(50)
    for fitted in (QuantisedKMeans(3).fit(X, ids=ids), DCKMeans(3, width=4).fit(X, ids=ids)):
        apart = np.linalg.norm(X[:, None] - fitted.cluster_centers_[None], axis=2)
        np.testing.assert_allclose(fitted.transform(X), apart, atol=1e-3)
        np.testing.assert_array_equal(fitted.predict(X), fitted.transform(X).argmin(1))


def test_a_tree_fits_few_nodes_anew(monkeypatch):
    X, ids = blobs(400)
    fitted = DCKMeans(3, width=8, depth=1).fit(X, ids=ids)
    sizes = []
    monkeypatch.setattr(module_of(DCKMeans), "run", lambda X, *rest: (sizes.append(len(X)), run(X, *rest))[1])
    fitted.unlearn(ids[:1])
    assert len(sizes) == 2 and sum(sizes) < 120, "one leaf and the root"


def test_what_distances_could_not_hold_is_refused_before_anything_changes():
    fitted = QuantisedKMeans(2).fit([[0.0], [1.0]])
    before = fitted.digest()
    with pytest.raises(TargetError, match=r"too large for exact distances.*numbers may go up to"):
        fitted.partial_fit([[20_000.0]])
    assert fitted.digest() == before
    for wrong in ({"gamma": 1.5}, {"epsilon": 0.0}, {"n_clusters": 0}, {"step": 0.3}, {"max_iter": -1}):
        with pytest.raises(ConfigError):
            QuantisedKMeans(**{"n_clusters": 2, **wrong}).fit([[0.0]])
    for wrong in ({"width": 1}, {"depth": -1}, {"width": 2, "depth": 40}):
        with pytest.raises(ConfigError, match="no such tree"):
            DCKMeans(2, **wrong).fit([[0.0]])


def test_squared_distances_are_those_of_the_definition():
    X, _ = blobs(20, d=3)
    Q = np.rint(X * 64)
    np.testing.assert_array_equal(squared(Q, Q[:4]), ((Q[:, None] - Q[None, :4]) ** 2).sum(2))


@pytest.mark.parametrize("make", [lambda: QuantisedKMeans(10, epsilon=32.0), lambda: DCKMeans(10, width=8)])
def test_deletion_from_mnist_is_a_fit_without_the_digits(shared, make):
    from expunge.data.table import open_table

    whole = open_table(shared / "data" / "mnist" / "mnist.npz", part="test")
    table = whole.rows(whole.ids()[:600])
    gone = table.ids()[5:25]
    fitted, left = make().fit(table.X, ids=table.ids()), table.without(gone)
    assert fitted.unlearn(gone).digest() == make().fit(left.X, ids=left.ids()).digest()
    agree = [np.bincount(table.y[fitted.predict(table.X) == c]).max(initial=0) for c in range(10)]
    assert sum(agree) > 0.45 * len(table), "clusters have to do with digits"
