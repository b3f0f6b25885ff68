"""AUC of the reference attack. Source: Carlini et al. 2021 (2012.07805), section 5.2; losses per token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.core.measure import Key, statistic
from expunge.metrics._resamples import rank_auc, weight_of

KEYS: tuple[Key, ...] = tuple((who, role, "loss") for role in ("forget", "holdout") for who in ("model", "reference"))


@statistic(
    *KEYS,
    better="reference",
    two_tailed=True,
    question="Can forgotten records be told by how much likelier the model finds them than a reference does?",
    retrained="near 0.5",
)
def reference_auc(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """How well the loss, less what another model has, tells forgotten records from records that were never seen.

    A = P(d_forget > d_holdout) + P(d_forget = d_holdout) / 2,  d = s_model - s_reference,  s = mean log p of a token

    Args:
        scores: (B,) nats. minus the loss, of the model and of the reference, on forget and on holdout.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) probability; 0.5 for the reference itself.

    >>> model = {("model", "forget", "loss"): [-1.0, -4.0], ("model", "holdout", "loss"): [-2.0, -3.0]}
    >>> other = {("reference", "forget", "loss"): [-3.0, -3.5], ("reference", "holdout", "loss"): [-3.0, -2.0]}
    >>> float(reference_auc(model | other))  # 2 and -0.5 against 1 and -1: 3 of 4
    0.75
    """

    def gain(role: str) -> np.ndarray:
        ours_B, theirs_B = (np.asarray(scores[who, role, "loss"], dtype=np.float64) for who in ("model", "reference"))
        return ours_B - theirs_B

    inside, outside = (("model", role, "loss") for role in ("forget", "holdout"))
    high_B, low_B = gain("forget"), gain("holdout")
    return rank_auc(high_B, low_B, weight_of(weights, inside, high_B), weight_of(weights, outside, low_B))
