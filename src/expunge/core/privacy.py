"""Which (epsilon, delta) is accepted, for what, by whom and until when; and whether a claim is within it."""

from __future__ import annotations

import datetime
import math
from typing import Literal

from expunge.core.canonical import digest as digest_of
from expunge.core.errors import ConfigError
from expunge.core.guarantee import Certified
from expunge.core.record import record

Adversary = Literal["oblivious", "adaptive"]
ADVERSARIES: tuple[str, ...] = ("oblivious", "adaptive")
"""Who asks for deletions, from the weaker to the stronger: without having seen what earlier ones gave, or having."""
ANY = "any"
"""Kind that stands for all that no other limit names."""


@record
class Limit:
    """What is accepted for some kinds of data or requests.

    Args:
        kinds: of data or requests, in the words of whoever signs; ``any`` for all that no other limit names.
        epsilon: largest that is accepted, in nats.
        delta: largest that is accepted, probability.
        adversary: the weakest against which a claim must hold.
        why: the reason for these numbers.
    """

    kinds: tuple[str, ...]
    epsilon: float
    delta: float
    adversary: Adversary
    why: str


@record
class PrivacyPolicy:
    """What an organisation accepts as certified.

    Args:
        name: of the policy.
        version: raised with every change.
        by: who accepts it, as a role or an organisation.
        until: last day on which it accepts anything, as YYYY-MM-DD.
        limits: by kind.
    """

    name: str
    version: str
    by: str
    until: str
    limits: tuple[Limit, ...]

    def limit(self, kind: str) -> Limit | None:
        """The limit for a kind: the one that names it, else the one for any; None where there is neither."""
        for wanted in (kind, ANY):
            for limit in self.limits:
                if wanted in limit.kinds:
                    return limit
        return None


@record
class Acceptance:
    """Whether a policy accepts a claim, with every reason where it does not, by the policy of that name and digest."""

    policy: str
    digest: str
    kind: str
    accepted: bool
    reasons: tuple[str, ...] = ()


def day_of(text: str, what: str) -> datetime.date:
    """A day written as YYYY-MM-DD.

    Raises:
        ConfigError: it is no such day.

    >>> day_of("2031-02-28", "until").year
    2031
    """
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{what} is not a day", why=f"got {text!r:.40}", next="Write it as YYYY-MM-DD") from error
    if day.isoformat() != text:
        raise ConfigError(f"{what} is not a day", why=f"got {text!r:.40}", next="Write it as YYYY-MM-DD")
    return day


def faults_of(policy: PrivacyPolicy) -> list[str]:
    """Why a privacy policy cannot judge; none if it can.

    >>> faults_of(PrivacyPolicy("ours", "1", "the board", "2031-12-31", ()))
    ['it has no limit, so that it accepts nothing']
    """
    found = [] if policy.limits else ["it has no limit, so that it accepts nothing"]
    texts = {"name": policy.name, "version": policy.version, "by": policy.by}
    found += [f"{name} is empty or cannot be printed" for name, text in texts.items() if not _told(text)]
    try:
        day_of(policy.until, "until")
    except ConfigError as error:
        found.append(f"{error.what}: {error.why}")
    kinds = [kind for limit in policy.limits for kind in limit.kinds]
    found += [
        f"the kind {kind!r:.40} has more than one limit" for kind in sorted({k for k in kinds if kinds.count(k) > 1})
    ]
    for limit in policy.limits:
        named = ", ".join(limit.kinds)
        if not limit.kinds or not all(map(_told, limit.kinds)):
            found.append("a limit names no kind, or one that is empty or cannot be printed")
        if not 0 <= limit.epsilon < math.inf:
            found.append(f"epsilon of {named} is not a number from 0 up")
        if not 0 <= limit.delta < 1:
            found.append(f"delta of {named} is not a probability below 1")
        if not _told(limit.why):
            found.append(f"the limit of {named} has no reason")
    return found


def _told(text: str) -> bool:
    return bool(text.strip()) and text.isprintable()


def accept(policy: PrivacyPolicy, claim: Certified, *, kind: str, on: str) -> Acceptance:
    """Judge a certified claim: all of epsilon, delta, adversary and day must be within the policy's limit.

    Args:
        policy: that judges.
        claim: what was certified.
        kind: of the data or request that it is about.
        on: the day of judging, as YYYY-MM-DD.

    Returns:
        Accepted, or every reason against it. What is not a number is never accepted.

    Raises:
        ConfigError: the policy cannot judge, or the day is none.

    >>> limit = Limit(("telemetry",), 2.0, 1e-6, "oblivious", "what the board accepted")
    >>> policy = PrivacyPolicy("ours", "1", "the board", "2031-12-31", (limit,))
    >>> accept(policy, Certified(1.5, 1e-6, "adaptive"), kind="telemetry", on="2031-12-31").accepted
    True
    >>> accept(policy, Certified(2.5, 1e-6, "oblivious"), kind="telemetry", on="2032-01-01").reasons
    ('the policy expired on 2031-12-31', 'epsilon 2.5 is above 2.0')
    """
    for fault in faults_of(policy):
        raise ConfigError(f"the privacy policy {policy.name} cannot judge", why=fault)
    limit = policy.limit(kind)
    reasons = [f"the policy expired on {policy.until}"] if day_of(on, "the day") > day_of(policy.until, "until") else []
    if limit is None:
        reasons.append(f"the policy accepts nothing for {kind}")
    else:
        reasons += _beyond(limit, claim)
    return Acceptance(policy.name, digest_of(policy), kind, not reasons, tuple(reasons))


def _beyond(limit: Limit, claim: Certified) -> list[str]:
    found: list[str] = []
    for name, stated, most in (("epsilon", claim.epsilon, limit.epsilon), ("delta", claim.delta, limit.delta)):
        if not stated >= 0:
            found.append(f"{name} {stated!r} is not a number from 0 up")
        elif stated > most:
            found.append(f"{name} {stated!r} is above {most!r}")
    if claim.adversary not in ADVERSARIES:
        found.append(f"the adversary {claim.adversary!r:.40} is not known: {' or '.join(ADVERSARIES)}")
    elif ADVERSARIES.index(claim.adversary) < ADVERSARIES.index(limit.adversary):
        found.append(f"it holds against an adversary that is {claim.adversary}, not {limit.adversary}")
    return found
