"""The certificate as a value and as a page to read."""

from dataclasses import replace

import pytest

from expunge.core.canonical import digest, digest_bytes
from expunge.core.certificate import Certificate, issue
from expunge.core.errors import ClaimError
from expunge.core.evidence import Estimate
from expunge.core.guarantee import Empirical, Exact, Suppressed, Unproven
from expunge.core.outcome import Overlay
from expunge.core.policy import Assessment, Comparison, Policy
from expunge.core.request import Records, Request


def test_it_prints_claim_measurements_residue_and_what_is_not_claimed(toys):
    text = str(toys.certificate())
    assert "Claimed: Empirical (policy ours)" in text
    assert "Earned: Empirical (policy ours)" in text
    assert "truth_ratio: 0.12 [0.05, 0.19] at 90% (n 120, subjects 20, seeds 1, against retrained)" in text
    assert "min_k_auc: earned, -0.010 [-0.060, +0.040] against a margin of 0.1" in text
    assert "  - scores/forget.json (personal data): score table" in text
    assert "  - That closeness to a retrained model proves unlearning." in text
    assert "  - level: 1.25" in text
    assert "GDPR Art. 17, due 2026-12-01" in text


def test_it_says_nothing_about_who_asked_or_what_for(toys):
    certificate = toys.certificate()
    for secret in ("user-4711", "r17", "Ada", "ab" * 16, toys.SELECTION.digest()):
        assert secret not in str(certificate)
        assert secret not in repr(certificate)


def test_nothing_in_it_can_steer_a_terminal(toys):
    text = str(toys.certificate(notes={"colour": "\x1b[31mred\nEarned: Exact"}))
    assert "\x1b" not in text
    assert "\nEarned: Exact" not in text


def test_a_missing_assessment_lowers_the_claim_and_says_so(toys):
    certificate = toys.certificate(assessment=None)
    assert certificate.claimed == Empirical("ours")
    assert certificate.earned == Unproven("the policy ours was not judged")
    assert "That anything was forgotten." in certificate.not_claimed
    assert "Earned: Unproven" in str(certificate)


def test_a_failed_attack_lowers_the_claim(toys):
    far = Comparison("truth_ratio", Estimate(0.5, 0.4, 0.6), Estimate(0.7, 0.6, 0.8))
    assessment = Assessment((far, toys.ASSESSMENT.comparisons[1]), toys.ASSESSMENT.utility)
    certificate = toys.certificate(assessment=assessment)
    assert isinstance(certificate.earned, Unproven)
    assert "truth_ratio: +0.500" in certificate.earned.reason


def test_an_overlay_is_suppressed_whatever_was_measured(toys):
    weights = toys.Weights("before")
    overlay = Overlay(
        target=toys.Weights("guarded"),
        base=weights,
        before=weights.digest(),
        method="prompt_filter 1",
        recipe=digest_bytes(b"recipe"),
        selection=toys.SELECTION,
        seed=0,
    )
    request = Request("someone", Records("r1"))
    settings = {"policy": toys.POLICY, "assessment": toys.ASSESSMENT}
    certificate = issue(request, overlay, evidence=(toys.FORGOT,), **settings)
    assert certificate.earned == Suppressed()
    assert "model (overlay)" in str(certificate)
    assert isinstance(issue(request, overlay, **settings).earned, Unproven)


def test_the_replay_of_an_outcome_is_evidence_once(toys):
    replay = toys.replay()
    audit = {"independent run": "run again by a stranger"}
    certificate = toys.certificate(claim=Exact("bitwise"), replay=replay, evidence=(replay,), audit=audit)
    assert certificate.target.evidence == (replay,)
    assert certificate.earned == Exact("bitwise")


def test_nobody_vouches_for_a_run_of_his_own(toys):
    replay = toys.replay()
    said = {"independent run": "run again by a stranger", "committed": "all of it", "level": 1.25}
    for evidence in ((), (replay,)):
        certificate = toys.certificate(claim=Exact("bitwise"), replay=replay, evidence=evidence, notes=said)
        assert certificate.earned == Exact("distribution"), "what an outcome says of itself is no independent run"
        assert dict(certificate.notes) == {"level": "1.25"}
    # One that differs only lowers, so that it counts whoever says it.
    other = toys.replay(equals=replay.before, distance=0.5)
    assert isinstance(toys.certificate(claim=Exact("bitwise"), replay=other, evidence=()).earned, Unproven)


def test_the_policy_is_pinned_by_its_digest(toys):
    target = toys.certificate().target
    assert target.policy_digest == digest(toys.POLICY)
    assert toys.certificate(policy=None).target.policy_digest == ""


def test_parts_that_make_no_certificate_are_refused(toys):
    good = toys.certificate()
    with pytest.raises(ClaimError, match="lists no attack"):
        toys.certificate(policy=Policy("ours", "1", (), 0.9))
    bare = toys.Weights("")
    bare.digest = lambda: "abc"
    with pytest.raises(ClaimError, match="after is not a digest"):
        toys.certificate(target=bare)
    with pytest.raises(ClaimError, match="names of their own"):
        Certificate(good.request, good.method, (good.target, good.target), (), good.not_claimed)
    with pytest.raises(ClaimError, match="does not claim"):
        Certificate(good.request, good.method, good.artefacts, (), ())


def test_a_wish_that_was_not_read_is_not_said_to_be(toys):
    request = Request("someone", Records("r1"), wish="neutral")
    replaced = toys.outcome(claim=Exact("distribution"), replay=toys.replay())
    certificate = issue(request, replaced)
    assert certificate.earned == Exact("distribution")
    text, unread = str(certificate), "That the wish neutral is met: that was not measured."
    assert "Wish: neutral (answer about them without saying anything); whether it is met was not measured" in text
    assert "read against" not in text and unread in certificate.not_claimed
    policy = replace(toys.POLICY, wish="neutral")
    read = issue(request, replaced, policy=policy, assessment=toys.ASSESSMENT)
    assert "read against no refusal" in str(read) and unread not in read.not_claimed
    assert any("That its answers say nothing" in sentence for sentence in read.not_claimed)
    assert "was not measured" not in str(issue(replace(request, wish="as_retrained"), replaced))
    with pytest.raises(ClaimError, match="judges the wish as_retrained"):
        issue(request, replaced, policy=toys.POLICY)
