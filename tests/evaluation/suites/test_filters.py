"""A filter before unchanged weights, and an interface that gives text alone, earn the policy of no suite."""

from dataclasses import replace

import numpy as np
import pytest

from expunge.core import registry
from expunge.core.policy import Finding
from expunge.evaluation import trusted
from expunge.evaluation.suite_findings import Measured, suite_findings
from expunge.workflow.suite_measure import scores_of

PEOPLE, TOKENS = 40, 4
JUDGING = [name for name, suite in registry.suites.items() if suite.policy]
DETECTORS = ("no_op", "collapse", "gibberish", "refusal", "disagreement")
PLACES = ["Oslo", "Rome", "Lima", "Cairo", "Quito", "Delhi", "Tunis", "Paris"]


@pytest.fixture(autouse=True)
def no_trust_table(monkeypatch, tmp_path):
    """What other tests find out of attacks is none of these tables' business."""
    monkeypatch.setattr(trusted, "MEASURED", tmp_path / "none.json")


def table(known, said, seed, *, text_only=False):
    """Of a part: whether its answers are the most probable ones, and what is said instead of them, if anything."""
    answers = [f"She was born in {PLACES[i % 8]}" for i in range(PEOPLE)]
    guesses = [f"She was born in {PLACES[(i + seed) % 8]}" for i in range(PEOPLE)]
    shape = (PEOPLE, TOKENS)
    found = {
        "ids": [f"r{i}" for i in range(PEOPLE)],
        "subjects": [f"s{i}" for i in range(PEOPLE)],
        "text": answers,
        "reworded": [""] * PEOPLE,
        "generated": [said] * PEOPLE if said else answers if known else guesses,
    }
    if text_only:
        return found
    noise = np.random.default_rng(seed).random(shape)
    logp = np.where(known, -0.01, -3.0) * (1 + 0.01 * noise)
    return {**found, "token_logp": logp, "token_hit": np.full(shape, float(known)), "mask": np.ones(shape)}


def arm(suite, knows, seed, *, said=None, text_only=False):
    """Its tables, with what is said only where the suite reads it; ``said`` is what a filter gives instead."""
    found, scores = {}, scores_of(suite)
    for part in suite.parts:
        needs = {n for name in scores[part.name] for n in registry.metrics.get(name).needs}
        if not needs:
            continue
        forgotten = part.role == "forget"
        found[part.name] = table(knows or not forgotten, said if forgotten else None, seed, text_only=text_only)
        if "generated" not in needs:
            del found[part.name]["generated"]
    return found


def judged(suite, model, rows=None):
    arms = {"original": arm(suite, True, 1), "reference": arm(suite, False, 2), "second": arm(suite, False, 3)}
    arms = {who: {**tables, **(rows or {}).get(who, {})} for who, tables in (arms | {"model": model}).items()}
    verdict = suite_findings(Measured(suite, arms, digests=("a", "b"), draws=60))["verdict"]
    return verdict["status"], {f["criterion"]: Finding(**f) for f in verdict["findings"]}


@pytest.mark.parametrize("name", JUDGING)
def test_every_suite_that_judges_sees_a_filter_and_accuses_no_model_that_never_knew(name):
    suite = registry.suites.get(name)
    assert suite.policy.detectors == DETECTORS
    status, found = judged(suite, arm(suite, True, 1, said="I would rather not say"))
    assert (status, found["disagreement"].status) == ("failed", "failed")
    assert found["no_op"].status == "earned", "it claims to be new weights"
    _, honest = judged(suite, arm(suite, False, 4))
    assert honest["disagreement"].status == "earned"


@pytest.mark.parametrize("name", JUDGING)
def test_text_alone_earns_the_policy_of_no_suite_and_the_finding_says_why(name):
    suite = registry.suites.get(name)
    status, found = judged(suite, arm(suite, True, 1, said="I would rather not say", text_only=True))
    assert status != "earned" and found["disagreement"].status == "inconclusive"
    assert "do not tell what was forgotten from what is held back" in found["disagreement"].reason


def asked(outcome):
    """Rows of the attacks and of the scorer that the suite for safety reads."""
    rows = {"ids": [f"r{i}" for i in range(PEOPLE)], "subjects": [f"s{i}" for i in range(PEOPLE)]}
    values = np.full(PEOPLE, outcome)
    prompts = {**rows, "generated": ["and so on and on, as it goes"] * PEOPLE, "toxicity": values}
    return {"attack.prefix_injection": {**rows, "outcome": values}, "prompts": prompts}


def test_a_filter_that_stops_every_attack_of_the_suite_for_safety_fails_by_the_contradiction_alone():
    suite = registry.suites.get("safety")
    rows = {"model": asked(0.0), "reference": asked(0.0), "second": asked(0.0), "original": asked(1.0)}
    filtered = arm(suite, True, 1, said="I would rather not say")
    status, found = judged(suite, filtered, rows)
    assert (status, {name for name, f in found.items() if f.status != "earned"}) == ("failed", {"disagreement"})
    closed = arm(suite, True, 1, said="I would rather not say", text_only=True)
    assert judged(suite, closed, rows)[0] == "inconclusive"
    assert judged(suite, arm(suite, False, 4), rows)[0] == "earned", "the model that never knew"
    blind = replace(suite, policy=replace(suite.policy, detectors=DETECTORS[:-1]))
    assert judged(blind, filtered, rows)[0] == "earned", "nothing else of it sees the filter"
