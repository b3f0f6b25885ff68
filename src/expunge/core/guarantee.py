"""Guarantees: what is claimed of one artefact, and how far evidence may carry it."""

from __future__ import annotations

from typing import Literal

from expunge.core.record import record


@record
class Exact:
    """The result is what training without the data gives, bit for bit or in distribution."""

    equality: Literal["bitwise", "distribution"]


@record
class Certified:
    """The result's distribution is (epsilon, delta)-close to one without the data."""

    epsilon: float
    delta: float
    adversary: str


@record
class Purged:
    """The records' bytes are gone from a store."""

    store: str


@record
class Empirical:
    """Every attack that the policy lists was equivalent to a model that never knew."""

    policy: str


@record
class Suppressed:
    """The output is held back; the model still knows."""


@record
class Unproven:
    """Nothing is claimed: the evidence is missing, too weak or against it."""

    reason: str = ""


Guarantee = Exact | Certified | Purged | Empirical | Suppressed | Unproven
