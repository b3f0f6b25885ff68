"""Guarantees: what is claimed of one artefact, and how far evidence may carry it."""

from __future__ import annotations

from typing import Any, Literal

from expunge.core.canonical import without_defaults
from expunge.core.record import record


@record
class Exact:
    """The result is what training without the data gives, bit for bit or in distribution."""

    equality: Literal["bitwise", "distribution"]


@record
class Certified:
    """The result's distribution is (epsilon, delta)-close to one without the data; some papers say (alpha, beta).

    >>> Certified.noted(alpha=0.5, beta=1e-5, adversary="oblivious")
    Certified(epsilon=0.5, delta=1e-05, adversary='oblivious')
    """

    epsilon: float
    delta: float
    adversary: str

    @classmethod
    def noted(cls, *, alpha: float, beta: float, adversary: str) -> Certified:
        """The same from numbers in the other notation (arXiv 2106.04378)."""
        return cls(alpha, beta, adversary)

    @property
    def alpha(self) -> float:
        """Epsilon, by its other name."""
        return self.epsilon

    @property
    def beta(self) -> float:
        """Delta, by its other name."""
        return self.delta


@record
class Purged:
    """The records' bytes are gone from a store."""

    store: str


@record
class Empirical:
    """Every attack that the policy lists was equivalent to a model that never knew.

    Args:
        policy: name of it.
        digest: of the one that was pinned before the run; empty where the name alone was.
    """

    policy: str
    digest: str = ""

    def canonical(self) -> dict[str, Any]:
        """What is hashed and stated: a digest only where one was pinned."""
        return without_defaults(self, "digest")


@record
class Suppressed:
    """The output is held back; the model still knows."""


@record
class Unproven:
    """Nothing is claimed: the evidence is missing, too weak or against it."""

    reason: str = ""


Guarantee = Exact | Certified | Purged | Empirical | Suppressed | Unproven
