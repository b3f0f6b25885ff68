"""AUC of the Min-K% attack. Source: Shi et al. 2024 (2310.16789), section 4; rank form of Mann and Whitney 1947."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.core.measure import Key, statistic
from expunge.metrics._resamples import rank_auc, weight_of

FORGET: Key = ("model", "forget", "min_k")
HOLDOUT: Key = ("model", "holdout", "min_k")


@statistic(
    FORGET,
    HOLDOUT,
    better="reference",
    two_tailed=True,
    question="Can forgotten records be told from records that were never seen?",
    retrained="near 0.5, or where the two kinds of record differ by themselves",
)
def min_k_auc(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """How well Min-K% tells forgotten records from records that were never seen.

    A = P(s_forget > s_holdout) + P(s_forget = s_holdout) / 2

    1: memorised. Near 0.5: not told apart. Near 0: made so improbable that the attack finds them from the other side.

    Args:
        scores: (B,) nats. Min-K% of the model on forget and on holdout.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) probability.

    >>> float(min_k_auc({FORGET: [-1.0, -3.0], HOLDOUT: [-3.0, -4.0, -2.0, -5.0]}))  # (4 + 2.5) / 8
    0.8125
    """
    forget_B, holdout_B = (np.asarray(scores[key], dtype=np.float64) for key in (FORGET, HOLDOUT))
    pair = (weight_of(weights, FORGET, forget_B), weight_of(weights, HOLDOUT, holdout_B))
    return rank_auc(forget_B, holdout_B, *pair)
