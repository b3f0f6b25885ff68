"""The benchmark of exact deletion prints its ratios, and times no deletion that is not one."""

import json
from xml.etree import ElementTree

import pytest
from benchmarks import exact, exact_forest, exact_page

from expunge.targets.learners.dare_forest import DareForest


def test_it_prints_the_ratios_that_have_goals(capsys):
    assert exact.main(["--quick", "--growth", "--json"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    ratios = json.loads(last)
    assert any(line.startswith("ours, plain") and "[" in line for line in lines)
    ElementTree.fromstring(str(exact_page.forest_chart(ratios["growth"]["forest"])))
    assert set(exact.FLOOR) == {"ridge_1", "ridge_100", "ridge_1000", "forest"} <= set(ratios)
    assert all(ratios[name] > 0 for name in exact.FLOOR)


def test_a_forest_that_only_forgets_the_names_is_found_out(monkeypatch):
    def names_only(self, ids):
        fresh = self._copied(self._rows.without(self._rows.find(list(ids))))
        return fresh

    monkeypatch.setattr(DareForest, "unlearn", names_only)
    with pytest.raises(SystemExit, match="is not the one"):
        exact_forest.headline(200, 3, 4, 2, lambda line: None)


def test_a_gap_in_accuracy_is_no_ratio(monkeypatch):
    found = {"plain over random forest": 99.0, "plain over extra trees": 99.0}
    monkeypatch.setattr(
        exact_forest, "headline", lambda *_: {**found, "accuracy": 0.90, "accuracy random forest": 0.91}
    )
    with pytest.raises(SystemExit, match="accuracy"):
        exact.forest(quick=False)
