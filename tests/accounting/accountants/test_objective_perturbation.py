"""The accountant of Newton removal: heads add up, no delta is used twice, and private features are added."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.accounting.accountants.objective_perturbation import objective_perturbation
from expunge.accounting.gaussian import gaussian_delta
from expunge.accounting.objective import hidden, multiple
from expunge.accounting.subsampled import sampled_epsilon
from expunge.core.errors import ConfigError

BASE = {"sigma": "10.0", "residual": "0.5", "delta_head": "1e-5", "heads": "1", "units": "4"}
FEATURES = {"features_sigma": "6.0", "features_q": "1.0", "features_steps": "4", "features_units": "2"}


def epsilon(delta=1e-3, **more):
    return objective_perturbation(delta, {**BASE, **more})


def test_it_is_the_published_formula():
    assert epsilon() == pytest.approx(math.sqrt(2 * math.log(1.5 / 1e-5)) * 0.5 / 10)
    assert epsilon(heads="7") == pytest.approx(7 * epsilon())


@given(st.floats(0.01, 2.0), st.floats(1e-9, 1e-3), st.floats(0.1, 50.0))
def test_it_is_never_below_what_the_exact_gaussian_shift_takes_and_is_monotone(residual, delta, sigma):
    try:
        found = hidden(residual, sigma, delta)
    except ConfigError:
        assert math.sqrt(2 * math.log(1.5 / delta)) * residual / sigma > 0.8
        return
    assert gaussian_delta(found, sigma=sigma / residual) <= delta
    assert found < hidden(residual, sigma * 0.999, delta) and found < hidden(residual, sigma, delta * 0.999)
    assert multiple(found, delta) * residual / sigma == pytest.approx(found)


def test_features_of_a_private_model_are_added():
    alone = sampled_epsilon(1e-4, sigma=6.0, q=1.0, steps=4, records=2).epsilon
    assert epsilon(**FEATURES, features_delta="1e-4") == pytest.approx(epsilon() + alone)
    none = {**FEATURES, "features_units": "0"}
    assert epsilon(**none, features_delta="1e-4") == epsilon()


def test_nothing_forgotten_costs_nothing():
    assert epsilon(units="0") == 0.0


@pytest.mark.parametrize(
    ("delta", "more", "said"),
    [
        (2.9e-5, {"heads": "3"}, "deltas do not add up"),
        (1e-5, {"tail": "1e-9"}, "deltas do not add up"),
        (1e-5, {**FEATURES, "features_delta": "1e-9"}, "deltas do not add up"),
        (1e-3, {"tail": "-1e-3"}, "deltas do not add up"),
        (1e-3, {"tail": "nan"}, "deltas do not add up"),
        (1e-3, {"residual": "-0.5"}, "a residual from 0"),
        (1e-3, {"residual": "nan"}, "a residual from 0"),
        (1e-3, {"sigma": "inf"}, "a noise above 0"),
        (1e-3, {"heads": "0"}, "heads"),
        (1e-3, {"delta_head": "0"}, "delta_head"),
        (1e-3, {"residual": "400.0"}, "too large for δ"),
    ],
)
def test_numbers_that_prove_nothing_are_refused(delta, more, said):
    with pytest.raises(ConfigError, match=said):
        objective_perturbation(delta, {**BASE, **more})
