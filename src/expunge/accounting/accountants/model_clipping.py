"""Noisy steps on whatever loss, the model clipped before each noise. Source: Koloskova et al., arXiv 2506.06985."""

from __future__ import annotations

from collections.abc import Mapping

from expunge.accounting.gaussian import gaussian_epsilon
from expunge.accounting.given import count, positive, probability


def model_clipping(delta: float, numbers: Mapping[str, str]) -> float:
    """Epsilon of T steps that each clip the model to norm C2 and add N(0, s^2 I) to it.

    delta(epsilon) <= delta_1(epsilon)^T, delta_1 of one Gaussian with shift 2 C2; so the epsilon at delta is that of
    one at delta^(1 / T), which is rounded down.

    Args:
        delta: () probability.
        numbers: ``clip`` C2, ``sigma`` s, ``steps`` T.

    Returns:
        () nats.

    Raises:
        ConfigError: a number is out of range.

    >>> numbers = {"clip": "2.0", "sigma": "2.0", "steps": "2"}  # each step 0.5 - e^2 Phi(-2) = 0.3318951 at epsilon 2
    >>> round(model_clipping(0.3318951**2, numbers), 4)
    2.0
    """
    share = probability("delta", delta) ** (1 / count("steps", int(numbers["steps"]), least=1)) * (1 - 1e-12)
    shift = 2 * positive("the clip", float(numbers["clip"]))
    return gaussian_epsilon(share, sigma=float(numbers["sigma"]), sensitivity=shift)
