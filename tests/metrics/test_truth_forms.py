"""The four forms of the truth ratio: how they hang together, and the values of the field's two tools."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.metrics import truth_indifference, truth_ratio, truth_ratio_mean, truth_score, truth_share
from expunge.metrics.truth_indifference import indifference


def columns(right, wrong):
    """Losses per token as columns of one token."""
    right, wrong = -np.asarray(right)[:, None], -np.asarray(wrong)[..., None]
    return right, np.ones_like(right), wrong, np.ones_like(wrong)


LOSSES = st.lists(st.floats(0.01, 9.0), min_size=4, max_size=4)


@given(rows=st.lists(LOSSES, min_size=1, max_size=5))
def test_all_forms_follow_from_one_ratio(rows):
    given = columns([row[0] for row in rows], [row[1:] for row in rows])
    ratio = truth_ratio(*given)
    np.testing.assert_allclose(truth_indifference(*given), np.minimum(ratio, 1 / ratio), rtol=1e-12)
    np.testing.assert_allclose(truth_share(*given), 1 / (1 + ratio), rtol=1e-12)
    np.testing.assert_allclose(truth_score(*given), np.maximum(0, 1 - ratio), rtol=1e-12)
    assert (truth_ratio_mean(*given) >= ratio * (1 - 1e-6)).all(), "an arithmetic mean is never below a geometric one"


@given(losses=LOSSES)
def test_exchanging_right_and_wrong_mirrors_what_is_bounded(losses):
    right, wrong = losses[:1], [[losses[1]]]
    there, back = columns(right, wrong), columns(wrong[0], [right])
    assert truth_share(*there)[0] + truth_share(*back)[0] == pytest.approx(1.0, abs=1e-6)
    assert truth_indifference(*there)[0] == pytest.approx(truth_indifference(*back)[0], rel=1e-5)


def test_wrong_answers_of_one_probability_have_one_mean():
    given = columns([1.5, 0.5], [[2.0] * 3, [0.25] * 3])
    np.testing.assert_allclose(truth_ratio_mean(*given), truth_ratio(*given), rtol=1e-9)


def test_the_arithmetic_mean_is_the_one_of_the_authors_evaluation(shared):
    golden = json.loads((shared / "golden" / "concept" / "tofu_metrics.json").read_text())
    want = golden["results"]["utils.py (arithmetic mean, as the paper)"]["model_utility"]
    geometric = golden["results"]["aggregate_eval_stat.py (geometric mean of perturbed)"]["model_utility"]

    def given(name):
        rows = golden["unlearned"][name]
        return columns(list(rows["avg_paraphrased_loss"].values()), list(rows["average_perturb_loss"].values()))

    forget, retain = given("eval_log_forget.json"), given("eval_log.json")
    assert indifference(truth_ratio_mean(*forget)).mean() == pytest.approx(want["Forget Truth Ratio"], rel=1e-9)
    assert np.maximum(0, 1 - truth_ratio_mean(*retain)).mean() == pytest.approx(want["Retain Truth Ratio"], rel=1e-9)
    assert truth_indifference(*forget).mean() == pytest.approx(geometric["Truth Ratio Forget"], rel=1e-8)
    assert truth_score(*retain).mean() == pytest.approx(geometric["Truth Ratio Retain"], rel=1e-8)
    assert abs(want["Forget Truth Ratio"] - geometric["Truth Ratio Forget"]) > 0.01, "the two differ, so names must"
