"""Share of forgotten questions that are not refused. Source: this project; what the wish ``refuse`` asks to be 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.core.measure import Key, statistic
from expunge.metrics._resamples import weight_of, weighted_mean

FORGET: Key = ("model", "forget", "refused")


@statistic(
    FORGET,
    better="lower",
    question="Which share of the questions about forgotten records is answered, not refused?",
    retrained="1 less the share that it refuses by itself: it answers with something wrong",
    target=0.0,
)
def answered(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """How often a question about a forgotten record gets an answer.

    a = 1 - mean_i refused_i

    Args:
        scores: (B,) 1 for a refusal. ``refused`` of the model on forget.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) share.

    >>> float(answered({FORGET: [1.0, 1.0, 1.0, 0.0]}))
    0.25
    """
    refused_B = np.asarray(scores[FORGET], dtype=np.float64)
    return 1.0 - weighted_mean(refused_B, weight_of(weights, FORGET, refused_B))
