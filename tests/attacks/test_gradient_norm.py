"""The gradient norm attack tells what was trained on from what was not, and says so as an AUC of both."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.attacks.gradient_norm import gradient_norm
from expunge.core.access import Access, Oracle
from expunge.core.attack import run_attack
from expunge.core.errors import TargetError
from expunge.core.registry import metrics
from expunge.engine.gradients import gradient_norms
from expunge.evaluation.attacking import attack_statistic
from expunge.evaluation.bootstrap import estimate
from expunge.metrics._resamples import rank_auc
from expunge.testing.toy import toy_recipe, toy_selection, toy_store

OUTCOME, UNSEEN = (("model", "gradient_norm", column) for column in ("outcome", "unseen"))
STATISTIC, _ = attack_statistic("gradient_norm")


def auc(rows):
    return STATISTIC({("model", "gradient_norm", name): [row[name] for row in rows] for name in ("outcome", "unseen")})


@given(st.integers(0, 99))
def test_it_is_read_as_the_auc_between_the_two_sets_and_a_weight_counts_as_often(seed):
    rng = np.random.default_rng(seed)
    values, unseen = rng.integers(0, 5, 30).astype(float), np.repeat([0.0, 1.0], [18, 12])
    counts = rng.integers(0, 4, (7, 30)).astype(float)
    scores = {OUTCOME: values, UNSEEN: unseen}
    assert STATISTIC(scores) == pytest.approx(float(rank_auc(values[:18], values[18:], np.ones(18), np.ones(12))))
    found = STATISTIC.function(scores, {OUTCOME: counts, UNSEEN: counts})
    np.testing.assert_allclose(found, rank_auc(values[:18], values[18:], counts[:, :18], counts[:, 18:]))


def test_a_resample_without_records_of_one_kind_tells_nothing_apart():
    scores, weights = {OUTCOME: [3.0, 1.0, 2.0], UNSEEN: [0.0, 1.0, 1.0]}, np.array([[2.0, 0, 0], [0, 1, 1], [1, 3, 0]])
    assert STATISTIC.function(scores, {OUTCOME: weights, UNSEEN: weights}).tolist() == [0.5, 0.5, 1.0]


def test_the_interval_holds_what_the_never_seen_records_leave_open():
    """Many forgotten records beside few never-seen ones: the few decide how sure the AUC is."""
    rng = np.random.default_rng(1)
    unseen = np.repeat([0.0, 1.0], [300, 10])
    scores = {OUTCOME: rng.normal(size=(1, 310)), UNSEEN: unseen[None]}
    groups = {"gradient_norm": [f"s{i}" for i in range(310)]}
    interval = estimate(STATISTIC.function, scores, groups, draws=500, level=0.9, seed=0)
    assert interval.high - interval.low > 0.2


def test_forgotten_records_that_were_trained_on_stand_out_and_both_sets_have_rows(knowing, unknowing):
    target, selection = knowing, toy_selection()
    rows, others = (
        run_attack(gradient_norm, Oracle(model, Access.all()), selection, seed=0) for model in (knowing, unknowing)
    )
    both = selection.forget + selection.holdout
    assert [row["record_id"] for row in rows] == list(both.ids)
    assert {row["record_id"] for row in rows if row["unseen"]} == set(selection.holdout.ids)
    assert auc(rows) > 0.8 and auc(rows) > auc(others) + 0.2
    want = gradient_norms(target.model, target.facts, target.template.encode_all(both)).mean(1)
    np.testing.assert_allclose([row["outcome"] for row in rows], -want, rtol=1e-5)


def test_it_needs_the_weights():
    target, selection = toy_recipe(steps=1).train(toy_store(), seed=0), toy_selection()
    with pytest.raises(TargetError, match="WEIGHTS"):
        run_attack(gradient_norm, Oracle(target, Access.LOGPROBS), selection, seed=0)
    assert "gradient_norm" not in metrics.names(), "scores never see a model"
