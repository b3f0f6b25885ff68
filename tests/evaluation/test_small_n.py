"""The verdict at 20, 40 and 200 people: few are inconclusive, enough earn, and a true difference fails at both ends.

One question a person; 60 % of the variance of a score belongs to the record and is the same for every model.
"""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from expunge.core.policy import Criterion, equivalence, judge
from expunge.evaluation.assess import assess
from expunge.evaluation.per_item import PerItem
from expunge.evaluation.policies import research_tofu

KEPT = 60
RUNS = 12


def rows(role, count, **columns):
    names = {"ids": [f"{role} {i:03d}" for i in range(count)], "subjects": [f"{role} {i:03d}" for i in range(count)]}
    return {**names, **columns}


def model(run, number, n, *, shift=0.0, knows=0.0):
    """Score tables of a model.

    Args:
        run: draws the records, which all models share.
        number: of the model; draws what is its own.
        shift: of the forgotten records' Min-K% beyond never-seen ones, standard deviations.
        knows: how far truth ratios and relearning are those of a model that was trained on the records.
    """
    record, own = np.random.default_rng([run, n]), np.random.default_rng([run, n, number])

    def drawn(count):
        return np.sqrt(0.6) * record.normal(size=count) + np.sqrt(0.4) * own.normal(size=count)

    forget = {"min_k": drawn(n) + shift, "truth_ratio": np.exp(drawn(n) - 3 * knows)}
    tables = {
        "forget": rows("forget", n, **forget, generated=[f"a city of {i} by {number}" for i in range(n)]),
        "holdout": rows("holdout", n, min_k=drawn(n)),
        "relearning": rows("forget", n, outcome=0.1 + 0.02 * drawn(n) + 0.8 * knows),
    }
    for role, names in (
        ("retain", ("probability", "rouge_l", "truth_score")),
        ("general", ("probability_options", "rouge_l", "truth_score")),
    ):
        scores = {name: np.clip(0.9 + 0.02 * drawn(KEPT), 0, 1) for name in names}
        tables[role] = rows(role, KEPT, **scores, generated=[f"it is {i} and more" for i in range(KEPT)])
    tables["general"]["mask_perturbed"] = np.ones((KEPT, 3, 1))
    return tables


def untrained():
    names = {
        "retain": ("probability", "rouge_l", "truth_score"),
        "general": ("probability_options", "rouge_l", "truth_score"),
    }
    return {role: rows(role, KEPT, **dict.fromkeys(own, np.full(KEPT, 0.05))) for role, own in names.items()}


def world(run, n, **judged):
    items = {"original": model(run, 1, n, shift=6.0, knows=1.0), "untrained": untrained()}
    items |= {"reference": model(run, 2, n), "second": model(run, 3, n), "model": model(run, 4, n, **judged)}
    return items


def verdict(tables, policy=research_tofu, seed=0):
    found = assess(PerItem(tables), policy, draws=200, seed=seed, digests=("sha256:1", "sha256:2"))
    return judge(policy, found.assessment), {c.attack: c.difference for c in found.assessment.comparisons}


@pytest.mark.parametrize("n", [20, 40, 200])
def test_equal_distributions(n):
    """Of 12 runs at 20, 40 and 200 people 0, 1 and 11 are earned, the rest inconclusive; none fails.

    At 20 an interval is wider than a margin in every run, at 40 in 7, at 200 in none.
    """
    found = Counter()
    for run in range(RUNS):
        judged, differences = verdict(world(run, n), seed=run)
        found[judged.status] += 1
        margins = {c.attack: c.margin for c in research_tofu.criteria}
        wide = [name for name, d in differences.items() if (d.high - d.low) / 2 > margins[name]]
        status = {finding.criterion: finding.status for finding in judged.findings}
        assert all(status[name] in ("inconclusive", "failed") for name in wide)
        assert not wide or judged.status != "earned"
        assert wide or n != 20, "the interval is wider than a margin at 20 people"
    assert found["failed"] == 0, found
    assert found["earned"] >= 10 if n == 200 else found["inconclusive"] >= 10, found


@pytest.mark.parametrize("shift", [1.5, -1.5], ids=["too likely", "too unlikely"])
def test_a_true_difference_fails_on_either_side(shift):
    for run in range(4):
        judged, differences = verdict(world(run, 200, shift=shift), seed=run)
        assert judged.status == "failed"
        assert {f.criterion for f in judged.findings if f.status == "failed"} == {"min_k_auc"}
        assert np.sign(differences["min_k_auc"].value) == np.sign(shift)


def with_shadows(tables, n, *, push):
    """The world with confidences of eight shadow models, and the judged model's pushed on forgotten records."""
    rng = np.random.default_rng(n)
    ease = {role: rng.normal(size=n) * 3 for role in ("forget", "holdout")}
    knowing = {"original": 6.0, "model": push}
    shadows = {}
    for role, own in ease.items():
        member = np.argsort(rng.random((8, n)), axis=0) % 2.0
        for who in ("original", "reference", "second", "model"):
            pushed = knowing.get(who, 0.0) if role == "forget" else 0.0
            tables[who][role]["logit_confidence"] = own + rng.normal(size=n) + pushed
        shadows[role] = [
            rows(role, n, logit_confidence=own + 6.0 * inside + rng.normal(size=n), member=inside) for inside in member
        ]
    return {**tables, "shadows": shadows}


@pytest.mark.parametrize(("push", "status"), [(0.0, "earned"), (3.0, "failed"), (-3.0, "failed")])
def test_an_attack_by_shadow_models_is_judged_on_both_sides(push, status):
    policy = replace(research_tofu, criteria=(Criterion("lira_offline", 0.15, ("LOGPROBS",), "Is it told apart?"),))
    judged, differences = verdict(with_shadows(world(0, 200), 200, push=push), policy)
    assert judged.status == status, judged.reason
    assert np.sign(differences["lira_offline"].value) == np.sign(push) or not push


def test_without_shadow_models_such_an_attack_is_inconclusive():
    policy = replace(research_tofu, criteria=(Criterion("u_lira", 0.1, ("LOGPROBS",), "Is it told apart?"),))
    tables = with_shadows(world(0, 200), 200, push=0.0)
    judged, _ = verdict(tables, policy)
    assert judged.status == "inconclusive" and "unlearned_shadows was not measured on forget" in judged.reason


@pytest.mark.parametrize("attack", ["privleak", "rel_diff"])
def test_four_people_earn_nothing_in_percent_either(attack):
    policy = replace(research_tofu, criteria=(Criterion(attack, 10.0, ("LOGPROBS",), "Is it told apart?"),))
    _, differences = verdict(world(1, 4), policy)
    assert equivalence(differences[attack], 10.0) == "inconclusive"
