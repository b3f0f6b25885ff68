"""Statistics of membership attacks against what the field's tools logged for the same scores."""

import json

import numpy as np
import pytest

from expunge.metrics import min_k_auc, privleak, reference_auc, rel_diff

ROLES = ("forget", "holdout")


@pytest.fixture(scope="module")
def log(shared):
    return json.loads((shared / "golden" / "llm" / "eval_expected" / "muse_policy_EVAL.json").read_text())


def scores(log, name):
    """Per role; the peer's are signed so that a member has the lower one."""
    return {role: -np.array([row["score"] for row in log[name][role]["value_by_index"].values()]) for role in ROLES}


@pytest.mark.parametrize(
    "name", ["mia_loss", "mia_zlib", "mia_min_k", "mia_min_k_plus_plus", "mia_gradnorm", "mia_reference"]
)
def test_auc(log, name):
    found = {("model", role, "min_k"): values for role, values in scores(log, name).items()}
    assert min_k_auc(found) == pytest.approx(log[name]["auc"], abs=1e-12)


def test_reference_attack(log):
    """The peer logs the two models' losses and their difference."""
    model, difference = scores(log, "mia_loss"), scores(log, "mia_reference")
    found = {("model", role, "loss"): model[role] for role in ROLES}
    found |= {("reference", role, "loss"): model[role] - difference[role] for role in ROLES}
    assert reference_auc(found) == pytest.approx(log["mia_reference"]["auc"], abs=1e-12)


@pytest.mark.parametrize("name", ["mia_min_k", "mia_zlib", "mia_gradnorm", "mia_reference"])
def test_privleak_and_relative_difference(log, name):
    """Without the log of a retrained model the peer takes 0.5 for it: what a model without differences gets."""
    found = {("model", role, "min_k"): values for role, values in scores(log, name).items()}
    found |= {("reference", role, "min_k"): np.zeros(8) for role in ROLES}
    auc = log[name]["auc"]
    assert privleak(found) == pytest.approx(((1 - auc) - 0.5) / (0.5 + 1e-10) * 100, abs=1e-6)
    assert rel_diff(found) == pytest.approx((auc - 0.5) / (0.5 + 1e-10) * 100, abs=1e-6)
    if name == "mia_min_k":
        assert privleak(found) == pytest.approx(log["privleak"]["agg_value"], abs=1e-6)
