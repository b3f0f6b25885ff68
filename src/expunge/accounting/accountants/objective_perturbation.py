"""Noise on a convex objective, which hides what a Newton step leaves. Source: Guo et al. 2020 (ICML), theorem 3."""

from __future__ import annotations

from collections.abc import Mapping

from expunge.accounting.given import count, probability
from expunge.accounting.objective import hidden
from expunge.accounting.subsampled import sampled_epsilon
from expunge.core.errors import ConfigError

DELTA_ROUNDING, MOST_HEADS = 1e-12, 10**6


ROUNDING = 1e-4
"""Share of epsilon by which two versions of the PLD accountant, whose cells are its own, may differ."""


def objective_perturbation(delta: float, numbers: Mapping[str, str]) -> float:
    """Epsilon of Newton removal: K heads of sqrt(2 ln(1.5 / delta_head)) residual / sigma each, in sum.

    Where the rows are features of a model that was trained with differential privacy, its epsilon for the same
    deletions is added. Nothing forgotten costs nothing.

    Args:
        delta: () probability: at least K delta_head + ``tail`` + ``features_delta``.
        numbers: ``sigma``, ``residual`` that no head's exceeds, ``delta_head``, ``heads`` K, ``units`` that were
            forgotten; ``tail``, the probability that the residual exceeds that; and, of private features,
            ``features_sigma``, ``features_q``, ``features_steps``, ``features_units``, ``features_delta``.

    Returns:
        () nats.

    Raises:
        ConfigError: a number is out of range, or the deltas are more than the one that is stated.
        EvidenceError: two accountants of the features' model disagree.

    >>> numbers = {"sigma": "10.0", "residual": "1.1402", "delta_head": "1e-4", "heads": "3", "units": "7"}
    >>> round(objective_perturbation(3e-4, numbers), 4)  # 3 * 0.5
    1.5
    >>> more = {"features_sigma": "2.0", "features_q": "1.0", "features_steps": "4", "features_units": "2"}
    >>> both = {**numbers, **more, "features_delta": "0.3318951"}  # 2.0 for the features
    >>> round(objective_perturbation(0.3321951, both), 4)
    3.5
    """
    heads = count("heads", int(numbers["heads"]), least=1, most=MOST_HEADS)
    each = probability("delta_head", float(numbers["delta_head"]))
    below, tail = float(numbers.get("features_delta", "0")), float(numbers.get("tail", "0"))
    if not (tail >= 0 and below >= 0 and heads * each + tail + below <= delta * (1 + DELTA_ROUNDING)):
        why = f"{heads} heads of {each:g}, {tail:g} and {below:g} are more than {delta:g}"
        raise ConfigError("the deltas do not add up to the one that is stated", why=why)
    found = heads * hidden(float(numbers["residual"]), float(numbers["sigma"]), each)
    total = found if count("units", int(numbers["units"])) else 0.0
    if "features_units" not in numbers:
        return total
    sigma, q = float(numbers["features_sigma"]), float(numbers["features_q"])
    steps, units = int(numbers["features_steps"]), int(numbers["features_units"])
    return total + sampled_epsilon(below, sigma=sigma, q=q, steps=steps, records=units).epsilon
