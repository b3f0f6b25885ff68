"""Sums in two arithmetics: integers that are exact whatever leaves, and floats whose error stays small."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from expunge.core.errors import ConfigError, TargetError
from expunge.targets import learners
from expunge.targets.learners._learner import digest_of
from expunge.targets.learners._sums import FloatSums, GridSums, check_arithmetic, on_grid, sums_of

STEP = 2.0**-16
EDGE = 2**31 - 1
integers = arrays(np.int64, st.tuples(st.integers(1, 8), st.just(3)), elements=st.integers(-EDGE, EDGE))


def products(Q):
    """Sums of products, in Python's integers."""
    rows = Q.astype(object)
    return rows.T @ rows


@given(Q=integers)
def test_limbs_hold_the_exact_sum_of_products_up_to_the_edge_of_the_grid(Q):
    sums = GridSums.of(Q * STEP, "full", STEP)
    high, cross, low = sums.second.astype(object)
    assert (high * 2**32 + cross * 2**16 + low == products(Q)).all()
    diagonal = GridSums.of(Q * STEP, "diagonal", STEP)
    high, cross, low = diagonal.second.astype(object)
    assert (high * 2**32 + cross * 2**16 + low == np.diagonal(products(Q))).all()


def test_limbs_are_exact_over_more_rows_than_one_piece():
    rng = np.random.default_rng(0)
    Q = rng.integers(-EDGE, EDGE, (20_000, 2))
    high, cross, low = GridSums.of(Q * STEP, "full", STEP).second.astype(object)
    assert (high * 2**32 + cross * 2**16 + low == products(Q)).all()


@given(Q=integers)
def test_scatter_on_the_grid_is_rounded_once(Q):
    n, rows = len(Q), Q.astype(object)
    exact = n * products(Q) - np.multiply.outer(rows.sum(0), rows.sum(0))
    expected = np.array([[int(value) / n for value in row] for row in exact]) * STEP**2
    assert (GridSums.of(Q * STEP, "full", STEP).scatter() == expected).all()


@given(Q=integers, cut=st.integers(0, 8), order=st.sampled_from(["first", "diagonal", "full"]))
def test_taking_rows_out_of_grid_sums_leaves_the_bytes_of_sums_that_never_held_them(Q, cut, order):
    X, cut = Q * STEP, min(cut, len(Q) - 1)
    left = sums_of(X, order, "bitwise", STEP).minus(sums_of(X[:cut], order, "bitwise", STEP)).arrays()
    never = sums_of(X[cut:], order, "bitwise", STEP).arrays()
    assert {k: digest_of(v) for k, v in left.items()} == {k: digest_of(v) for k, v in never.items()}


def test_float_sums_of_shifted_rows_keep_their_scatter():
    X = np.random.default_rng(1).standard_normal((500, 3)) + 1e6
    left = FloatSums.of(X, "full", STEP).minus(FloatSums.of(X[:200], "full", STEP))
    np.testing.assert_allclose(left.scatter(), np.cov(X[200:].T, ddof=0) * 300, rtol=0, atol=1e-6)
    raw = (X.T @ X - X[:200].T @ X[:200]) - 300 * np.outer(X[200:].mean(0), X[200:].mean(0))
    assert np.abs(raw - left.scatter()).max() > 1e-3


def test_an_outlier_that_leaves_float_sums_leaves_no_trace_of_its_size():
    X = np.random.default_rng(2).standard_normal((60, 2))
    far = np.array([[1e8, -1e8]])
    y = np.zeros(61)
    for name in ("standard_scaler", "pca", "ridge"):
        make = getattr(learners, name)
        left = make(exactness="1e-12").fit(np.vstack([X, far]), y, ids=[str(i) for i in range(61)]).unlearn(["60"])
        never = make(exactness="1e-12").fit(X, y[:60], ids=[str(i) for i in range(60)])
        for key, value in never.state().items():
            if isinstance(value, np.ndarray):
                np.testing.assert_allclose(left.state()[key], value, rtol=0, atol=1e-12 * np.abs(value).max())


def test_a_number_is_put_on_the_nearest_point_of_the_grid_and_refused_beyond_it():
    assert on_grid(np.array([1.0, 0.2]), 0.25).tolist() == [4, 1]
    with pytest.raises(TargetError, match=r"outside of the grid\. 4e\+04 is beyond 32768"):
        learners.standard_scaler().fit([[4e4]])
    learners.standard_scaler(step=2.0**-10).fit([[4e4]])


@pytest.mark.parametrize("step", [0.1, 0.0, -0.5, float("nan"), 1])
def test_a_step_that_is_no_power_of_two_is_refused(step):
    with pytest.raises(ConfigError, match="power of two"):
        check_arithmetic("bitwise", step)


def test_an_unknown_exactness_is_refused():
    with pytest.raises(ConfigError, match="Known: bitwise, 1e-12"):
        learners.pca(exactness="exact").fit([[1.0]])
