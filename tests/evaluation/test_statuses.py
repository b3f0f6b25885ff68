"""What was not shown is not passed: each status stands in the table, the JSON and the report under its own name."""

import json
from pathlib import Path

import pytest

from expunge.core.evidence import Estimate
from expunge.core.policy import Assessment, Comparison, Criterion, Detector, Policy, judge
from expunge.evaluation.report import render_report
from expunge.evaluation.table import format_table

SAMPLE = Path(__file__).with_name("sample_evidence.json")
POLICY = Policy("mine", "1", (Criterion("min_k_auc", 0.1, ("LOGPROBS",), "Can they be told?"),), 0.9)
STRONG, WEAK = Estimate(0.5, 0.4, 0.6), Estimate(0.05, 0.0, 0.1)
KEPT = Estimate(1.0, 0.95, 1.05)


def judged(difference, positive=STRONG, utility=KEPT, fired=None):
    detectors = tuple(Detector(name, name == fired) for name in POLICY.detectors)
    return judge(POLICY, Assessment((Comparison("min_k_auc", difference, positive),), utility, detectors))


@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        (judged(Estimate(0.0, -0.05, 0.05)), "earned"),
        (judged(Estimate(0.3, 0.2, 0.4)), "failed"),
        (judged(Estimate(-0.3, -0.4, -0.2)), "failed"),
        (judged(Estimate(0.0, -0.05, 0.05), fired="gibberish"), "failed"),
        (judged(Estimate(0.0, -0.05, 0.05), utility=Estimate(0.5, 0.4, 0.6)), "failed"),
        (judged(Estimate(0.0, -0.15, 0.15)), "inconclusive"),
        (judged(Estimate(0.0, -0.05, 0.05), utility=None), "inconclusive"),
        (judged(Estimate(0.0, -0.05, 0.05), utility=Estimate(0.95, 0.85, 1.0)), "inconclusive"),
        (judged(Estimate(0.0, -0.05, 0.05), WEAK), "uninformative"),
        (judged(Estimate(-0.3, -0.4, -0.2), WEAK), "failed"),
    ],
)
def test_each_tail_and_each_gap_has_its_status(verdict, status):
    """Far below never-knew fails as far above does; so do babble and lost utility. A gap is never a pass."""
    assert verdict.status == status and (status == "earned") == (verdict.reason == "")


@pytest.mark.parametrize("status", ["failed", "inconclusive", "uninformative"])
def test_a_status_stands_in_table_and_report(status):
    evidence = json.loads(SAMPLE.read_text())
    row = next(row for row in evidence["rows"] if row.get("findings"))
    row |= {"status": status, "guarantee": "Unproven", "reason": "relearning: as it is"}
    row["findings"][0] |= {"status": status}
    assert f"{row['label']}: {status}. relearning: as it is" in format_table(evidence)
    assert f'class="badge {status}"' in render_report(evidence)
