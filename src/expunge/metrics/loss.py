"""The loss attack. Source: Yeom et al. 2018 (1709.01604), section 3.2; per token, as in MUSE (2407.06460)."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.core.access import Access
from expunge.core.measure import score
from expunge.metrics._answers import mean_logp


@score(
    better="reference",
    question="Is the answer as likely, per token, as a text that was trained on?",
    retrained="the same on forgotten as on never-seen records, an AUC near 0.5",
    attack=Access.LOGPROBS,
)
def loss(token_logp: Any, mask: Any) -> np.ndarray:
    """Minus the loss of the answer, per token: a text that was trained on has a small loss. Higher: a member.

    s = (1 / n) sum_t log p_t

    Args:
        token_logp: (B, T) nats. log-probability of each scored token.
        mask: (B, T) 0 or 1. 1 on scored tokens.

    Returns:
        (B,) nats, at most 0; nan for an item without scored tokens.

    Raises:
        EvidenceError: the columns differ in shape.

    >>> loss([[-1.0, -4.0, 9.0]], [[1, 1, 0]])
    array([-2.5])
    """
    return mean_logp(token_logp, mask)
