"""Ridge in floats: corrected, folded or made anew, it stays what a refit gives."""

import numpy as np
import pytest

from expunge.core.errors import ConfigError
from expunge.targets.learners.ridge import Ridge

N, D = 400, 12


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, D))
    return X, X @ rng.standard_normal((D, 2)) + rng.standard_normal((N, 2))


def refit(X, Y, penalty=1.5):
    A = X.T @ X + penalty * np.eye(X.shape[1])
    return np.linalg.solve(A, X.T @ Y).T


def floats(X, Y, penalty=1.5):
    return Ridge(penalty=penalty, intercept=False, exactness="1e-12").fit(X, Y)


@pytest.mark.parametrize("batch", [1, 5, 30])
def test_a_long_chain_of_deletions_drifts_by_less_than_1e_12(data, batch):
    X, Y = data
    learner, order = floats(X, Y), np.random.default_rng(1).permutation(N)
    kinds = set()
    for start in range(0, N - 60, batch):
        learner = learner.unlearn([str(i) for i in order[start : start + batch]])
        kinds.add(learner._gone is None)
        kept = order[start + batch :]
        np.testing.assert_allclose(learner.coef_, refit(X[kept], Y[kept]), rtol=0, atol=1e-12)
    assert kinds == ({True} if batch > D else {True, False})


def test_a_row_of_leverage_near_1_is_taken_out_of_the_rows_not_of_the_rounded_sums(data):
    X, Y = data
    X = X.copy()
    X[:, 0] = 0.0
    X[7, 0] = 1e7
    learner = floats(X, Y).unlearn(["7"])
    kept = np.delete(np.arange(N), 7)
    np.testing.assert_allclose(learner.coef_, refit(X[kept], Y[kept]), rtol=0, atol=1e-12)
    assert learner.coef_[:, 0].tolist() == [0.0, 0.0]


def test_an_old_learner_keeps_its_coefficients_while_others_come_from_it(data):
    X, Y = data
    learner = floats(X, Y)
    before = learner.coef_.copy()
    one, two = learner.unlearn(["1"]), learner.unlearn(["2", "3"])
    assert one._base is two._base is learner._base
    assert (learner.coef_ == before).all()
    np.testing.assert_allclose(one.coef_, refit(np.delete(X, 1, 0), np.delete(Y, 1, 0)), atol=1e-13)


def test_learning_after_unlearning_is_a_refit(data):
    X, Y = data
    learner = floats(X[:300], Y[:300]).unlearn(["4", "5"]).partial_fit(X[300:], Y[300:])
    kept = np.delete(np.arange(N), [4, 5])
    np.testing.assert_allclose(learner.coef_, refit(X[kept], Y[kept]), atol=1e-13)
    assert "302" in learner.ids_


def test_a_row_that_makes_the_sums_singular_by_its_size_does_not_outlast_its_deletion(data):
    X, Y = data
    far = np.full((1, D), 1e10)
    learner = Ridge(penalty=0.0, exactness="1e-12").fit(np.vstack([X, far]), np.vstack([Y, [[0.0, 0.0]]]))
    never = Ridge(penalty=0.0, exactness="1e-12").fit(X, Y)
    np.testing.assert_allclose(learner.unlearn([str(N)]).coef_, never.coef_, rtol=0, atol=1e-13)


def test_a_grid_on_which_1_is_no_point_has_no_intercept():
    with pytest.raises(ConfigError, match="too coarse for an intercept"):
        Ridge(step=2.0).fit([[4.0]], [2.0])
    assert Ridge(step=2.0, intercept=False, penalty=2.0).fit([[4.0]], [6.0]).coef_.round(4).tolist() == [1.3333]


def test_nearly_collinear_columns_multiply_rounding_by_the_condition_number(data):
    X, Y = data
    X = np.column_stack([X, X[:, 0] + 1e-5 * np.random.default_rng(1).normal(size=N)])
    learner = floats(X, Y, 0.0).unlearn(list(map(str, range(0, 90, 7))))
    kept = np.setdiff1d(np.arange(N), np.arange(0, 90, 7))
    never = floats(X[kept], Y[kept], 0.0)
    for name, held in never.state().items():
        if name in ("products", "cross"):
            np.testing.assert_allclose(learner.state()[name], held, rtol=0, atol=1e-13 * np.abs(held).max())
    rows = X[kept]
    condition = np.linalg.cond(rows.T @ rows)
    apart = np.abs(learner.predict(X) - never.predict(X)).max() / np.abs(never.predict(X)).max()
    assert condition > 1e5 and 1e-14 < apart < 1e-15 * condition
