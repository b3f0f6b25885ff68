"""The printed table: stable bytes, aligned, with a reason for every dash."""

import copy
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from expunge.core.errors import EvidenceError
from expunge.evaluation.report_cells import grid
from expunge.evaluation.table import display_width, format_table, markdown_table

SAMPLE = Path(__file__).with_name("sample_evidence.json")
VIEWS = pytest.mark.parametrize("view", [format_table, markdown_table])


@pytest.fixture
def evidence():
    return json.loads(SAMPLE.read_text(encoding="utf-8"))


def unescaped(text):
    return re.sub(r"\\(.)", r"\1", text)


def flat(text):
    return " ".join(unescaped(text).split())


def reasons(evidence):
    for row in evidence["rows"]:
        for cell in row["cells"].values():
            if cell["value"] is None:
                yield cell["reason"]


@VIEWS
def test_bytes_are_stable_whatever_the_order_of_keys(view, evidence):
    turned = {key: evidence[key] for key in reversed(evidence)}
    turned["rows"] = [{key: row[key] for key in reversed(row)} for row in evidence["rows"]]
    assert view(evidence) == view(turned)


def test_bytes_are_the_published_ones(evidence):
    found = hashlib.sha256(format_table(evidence).encode()).hexdigest()
    assert found == "1d17adc761ed4a00cb3eaf52f2336b29d3c18e0784365421ff26e561921f6a0b"


@VIEWS
def test_every_reason_stands_below(view, evidence):
    text = flat(view(evidence))
    assert all(reason in text for reason in reasons(evidence))
    for row in evidence["rows"]:
        assert row["status"] == "earned" or row["reason"] in text


@VIEWS
def test_a_missing_value_without_a_reason_still_says_something(view, evidence):
    evidence["rows"][3]["cells"]["ks"] = {"value": None}
    del evidence["rows"][4]["cells"]["min_k_auc"]
    evidence["rows"][5]["guarantee"] = None
    text = flat(view(evidence))
    assert "not measured" in text
    assert "nothing is claimed of it" in text


def test_each_dash_points_to_its_reason(evidence):
    cells, notes = grid(evidence)
    for row, line in zip(evidence["rows"], cells, strict=True):
        for column, cell in zip(evidence["columns"], line, strict=True):
            stored = row["cells"].get(column["key"])
            assert (cell.text == "-") == (stored is not None and stored["value"] is None)
            if cell.note:
                assert notes.reasons[cell.note - 1] == stored["reason"]


def test_lines_fit_and_columns_align(evidence):
    lines = format_table(evidence).splitlines()
    assert max(map(len, lines)) <= 150
    rule = next(line for line in lines if line.startswith("---"))
    edges = [m.end() for m in re.finditer("-+", rule)]
    starts = [m.start() for m in re.finditer("-+", rule)]
    for line in lines[lines.index(rule) + 1 : lines.index("")]:
        padded = line.ljust(edges[-1])
        assert all(padded[edge] == " " for edge in edges[:-1]), line
        assert all(padded[start - 1] == " " for start in starts[1:]), line


def test_long_heads_narrow_the_labels(evidence):
    evidence["columns"][4]["label"] = "probability"
    assert max(map(len, format_table(evidence).splitlines())) <= 150


def test_wide_characters_keep_their_columns(evidence):
    evidence["rows"][0]["label"] = "記憶を消す方法のとても長い名前です" * 2
    lines = format_table(evidence).splitlines()
    rule = next(line for line in lines if line.startswith("---"))
    assert all(display_width(line) <= display_width(rule) for line in lines[: lines.index("")])


def test_below_the_table_stand_ridge_and_what_utility_left_out(evidence):
    for text in map(flat, (format_table(evidence), markdown_table(evidence))):
        assert "Ridge regression: Exact; 200 of 2,000 records deleted" in text
        assert "3.4e-13" in text
        assert "Left out of utility: general truth ratio (the original scores 0.04" in text


def test_optional_parts_may_be_absent(evidence):
    for part in ("ridge", "utility_components", "baseline"):
        del evidence[part]
    assert "Ridge" not in format_table(evidence)
    assert "Ridge" not in markdown_table(evidence)


def test_hostile_labels_are_inert(evidence):
    evidence["rows"][3]["label"] = "a|b <script>\x1b[31m\nnew `line` [x](y)"
    table, markdown = format_table(evidence), markdown_table(evidence)
    assert "\x1b" not in table + markdown
    assert "<script" not in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {len(evidence["columns"]) + 2}
    assert "\\[x\\](y)" in markdown


def test_evidence_that_lacks_a_part_is_refused_by_name(evidence):
    for part in ("run", "columns", "rows"):
        broken = copy.deepcopy(evidence)
        del broken[part]
        with pytest.raises(EvidenceError, match=part):
            format_table(broken)
    del evidence["rows"][0]["label"]
    with pytest.raises(EvidenceError, match="label"):
        format_table(evidence)


def test_reading_a_table_loads_no_heavy_library():
    code = (
        "import sys, expunge.evaluation.report, expunge.evaluation.table; print({'torch', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
