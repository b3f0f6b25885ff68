"""Accounting on the command line: epsilon in both notations, its growth, and how long a budget lasts."""

from __future__ import annotations

import json
import math
from xml.etree import ElementTree

import pytest

from expunge.accounting.gaussian import gaussian_delta, gaussian_epsilon
from expunge.targets.private.account import Account
from expunge.targets.private.account import Mechanism as Trained
from expunge.workflow.budget_plan import Mechanism, plan_budget

DELTA = gaussian_delta(2.0, sigma=0.5)
"""Of noise that is half of the shift, at epsilon 2: Phi(0) - e^2 Phi(-2)."""
EXACT = ["--sigma", "4", "--steps", "4", "--records", "4"]


def written(folder, body, name="odds.json"):
    path = folder / name
    path.write_text(body if isinstance(body, str) else json.dumps(body))
    return path


@pytest.mark.parametrize("notation", ["--delta", "--beta"])
def test_epsilon_in_both_notations_with_what_an_attacker_makes_of_it(call, notation):
    said = call("accounting", "epsilon", *EXACT, notation, str(DELTA), "--json").json
    assert said["epsilon"] == said["alpha"] == pytest.approx(2.0, abs=1e-6)
    assert said["delta"] == said["beta"] == DELTA and said["accountant"] == "exact Gaussian"
    # e^2 * 0.01 + delta, and odds of 1 become e^2 : 1
    assert said["attacker"]["true_positive_rate"] == pytest.approx(math.exp(2) * 0.01 + DELTA, rel=1e-6)
    text = call("accounting", "epsilon", *EXACT, notation, str(DELTA))
    assert text.code == 0 and "(epsilon, delta) = (2, 0.331898)" in text.out and "(alpha, beta) = (2, " in text.out
    assert "with 1 % false positives finds 40.6 % of the members at best" in text.out and "88.1 % at most" in text.out


def test_both_notations_are_read_alike(call):
    one = call("accounting", "reading", "--epsilon", "1.5", "--delta", "1e-6")
    other = call("accounting", "reading", "--alpha", "1.5", "--beta", "1e-6")
    assert one == other and one.code == 0 and one.err == ""
    few = call("accounting", "reading", "--alpha", "1.5", "--beta", "1e-6", "--false-positives", "0.001").out
    assert "with 0.1 % false positives" in few


def test_the_noise_that_it_prints_has_the_epsilon_that_was_asked_for(call):
    found = call(
        "accounting", "sigma", "--alpha", "2", "--beta", "1e-5", "--records", "3", "--steps", "5", "--json"
    ).json
    reached = gaussian_epsilon(1e-5, sigma=found["sigma"] / math.sqrt(5), records=3)
    assert 1.99 < reached <= 2.0
    assert float(call("accounting", "sigma", "--epsilon", "2", "--delta", "1e-5", "--records", "3", "--steps", "5").out)


def test_growth_is_a_table_and_a_picture_with_the_same_numbers(call, tmp_path):
    place = tmp_path / "growth.svg"
    asked = ["accounting", "growth", "--sigma", "20", "--beta", "1e-5", "--requests", "100,1,10", "--chart", place]
    would = call(*asked, "--dry-run", "--json").json
    assert would["written"] is False and not place.exists()
    found = call(*asked, "--json").json
    assert found == would | {"written": True} and found["releases"] == [1, 10, 100]
    assert found["pld"][2] == pytest.approx(gaussian_epsilon(1e-5, sigma=2.0))
    assert found["pld"][2] < found["optimal"][2] < found["advanced"][2] < found["basic"][2]
    root = ElementTree.fromstring(place.read_text())
    curves = [node for node in root.iter() if node.get("class") == "curve"]
    assert len(curves) == 4 and f"{found['pld'][2]:.6g}" in place.read_text()
    before = place.read_bytes()
    assert str(place) in call(*asked).out and place.read_bytes() == before


def test_a_plan_says_how_long_the_budget_lasts(call, tmp_path):
    odds = written(tmp_path, [0.5, 0.25, 0.2])
    asked = ["accounting", "plan", "--probabilities", odds, "--sigma", "8", "--steps", "4", "--beta", str(DELTA)]
    said = call(*asked, "--alpha", "0.7", "--gamma", "0.05", "--json").json
    assert (said["records"], said["expected"], said["units"]) == (3, pytest.approx(0.95), 2)
    assert said["valid_until"] == max(
        m for m in range(4) if gaussian_epsilon(DELTA, sigma=4.0, records=max(m, 1)) <= 0.7
    )
    assert gaussian_epsilon(DELTA, sigma=said["sigma"] / 2, records=2) == pytest.approx(0.7, rel=5e-3)
    text = call(*asked, "--epsilon", "0.7", "--gamma", "0.05").out
    assert "no more than 2 in all, but for a chance of 5 %" in text and "declared before the training" in text
    free = call(*asked, "--json").json
    assert free["valid_until"] is free["odds"] is free["sigma"] is None and free["reached"] < 2


def test_the_odds_are_of_more_than_the_budget_bears(call, tmp_path):
    odds = written(tmp_path, [0.5, 0.25, 0.2])
    limit = gaussian_epsilon(1e-5, sigma=2.0, records=1)
    asked = ["--sigma", "2", "--epsilon", str(limit * 1.001), "--delta", "1e-5"]
    said = call("accounting", "plan", "--probabilities", odds, *asked, "--json").json
    assert said["valid_until"] == 1 and said["odds"] == pytest.approx(0.225)


def test_a_trained_model_brings_its_account(call, tmp_path):
    members = {"a1": "a", "a2": "a", "b": "b", "c": "c"}
    run = Trained(sigma=8.0, rate=1.0, steps=4, clip=1.0, unit="subject")
    Account(run, 1e-5, members, spent=2, limit=gaussian_epsilon(1e-5, sigma=4.0, records=3) * 1.001).write(tmp_path)
    odds = written(tmp_path, {"a1": 0.5, "a2": 0.5, "b": 0.2, "c": 0.1, "elsewhere": 1.0})
    said = call("accounting", "plan", "--probabilities", odds, "--model", tmp_path, "--json").json
    assert said["mechanism"]["spent"] == 2 and said["records"] == 3 and said["valid_until"] == 3
    assert said["expected"] == pytest.approx(0.75 + 0.2 + 0.1)
    none, one = 0.25 * 0.8 * 0.9, 0.75 * 0.8 * 0.9 + 0.25 * 0.2 * 0.9 + 0.25 * 0.8 * 0.1
    assert said["odds"] == pytest.approx(1 - none - one)


def test_what_is_spent_already_is_spent_for_sure():
    spent = Mechanism(2.0, 1.0, 1, 1e-5, gaussian_epsilon(1e-5, sigma=2.0, records=1) * 1.001, spent=4)
    found = plan_budget(spent, [0.5, 0.5], gamma=0.1)
    assert (found.valid_until, found.odds, found.units) == (1, 1.0, 6)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("[0.5, ", "is not JSON"),
        ([], "declares no probabilities"),
        ("0.5", "declares no probabilities"),
        ([0.5, "0.2"], "it is no probability"),
        ([True], "it is no probability"),
        ([1.5], "is 1.5"),
        ("[NaN]", "is nan"),
        ({"a": None}, "it is no probability"),
    ],
)
def test_a_file_that_declares_none_is_refused(refused, tmp_path, body, words):
    path = written(tmp_path, body)
    assert words in refused(2, "accounting", "plan", "--probabilities", path, "--sigma", "2", "--delta", "1e-5")


def test_a_model_that_cannot_be_planned_is_refused(refused, tmp_path):
    odds, ids = written(tmp_path, [0.5]), written(tmp_path, {"x": 0.5}, "ids.json")
    plan = ["accounting", "plan", "--probabilities"]
    assert "has no account.json" in refused(2, *plan, ids, "--model", tmp_path)
    Account(Trained(2.0, 1.0, 3, 1.0), 1e-5, {"x": "x", "y": "y"}).write(tmp_path)
    assert "do not say whose they are" in refused(2, *plan, odds, "--model", tmp_path)
    assert "1 records of" in refused(2, *plan, ids, "--model", tmp_path)
    assert "--model and --sigma" in refused(2, *plan, ids, "--model", tmp_path, "--sigma", "2")
    assert "no such file" in refused(2, *plan, tmp_path / "none.json", "--sigma", "2", "--delta", "1e-5")
    assert "the mechanism is not known" in refused(2, *plan, odds, "--sigma", "2")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["epsilon", "--sigma", "0", "--delta", "1e-5"], "sigma is 0.0"),
        (["epsilon", "--sigma", "2"], "--delta"),
        (["epsilon", "--sigma", "2", "--delta", "2"], "delta is 2.0"),
        (["epsilon", "--sigma", "2", "--delta", "1e-5", "--q", "0"], "q is 0.0"),
        (["epsilon", "--sigma", "2", "--delta", "1e-5", "--records", "0"], "--records"),
        (["epsilon", "--sigma", "2", "--delta", "1e-5", "--prior", "1"], "prior is 1.0"),
        (["reading", "--epsilon", "nan", "--delta", "0"], "epsilon is nan"),
        (["reading", "--epsilon", "1"], "--delta"),
        (["sigma", "--epsilon", "0", "--delta", "1e-5"], "epsilon is 0.0"),
        (["growth", "--sigma", "2", "--delta", "1e-5", "--requests", "1;2"], "not numbers with commas"),
        (["growth", "--sigma", "2", "--delta", "1e-5", "--requests", "0"], "releases are [0]"),
        (["growth", "--sigma", "2", "--delta", "1e-5", "--requests", "10000000"], "one to 1000000"),
        (["growth", "--sigma", "1e-200", "--delta", "1e-5"], "beyond any number"),
        (["growth", "--sigma", "1e9", "--delta", "0.5", "--requests", "1", "--chart", "x.svg"], "every epsilon is 0"),
    ],
)
def test_bad_numbers_are_one_message(refused, arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words in refused(2, "accounting", *arguments)


def test_without_the_extra_sampled_noise_names_the_line_that_installs_it(refused, monkeypatch):
    for name in ("rdp", "pld.privacy_loss_distribution", "pld.privacy_loss_mechanism", "pld.pld_pmf"):
        monkeypatch.setitem(__import__("sys").modules, f"dp_accounting.{name}", None)
    said = refused(3, "accounting", "epsilon", "--sigma", "3.3", "--q", "0.01", "--delta", "1e-5")
    assert "pip install 'expunge[dp]'" in said
