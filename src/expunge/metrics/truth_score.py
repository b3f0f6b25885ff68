"""How far a model prefers the truth. Source: TOFU, Maini et al. 2024 (2401.06121), 2.2.1, max(0, 1 - R_truth)."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.core.measure import score
from expunge.metrics.truth_ratio import truth_ratio


@score(
    better="reference",
    question="How much more probable is the right answer than wrong ones?",
    retrained="what chance leaves above 0 on forgotten records; as the original on kept ones",
)
def truth_score(
    token_logp_paraphrase: Any, mask_paraphrase: Any, token_logp_perturbed: Any, mask_perturbed: Any
) -> np.ndarray:
    """How much more probable the reworded right answer is than wrong ones; the truth-ratio part of model utility.

    s = max(0, 1 - R),  R = truth_ratio

    The field calls it the truth ratio on retained data, or ``true_better``.

    Args:
        token_logp_paraphrase: (B, T) nats. log-probability of each token of the reworded right answer.
        mask_paraphrase: (B, T) 0 or 1. 1 on scored tokens.
        token_logp_perturbed: (B, K, T) nats. the same for K wrong answers.
        mask_perturbed: (B, K, T) 0 or 1. 1 on scored tokens.

    Returns:
        (B,) in [0, 1]; nan where the truth ratio has no value.

    Raises:
        EvidenceError: a column and its mask differ in shape.

    >>> import math
    >>> right, wrong = [[math.log(0.5)]], [[[math.log(0.1)], [math.log(0.4)]]]
    >>> truth_score(right, [[1]], wrong, [[[1], [1]]])  # 1 - sqrt(0.1 * 0.4) / 0.5
    array([0.6])
    """
    ratio_B = truth_ratio(token_logp_paraphrase, mask_paraphrase, token_logp_perturbed, mask_perturbed)
    return np.maximum(0.0, 1.0 - ratio_B)
