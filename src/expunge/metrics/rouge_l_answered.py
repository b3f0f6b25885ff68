"""What is said where the model does not refuse. Source: this project; Lin 2004 for ROUGE-L."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.core.measure import Key, statistic
from expunge.metrics._resamples import weight_of

SAID: Key = ("model", "forget", "rouge_l")
REFUSED: Key = ("model", "forget", "refused")


@statistic(
    SAID,
    REFUSED,
    better="reference",
    question="Which share of the forgotten answers does the model say in those answers that are no refusals?",
    retrained="the words that the question gives away or that every answer has",
)
def rouge_l_answered(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """How much of the forgotten answers is said where anything is: refusing often does not make it smaller.

    r = sum_i (1 - refused_i) rouge_i / sum_i (1 - refused_i)

    Read it beside ``answered``: a model that refuses what it no longer knows and answers the rest is caught here.

    Args:
        scores: (B,) share of words; (B,) 1 for a refusal. ``rouge_l`` and ``refused`` of the model on forget.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) share of words; nan where every answer is a refusal.

    >>> float(rouge_l_answered({SAID: [0.5, 0.25, 0.0, 1.0], REFUSED: [0.0, 0.0, 1.0, 1.0]}))  # (0.5 + 0.25) / 2
    0.375
    """
    said_B, refused_B = (np.asarray(scores[key], dtype=np.float64) for key in (SAID, REFUSED))
    weight = weight_of(weights, SAID, said_B) * (1.0 - refused_B)
    total = weight.sum(-1)
    return np.where(total > 0, weight @ said_B / np.where(total > 0, total, 1.0), np.nan)
