"""The gradient norm attack tells what was trained on from what was not, and says so as an AUC."""

import numpy as np
import pytest

from expunge.attacks.gradient_norm import gradient_norm, share_above
from expunge.core.access import Access, Oracle
from expunge.core.attack import run_attack
from expunge.core.errors import TargetError
from expunge.core.registry import metrics
from expunge.engine.gradients import gradient_norms
from expunge.metrics._resamples import rank_auc
from expunge.testing.toy import toy_recipe, toy_selection, toy_store


def test_the_mean_outcome_is_the_auc():
    rng = np.random.default_rng(0)
    norms, others = rng.integers(0, 5, 40).astype(float), rng.integers(1, 6, 30).astype(float)
    want = rank_auc(-norms, -others, np.ones(40), np.ones(30))
    assert share_above(norms, others).mean() == pytest.approx(float(want), abs=1e-12)


def test_forgotten_records_that_were_trained_on_stand_out_and_rows_are_theirs(knowing, unknowing):
    target, selection = knowing, toy_selection()
    rows, others = (
        run_attack(gradient_norm, Oracle(model, Access.all()), selection, seed=0) for model in (knowing, unknowing)
    )
    assert [row["record_id"] for row in rows] == list(selection.forget.ids)
    known, never = (np.mean([row["outcome"] for row in found]) for found in (rows, others))
    assert known > 0.8 and known > never + 0.2
    items = target.template.encode_all(selection.forget)
    want = gradient_norms(target.model, target.facts, items).mean(1)
    np.testing.assert_allclose([row["norm"] for row in rows], want, rtol=1e-5)


def test_it_needs_the_weights():
    target, selection = toy_recipe(steps=1).train(toy_store(), seed=0), toy_selection()
    with pytest.raises(TargetError, match="WEIGHTS"):
        run_attack(gradient_norm, Oracle(target, Access.LOGPROBS), selection, seed=0)
    assert "gradient_norm" not in metrics.names(), "scores never see a model"
