import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.accounting.gaussian import gaussian_epsilon
from expunge.accounting.renyi import renyi_delta, renyi_epsilon, renyi_gaussian, renyi_group, renyi_pure
from expunge.core.errors import ConfigError

ORDERS = [1.5, 2.0, 3.0, 5.0, 8.0, 16.0, 32.0, 64.0]
DELTAS = st.floats(-40.0, -1.0).map(math.exp)


@given(st.floats(0.3, 20.0), DELTAS)
def test_never_below_the_exact_gaussian_and_never_above_the_classical_conversion(sigma: float, delta: float):
    divergences = {a: renyi_gaussian(a, sigma=sigma) for a in ORDERS}
    found = renyi_epsilon(divergences, delta=delta)
    classical = min(r + math.log(1 / delta) / (a - 1) for a, r in divergences.items())
    assert gaussian_epsilon(delta, sigma=sigma) <= found * (1 + 1e-12) + 1e-12
    assert found <= classical


@given(st.dictionaries(st.sampled_from(ORDERS), st.floats(0.0, 20.0), min_size=1), DELTAS)
def test_epsilon_and_delta_are_inverse(divergences: dict[float, float], delta: float):
    epsilon = renyi_epsilon(divergences, delta=delta)
    found = renyi_delta(divergences, epsilon=epsilon)
    assert found <= delta * (1 + 1e-9)
    assert epsilon == 0 or found == pytest.approx(delta, rel=1e-9)
    assert renyi_delta(divergences, epsilon=epsilon + 1) <= found


@given(st.floats(1.01, 60.0), st.floats(0.0, 40.0))
def test_a_pure_epsilon_bounds_every_order_and_meets_it_at_the_last(order: float, epsilon: float):
    found = renyi_pure(order, epsilon)
    assert found <= min(epsilon, order * epsilon * epsilon / 2) + 1e-9
    assert renyi_pure(order * 2, epsilon) >= found - 1e-9


@given(st.floats(0.5, 10.0), st.integers(0, 4))
def test_the_group_bound_holds_for_the_gaussian_whose_group_is_known(sigma: float, doublings: int):
    bound = renyi_group({a: renyi_gaussian(a, sigma=sigma) for a in ORDERS}, doublings=doublings)
    for order, divergence in bound.items():
        assert divergence >= renyi_gaussian(order, sigma=sigma, sensitivity=2.0**doublings) * (1 - 1e-12)


def test_orders_and_divergences_that_are_none_are_refused():
    with pytest.raises(ConfigError, match=r"the order is 1\.0"):
        renyi_epsilon({1.0: 0.5}, delta=1e-5)
    with pytest.raises(ConfigError, match=r"divergence of order 2\.0 is -0\.5"):
        renyi_delta({2.0: -0.5}, epsilon=1.0)
    with pytest.raises(ConfigError, match="no order"):
        renyi_epsilon({}, delta=1e-5)
    with pytest.raises(ConfigError, match="no order is large enough"):
        renyi_group({3.0: 0.5}, doublings=1)
