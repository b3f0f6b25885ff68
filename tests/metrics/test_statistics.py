"""Statistics against scipy and scikit-learn, with and without weights."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hmean, ks_2samp
from sklearn.metrics import roc_auc_score

from expunge.core.errors import EvidenceError
from expunge.core.measure import Statistic
from expunge.core.registry import metrics
from expunge.evaluation.attacking import mean_outcome
from expunge.metrics import forget_quality, min_k_auc, model_utility, privleak, reference_auc
from expunge.metrics.forget_quality import MODEL, REFERENCE, log10_p
from expunge.metrics.min_k_auc import FORGET, HOLDOUT

# Few distinct values, so that ties are common.
values = st.lists(st.integers(0, 6).map(lambda i: i / 4), min_size=2, max_size=12)


@st.composite
def weighted(draw):
    array = np.array(draw(values))
    weights = np.array(draw(st.lists(st.integers(0, 3), min_size=len(array), max_size=len(array))))
    weights[draw(st.integers(0, len(array) - 1))] += 1
    return array, weights


@given(weighted(), weighted())
def test_weighted_distance_is_that_of_the_resample(a, b):
    expected = ks_2samp(np.repeat(*a), np.repeat(*b), method="exact").statistic
    one = forget_quality({MODEL: np.repeat(*a), REFERENCE: np.repeat(*b)})
    many = forget_quality.function({MODEL: a[0], REFERENCE: b[0]}, {MODEL: a[1][None], REFERENCE: b[1][None]})
    assert one == pytest.approx(expected, abs=1e-12)
    assert many.shape == (1,) and many[0] == pytest.approx(expected, abs=1e-12)


@given(weighted(), weighted())
def test_weighted_auc_is_that_of_the_resample(a, b):
    forget, holdout = np.repeat(*a), np.repeat(*b)
    expected = roc_auc_score([1] * len(forget) + [0] * len(holdout), [*forget, *holdout])
    one = min_k_auc({FORGET: forget, HOLDOUT: holdout})
    many = min_k_auc.function({FORGET: a[0], HOLDOUT: b[0]}, {FORGET: a[1][None], HOLDOUT: b[1][None]})
    assert one == pytest.approx(expected, abs=1e-12)
    assert many.shape == (1,) and many[0] == pytest.approx(expected, abs=1e-12)


@given(weighted(), weighted())
def test_weighted_utility_is_that_of_the_resample(a, b):
    keys = [("model", "retain", "probability"), ("model", "general", "rouge_l")]
    pairs = dict(zip(keys, (a, b), strict=True))
    expected = hmean([np.repeat(*pair).mean() for pair in pairs.values()])
    one = model_utility({key: np.repeat(*pair) for key, pair in pairs.items()})
    many = model_utility.function({k: p[0] for k, p in pairs.items()}, {k: p[1][None] for k, p in pairs.items()})
    assert one == pytest.approx(expected) and many[0] == pytest.approx(expected)
    key = ("model", "relearning", "outcome")
    recovered = mean_outcome("relearning").function({key: a[0]}, {key: a[1][None]})
    assert recovered[0] == pytest.approx(np.repeat(*a).mean())


@pytest.mark.parametrize("n", [2, 5, 20, 120, 400])
def test_log10_p_is_scipys(n):
    for h in range(n + 1):
        low = np.arange(n, dtype=float)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            expected = ks_2samp(low, low + h - 0.5 if h else low, method="exact")
        assert expected.statistic == pytest.approx(h / n)
        if expected.pvalue > 1e-250:
            assert log10_p(h / n, n) == pytest.approx(math.log10(expected.pvalue), abs=1e-8, rel=1e-8)


@pytest.mark.parametrize("n", [1000, 100_000])
def test_log10_p_stays_finite_where_p_does_not(n):
    found = log10_p(1.0, n)
    assert found == pytest.approx(math.log10(2) - (math.lgamma(2 * n + 1) - 2 * math.lgamma(n + 1)) / math.log(10))
    assert -math.inf < found < -300


def test_utility_of_a_lost_component_is_zero():
    assert model_utility({("model", "retain", "rouge_l"): [0.0, 0.0], ("model", "general", "rouge_l"): [0.9]}) == 0.0


@pytest.mark.parametrize("name", [n for n, found in metrics.items() if isinstance(found, Statistic) and found.needs])
def test_a_missing_score_is_named(name):
    with pytest.raises(EvidenceError, match="needs"):
        metrics.get(name)({})


@given(weighted(), weighted(), weighted(), weighted())
def test_weighted_privleak_is_that_of_the_resample(a, b, c, d):
    keys = [(who, role, "min_k") for who in ("model", "reference") for role in ("forget", "holdout")]
    pairs = dict(zip(keys, (a, b, c, d), strict=True))
    found = {key: np.repeat(*pair) for key, pair in pairs.items()}
    auc = {}
    for who in ("model", "reference"):
        inside, outside = (found[who, role, "min_k"] for role in ("forget", "holdout"))
        auc[who] = roc_auc_score([0] * len(inside) + [1] * len(outside), [*inside, *outside])
    many = privleak.function({k: p[0] for k, p in pairs.items()}, {k: p[1][None] for k, p in pairs.items()})
    if auc["reference"] == 0:
        assert math.isnan(privleak(found)) and np.isnan(many).all()
    else:
        expected = 100 * (auc["model"] / auc["reference"] - 1)
        assert privleak(found) == pytest.approx(expected) and many[0] == pytest.approx(expected)


def test_the_reference_attack_sees_only_what_the_reference_does_not():
    model = {("model", "forget", "loss"): [-1.0, -2.0, -3.0], ("model", "holdout", "loss"): [-5.0, -6.0]}
    same = {("reference", role, "loss"): values for (_, role, _), values in model.items()}
    assert reference_auc({**model, **same}) == 0.5
    flat = {("reference", "forget", "loss"): [-4.0] * 3, ("reference", "holdout", "loss"): [-4.0] * 2}
    assert reference_auc({**model, **flat}) == 1.0
    ones = {("model", "forget", "loss"): np.array([[1, 0, 2]]), ("model", "holdout", "loss"): np.array([[1, 1]])}
    assert reference_auc.function({**model, **flat}, ones).tolist() == [1.0]
