import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.accounting.mixture import binomial, invert_log_ratio, log_ratio


@given(st.floats(0.3, 30.0), st.floats(0.001, 0.9), st.integers(1, 30), st.floats(0.0, 1.0))
def test_the_ratio_is_that_of_the_densities(sigma: float, q: float, records: int, share: float):
    p_K, z = binomial(records, q), -8 + 16 * share
    plain = sum(p * math.exp(-((z - k / sigma) ** 2) / 2) for k, p in enumerate(p_K)) / math.exp(-z * z / 2)
    assert float(log_ratio(np.array([z]), sigma=sigma, p_K=p_K)[0]) == pytest.approx(math.log(plain), abs=1e-9)


@given(st.floats(0.3, 30.0), st.floats(0.001, 0.9), st.integers(1, 30))
def test_inverting_gives_back_the_values_or_says_that_it_does_not(sigma: float, q: float, records: int):
    p_K, z_X = binomial(records, q), np.linspace(-12.0, 12.0, 501)
    wanted_X = log_ratio(z_X, sigma=sigma, p_K=p_K)
    found_X = invert_log_ratio(wanted_X, sigma=sigma, p_K=p_K, low=-12.5, high=12.5)
    reached_X = np.isfinite(found_X)
    again_X = log_ratio(found_X[reached_X], sigma=sigma, p_K=p_K)
    np.testing.assert_allclose(again_X, wanted_X[reached_X], atol=2e-9)
    assert reached_X[z_X > 0].all()  # to the left it may be flat to rounding


def test_what_is_outside_of_the_table_is_no_number():
    found_X = invert_log_ratio(np.array([-50.0, 0.0, 50.0]), sigma=2.0, p_K=binomial(2, 0.5), low=-3.0, high=3.0)
    assert np.isfinite(found_X).tolist() == [False, True, False]


def test_pieces_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch):
    p_K, z_X = binomial(9, 0.3), np.linspace(-5, 5, 97)
    whole = log_ratio(z_X, sigma=1.5, p_K=p_K)
    monkeypatch.setattr("expunge.accounting.mixture.BLOCK", 25)
    np.testing.assert_array_equal(log_ratio(z_X, sigma=1.5, p_K=p_K), whole)
