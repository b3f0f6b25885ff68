"""Share of the truth. Source: Dorna et al. 2025 (2506.12618), the truth ratio as c / (c + w)."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.core.measure import score
from expunge.metrics.truth_ratio import truth_ratio


@score(
    better="reference",
    question="Which share has the right answer of the probability of right and wrong?",
    retrained="about a half on forgotten records",
)
def truth_share(
    token_logp_paraphrase: Any, mask_paraphrase: Any, token_logp_perturbed: Any, mask_perturbed: Any
) -> np.ndarray:
    """How much of the probability of right and wrong answers the right one has; the field's ``prob_mean``.

    s = c / (c + w) = 1 / (1 + R),  R = truth_ratio = w / c

    Unlike R it is bounded, so that a mean over records is not that of a few; unlike min(R, 1 / R) it tells a model that
    prefers the truth from one that prefers what is wrong.

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
    >>> right, wrong = [[math.log(0.6)]], [[[math.log(0.1)], [math.log(0.4)]]]
    >>> truth_share(right, [[1]], wrong, [[[1], [1]]]).round(6)  # 0.6 / (0.6 + sqrt(0.1 * 0.4))
    array([0.75])
    """
    return 1.0 / (1.0 + truth_ratio(token_logp_paraphrase, mask_paraphrase, token_logp_perturbed, mask_perturbed))
