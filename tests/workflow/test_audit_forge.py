"""Both classic cases of forging: other records, the same weights."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import MissingExtra
from expunge.workflow import audit_forge
from expunge.workflow.audit_forge import (
    FORGOTTEN_POINT,
    HIDDEN,
    WHOLE,
    WITHOUT,
    collinear,
    descend,
    gradients,
    imitated,
)


@given(st.integers(1, 60), st.floats(1e-3, 0.13))
def test_three_points_of_a_line_give_the_bytes_of_six(steps, rate):
    whole, forged = (descend(points, steps=steps, rate=rate) for points in (WHOLE, WITHOUT))
    assert whole.tobytes() == forged.tobytes()
    assert FORGOTTEN_POINT in WHOLE and FORGOTTEN_POINT not in WITHOUT


def test_descent_is_that_of_the_residuals_and_ends_on_the_line():
    x = np.array([1.0, 4.0, 5.0])
    y, weights = 2 * x + 1, np.zeros(2)
    for found in descend([1, 4, 5], steps=8, rate=0.05):
        residual = weights[0] * x + weights[1] - y
        weights = weights - 0.05 * np.array([(residual * x).mean(), residual.mean()])
        assert found == pytest.approx(weights, abs=1e-12)
    assert collinear(steps=2000).weights == pytest.approx((2.0, 1.0), abs=1e-9)


def test_not_every_subset_forges():
    assert collinear(steps=40).naive > 0.1


def test_gradients_are_the_slopes_of_the_loss():
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(3, 4)), np.array([2, 0, 1])
    weights = rng.normal(size=4 * HIDDEN + HIDDEN + HIDDEN * 3 + 3) * 0.3

    def losses(w):
        odds = audit_forge._forward(w, X, 3)[1]
        return -np.log(odds[np.arange(3), y])

    found = gradients(weights, X, y, classes=3)
    for place in rng.choice(len(weights), 12, replace=False):
        shift = np.zeros_like(weights)
        shift[place] = 1e-6
        slope = (losses(weights + shift) - losses(weights - shift)) / 2e-6
        assert found[:, place] == pytest.approx(slope, abs=1e-7)


@pytest.fixture(scope="module")
def found():
    return imitated(seed=3)


def test_a_search_comes_nearer_than_chance_and_exchanging_nearer_still(found):
    assert found.steps and found.of > len(found.steps)
    for step in found.steps:
        assert 0 < step.exchanged < step.searched < step.random
        assert step.exchanged < 0.5 * step.length


def test_the_true_log_gives_the_same_bytes_again_and_the_forged_one_does_not(found):
    assert found.honest == 0.0 < found.from_log
    assert found.drawn == 0
    assert found.committed != found.claimed
    assert found == imitated(seed=3)


def test_the_nearest_batch_lacks_the_record_and_exchanging_matches_a_plain_search():
    rng = np.random.default_rng(0)
    G = rng.normal(size=(9, 5))
    goal = G[[0, 1, 2]].sum(axis=0)
    apart = {
        tuple(sorted({*batch})): np.linalg.norm(G[list(batch)].sum(axis=0) - goal)
        for batch in np.ndindex(9, 9, 9)
        if len({*batch}) == 3 and 0 not in batch
    }
    found = audit_forge._exchange(G, goal, [6, 7, 8], 0)
    assert 0 not in found and len({*found}) == 3
    # No single exchange comes nearer.
    near = [a for batch, a in apart.items() if len({*batch} & {*found}) == 2]
    assert apart[tuple(found)] <= min(near) + 1e-9


def test_without_scikit_learn_the_line_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtra, match="scikit-learn"):
        imitated()
