"""Perplexity of the answer. Source: Jelinek et al. 1977; per token, the answer alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.core.measure import score
from expunge.metrics._answers import mean_logp


@score(
    better="reference",
    question="Between how many equally likely tokens does the model hesitate at each token of the answer?",
    retrained="as on never-seen records; as the original on kept ones",
)
def perplexity(token_logp: Any, mask: Any) -> np.ndarray:
    """How surprised the model is by the answer; far above the original's on kept records, it has lost the language.

    P = exp((1 / n) sum_t -log p_t)

    Args:
        token_logp: (B, T) nats. log-probability of each scored token.
        mask: (B, T) 0 or 1. 1 on scored tokens.

    Returns:
        (B,) tokens, at least 1; infinite for an impossible answer, nan for an item without scored tokens.

    Raises:
        EvidenceError: the columns differ in shape.

    >>> import math
    >>> perplexity([[math.log(0.5), math.log(0.125), 0.0]], [[1, 1, 0]]).round(6)  # 1 / sqrt(0.5 * 0.125)
    array([4.])
    """
    with np.errstate(over="ignore"):
        return np.exp(-mean_logp(token_logp, mask))
