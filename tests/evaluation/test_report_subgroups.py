"""The section on subgroups: every group and the largest gap, and no section where nothing groups records."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from expunge.evaluation.per_item import PerItem
from expunge.evaluation.report import render_report
from expunge.evaluation.subgroups import told_subgroups

SAMPLE = Path(__file__).with_name("sample_evidence.json")
HOSTILE = "<script>alert(1)</script>"


def evidence_with(groups):
    """The sample, with one score in two groups of six people each."""
    names = [groups[i // 6] for i in range(12)]
    tables = {
        who: {
            "forget": {
                "ids": [f"r{i}" for i in range(12)],
                "subjects": [f"p{i}" for i in range(12)],
                "subgroups": names,
                "probability": np.r_[np.full(6, low), np.full(6, 0.75)],
            }
        }
        for who, low in (("model", 0.25), ("reference", 0.5))
    }
    evidence = json.loads(SAMPLE.read_text(encoding="utf-8"))
    found = told_subgroups(PerItem(tables), "model", [("forget", "probability")], against="reference", draws=50)
    evidence["rows"][5]["subgroups"] = json.loads(json.dumps(found))
    return evidence


def section(evidence):
    root = ElementTree.fromstring(render_report(evidence))
    return next((n for n in root.iter("section") if n.get("aria-labelledby") == "subgroups"), None)


def cells(table):
    return [[" ".join("".join(cell.itertext()).split()) for cell in row] for row in table.find("tbody")]


def test_each_group_and_the_largest_gap_alone_and_less_the_retrained():
    largest, groups = section(evidence_with(["old", "young"])).iter("table")
    assert cells(largest) == [["negative preference optimisation", "0.500[0.500, 0.500]young above old"]]
    assert cells(groups) == [
        ["probability on forget", "0.500[0.500, 0.500]young above old", "0.250[0.250, 0.250]", "0.750[0.750, 0.750]"],
        [
            "probability on forget, less retrained",
            "0.250[0.250, 0.250]young above old",
            "−0.250[−0.250, −0.250]",
            "0.000[0.000, 0.000]",
        ],
    ]


def test_nothing_stands_where_nothing_groups_and_a_hostile_name_is_inert():
    assert section(json.loads(SAMPLE.read_text(encoding="utf-8"))) is None
    found = section(evidence_with([HOSTILE, "young"]))
    assert HOSTILE in "".join(found.itertext()) and not list(found.iter("script"))


@pytest.mark.parametrize("named", [{}, {"less": None}])
def test_a_gap_that_cannot_be_had_says_why(named):
    evidence = evidence_with(["old", "young"])
    entry = evidence["rows"][5]["subgroups"][0]
    reason = "2 of 2 groups have too few subjects"
    entry |= {"groups": {}, "gap": {"value": None, "reason": reason, "between": ["", ""]}, **named}
    assert reason in "".join(section(evidence).itertext())
