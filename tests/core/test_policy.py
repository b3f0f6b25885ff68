"""Judging: earned, failed, inconclusive and uninformative, each constructed; nothing missing is ever earned."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.canonical import digest, plain
from expunge.core.evidence import Estimate
from expunge.core.policy import Assessment, Comparison, Criterion, Detector, Policy, equivalence, judge

CRITERIA = (Criterion("distance", 0.15), Criterion("auc", 0.1))
POLICY = Policy("mine", "1", CRITERIA, utility_floor=0.9, detectors=("no_op", "collapse"))
NAN = math.nan
GOOD = Assessment(
    comparisons=(
        Comparison("distance", Estimate(0.02, -0.05, 0.09), Estimate(0.6, 0.5, 0.7)),
        Comparison("auc", Estimate(-0.03, -0.08, 0.02), Estimate(0.4, 0.35, 0.45)),
    ),
    utility=Estimate(0.97, 0.93, 1.0),
    detectors=(Detector("no_op", False), Detector("collapse", False)),
)


def with_auc(difference: Estimate, positive: Estimate | None = None) -> Assessment:
    first, second = GOOD.comparisons
    changed = Comparison("auc", difference, positive or second.positive)
    return replace(GOOD, comparisons=(first, changed))


def finding(assessment: Assessment, name: str = "auc", policy: Policy = POLICY):
    return next(f for f in judge(policy, assessment).findings if f.criterion == name)


def test_everything_within_its_margin_is_earned():
    verdict = judge(POLICY, GOOD)
    assert (verdict.status, verdict.policy, verdict.reason) == ("earned", "mine", "")
    assert [f.criterion for f in verdict.findings] == ["distance", "auc", "utility", "no_op", "collapse"]


@pytest.mark.parametrize(
    ("interval", "status"),
    [
        ((-0.09, 0.09), "earned"),
        ((-0.1, 0.09), "inconclusive"),
        ((-0.09, 0.1), "inconclusive"),
        ((0.1, 0.3), "inconclusive"),
        ((-0.2, 0.2), "inconclusive"),
        ((0.11, 0.3), "failed"),
        ((-0.5, -0.11), "failed"),
        ((NAN, 0.05), "inconclusive"),
        ((-0.05, NAN), "inconclusive"),
        ((NAN, NAN), "inconclusive"),
        ((0.05, -0.05), "inconclusive"),
        ((0.3, -0.3), "inconclusive"),
        ((-math.inf, math.inf), "inconclusive"),
    ],
)
def test_two_one_sided_tests_on_the_stored_interval(interval, status):
    difference = Estimate(0.0, *interval)
    assert equivalence(difference, 0.1) == status
    assert finding(with_auc(difference)).status == status
    assert judge(POLICY, with_auc(difference)).status == status


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0.01, 0.5), st.floats(0, 0.3))
def test_a_wider_interval_never_turns_a_verdict_round(centre, half, margin, more):
    narrow = equivalence(Estimate(centre, centre - half, centre + half), margin)
    wide = equivalence(Estimate(centre, centre - half - more, centre + half + more), margin)
    assert wide in (narrow, "inconclusive")


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0.01, 0.5))
def test_the_sign_of_a_difference_does_not_matter(centre, half, margin):
    one = equivalence(Estimate(centre, centre - half, centre + half), margin)
    assert equivalence(Estimate(-centre, -centre - half, -centre + half), margin) == one


@pytest.mark.parametrize("value", [0.29, 0.0, -0.4, NAN])
def test_an_attack_that_does_not_tell_the_original_apart_is_uninformative(value):
    weak = with_auc(GOOD.comparisons[1].difference, Estimate(value, -1, 1))
    assert finding(weak).status == "uninformative" == judge(POLICY, weak).status
    assert "on the original it exceeds its control by" in judge(POLICY, weak).reason


@pytest.mark.parametrize(("value", "status"), [(-0.31, "earned"), (0.31, "earned"), (-0.29, "uninformative")])
def test_an_attack_that_reads_both_tails_has_power_from_either_side(value, status):
    first, second = with_auc(GOOD.comparisons[1].difference, Estimate(value, -1, 1)).comparisons
    both = replace(GOOD, comparisons=(first, replace(second, two_tailed=True)))
    assert finding(both).status == status
    if value < 0:
        assert finding(replace(GOOD, comparisons=(first, second))).status == "uninformative"
        above = replace(POLICY, criteria=(CRITERIA[0], replace(CRITERIA[1], side="above")))
        assert finding(both, policy=above).status == "uninformative"


def test_a_comparison_states_two_tails_only_where_there_are_two():
    one = GOOD.comparisons[1]
    assert "two_tailed" not in plain(one) and plain(replace(one, two_tailed=True))["two_tailed"] is True


def test_a_verdict_names_its_policy_by_digest():
    assert judge(POLICY, GOOD).digest == digest(POLICY)


def test_the_positive_control_fires_at_three_margins():
    assert finding(with_auc(GOOD.comparisons[1].difference, Estimate(0.3001, 0, 1))).status == "earned"
    strict = replace(POLICY, positive_control=4.1)
    assert finding(GOOD, policy=strict).status == "uninformative"


def test_an_attack_that_finds_the_unlearned_model_has_shown_its_power():
    assert finding(with_auc(Estimate(0.4, 0.3, 0.5), Estimate(0.0, -0.1, 0.1))).status == "failed"


def test_what_was_not_measured_is_inconclusive_with_its_reason():
    missing = replace(GOOD, comparisons=GOOD.comparisons[:1])
    assert (finding(missing).status, finding(missing).reason) == ("inconclusive", "not measured")
    skipped = replace(missing, skipped=(("auc", "the target grants TEXT"),))
    assert finding(skipped).reason == "the target grants TEXT"
    assert judge(POLICY, skipped).reason == "auc: the target grants TEXT"


def test_a_comparison_made_twice_cannot_be_picked_from():
    twice = replace(GOOD, comparisons=(*GOOD.comparisons, GOOD.comparisons[1]))
    assert (finding(twice).status, finding(twice).reason) == ("inconclusive", "compared more than once")


def test_other_comparisons_neither_help_nor_hurt():
    other = Comparison("else", Estimate(0.9, 0.8, 1.0), Estimate(0.0, 0.0, 0.0))
    assert judge(POLICY, replace(GOOD, comparisons=(other, *GOOD.comparisons))).status == "earned"


def test_an_interval_at_a_lower_level_is_not_enough_and_a_higher_one_is():
    difference = GOOD.comparisons[1].difference
    low, high = (with_auc(replace(difference, level=level)) for level in (0.8, 0.95))
    assert finding(low).status == "inconclusive" and "at 0.8, not 0.9" in finding(low).reason
    assert finding(high).status == "earned"


@pytest.mark.parametrize(
    ("utility", "status"),
    [
        (Estimate(0.97, 0.9, 1.0), "earned"),
        (Estimate(0.97, 0.89, 1.0), "inconclusive"),
        (Estimate(0.5, 0.4, 0.6), "failed"),
        (Estimate(0.89, 0.88, 0.9), "inconclusive"),
        (Estimate(NAN, NAN, NAN), "inconclusive"),
        (Estimate(0.97, 0.95, 0.99, level=0.8), "inconclusive"),
        (None, "inconclusive"),
    ],
)
def test_utility_needs_its_lower_bound_above_the_floor(utility, status):
    assessment = replace(GOOD, utility=utility)
    assert finding(assessment, "utility").status == status == judge(POLICY, assessment).status


def test_a_detector_that_fires_fails_the_claim_and_says_why():
    alarmed = replace(GOOD, detectors=(Detector("no_op", False), Detector("collapse", True, "retain fell to 0.1")))
    verdict = judge(POLICY, alarmed)
    assert (verdict.status, verdict.reason) == ("failed", "collapse: retain fell to 0.1")


@pytest.mark.parametrize(
    "left", [(), (Detector("no_op", False),), (Detector("no_op", False), Detector("collapse", None))]
)
def test_a_detector_that_did_not_run_keeps_the_claim_from_being_earned(left):
    verdict = judge(POLICY, replace(GOOD, detectors=left))
    assert verdict.status == "inconclusive" and "collapse: not measured" in verdict.reason


def test_a_detector_that_the_policy_does_not_ask_for_still_fails_a_claim():
    more = replace(GOOD, detectors=(*GOOD.detectors, Detector("else", True)))
    assert judge(POLICY, more).status == "failed"


def test_the_worst_finding_decides():
    failed, weak = Estimate(0.4, 0.3, 0.5), Estimate(0.0, 0.0, 0.0)
    unsure = with_auc(Estimate(0.0, -0.2, 0.2))
    assert judge(POLICY, unsure).status == "inconclusive"
    first = replace(unsure.comparisons[0], positive=weak)
    assert judge(POLICY, replace(unsure, comparisons=(first, unsure.comparisons[1]))).status == "uninformative"
    both = (first, Comparison("auc", failed, Estimate(0.5, 0.4, 0.6)))
    assert judge(POLICY, replace(unsure, comparisons=both)).status == "failed"


def test_a_policy_without_attacks_is_earned_by_nothing():
    verdict = judge(replace(POLICY, criteria=()), GOOD)
    assert (verdict.status, verdict.reason) == ("inconclusive", "attacks: the policy lists none")


@pytest.mark.parametrize(
    ("interval", "status"),
    [
        ((-0.4, -0.2), "earned"),
        ((-0.4, 0.09), "earned"),
        ((-0.4, 0.1), "inconclusive"),
        ((0.05, 0.3), "inconclusive"),
        ((0.11, 0.3), "failed"),
    ],
)
def test_below_a_model_that_never_knew_is_no_failure_where_only_above_is(interval, status):
    low, high = interval
    policy = replace(POLICY, criteria=(CRITERIA[0], Criterion("auc", 0.1, side="above")))
    found = finding(with_auc(Estimate((low + high) / 2, low, high)), policy=policy)
    assert found.status == status and "against a margin of 0.1 above" in found.reason
