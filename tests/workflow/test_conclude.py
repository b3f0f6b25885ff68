"""What a conclusion says of a row beside its cells: its time against retraining, and its statistics by subgroup."""

from types import SimpleNamespace

import numpy as np
import pytest

from expunge.core.outcome import Cost
from expunge.core.registry import policies
from expunge.evaluation.per_item import PerItem
from expunge.workflow import conclude
from expunge.workflow.conclude import NO_RATIO, NO_TIME, Conclusion
from expunge.workflow.road import REFERENCE


def conclusion(policy="research_tofu", tables=None, **costs):
    """One of a road that nobody walked: it has tables and costs."""
    found = Conclusion.__new__(Conclusion)
    found.walk = SimpleNamespace(costs=costs)
    found.road = SimpleNamespace(policy=policies.get(policy))
    found.items, found.seed, found.asked = PerItem(tables or {}), 0, ()
    return found


@pytest.mark.parametrize(
    ("retraining", "ratio", "why"), [(Cost(4.0), 0.625, ""), (Cost(0.0), None, NO_TIME), (None, None, NO_RATIO)]
)
def test_the_ratio_to_retraining_and_why_there_is_none(retraining, ratio, why):
    found = conclusion(npo=Cost(2.5), **({} if retraining is None else {REFERENCE: retraining})).costs("npo")
    assert (found["ratio_to_retraining"]["value"], found["ratio_to_retraining"]["reason"]) == (ratio, why)
    assert found["seconds"]["value"] == 2.5


def test_statistics_stand_by_subgroup_beside_scores_for_every_model(monkeypatch):
    monkeypatch.setattr(conclude, "DRAWS", 100)
    rng = np.random.default_rng(0)

    def role(name):
        ids = [f"{name} {i}" for i in range(20)]
        scores = {n: rng.random(20) for n in ("truth_ratio", "min_k", "loss", "probability", "rouge_l")}
        return {"ids": ids, "subjects": ids, "subgroups": ["old", "young"] * 10, **scores}

    def rows():
        seen = {"outcome": rng.random(20), "unseen": np.arange(20) // 10}
        return {**role("forget"), **seen}

    models = ("npo", "original", "reference", "second")
    tables = {who: {"forget": role("forget"), "holdout": role("holdout"), "gradient_norm": rows()} for who in models}
    for who in models:
        entries = conclusion("privacy_default", tables).by_subgroup(who)["subgroups"]
        told = {(one["role"], one["score"]): one for one in entries}
        assert len(told) == len(entries), "nothing is told twice"
        assert {("forget", "ks"), ("forget", "min_k_auc"), ("gradient_norm", "outcome")} <= set(told)
        for key in told:
            assert told[key]["gap"]["value"] is not None, key
            assert ("less" in told[key]) == (who != "reference"), key
