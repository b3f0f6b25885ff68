"""Intervals: what is resampled together, what apart, and how often the criterion that rests on them is right."""

import time

import numpy as np
import pytest

from expunge.core.errors import EvidenceError
from expunge.core.measure import statistic
from expunge.core.policy import equivalence
from expunge.evaluation.attacking import mean_outcome
from expunge.evaluation.bootstrap import estimate, fewest_groups
from expunge.evaluation.contrast import contrast
from expunge.evaluation.policies import research_tofu
from expunge.metrics import forget_quality, min_k_auc

FORGET = ("model", "forget", "probability")
REFERENCE = ("reference", "forget", "probability")
HOLDOUT = ("model", "holdout", "probability")


def mean(scores, weights=None):
    values = np.asarray(scores[FORGET])
    return values.mean() if weights is None else weights[FORGET] @ values / weights[FORGET].sum(-1)


def slow(function):
    """The same function without weights, so that it is called once a draw."""
    return lambda scores: function(scores)


def people(count, questions=1):
    return [f"person {i:03d}" for i in range(count) for _ in range(questions)]


def test_all_at_once_equals_one_by_one():
    rng = np.random.default_rng(0)
    scores = {("model", "forget", "min_k"): rng.normal(size=30), ("model", "holdout", "min_k"): rng.normal(size=24)}
    groups = {"forget": people(10, 3), "holdout": people(8, 3)}
    fast = estimate(min_k_auc, scores, groups, draws=200, seed=1)
    assert fast == estimate(slow(min_k_auc.function), scores, groups, draws=200, seed=1)
    pair = {
        ("model", "forget", "truth_ratio"): rng.normal(size=30),
        ("reference", "forget", "truth_ratio"): rng.normal(size=30),
    }
    fast = estimate(forget_quality, pair, groups, draws=200, seed=1)
    assert fast == estimate(slow(forget_quality.function), pair, groups, draws=200, seed=1)


def test_it_agrees_with_the_known_standard_error():
    values = np.random.default_rng(1).normal(size=200)
    found = estimate(mean, {FORGET: values}, {"forget": people(200)}, draws=4000, seed=2)
    half = 1.645 * values.std() / np.sqrt(200)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)
    assert (found.n, found.groups, found.seeds, found.level) == (200, 200, 1, 0.9)


def test_subjects_move_together():
    values = np.repeat(np.random.default_rng(2).normal(size=20), 6)
    together = estimate(mean, {FORGET: values}, {"forget": people(20, 6)}, seed=3)
    apart = estimate(mean, {FORGET: values}, {"forget": people(120)}, seed=3)
    ratio = (together.high - together.low) / (apart.high - apart.low)
    assert ratio == pytest.approx(np.sqrt(6), rel=0.1)
    assert (together.n, together.groups) == (120, 20)


def test_models_are_paired_and_roles_are_not():
    values = np.random.default_rng(3).normal(size=60)

    def difference(a, b):
        return lambda scores: np.mean(scores[a]) - np.mean(scores[b])

    groups = {"forget": people(20, 3), "holdout": people(20, 3)}
    paired = estimate(difference(FORGET, REFERENCE), {FORGET: values, REFERENCE: values}, groups, draws=300, seed=4)
    assert (paired.low, paired.high) == (0.0, 0.0)
    free = estimate(difference(FORGET, HOLDOUT), {FORGET: values, HOLDOUT: values}, groups, draws=300, seed=4)
    assert free.low < -0.1 < 0.1 < free.high
    assert (free.n, free.groups) == (120, 40)


def test_the_order_of_records_changes_nothing():
    values, subjects = np.random.default_rng(4).normal(size=60), np.array(people(12, 5))
    order = np.random.default_rng(5).permutation(60)
    one = estimate(mean, {FORGET: values}, {"forget": subjects}, seed=5)
    other = estimate(mean, {FORGET: values[order]}, {"forget": subjects[order]}, seed=5)
    assert (other.low, other.high) == pytest.approx((one.low, one.high), abs=1e-12)


def test_blocks_change_nothing(monkeypatch):
    values = np.random.default_rng(6).normal(size=60)
    whole = estimate(mean, {FORGET: values}, {"forget": people(60)}, draws=500, seed=6)
    monkeypatch.setattr("expunge.evaluation.bootstrap.BLOCK", 60 * 7)
    parts = estimate(mean, {FORGET: values}, {"forget": people(60)}, draws=500, seed=6)
    assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high), abs=1e-12)


def test_seeds_are_resampled_too():
    rng = np.random.default_rng(7)
    base, shift = rng.normal(size=40), np.array([-1.0, 0.0, 1.0, 2.0, -2.0])
    many = estimate(mean, {FORGET: base + shift[:, None]}, {"forget": people(40)}, seed=7)
    one = estimate(mean, {FORGET: base}, {"forget": people(40)}, seed=7)
    assert many.value == pytest.approx(one.value) and many.seeds == 5
    assert many.high - many.low > 2 * (one.high - one.low)
    shared = {
        ("model", "relearning", "outcome"): np.ones((5, 8)),
        ("reference", "relearning", "outcome"): np.zeros(8),
    }
    function, _ = contrast(mean_outcome("relearning"), {}, {"model": "reference"})
    assert estimate(function, shared, {"relearning": people(8)}, seed=7).value == 1.0


@pytest.mark.parametrize("count", [1, 2, 4])
def test_too_few_subjects_have_no_power(count):
    values = np.zeros(6 * count)
    found = estimate(mean, {FORGET: values}, {"forget": people(count, 6)}, seed=8, bounds=(-1.0, 1.0))
    assert (found.value, found.low, found.high, found.groups) == (0.0, -1.0, 1.0, count)
    assert equivalence(found, 0.15) == "inconclusive"
    assert equivalence(estimate(mean, {FORGET: values}, {"forget": people(count, 6)}, seed=8), 0.15) == "inconclusive"
    assert [fewest_groups(level) for level in (0.5, 0.8, 0.9, 0.95)] == [2, 4, 5, 6]


def test_one_role_with_too_few_subjects_is_enough():
    scores = {("model", "forget", "min_k"): np.arange(30.0), ("model", "holdout", "min_k"): np.arange(2.0)}
    found = estimate(min_k_auc, scores, {"forget": people(30), "holdout": people(2)}, seed=9, bounds=(0.0, 1.0))
    assert (found.low, found.high) == (0.0, 1.0)


def test_bad_input_is_refused():
    groups = {"forget": people(6)}
    for scores, what in (
        ({}, "no scores"),
        ({HOLDOUT: np.zeros(6)}, "no subjects are given for the role holdout"),
        ({FORGET: np.zeros(5)}, "does not fit"),
        ({FORGET: np.full(6, np.nan)}, "not a number"),
        ({FORGET: np.zeros((2, 6)), REFERENCE: np.zeros((3, 6))}, "number of seeds"),
    ):
        with pytest.raises(EvidenceError, match=what):
            estimate(mean, scores, groups, seed=0)


def test_a_statistic_without_weights_is_resampled_as_well():
    spread = statistic(FORGET, better="reference")(lambda scores: float(np.median(scores[FORGET])))
    found = estimate(spread, {FORGET: np.arange(11.0)}, {"forget": people(11)}, draws=200, seed=1)
    assert found.value == 5.0 and 1.0 < found.low < 5.0 < found.high < 9.0


def test_it_is_fast():
    rng = np.random.default_rng(10)
    keys = [(model, "forget", "truth_ratio") for model in ("model", "reference", "second")]
    scores = {key: rng.normal(size=150) for key in keys}
    function, _ = contrast(forget_quality, {}, {"model": "reference", "reference": "second"})
    start = time.process_time()
    for _ in range(8):
        estimate(function, scores, {"forget": people(25, 6)}, draws=2000, seed=0)
    assert time.process_time() - start < 2.0


def rates(shift: float, shared: float = 0.0, runs: int = 200) -> float:
    """How often a model meets the truth-ratio criterion whose log truth ratios (sd 1) are shifted by so much.

    20 subjects x 6 questions. ``shared`` is the part of the variance that belongs to the subject and is the same for
    every model; 0 is the least favourable case, because nothing cancels between models.
    """
    function, keys = contrast(forget_quality, {}, {"model": "reference", "reference": "second"})
    margin = next(c.margin for c in research_tofu.criteria if c.attack == "forget_quality")
    rng, met = np.random.default_rng(11), 0
    for run in range(runs):
        common = np.repeat(rng.normal(size=20), 6) * np.sqrt(shared)
        own = {key: rng.normal(size=120) * np.sqrt(1 - shared) for key in keys}
        scores = {key: common + own[key] + shift * (key[0] == "model") for key in keys}
        found = estimate(function, scores, {"forget": people(20, 6)}, draws=500, level=research_tofu.level, seed=run)
        met += equivalence(found, margin) == "earned"
    return met / runs


def test_a_true_null_passes_and_a_shift_does_not():
    """A null passes in 0.940 and a shift of 0.6 sd in 0.010 of 200 runs.

    With 1000 runs: 0.926 and 0.019; with 30 % of the variance shared, 0.969 and 0.009. Again, in this folder:
    ``python -c "from test_bootstrap import rates; print(rates(0.0, 0.3, 1000), rates(0.6, 0.3, 1000))"``
    """
    assert rates(0.0) > 0.9
    assert rates(0.6) < 0.04
