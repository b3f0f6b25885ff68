import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.accounting.gaussian import gaussian_delta, gaussian_epsilon, gaussian_sigma, log_delta, log_mills
from expunge.core.errors import ConfigError

RATIOS = st.floats(0.05, 50.0)
EPSILONS = st.floats(0.0, 30.0)
DELTAS = st.floats(-60.0, -0.1).map(math.exp)
RECORDS = st.integers(1, 50)


def plain_delta(epsilon: float, ratio: float) -> float:
    """The formula as it is written, by another library."""
    special = pytest.importorskip("scipy.special")
    a, b = 0.5 / ratio - epsilon * ratio, -0.5 / ratio - epsilon * ratio
    return special.ndtr(a) - math.exp(epsilon + special.log_ndtr(b))


def test_mills_ratio_agrees_with_scipy_on_both_sides_of_its_switch():
    special = pytest.importorskip("scipy.special")
    for x in np.concatenate([np.linspace(-12, 5, 171), [-10.0, np.nextafter(-10, -11), -1e3, -1e6]]):
        expected = special.log_ndtr(x) + x * x / 2 + math.log(2 * math.pi) / 2 if x > -1e3 else -math.log(-x)
        assert log_mills(float(x)) == pytest.approx(expected, rel=1e-12, abs=1e-12 if x > -1e3 else 2e-6), x


@given(EPSILONS, RATIOS)
def test_delta_is_the_plain_formula_where_that_can_be_computed(epsilon: float, ratio: float):
    plain = plain_delta(epsilon, ratio)
    assert gaussian_delta(epsilon, sigma=ratio) == pytest.approx(plain, rel=1e-6, abs=1e-13)


def test_delta_is_right_far_beyond_any_float_of_e_to_the_epsilon():
    """By the tail's series: Phi(a) - e^eps Phi(b) = phi(a) (1/|a| - 1/|b|) (1 + O(1/a^2))."""
    epsilon, ratio = 5000.0, 0.5
    a, b = 1 - 2500.0, -1 - 2500.0
    expected = -a * a / 2 - math.log(2 * math.pi) / 2 + math.log(1 / -a - 1 / -b)
    assert log_delta(epsilon, ratio) == pytest.approx(expected, abs=1e-5)
    assert gaussian_delta(800.0, sigma=0.02) == pytest.approx(1.0)
    assert gaussian_epsilon(1e-5, sigma=1e-200) == math.inf


@given(DELTAS, RATIOS, RECORDS)
def test_epsilon_and_delta_are_inverse(delta: float, sigma: float, records: int):
    epsilon = gaussian_epsilon(delta, sigma=sigma, records=records)
    found = gaussian_delta(epsilon, sigma=sigma, records=records)
    assert found <= delta * (1 + 1e-12)
    if epsilon > 0:
        assert found == pytest.approx(delta, rel=1e-8)
        assert gaussian_delta(epsilon * (1 - 1e-9), sigma=sigma, records=records) > found


@given(st.floats(0.01, 30.0), DELTAS, RECORDS)
def test_the_least_noise_is_enough_and_less_is_not(epsilon: float, delta: float, records: int):
    sigma = gaussian_sigma(epsilon, delta, sensitivity=0.7, records=records)
    assert gaussian_delta(epsilon, sigma=sigma, sensitivity=0.7, records=records) <= delta * (1 + 1e-9)
    assert gaussian_delta(epsilon, sigma=sigma * 0.999, sensitivity=0.7, records=records) > delta


@given(DELTAS, RATIOS, RECORDS)
def test_more_noise_costs_less_and_more_records_cost_more(delta: float, sigma: float, records: int):
    here = gaussian_epsilon(delta, sigma=sigma, records=records)
    assert gaussian_epsilon(delta, sigma=sigma * 1.1, records=records) <= here
    assert gaussian_epsilon(delta, sigma=sigma, records=records + 1) >= here
    assert gaussian_delta(here + 0.1, sigma=sigma, records=records) <= gaussian_delta(
        here, sigma=sigma, records=records
    )


@given(DELTAS, RATIOS, RECORDS)
def test_m_records_are_one_with_an_mth_of_the_noise(delta: float, sigma: float, records: int):
    together = gaussian_epsilon(delta, sigma=sigma, records=records)
    assert together == pytest.approx(gaussian_epsilon(delta, sigma=sigma / records), rel=1e-9)


def test_deleting_nothing_costs_nothing():
    assert gaussian_epsilon(1e-9, sigma=0.1, records=0) == 0
    assert gaussian_delta(0.0, sigma=0.1, records=0) == 0


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf])
def test_noise_that_is_none_is_refused(sigma: float):
    with pytest.raises(ConfigError, match="sigma is"):
        gaussian_epsilon(1e-5, sigma=sigma)


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_a_delta_outside_of_0_and_1_is_refused(delta: float):
    with pytest.raises(ConfigError, match="delta is"):
        gaussian_epsilon(delta, sigma=2.0)


def test_records_below_zero_and_epsilon_below_zero_are_refused():
    with pytest.raises(ConfigError, match="records is -1"):
        gaussian_epsilon(1e-5, sigma=2.0, records=-1)
    with pytest.raises(ConfigError, match=r"epsilon is -0\.5"):
        gaussian_delta(-0.5, sigma=2.0)
    with pytest.raises(ConfigError, match="no usable noise"):
        gaussian_sigma(0.0, 1e-20)
