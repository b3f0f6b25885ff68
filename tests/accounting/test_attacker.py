import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.accounting.attacker import best_auc, best_true_positive_rate, odds_exceeded, posterior, reading
from expunge.accounting.gaussian import gaussian_delta
from expunge.core.errors import ConfigError

EPSILONS, RATES = st.floats(0.0, 50.0), st.floats(0.0, 1.0)
DELTAS = st.floats(0.0, 0.5)


@given(EPSILONS, DELTAS, RATES)
def test_no_worse_than_guessing_and_worse_for_the_subject_with_more_epsilon(epsilon: float, delta: float, rate: float):
    found = best_true_positive_rate(epsilon, delta, false_positive_rate=rate)
    assert rate - 1e-12 <= found <= 1
    assert best_true_positive_rate(epsilon + 0.5, delta, false_positive_rate=rate) >= found - 1e-12
    assert best_true_positive_rate(epsilon, min(0.9, delta + 0.1), false_positive_rate=rate) >= found - 1e-12


@given(st.floats(0.3, 5.0), EPSILONS, st.floats(1e-4, 0.9999))
def test_the_best_test_between_two_gaussians_is_within_what_their_epsilon_and_delta_allow(
    sigma: float, epsilon: float, rate: float
):
    special = pytest.importorskip("scipy.special")
    delta = gaussian_delta(epsilon, sigma=sigma)
    if delta < 1:
        power = special.ndtr(special.ndtri(rate) + 1 / sigma)
        assert power <= best_true_positive_rate(epsilon, delta, false_positive_rate=rate) + 1e-9


@given(EPSILONS, st.floats(0.01, 0.99))
def test_the_posterior_multiplies_the_odds(epsilon: float, prior: float):
    after = posterior(prior, epsilon=epsilon)
    assert prior <= after + 1e-12
    if after < 1 - 1e-9:
        assert math.log(after / (1 - after)) == pytest.approx(math.log(prior / (1 - prior)) + epsilon, abs=1e-5)


def test_how_often_the_odds_of_a_gaussian_rise_by_more_is_within_the_bound():
    """Its privacy loss is N(1 / (2 s^2), 1 / s^2)."""
    special = pytest.importorskip("scipy.special")
    for sigma, epsilon, slack in ((1.0, 1.0, 0.5), (0.5, 3.0, 1.0), (2.0, 0.5, 0.1)):
        exceeded = special.ndtr(-(epsilon + slack - 0.5 / sigma**2) * sigma)
        assert exceeded <= odds_exceeded(gaussian_delta(epsilon, sigma=sigma), slack=slack)


@given(EPSILONS, st.sampled_from([0.0, 1e-5, 0.3]))
def test_the_area_is_that_below_the_curve(epsilon: float, delta: float):
    rates = [(at + 0.5) / 2000 for at in range(2000)]
    curve = [best_true_positive_rate(epsilon, delta, false_positive_rate=rate) for rate in rates]
    assert best_auc(epsilon, delta) == pytest.approx(sum(curve) / len(curve), abs=2e-3)


def test_the_sentence_says_delta_only_where_there_is_one():
    assert "probability 1e-05 that may tell everything" in str(reading(1.0, 1e-5))
    assert "tell everything" not in str(reading(1.0, 0.0))
    assert str(reading(0.0, 0.0)).startswith("an attacker with 1 % false positives finds 1 % of the members at best")


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="epsilon is inf"):
        reading(math.inf, 0.0)
    with pytest.raises(ConfigError, match=r"delta is 1\.0"):
        reading(1.0, 1.0)
    with pytest.raises(ConfigError, match="prior is 1"):
        posterior(1.0, epsilon=1.0)
    with pytest.raises(ConfigError, match="false_positive_rate is 2"):
        best_true_positive_rate(1.0, 0.0, false_positive_rate=2.0)
