"""Gaussian noise on Poisson samples, m records together: PLD, RDP. Source: Doroshenko et al., arXiv 2207.04380."""

from __future__ import annotations

from collections.abc import Mapping

from expunge.accounting.subsampled import sampled_epsilon

ROUNDING = 1e-4
"""Share of epsilon by which two versions of the PLD accountant, whose cells are its own, may differ."""


def poisson_gaussian(delta: float, numbers: Mapping[str, str]) -> float:
    """Epsilon of DP-SGD.

    Args:
        delta: () probability.
        numbers: ``sigma`` in clipping norms, ``q`` that a unit is in a sample, ``steps`` T and ``units`` m.

    Returns:
        () nats.

    Raises:
        ConfigError: a number is out of range.
        EvidenceError: two accountants disagree.
        MissingExtra: q < 1, without the extra ``dp``.

    >>> round(poisson_gaussian(0.3318951, {"sigma": "2.0", "q": "1.0", "steps": "4", "units": "2"}), 4)  # sigma 1/2
    2.0
    """
    sigma, q, steps, units = (numbers[name] for name in ("sigma", "q", "steps", "units"))
    return sampled_epsilon(delta, sigma=float(sigma), q=float(q), steps=int(steps), records=int(units)).epsilon
