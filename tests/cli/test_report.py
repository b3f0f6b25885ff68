"""expunge report: what it prints, writes and refuses."""

import json
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parent.parent / "evaluation" / "sample_evidence.json"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "evidence.json").write_bytes(SAMPLE.read_bytes())
    return tmp_path / "one"


@pytest.fixture
def two(folder, tmp_path):
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "evidence.json").write_bytes(SAMPLE.read_bytes())
    return [folder, tmp_path / "two"]


def test_a_page_is_written_into_the_run_and_named_on_stdout(folder, call):
    said = call("report", folder)
    assert (said.code, said.err, said.out) == (0, "", f"report: {folder / 'report.html'}\n")
    assert "<h1>Forgetting 20 fictitious people</h1>" in (folder / "report.html").read_text()


def test_a_dry_run_writes_nothing(two, call, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    assert "would write" in call("report", two[0], "--dry-run").out
    assert call("report", *two, "--out", tmp_path / "c.html", "--dry-run").code == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_several_runs_make_one_comparison(two, call, tmp_path):
    said = call("report", *two, "--out", tmp_path / "c.html", "--json")
    assert said.json["runs"] == [str(path) for path in two]
    assert said.json["written"] is True and said.json["contains_personal_data"] is False
    assert said.json["bytes"] == (tmp_path / "c.html").stat().st_size
    assert "Comparison of 2 runs" in (tmp_path / "c.html").read_text()


def test_by_default_a_comparison_goes_where_the_user_is(two, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call("report", *two).out == "report: comparison.html\n"
    assert (tmp_path / "comparison.html").is_file()


def test_what_cannot_be_reported_is_refused(two, refused, tmp_path):
    one = two[0]
    assert "holds no evidence" in refused(2, "report", tmp_path / "none")
    assert "named twice" in refused(2, "report", one, one)
    assert "a comparison shows no text" in refused(2, "report", *two, "--show-text")
    assert "is no name for a page" in refused(2, "report", one, "--out", one / "evidence.json")
    assert "keeps no text" in refused(2, "report", one, "--show-text")


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "{",
        "{}",
        '{"run": 3, "columns": [], "rows": []}',
        '{"run": {}, "columns": 1, "rows": []}',
        '{"run": {}, "columns": [{"key": "ks", "label": "D"}], "rows": [{"key": "a", "label": "a", "cells": 1}]}',
        '{"run": {}, "columns": [], "rows": [{"key": "a", "label": "a", "strips": [{"item": 1}]}]}',
        '{"run": {}, "columns": [], "rows": [], "items": {"people": [1], "scores": {"probability": {"a": []}}}}',
        '{"run": {}, "columns": [], "rows": [{"key": "npo", "label": "a", "recovery": [{"steps": 0, "value": NaN}]}]}',
    ],
)
def test_malformed_evidence_is_refused_or_shown_without_what_it_lacks(body, folder, call):
    (folder / "evidence.json").write_text(body)
    said = call("report", folder)
    if said.code:
        assert said.code == 2
        assert said.err.startswith("expunge: ") and said.err.count("\n") == 1
        assert not (folder / "report.html").exists()
    else:
        assert json.loads(body)["rows"] == [] or "NaN" in body


def test_text_outside_a_run_is_announced(folder, call, tmp_path, monkeypatch):
    from expunge.evaluation.report_items import Texts
    from expunge.workflow import report_text

    monkeypatch.setattr(report_text, "texts_of", lambda *_: Texts(["secret"] * 120))
    said = call("report", folder, "--show-text", "--out", tmp_path / "page.html")
    assert said.code == 0 and "is in no manifest" in said.err
    assert (tmp_path / "page.html").stat().st_mode & 0o077 == 0
