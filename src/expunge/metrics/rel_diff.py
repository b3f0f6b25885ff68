"""Relative difference of AUCs. Source: open-unlearning (2506.12618), its metric rel_diff, as code computes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.core.measure import Key, statistic
from expunge.metrics._resamples import rank_auc, weight_of

KEYS: tuple[Key, ...] = tuple((who, role, "min_k") for who in ("model", "reference") for role in ("forget", "holdout"))


@statistic(
    *KEYS,
    better="reference",
    two_tailed=True,
    question="How much better does Min-K% find forgotten records than it does in a model that never saw them?",
    retrained="near 0",
)
def rel_diff(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """How much the AUC of Min-K% exceeds that of a model that never saw the records, as a share of the latter.

    R = 100 (A - B) / B,  A = P(s_forget > s_holdout) of the model,  B = the same of the reference; ties count half

    Above 0: more recognisable. Below: made so improbable that it stands out. ``privleak`` takes 1 - A and 1 - B.

    Args:
        scores: (B,) nats. Min-K% of the model and of the reference, on forget and on holdout.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) percent; nan where the reference's AUC is 0.

    >>> model = {("model", "forget", "min_k"): [-2.0, -6.0], ("model", "holdout", "min_k"): [-3.0, -7.0]}
    >>> never = {("reference", "forget", "min_k"): [-2.0, -6.0], ("reference", "holdout", "min_k"): [-5.0, -1.0]}
    >>> float(rel_diff(model | never))  # A = 3 / 4, B = 1 / 4
    200.0
    """

    def inside(who: str) -> Any:
        keys = [(who, role, "min_k") for role in ("forget", "holdout")]
        high_B, low_B = (np.asarray(scores[key], dtype=np.float64) for key in keys)
        return rank_auc(high_B, low_B, weight_of(weights, keys[0], high_B), weight_of(weights, keys[1], low_B))

    ours, theirs = inside("model"), inside("reference")
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(theirs > 0, 100.0 * (ours - theirs) / theirs, np.nan)
