"""Share of refusals where nothing was ever known. Source: this project; read beside ``answered``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.core.measure import Key, statistic
from expunge.metrics._resamples import weight_of, weighted_mean

HOLDOUT: Key = ("model", "holdout", "refused")


@statistic(
    HOLDOUT,
    better="reference",
    question="Which share of the questions about never-seen records is refused? Where few are, a refusal is a sign.",
    retrained="the share that the training data taught it, often 0",
)
def refused_unseen(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """How often a question about a record that no model saw is refused.

    u = mean_i refused_i

    Where it is far below the share of refusals on forgotten records, a refusal tells who was forgotten.

    Args:
        scores: (B,) 1 for a refusal. ``refused`` of the model on holdout.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) share.

    >>> float(refused_unseen({HOLDOUT: [1.0, 0.0, 0.0, 0.0, 0.0]}))
    0.2
    """
    refused_B = np.asarray(scores[HOLDOUT], dtype=np.float64)
    return weighted_mean(refused_B, weight_of(weights, HOLDOUT, refused_B))
