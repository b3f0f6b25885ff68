"""A claim is kept or lowered, never raised; each guarantee falls without its evidence."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.canonical import digest_bytes, plain
from expunge.core.earning import at_most, earn, not_claimed, phrase
from expunge.core.evidence import Estimate, Measurement, Proof, Receipt, Replay
from expunge.core.guarantee import Certified, Empirical, Exact, Purged, Suppressed, Unproven
from expunge.core.policy import Finding, Verdict

A, B, C = (digest_bytes(text) for text in (b"a", b"b", b"c"))
GOOD = Verdict("p", "earned", (Finding("auc", "earned", "within"),))
MEASURED = Measurement("auc", Estimate(0.5, 0.4, 0.6))
PROOF = Proof("pld", ("poisson sampling",), epsilon=1.0, delta=1e-5, adversary="oblivious", after=B)
CLEAN = Receipt("kb", "CLEAN", control=3, records=3, before=A, after=B)
SAME = Replay(before=A, after=B, data=C, equals=B)
EVERYTHING = (MEASURED, PROOF, CLEAN, SAME)

statuses = st.sampled_from(["earned", "failed", "inconclusive", "uninformative"])
digests = st.sampled_from([A, B, C, "", "no digest"])
numbers = st.one_of(st.sampled_from([0.0, 1e-12, 1e-10, 1.1e-10, 1.0, math.nan, math.inf, -1.0]), st.floats())
policies = st.sampled_from(["p", "q", ""])
guarantees = st.one_of(
    st.builds(Exact, st.sampled_from(["bitwise", "distribution"])),
    st.builds(Certified, numbers, numbers, st.just("oblivious")),
    st.builds(Purged, st.sampled_from(["kb", "other"])),
    st.builds(Empirical, policies),
    st.just(Suppressed()),
    st.builds(Unproven, st.text(max_size=3)),
)
verdicts = st.none() | st.builds(
    Verdict,
    policies,
    statuses,
    st.lists(st.builds(Finding, st.just("auc"), statuses, st.just("")), max_size=3).map(tuple),
)
evidences = st.lists(
    st.one_of(
        st.builds(Measurement, st.just("auc"), st.builds(Estimate, numbers, numbers, numbers)),
        st.builds(
            *(Proof, st.sampled_from(["", "pld"]), st.sampled_from([(), ("convex",)]), st.just(())),
            *(numbers, numbers, st.sampled_from(["oblivious", "adaptive"]), digests),
        ),
        st.builds(Replay, digests, digests, digests, digests, numbers),
        st.builds(
            *(
                Receipt,
                st.sampled_from(["kb", "other"]),
                st.sampled_from(["CLEAN", "BLIND", "RESIDUE"]),
                st.integers(0, 2),
            ),
            *(st.just(()), st.integers(0, 2), st.integers(0, 2), st.just(9), digests, digests),
        ),
    ),
    max_size=4,
).map(tuple)

# Written out on its own, so that an error in at_most cannot excuse an error in earn.
RANK = {Unproven: 0, Suppressed: 1, Empirical: 2, Purged: 2, Certified: 3, Exact: 4}


def rank(guarantee) -> float:
    return RANK[type(guarantee)] + (0.5 if guarantee == Exact("bitwise") else 0)


@given(guarantees, verdicts, evidences, st.booleans(), digests, digests)
def test_evidence_never_raises_a_claim(claim, verdict, evidence, overlay, before, after):
    earned = earn(claim, verdict=verdict, evidence=evidence, is_overlay=overlay, before=before, after=after)
    assert rank(earned) <= rank(claim)
    assert at_most(earned, claim)
    if rank(earned) == rank(claim) and not isinstance(claim, Unproven):
        assert earned == claim
    if overlay:
        assert rank(earned) <= rank(Suppressed())
    if not evidence and verdict is None:
        assert isinstance(earned, Unproven)


@given(guarantees, verdicts, evidences, st.booleans())
def test_less_evidence_never_earns_more_except_by_hiding_a_refutation(claim, verdict, evidence, overlay):
    helpful = [e for e in evidence if isinstance(e, Measurement | Proof)]
    settings = {"verdict": verdict, "is_overlay": overlay, "before": A, "after": B}
    with_all = earn(claim, evidence=helpful, **settings)
    for left_out in range(len(helpful)):
        fewer = earn(claim, evidence=helpful[:left_out] + helpful[left_out + 1 :], **settings)
        assert rank(fewer) <= rank(with_all)
    assert rank(earn(claim, evidence=helpful, **{**settings, "verdict": None})) <= rank(with_all)


@pytest.mark.parametrize(
    "claim",
    [
        Exact("bitwise"),
        Exact("distribution"),
        Certified(1, 1e-5, "oblivious"),
        Purged("kb"),
        Empirical("p"),
        Suppressed(),
    ],
    ids=phrase,
)
def test_a_claim_is_kept_under_its_own_evidence_and_falls_without_any(claim):
    assert earn(claim, verdict=GOOD, evidence=EVERYTHING, before=A, after=B) == claim
    assert isinstance(earn(claim, before=A, after=B), Unproven)


@pytest.mark.parametrize("claim", [Exact("bitwise"), Empirical("p"), Purged("kb"), Certified(1, 0, "x"), Suppressed()])
def test_an_overlay_is_suppressed_at_most_and_only_when_measured(claim):
    settings = {"verdict": GOOD, "is_overlay": True, "before": A, "after": B}
    assert earn(claim, evidence=EVERYTHING, **settings) == Suppressed()
    assert isinstance(earn(claim, evidence=EVERYTHING[1:], **settings), Unproven)
    blind = Measurement("auc", Estimate(math.nan, 0, 1))
    assert isinstance(earn(claim, evidence=(blind,), **settings), Unproven)


def test_an_unproven_claim_keeps_its_reason():
    assert earn(Unproven("because"), verdict=GOOD, evidence=EVERYTHING) == Unproven("because")


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        (None, "was not judged"),
        (Verdict("q", "earned", GOOD.findings), "judged by the policy q"),
        (Verdict("p", "failed", (Finding("auc", "failed", "too far"),)), "auc: too far"),
        (Verdict("p", "inconclusive", (Finding("auc", "inconclusive", "few"),)), "auc: few"),
        (Verdict("p", "uninformative", (Finding("auc", "uninformative", "weak"),)), "auc: weak"),
        (Verdict("p", "earned", ()), "earned"),
        (Verdict("p", "earned", (Finding("auc", "failed", "hidden"),)), "auc: hidden"),
    ],
)
def test_empirical_falls_unless_everything_was_earned_under_its_policy(verdict, reason):
    earned = earn(Empirical("p"), verdict=verdict, evidence=EVERYTHING)
    assert isinstance(earned, Unproven)
    assert reason in earned.reason


@pytest.mark.parametrize(
    ("changes", "bitwise", "distribution"),
    [
        ({}, Exact("bitwise"), Exact("distribution")),
        ({"equals": ""}, Exact("distribution"), Exact("distribution")),
        ({"equals": C, "distance": 1e-10}, Exact("distribution"), Exact("distribution")),
        ({"equals": C, "distance": 1.1e-10}, Unproven, Unproven),
        ({"equals": C, "distance": 0.0}, Unproven, Unproven),
        ({"equals": C, "distance": -1e-12}, Unproven, Unproven),
        ({"equals": C, "distance": math.nan}, Unproven, Unproven),
        ({"data": ""}, Unproven, Unproven),
        ({"after": C, "equals": C}, Unproven, Unproven),
        ({"after": C, "equals": ""}, Unproven, Unproven),
        ({"after": C, "equals": B}, Unproven, Unproven),
        ({"before": C}, Unproven, Unproven),
    ],
)
def test_exact_needs_a_replay_of_this_change_that_nothing_refutes(changes, bitwise, distribution):
    fields = {"before": A, "after": B, "data": C, "equals": B} | changes
    for claim, expected in ((Exact("bitwise"), bitwise), (Exact("distribution"), distribution)):
        earned = earn(claim, evidence=(Replay(**fields),), before=A, after=B)
        assert type(earned) is Unproven if expected is Unproven else earned == expected


def test_what_did_not_change_forgot_nothing_exactly():
    same = Replay(before=A, after=A, data=C, equals=A)
    assert isinstance(earn(Exact("bitwise"), evidence=(same,), before=A, after=A), Unproven)
    assert isinstance(earn(Exact("distribution"), evidence=(replace(same, equals=""),), before=A, after=A), Unproven)


def test_one_failed_replay_refutes_a_good_one():
    other = Replay(before=A, after=B, data=C, equals=C, distance=0.5)
    assert isinstance(earn(Exact("bitwise"), evidence=(SAME, other), before=A, after=B), Unproven)


@pytest.mark.parametrize("epsilon, delta", [(math.inf, 0), (math.nan, 0), (-1, 0), (1, 1), (1, math.nan)])
def test_bounds_that_bound_nothing_certify_nothing(epsilon, delta):
    assert isinstance(earn(Certified(epsilon, delta, "x"), evidence=(PROOF,)), Unproven)


LACKING = {
    "no accountant": {"accountant": ""},
    "no assumptions": {"assumptions": ()},
    "another artefact": {"after": C},
    "no artefact": {"after": ""},
    "more epsilon": {"epsilon": 1.01},
    "epsilon is no number": {"epsilon": math.nan},
    "more delta": {"delta": 2e-5},
    "spent": {"units": 4, "valid_until": 3},
}


@pytest.mark.parametrize("lacking", LACKING.values(), ids=LACKING)
def test_a_proof_of_another_thing_or_of_less_certifies_nothing(lacking):
    proof = replace(PROOF, units=3, valid_until=3)
    claim = Certified(1, 1e-5, "oblivious")
    assert earn(claim, evidence=(proof,), after=B) == claim
    assert isinstance(earn(claim, evidence=(replace(proof, **lacking),), after=B), Unproven)


def test_a_proof_against_the_stronger_adversary_serves_the_weaker_claim_and_not_the_other_way():
    strong, weak = replace(PROOF, adversary="adaptive"), PROOF
    assert earn(Certified(1, 1e-5, "oblivious"), evidence=(strong,), after=B) == Certified(1, 1e-5, "oblivious")
    assert isinstance(earn(Certified(1, 1e-5, "adaptive"), evidence=(weak,), after=B), Unproven)


NOT_CLEAN = {
    "blind": {"status": "BLIND"},
    "residue": {"status": "RESIDUE", "hits": 3},
    "hits all the same": {"hits": 1},
    "no positive control": {"control": 0},
    "one record was not seen before": {"control": 2},
    "nothing was erased": {"records": 0, "control": 0},
    "lower case": {"status": "clean"},
}


@pytest.mark.parametrize("flaw", NOT_CLEAN)
def test_a_purge_needs_a_clean_scan_that_saw_every_record_before(flaw):
    receipt = replace(CLEAN, **NOT_CLEAN[flaw])
    assert earn(Purged("kb"), evidence=(CLEAN,), before=A, after=B) == Purged("kb")
    for evidence in ((receipt,), (CLEAN, receipt), (receipt, CLEAN)):
        assert isinstance(earn(Purged("kb"), evidence=evidence, before=A, after=B), Unproven)


@pytest.mark.parametrize("change", [{"store": "other"}, {"before": C}, {"after": C}])
def test_a_receipt_counts_for_its_own_store_and_change_only(change):
    receipt = replace(CLEAN, **change)
    assert isinstance(earn(Purged("kb"), evidence=(receipt,), before=A, after=B), Unproven)
    anonymous = replace(CLEAN, before="", after="")
    assert earn(Purged("kb"), evidence=(anonymous,), before=A, after=B) == Purged("kb")


@given(guarantees, guarantees, guarantees)
def test_at_most_is_a_partial_order(a, b, c):
    assert at_most(a, a) or isinstance(a, Certified)
    if at_most(a, b) and at_most(b, c):
        assert at_most(a, c)
    if at_most(a, b) and at_most(b, a):
        assert type(a) is type(b)


def test_every_guarantee_says_what_it_does_not_claim():
    kinds = (Exact("bitwise"), Certified(1, 0, "x"), Purged("kb"), Empirical("p"), Suppressed(), Unproven())
    own = [not_claimed(kind)[0] for kind in kinds]
    assert len(set(own)) == len(kinds)
    for kind in kinds:
        text = " ".join(not_claimed(kind))
        assert all(word in text for word in ("weights", "scope", "copies", "compliance"))


def test_a_claim_that_pins_a_policy_is_earned_by_that_one_alone():
    ours, other = "sha256:" + "a" * 64, "sha256:" + "b" * 64
    claim = Empirical("p", ours)
    assert earn(claim, verdict=replace(GOOD, digest=ours)) == claim
    for found in (GOOD, replace(GOOD, digest=other)):
        lowered = earn(claim, verdict=found)
        assert isinstance(lowered, Unproven) and "pinned before the run" in lowered.reason
    assert earn(Empirical("p"), verdict=replace(GOOD, digest=other)) == Empirical("p")
    assert "digest" not in plain(Empirical("p")) and plain(claim)["digest"] == ours
