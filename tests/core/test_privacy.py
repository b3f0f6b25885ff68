"""What a privacy policy accepts: monotone in epsilon, delta and adversary, nothing unnamed, nothing after its day."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.canonical import digest
from expunge.core.errors import ConfigError
from expunge.core.guarantee import Certified
from expunge.core.privacy import ADVERSARIES, Limit, PrivacyPolicy, accept, faults_of

HEALTH = Limit(("health", "biometric"), 0.5, 1e-8, "adaptive", "special categories")
REST = Limit(("any",), 4.0, 1e-5, "oblivious", "what the board accepted")
POLICY = PrivacyPolicy("ours", "2", "the board", "2031-12-31", (HEALTH, REST))
DAY = "2031-12-31"
epsilons, deltas = st.floats(0, 10), st.floats(0, 0.999)


def judged(claim, kind="any", on=DAY, policy=POLICY):
    return accept(policy, claim, kind=kind, on=on)


@given(epsilons, deltas, st.sampled_from(ADVERSARIES), epsilons, deltas)
def test_a_stronger_claim_is_accepted_wherever_a_weaker_one_is(epsilon, delta, adversary, less, lower):
    weak = judged(Certified(epsilon, delta, adversary))
    strong = Certified(min(epsilon, less), min(delta, lower), "adaptive")
    assert judged(strong).accepted or not weak.accepted
    assert weak.accepted == (epsilon <= 4.0 and delta <= 1e-5)
    assert weak.accepted == (not weak.reasons)


def test_the_limit_itself_is_accepted_and_each_reason_is_named():
    assert judged(Certified(0.5, 1e-8, "adaptive"), "health").accepted
    found = judged(Certified(0.6, 1e-7, "oblivious"), "health", "2032-01-01")
    assert not found.accepted and found.digest == digest(POLICY)
    assert found.reasons == (
        "the policy expired on 2031-12-31",
        "epsilon 0.6 is above 0.5",
        "delta 1e-07 is above 1e-08",
        "it holds against an adversary that is oblivious, not adaptive",
    )


def test_what_no_limit_names_is_accepted_only_under_any():
    claim = Certified(0.1, 0.0, "adaptive")
    assert judged(claim, "telemetry").accepted
    alone = replace(POLICY, limits=(HEALTH,))
    assert judged(claim, "telemetry", policy=alone).reasons == ("the policy accepts nothing for telemetry",)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -0.1, -float("inf")])
@pytest.mark.parametrize("field", ["epsilon", "delta"])
def test_what_bounds_nothing_is_never_accepted(number, field):
    assert not judged(replace(Certified(0.1, 0.0, "adaptive"), **{field: number})).accepted


def test_an_adversary_that_nobody_knows_is_not_accepted():
    assert any("not known" in r for r in judged(Certified(0.1, 0.0, "everybody")).reasons)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"limits": ()}, "no limit"),
        ({"by": " "}, "by is empty"),
        ({"name": "a\x1b[31m"}, "name is empty or cannot be printed"),
        ({"until": "2031-13-01"}, "until is not a day"),
        ({"until": "20311231"}, "until is not a day"),
        ({"limits": (HEALTH, replace(REST, kinds=("health",)))}, "more than one limit"),
        ({"limits": (replace(REST, kinds=()),)}, "names no kind"),
        ({"limits": (replace(REST, epsilon=float("inf")),)}, "epsilon of any"),
        ({"limits": (replace(REST, epsilon=float("nan")),)}, "epsilon of any"),
        ({"limits": (replace(REST, delta=1.0),)}, "delta of any"),
        ({"limits": (replace(REST, why=""),)}, "no reason"),
    ],
)
def test_a_policy_that_cannot_judge_says_why_and_does_not(changes, words):
    policy = replace(POLICY, **changes)
    assert any(words in fault for fault in faults_of(policy))
    with pytest.raises(ConfigError, match="cannot judge"):
        judged(Certified(0.0, 0.0, "adaptive"), policy=policy)


def test_a_sound_policy_has_no_fault_and_a_day_must_be_one():
    assert faults_of(POLICY) == []
    with pytest.raises(ConfigError, match="not a day"):
        judged(Certified(0.0, 0.0, "adaptive"), on="tomorrow")
