import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.accounting.composition import advanced, basic, gaussian_releases, growth, optimal
from expunge.core.errors import ConfigError

LOSSES = st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.0, 0.1)), max_size=20)


def test_the_exact_composition_is_that_of_the_privacy_loss_distribution():
    pytest.importorskip("dp_accounting")
    from dp_accounting.pld import privacy_loss_distribution as pld

    composed = pld.from_gaussian_mechanism(8.0).self_compose(25)
    assert gaussian_releases(25, 1e-6, sigma=8.0) == pytest.approx(composed.get_epsilon_for_delta(1e-6), rel=1e-3)


@settings(max_examples=40)
@given(st.floats(0.5, 50.0), st.integers(1, 200), st.floats(-30.0, -3.0).map(math.exp))
def test_pld_is_never_above_the_others_and_all_grow_with_releases(sigma: float, releases: int, delta: float):
    grown = growth([releases, releases + 1], delta, sigma=sigma)
    for now in (0, 1):
        assert grown.pld[now] <= min(grown.basic[now], grown.optimal[now]) * (1 + 1e-9) + 1e-12
        assert grown.optimal[now] <= grown.advanced[now] * (1 + 1e-9) + 1e-12
    for curve in (grown.basic, grown.advanced, grown.optimal, grown.pld):
        assert curve[0] <= curve[1] * (1 + 1e-9)


@given(LOSSES, st.floats(-30.0, -1.0).map(math.exp))
def test_advanced_never_costs_more_epsilon_than_basic_and_the_order_does_not_matter(
    losses: list[tuple[float, float]], slack: float
):
    epsilon, delta = advanced(losses, slack=slack)
    assert epsilon <= basic(losses)[0]
    assert delta <= basic(losses)[1] + slack + 1e-12
    assert advanced(losses[::-1], slack=slack) == (epsilon, delta)
    assert basic(losses[::-1]) == basic(losses)


def test_advanced_holds_for_randomised_response_whose_composition_is_known():
    """k coins with bias e^eps to 1: delta(e) = sum_j C(k, j) max(0, p^j q^(k-j) - e^e q^j p^(k-j))."""
    each, k, slack = 0.2, 200, 1e-4
    epsilon, _ = advanced([(each, 0.0)] * k, slack=slack)
    assert epsilon < 0.5 * k * each
    log_p, log_q = -math.log1p(math.exp(-each)), -math.log1p(math.exp(each))
    terms = [
        math.exp(math.log(math.comb(k, j)) + j * log_p + (k - j) * log_q)
        - math.exp(math.log(math.comb(k, j)) + epsilon + j * log_q + (k - j) * log_p)
        for j in range(k + 1)
    ]
    assert math.fsum(max(0.0, term) for term in terms) <= slack


@given(st.floats(0.01, 3.0), st.integers(1, 7), st.floats(-20.0, -1.0).map(math.exp))
def test_optimal_is_the_least_for_coins_that_are_thrown_one_by_one(epsilon: float, releases: int, total: float):
    """Over all 2^k sequences of coins of e^epsilon to 1, instead of their counts."""
    p = 1 / (1 + math.exp(-epsilon))

    def delta(g: float) -> float:
        masses = [
            [math.prod(bias if coin else 1 - bias for coin in coins) for bias in (p, 1 - p)]
            for coins in itertools.product((True, False), repeat=releases)
        ]
        return math.fsum(max(0.0, one - math.exp(g) * other) for one, other in masses)

    found = optimal(epsilon, releases=releases, total=total)
    assert delta(found) <= total * (1 + 1e-6) + 1e-12
    assert found <= 1e-9 or delta(found * (1 - 1e-6)) >= total * (1 - 1e-3) - 1e-12
    assert found <= releases * epsilon


def test_optimal_counts_the_deltas_and_refuses_when_they_alone_are_too_much():
    assert optimal(0.5, releases=4, total=0.01, delta=1e-3) > optimal(0.5, releases=4, total=0.01)
    assert optimal(0.7, releases=1, total=1e-9) == pytest.approx(0.7, abs=1e-6)
    assert optimal(0.0, releases=5, total=0.01) == 0
    with pytest.raises(ConfigError, match="nothing of delta is left"):
        optimal(0.5, releases=20, total=0.01, delta=1e-3)


def test_no_release_costs_nothing_and_bad_numbers_are_refused():
    assert gaussian_releases(0, 1e-5, sigma=1.0) == 0
    assert basic([]) == (0, 0)
    with pytest.raises(ConfigError, match="releases is -1"):
        gaussian_releases(-1, 1e-5, sigma=1.0)
    with pytest.raises(ConfigError, match=r"delta is 1\.0"):
        basic([(1.0, 1.0)])
    with pytest.raises(ConfigError, match=r"slack is 0\.0"):
        advanced([(1.0, 0.0)], slack=0.0)
