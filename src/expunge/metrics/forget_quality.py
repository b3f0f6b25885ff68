"""Forget quality. Source: TOFU, Maini et al. 2024 (2401.06121), 2.2.2; exact p of Gnedenko and Korolyuk 1951."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.core.measure import Key, statistic
from expunge.metrics._resamples import ks_distance, weight_of

MODEL: Key = ("model", "forget", "truth_ratio")
REFERENCE: Key = ("reference", "forget", "truth_ratio")


@statistic(
    MODEL,
    REFERENCE,
    better="lower",
    question="How far are the truth ratios on forgotten records from those of a model that never saw them?",
    retrained="the distance between two retrained models, small but not 0",
)
def forget_quality(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """How far the truth ratios are from those of a model that never saw the records.

    D = max_x |F_model(x) - F_reference(x)|,  F = empirical distribution function

    The distance comes first and its p-value second: the p-value depends on the number of items.

    Args:
        scores: (B,) ratio. truth ratios on forget, of the model and of the reference.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) distance in [0, 1].

    >>> known, never = [0.1, 0.2, 0.9, 1.1], [0.8, 1.0, 1.2, 1.4]
    >>> float(forget_quality({MODEL: known, REFERENCE: never}))  # at 0.2: 2/4 - 0
    0.5
    """
    model_B, reference_B = (np.asarray(scores[key], dtype=np.float64) for key in (MODEL, REFERENCE))
    pair = (weight_of(weights, MODEL, model_B), weight_of(weights, REFERENCE, reference_B))
    return ks_distance(model_B, reference_B, *pair)


def log10_p(distance: float, n: int) -> float:
    """How surprising a distance is between two samples of n values each, two-sided and exact, never minus infinity.

    p = 2 sum_i (-1)^(i-1) C(2n, n - i h) / C(2n, n),  h = D n,  i = 1 .. n // h

    Args:
        distance: () in [0, 1]. the two-sample Kolmogorov-Smirnov distance D.
        n: () items. size of each sample.

    Returns:
        () log10 of the p-value, at most 0.

    >>> round(10 ** log10_p(0.75, 4), 6)  # h = 3: 2 C(8, 1) / C(8, 4) = 16 / 70
    0.228571
    """
    h = round(distance * n)
    if h == 0:
        return 0.0

    def log_binomial(i: int) -> float:
        return math.lgamma(2 * n + 1) - math.lgamma(n - i * h + 1) - math.lgamma(n + i * h + 1)

    # The first term is taken out of the sum: what remains lies in (0, 1] however small p is.
    first = log_binomial(1)
    rest = math.fsum((-1) ** (i - 1) * math.exp(log_binomial(i) - first) for i in range(1, n // h + 1))
    return min(0.0, (math.log(2 * rest) + first - log_binomial(0)) / math.log(10))
