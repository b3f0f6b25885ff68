"""Games of 20,000 plays on two parameters: what a residual that is small, or tested, does not make safe.

The player knows everything but the noise. From a published W he computes the noise of which W is the exact minimiser on
the rows that stay, -grad L(W; D'): normal after a retraining, shifted by the residual after a removal.
"""

import math

import numpy as np
import pytest
from scipy.stats import beta

from expunge.targets.convex.budget import noise_for
from expunge.targets.convex.losses import logistic
from expunge.targets.convex.model import ConvexModel

PLAYS, LEVEL = 20_000, 1e-4
LAM, N, GONE = 0.1, 40, 10


def rows():
    rng = np.random.default_rng(2)
    angle = rng.uniform(0, 2 * math.pi, N)
    X = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    X[:GONE] = [0.8, 0.6]
    y = np.where(X @ [1.0, 0.3] + 0.5 * rng.standard_normal(N) > 0, 1.0, -1.0)
    y[:GONE] = -1.0
    return X, y


def derivatives(W, X, y, n_lam, hessian=True):
    """Gradients (P, 2) and Hessians (P, 2, 2) of L, without noise, at W (P, 2)."""
    P, n = len(W), len(X)
    Z, Y = (W @ X.T).reshape(-1, 1), np.tile(y, P)
    G = logistic.gradient(Z, Y).reshape(P, n) @ X + n_lam * W
    if not hessian:
        return G, None
    C = logistic.curvature(Z, Y).reshape(P, n)
    squares = (X[:, :, None] * X[:, None, :]).reshape(n, 4)
    return G, (C @ squares).reshape(P, 2, 2) + n_lam * np.eye(2)


def solved(b, X, y):
    """Minimisers (P, 2) of L_b, by Newton's method on all plays at once that are not done."""
    W, going = np.zeros_like(b), np.arange(len(b))
    for _ in range(80):
        G, H = derivatives(W[going], X, y, LAM * len(X))
        G = G + b[going]
        left = np.abs(G).max(axis=1) > 1e-11
        if not left.any():
            return W
        going, G, H = going[left], G[left], H[left]
        step = np.linalg.solve(H, G[:, :, None])[:, :, 0]
        W[going] -= step / np.maximum(1.0, np.linalg.norm(step, axis=1, keepdims=True) / 2)
    raise AssertionError(f"{len(going)} plays are not solved")


def removed(W, X, y):
    """W after the first rows left by one Newton step."""
    gone = derivatives(W, X[:GONE], y[:GONE], LAM * GONE, hessian=False)[0]
    return W + np.linalg.solve(derivatives(W, X[GONE:], y[GONE:], LAM * (len(X) - GONE))[1], gone[:, :, None])[:, :, 0]


def noise_of(W, X, y):
    """-grad L(W; D'): (P, 2)."""
    return -derivatives(W, X[GONE:], y[GONE:], LAM * (len(X) - GONE), hessian=False)[0]


def play(sigma, limit, *, seed):
    """Noise that retrained and removed models show, (P, 2) each, with fresh noise where a removal failed the test."""
    X, y = rows()
    rng = np.random.default_rng(seed)
    b, fresh, other = sigma * rng.standard_normal((3, PLAYS, 2))
    W = removed(solved(b, X, y), X, y)
    passed = np.linalg.norm(b - noise_of(W, X, y), axis=1) <= limit
    W[~passed] = solved(fresh[~passed], X[GONE:], y[GONE:])
    return noise_of(solved(other, X[GONE:], y[GONE:]), X, y), noise_of(W, X, y), passed.mean()


def beaten(one, other, epsilon):
    """A δ that an event's frequencies exceed, with an error of at most ``LEVEL`` each (Clopper & Pearson)."""
    a, c = int(one.sum()), int(other.sum())
    low = float(beta.ppf(LEVEL, a, PLAYS - a + 1)) if a else 0.0
    high = float(beta.ppf(1 - LEVEL, c + 1, PLAYS - c)) if c < PLAYS else 1.0
    return low - math.exp(epsilon) * high


def without_noise():
    """The residual (2,) of a removal from the model without noise, as a shift of the noise shown."""
    X, y = rows()
    return noise_of(removed(solved(np.zeros((1, 2)), X, y), X, y), X, y)[0]


def test_the_game_plays_the_library():
    X, y = rows()
    sigma = 0.6
    model = ConvexModel(lam=LAM, sigma=sigma, epsilon=3.0, delta=0.01, certify_on="residual").fit(X, y)
    after = model.unlearn([str(i) for i in range(GONE)])
    W = removed(solved(model.noise_[0].T, X, y), X, y)
    assert not after.requests_[0].retrained
    np.testing.assert_allclose(after.coef_.T, W, atol=1e-9)
    assert after.residuals()[0] == pytest.approx(np.linalg.norm(model.noise_[0].T - noise_of(W, X, y)), abs=1e-9)


def test_fresh_noise_after_a_test_that_looked_at_the_noise_is_caught():
    epsilon, delta = 0.2, 0.001
    X, y = rows()
    limit = float(np.linalg.norm(without_noise()))
    sigma = noise_for(limit, epsilon, delta)
    retrained, published, passed = play(sigma, limit, seed=13)
    assert 0.3 < passed < 0.7
    fails = []
    for noise in (retrained, published):
        apart = noise - noise_of(removed(solved(noise, X, y), X, y), X, y)
        fails.append(np.linalg.norm(apart, axis=1) > limit)
    assert max(beaten(fails[0], fails[1], epsilon), beaten(~fails[1], ~fails[0], epsilon)) > 50 * delta


def test_a_residual_within_the_budget_is_not_enough_where_it_is_chosen_after_the_noise():
    X, y = rows()
    b = np.random.default_rng(4).standard_normal((PLAYS, 2))
    exact = solved(b, X[GONE:], y[GONE:])
    rounded = np.round(exact, 3)
    assert np.linalg.norm(noise_of(rounded, X, y) - b, axis=1).max() < 0.01  # 1/100 of the noise
    on_grid = [(np.abs(W - np.round(W, 3)) < 1e-9).all(axis=1) for W in (exact, rounded)]
    assert beaten(on_grid[1], on_grid[0], 1.0) > 0.9


def volume(sigma, X, y, plays=2000):
    """|ln det| (P,) of the map from the noise drawn to the noise shown."""
    b, h = sigma * np.random.default_rng(6).standard_normal((plays, 2)), 1e-4
    sides = [[noise_of(removed(solved(b + s * e, X, y), X, y), X, y) for s in (h, -h)] for e in np.eye(2)]
    J = np.stack([(ahead - behind) / (2 * h) for ahead, behind in sides], axis=2)
    return np.abs(np.log(np.abs(np.linalg.det(J))))


def test_removal_all_but_keeps_volumes_which_the_proof_leaves_out():
    X, y = rows()
    few = volume(1.0, X, y)
    many = volume(1.0, np.concatenate([X, *[X[GONE:]] * 9]), np.concatenate([y, *[y[GONE:]] * 9]))
    assert few.max() < 0.5
    assert many.max() < few.max() / 20
