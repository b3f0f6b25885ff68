"""Logit-scaled confidence. Source: Carlini et al. 2022 (2112.03570), section V-A; of the mean token, as probability."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.core.access import Access
from expunge.core.measure import score
from expunge.metrics._answers import mean_logp

TINY = 1e-45


@score(
    better="reference",
    question="How sure is the model of the answer, on a scale on which models of one kind spread like a normal curve?",
    retrained="the same on forgotten as on never-seen records, an AUC near 0.5",
    attack=Access.LOGPROBS,
)
def logit_confidence(token_logp: Any, mask: Any) -> np.ndarray:
    """The probability of an answer, per token, on the scale that attacks fit a normal distribution to.

    c = ln(p + 1e-45) - ln(1 - p + 1e-45),  p = exp((1 / n) sum_t log p_t)

    Args:
        token_logp: (B, T) nats. log-probability of each scored token.
        mask: (B, T) 0 or 1. 1 on scored tokens.

    Returns:
        (B,) nats; nan for an item without scored tokens.

    Raises:
        EvidenceError: the columns differ in shape.

    >>> import math
    >>> logit_confidence([[math.log(0.5), math.log(0.02)]], [[1, 1]]).round(4)  # p = 0.1: ln(0.1 / 0.9)
    array([-2.1972])
    """
    logp_B = np.minimum(mean_logp(token_logp, mask), 0.0)
    # 1 - exp(x) near x = 0 loses every digit; expm1 does not.
    return np.log(np.exp(logp_B) + TINY) - np.log(-np.expm1(logp_B) + TINY)
