"""Scores and statistics against the values that the field's tools logged."""

import json

import numpy as np
import pytest
from scipy.stats import ks_2samp

from expunge.metrics import (
    forget_quality,
    model_utility,
    probability,
    probability_options,
    rouge_l,
    truth_ratio,
    truth_score,
)
from expunge.metrics.forget_quality import MODEL, REFERENCE, log10_p


@pytest.fixture(scope="module")
def log(shared):
    return json.loads((shared / "golden" / "llm" / "eval_expected" / "tofu_reference_model_EVAL.json").read_text())


def per_item(log, name, key):
    return np.array([row[key] for row in log[name]["value_by_index"].values()])


def losses(log, name):
    """Average losses as columns of one token: a mean over one token is itself."""
    logp = -per_item(log, name, "avg_loss")[..., None]
    return logp, np.ones_like(logp)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("forget_truth_ratio", "forget_Q_A_PARA_Prob", "forget_Q_A_PERT_Prob"),
        ("retain_Truth_Ratio", "retain_Q_A_PARA_Prob", "retain_Q_A_PERT_Prob"),
        ("ra_Truth_Ratio", "ra_Q_A_Prob", "ra_Q_A_PERT_Prob"),
        ("wf_Truth_Ratio", "wf_Q_A_Prob", "wf_Q_A_PERT_Prob"),
    ],
)
def test_truth_ratio(log, name, right, wrong):
    columns = (*losses(log, right), *losses(log, wrong))
    ratio = truth_ratio(*columns)
    np.testing.assert_allclose(ratio, per_item(log, name, "score"), rtol=2e-6)
    if name != "forget_truth_ratio":
        assert truth_score(*columns).mean() == pytest.approx(log[name]["agg_value"], rel=1e-5)
    else:
        assert np.minimum(ratio, 1 / ratio).mean() == pytest.approx(log[name]["agg_value"], rel=1e-5)


@pytest.mark.parametrize("part", ["ra", "wf"])
def test_probability_among_options(log, part):
    found = probability_options(*losses(log, f"{part}_Q_A_Prob"), *losses(log, f"{part}_Q_A_PERT_Prob"))
    np.testing.assert_allclose(found, per_item(log, f"{part}_Q_A_Prob_normalised", "prob"), rtol=1e-5)


def test_probability(log):
    found = probability(*losses(log, "forget_Q_A_Prob"))
    np.testing.assert_allclose(found, per_item(log, "forget_Q_A_Prob", "prob"), rtol=1e-5)


@pytest.mark.parametrize("part", ["forget", "retain", "ra", "wf"])
def test_rouge(log, part):
    rows = log[f"{part}_Q_A_ROUGE"]["value_by_index"].values()
    found = rouge_l([row["ground_truth"] for row in rows], [row["generation"] for row in rows])
    np.testing.assert_allclose(found, [row["rougeL_recall"] for row in rows], rtol=1e-9)


def test_rouge_on_fixed_texts(shared):
    rows = json.loads((shared / "golden" / "llm" / "text_expected.json").read_text())["rouge"]
    found = rouge_l([row["reference"] for row in rows], [row["generation"] for row in rows])
    np.testing.assert_allclose(found, [row["rougeL_recall"] for row in rows], rtol=1e-9)


def test_utility_of_nine_components(log):
    parts = [
        log[name]["agg_value"]
        for name in (
            "retain_Q_A_Prob",
            "retain_Q_A_ROUGE",
            "retain_Truth_Ratio",
            "ra_Q_A_Prob_normalised",
            "ra_Q_A_ROUGE",
            "ra_Truth_Ratio",
            "wf_Q_A_Prob_normalised",
            "wf_Q_A_ROUGE",
            "wf_Truth_Ratio",
        )
    ]
    scores = {("model", "retain", f"part {i}"): [part] for i, part in enumerate(parts)}
    assert model_utility(scores) == pytest.approx(log["model_utility"]["agg_value"], rel=1e-6)


def test_forget_quality_of_two_models(shared):
    golden = json.loads((shared / "golden" / "concept" / "tofu_metrics.json").read_text())

    def ratios(model):
        rows = golden[model]["eval_log_forget.json"]
        right = np.array(list(rows["avg_paraphrased_loss"].values()))
        wrong = np.array([np.mean(losses) for losses in rows["average_perturb_loss"].values()])
        return np.exp(right - wrong)

    model, reference = ratios("unlearned"), ratios("retain_model")
    want = ks_2samp(model, reference)
    distance = forget_quality({MODEL: model, REFERENCE: reference})
    assert distance == want.statistic
    assert 10 ** log10_p(distance, len(model)) == pytest.approx(want.pvalue, rel=1e-9)
