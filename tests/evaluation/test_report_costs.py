"""What making a model took: shown where it was counted, under the name of what it is, and nowhere else."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from expunge.core.outcome import Cost
from expunge.evaluation.report import render_report
from expunge.evaluation.report_costs import cost_notes, cost_texts, ratio_notes, scaled
from expunge.evaluation.table import format_table, markdown_table

SAMPLE = Path(__file__).with_name("sample_evidence.json")
COST = Cost(2.5, 10, 12_345, 7_200_000_000, 455_348_224, 173_568, "process")


@pytest.fixture
def evidence():
    found = json.loads(SAMPLE.read_text(encoding="utf-8"))
    for row in found["rows"]:
        row["cost"] = COST.told()
    return found


def section(evidence, name):
    root = ElementTree.fromstring(render_report(evidence))
    found = next(n for n in root.iter("section") if n.get("aria-labelledby") == name)
    return " ".join("".join(found.itertext()).split())


def test_every_view_shows_what_was_counted(evidence):
    shown = ["10", "12,345", "7.20 G", "455 MB", "174 kB"]
    assert cost_texts(evidence["rows"][0]) == shown
    for text in (format_table(evidence), markdown_table(evidence), section(evidence, "efficiency")):
        assert all(part in text for part in (*shown, "FLOPs", "peak memory", "high-water mark"))
    lines = format_table(evidence).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("making the model"))
    rows = lines[start + 2 : start + 2 + len(evidence["rows"])]
    assert {len(line) for line in lines[start : start + 2]} == set(map(len, rows)) and max(map(len, lines)) <= 150
    assert [row.split("  ")[0] for row in rows] == [row["label"] for row in evidence["rows"]]


def test_memory_is_named_after_whose_it_is(evidence):
    evidence["rows"][3]["cost"]["peak_of"] = "device"
    assert [text.partition(":")[0] for text in cost_notes(evidence)] == ["FLOPs", *["Peak memory"] * 2, "Changed"]
    assert "on the GPU" in format_table(evidence) and "that the process had ever held" in format_table(evidence)
    for row in evidence["rows"]:
        del row["cost"]["peak_of"]
    assert "an earlier version noted it" in format_table(evidence) and "ever held" not in format_table(evidence)


def test_what_was_not_counted_is_a_dash_and_evidence_without_any_is_as_before(evidence):
    evidence["rows"][1]["cost"] = Cost(3.0).told()
    assert cost_texts(evidence["rows"][1]) == ["-"] * 5
    evidence["rows"][2]["cost"] = Cost(0.1, flops=0, bytes_changed=0).told()
    assert cost_texts(evidence["rows"][2]) == ["0", "0", "0", "-", "0 B"], "an overlay that trains nothing"
    plain = json.loads(SAMPLE.read_text(encoding="utf-8"))
    for row in evidence["rows"]:
        row["cost"] = Cost(3.0).told()
    assert format_table(evidence) == format_table(plain) and markdown_table(evidence) == markdown_table(plain)
    assert "FLOPs" not in section(evidence, "efficiency")


def test_a_ratio_to_a_retraining_that_nobody_measured_is_said_to_be_unknown(evidence):
    for row in evidence["rows"]:
        row["cells"]["ratio_to_retraining"] = {"value": 0.5, "reason": ""}
    assert ratio_notes(evidence) == []
    evidence["rows"][5]["cells"]["ratio_to_retraining"] = {"value": None, "reason": "it was made elsewhere"}
    assert "The ratio to retraining is not known: it was made elsewhere." in section(evidence, "efficiency")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (999.6, "1.00 k"), (1000, "1.00 k"), (99_949, "99.9 k"), (5e19, "50.0 E")],
)
def test_numbers_keep_three_digits(value, text):
    assert scaled(value) == text
