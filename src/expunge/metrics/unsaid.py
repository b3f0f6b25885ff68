"""Share of the alternative answers that stays unsaid. Source: this project; read for the wish ``alternative``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.core.measure import Key, statistic
from expunge.metrics._resamples import weight_of, weighted_mean

FORGET: Key = ("model", "forget", "rouge_l_alternative")


@statistic(
    FORGET,
    better="reference",
    question="How much of the alternative answers does the model leave unsaid?",
    retrained="nearly all: nobody taught it these answers",
)
def unsaid(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """How much of the answers that are wished for instead the model does not say.

    u = 1 - mean_i r_i,  r_i = ROUGE-L recall of the alternative answer

    Args:
        scores: (B,) share of words. ``rouge_l_alternative`` of the model on forget.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) share.

    >>> float(unsaid({FORGET: [1.0, 0.5, 0.75, 0.75]}))
    0.25
    """
    said_B = np.asarray(scores[FORGET], dtype=np.float64)
    return 1.0 - weighted_mean(said_B, weight_of(weights, FORGET, said_B))
