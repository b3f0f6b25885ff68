"""The scoring benchmark weighs each part by what an evaluation has of it."""

from types import SimpleNamespace

import pytest
from benchmarks import page, scoring
from benchmarks.scoring import Timed, summary


def test_rouge_counts_for_the_texts_that_are_generated_not_for_those_that_it_was_timed_on():
    timed = Timed()
    seconds = {"default": (6.0, 2.0), "generation": (10.0, 5.0), "rouge": (24.0, 3.0)}
    rest = {"attacks": (1.0, 1.0), "all": (1.0, 1.0), "gradnorm": (1.0, 1.0), "one": (1.0, 1.0), "four": (1.0, 1.0)}
    for name, (peer, ours) in {**seconds, **rest}.items():
        for who, took in (("peer", peer), ("ours", ours)):
            timed.times[f"{who} {name}"] = [(took, took)]
    assert summary(timed, 1 / 12)["tofu_with_generation"] == pytest.approx((6 + 10 + 2) / (2 + 5 + 0.25))
    assert summary(timed, 1 / 12)["rouge"] == 8.0


@pytest.mark.parametrize(("code", "written"), [(0, True), (page.MISSED, True), (1, False)])
def test_a_page_is_written_where_a_goal_is_missed_and_not_where_the_two_ways_differ(
    code, written, tmp_path, monkeypatch
):
    said = "missed: gradnorm 2.40 of 3: no ratio above 2.80 is within reach\n"
    monkeypatch.setattr(page, "ROOT", tmp_path)
    monkeypatch.setattr(page.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=code, stdout=said))
    assert page.main("scoring", []) == (code == 1)
    place = tmp_path / "docs" / "results" / "scoring.md"
    assert place.is_file() == written and (not written or said in place.read_text())
    if written:
        monkeypatch.setattr(page.subprocess, "run", None)
        assert page.main("scoring", []) == 0, "it stands"


@pytest.mark.parametrize(
    ("wrong", "slow", "code"), [([], [], 0), ([], ["slow"], page.MISSED), (["wrong"], ["slow"], 1)]
)
def test_what_is_wrong_and_what_is_slow_exit_differently(wrong, slow, code, monkeypatch, capsys):
    monkeypatch.setattr(scoring, "run", lambda given: ({}, wrong, slow))
    assert scoring.main([]) == code
    assert all(f"missed: {line}" in capsys.readouterr().out for line in [*wrong, *slow][:1])
