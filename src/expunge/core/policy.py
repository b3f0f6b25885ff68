"""Policies, and the rule by which evidence earns. Judging reads stored intervals only."""

from __future__ import annotations

import math
from dataclasses import field
from typing import Any, Literal

from expunge.core.attack import Budget
from expunge.core.canonical import digest as digest_of
from expunge.core.canonical import without_defaults
from expunge.core.evidence import Estimate
from expunge.core.record import record
from expunge.core.request import Wish

Status = Literal["earned", "failed", "inconclusive", "uninformative"]
Side = Literal["both", "above"]
SEVERITY: tuple[Status, ...] = ("failed", "uninformative", "inconclusive", "earned")


@record
class Criterion:
    """One attack that must not tell the unlearned model from one that never knew.

    Args:
        attack: key of the comparison.
        margin: largest difference that counts as equivalent, in the attack's unit.
        access: flags that the attack needs.
        question: what the number answers, in one sentence.
        side: on which side of one that never knew a model may not lie; below it, it knows less.
        why: the reason for the margin.
        budget: that an attack is run at; the margin was chosen for it.
        settings: digest of the attack at that budget; empty where those of the version that measures will do.
    """

    attack: str
    margin: float
    access: tuple[str, ...] = ()
    question: str = ""
    side: Side = "both"
    why: str = ""
    budget: Budget = "quick"
    settings: str = ""

    def canonical(self) -> dict[str, Any]:
        """What is hashed and stated: of what came later, only what is not as it is in most."""
        return without_defaults(self, "side", "why", "budget", "settings")


@record
class Policy:
    """What must hold before ``Empirical`` is earned.

    Args:
        name: file name of the policy.
        version: raised with every change.
        criteria: all must be met.
        utility_floor: share of the original's utility that must be kept, probability.
        level: of the two-sided intervals; 0.9 gives two one-sided tests at 5 %.
        positive_control: how many margins the attack on the original must exceed its control by; or differ from it by,
            where the attack reads both tails and a model may lie on neither side.
        detectors: checks that must have been made and be silent.
        wish: that it judges; evidence of another wish it does not.
    """

    name: str
    version: str
    criteria: tuple[Criterion, ...]
    utility_floor: float
    level: float = 0.9
    positive_control: float = 3.0
    detectors: tuple[str, ...] = ("no_op", "collapse", "gibberish", "refusal")
    wish: Wish = "as_retrained"

    def canonical(self) -> dict[str, Any]:
        """What is hashed and stated: a wish only where it is not the common one."""
        return without_defaults(self, "wish")


@record
class Comparison:
    """One attack's outcome.

    Args:
        attack: key of the criterion.
        difference: attack on the unlearned model minus the same on one that never knew.
        positive: attack on the original minus the same control.
        two_tailed: whether a value far below the control tells as much as one far above it.
    """

    attack: str
    difference: Estimate
    positive: Estimate
    two_tailed: bool = False

    def canonical(self) -> dict[str, Any]:
        """What is hashed and stated: two tails only where there are two."""
        return without_defaults(self, "two_tailed")


@record
class Detector:
    """A check for a result that only looks like forgetting.

    Args:
        name: of the check.
        fired: whether it found one; None where it could not be measured.
        detail: what it saw.
    """

    name: str
    fired: bool | None
    detail: str = ""


@record
class Assessment:
    """Everything that judging reads.

    Args:
        comparisons: one per attack that could be run.
        utility: share of the original's utility that was kept; None where it could not be measured.
        detectors: no-op, collapse, gibberish and refusal.
        skipped: (attack, reason) of those that could not be run.
        doubted: (attack, reason) of those that were shown not to tell a model that knows from one that never did.
        untested: why nobody knows which of them can tell, where there is no table of it; empty where there is.
    """

    comparisons: tuple[Comparison, ...]
    utility: Estimate | None
    detectors: tuple[Detector, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    doubted: tuple[tuple[str, str], ...] = ()
    untested: str = ""

    def canonical(self) -> dict[str, Any]:
        """What is hashed and stated: doubts only where there are any."""
        return without_defaults(self, "doubted", "untested")


@record
class Finding:
    """The verdict on one criterion."""

    criterion: str
    status: Status
    reason: str


@record
class Verdict:
    """The verdict on the whole claim, with one finding a criterion, by the policy of that name and digest."""

    policy: str
    status: Status
    findings: tuple[Finding, ...] = field(default=())
    digest: str = ""

    @property
    def reason(self) -> str:
        """Why it was not earned, in one line; empty if it was."""
        return "; ".join(f"{f.criterion}: {f.reason}" for f in self.findings if f.status != "earned")


def equivalence(difference: Estimate, margin: float, side: Side = "both") -> Status:
    """Two one-sided tests on a stored interval, or the upper one alone.

    Args:
        difference: with its two-sided interval.
        margin: in the same unit.
        side: ``above`` where nothing is too low.

    Returns:
        ``earned`` if the interval lies within +-margin, ``failed`` if it lies wholly outside, else ``inconclusive``.
        With ``above``: if it lies below the margin, if it lies above it.

    >>> equivalence(Estimate(0.02, -0.05, 0.09), 0.1), equivalence(Estimate(0.3, 0.2, 0.4), 0.1)
    ('earned', 'failed')
    >>> equivalence(Estimate(0.08, 0.01, 0.15), 0.1)
    'inconclusive'
    >>> equivalence(Estimate(-0.3, -0.4, -0.2), 0.1), equivalence(Estimate(-0.3, -0.4, -0.2), 0.1, "above")
    ('failed', 'earned')
    """
    if not difference.low <= difference.high:
        return "inconclusive"
    lowest = -math.inf if side == "above" else -margin
    if lowest < difference.low and difference.high < margin:
        return "earned"
    if difference.low > margin or difference.high < lowest:
        return "failed"
    return "inconclusive"


def _judge_attack(criterion: Criterion, policy: Policy, assessment: Assessment) -> Finding:
    found = [c for c in assessment.comparisons if c.attack == criterion.attack]
    if len(found) != 1:
        reason = "compared more than once" if found else dict(assessment.skipped).get(criterion.attack, "not measured")
        return Finding(criterion.attack, "inconclusive", reason)
    comparison, margin = found[0], criterion.margin
    d = comparison.difference
    if d.level < policy.level:
        return Finding(criterion.attack, "inconclusive", f"its interval is at {d.level:g}, not {policy.level:g}")
    needed = policy.positive_control * margin
    status = equivalence(d, margin, criterion.side)
    above = " above" if criterion.side == "above" else ""
    reason = f"{d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}] against a margin of {margin:g}{above}"
    # Neither verdict of an attack that cannot tell such models apart says anything: it may alarm at random.
    if doubt := dict(assessment.doubted).get(criterion.attack):
        return Finding(criterion.attack, "uninformative", f"{doubt}; here {reason}")
    # An attack that cannot tell the original apart says nothing when it cannot tell the unlearned model apart; but one
    # that does tell the unlearned model apart has shown its power.
    apart = comparison.positive.value
    below = comparison.two_tailed and criterion.side == "both" and apart < 0
    if not (-apart if below else apart) >= needed and status != "failed":
        differs = "is below its control by" if below else "exceeds its control by"
        told = f"on the original it {differs} {-apart if below else apart:.3f}, less than {needed:g}"
        return Finding(criterion.attack, "uninformative", told)
    if status == "earned" and assessment.untested:
        reason = f"{reason}; whether it can tell is {assessment.untested}"
    return Finding(criterion.attack, status, reason)


def _judge_utility(policy: Policy, utility: Estimate | None) -> Finding:
    if utility is None:
        return Finding("utility", "inconclusive", "not measured")
    if utility.level < policy.level:
        return Finding("utility", "inconclusive", f"its interval is at {utility.level:g}, not {policy.level:g}")
    reason = (
        f"{utility.value:.3f} of the original's [{utility.low:.3f}, {utility.high:.3f}], floor {policy.utility_floor:g}"
    )
    if utility.low >= policy.utility_floor:
        return Finding("utility", "earned", reason)
    return Finding("utility", "failed" if utility.high < policy.utility_floor else "inconclusive", reason)


def _judge_detector(detector: Detector) -> Finding:
    if detector.fired is None:
        return Finding(detector.name, "inconclusive", detector.detail or "not measured")
    return Finding(detector.name, "failed" if detector.fired else "earned", detector.detail or "silent")


def judge(policy: Policy, assessment: Assessment) -> Verdict:
    """Apply a policy to what was measured.

    Args:
        policy: pinned before the run.
        assessment: stored estimates.

    Returns:
        ``earned`` only if every criterion is; any failure fails the claim; then what is uninformative or inconclusive.
    """
    findings = [_judge_attack(criterion, policy, assessment) for criterion in policy.criteria]
    if not findings:
        findings.append(Finding("attacks", "inconclusive", "the policy lists none"))
    findings.append(_judge_utility(policy, assessment.utility))
    findings += [_judge_detector(detector) for detector in assessment.detectors]
    made = {detector.name for detector in assessment.detectors}
    findings += [Finding(name, "inconclusive", "not measured") for name in policy.detectors if name not in made]
    worst = min(SEVERITY.index(finding.status) for finding in findings)
    return Verdict(policy.name, SEVERITY[worst], tuple(findings), digest_of(policy))
