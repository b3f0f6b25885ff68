"""A suite's readings that are no means over records are told by subgroup as well."""

import numpy as np

from expunge.evaluation.suite_findings import Measured, suite_findings
from expunge.evaluation.suite_table import suite_text
from expunge.evaluation.suites.tofu import tofu


def test_a_distance_and_an_auc_have_their_groups_and_gaps():
    rng = np.random.default_rng(0)

    def table(name, **columns):
        ids = [f"{name} {i}" for i in range(24)]
        return {"ids": ids, "subjects": ids, "truth_ratio": rng.random(24), "min_k": rng.random(24), **columns}

    bands = ["old", "young"] * 12
    arms = ("model", "reference", "second")
    tables = {who: {"forget": table("f", subgroups=bands), "holdout": table("h")} for who in arms}
    found = suite_findings(Measured(tofu, tables, draws=50))
    rows = {row["measure"]: row for row in found["rows"]}
    for measure in ("forget_quality", "min_k_auc"):
        [entry] = rows[measure]["subgroups"]
        assert set(entry["groups"]) == {"old", "young"} == set(entry["less"]["groups"])
        assert entry["gap"]["low"] <= entry["gap"]["value"] <= entry["gap"]["high"]
        assert entry["groups"]["old"]["n"] == 12
    assert f"  {rows['min_k_auc']['name']} by subgroup: largest gap" in suite_text(found)
