"""Min-K%++. Source: Zhang et al. 2024 (2404.02936), equation 3; at 40 % as Min-K% in MUSE (2407.06460)."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.core.access import Access
from expunge.core.measure import score
from expunge.metrics._answers import scored_tokens
from expunge.metrics.min_k import min_k

LEAST_SIGMA = 1e-3


@score(
    better="reference",
    question="Are even the answer's worst tokens likely beside the others that could stand there?",
    retrained="the same on forgotten as on never-seen records, an AUC near 0.5",
    attack=Access.LOGPROBS,
)
def min_k_plus_plus(token_logp: Any, token_mu: Any, token_sigma: Any, mask: Any, *, k: float = 0.4) -> np.ndarray:
    """Min-K% of log-probabilities measured against what the model expects at each position. Higher: a member.

    s = mean of the m lowest z_t,  z_t = (log p_t - mu_t) / sigma_t,  m = max(1, floor(k n))

    mu and sigma are the mean and the standard deviation of log p over the vocabulary under p; sigma is at least 0.001.

    Args:
        token_logp: (B, T) nats. log-probability of each scored token.
        token_mu: (B, T) nats. mean log-probability at its position.
        token_sigma: (B, T) nats. standard deviation of the log-probability there.
        mask: (B, T) 0 or 1. 1 on scored tokens.
        k: share of the tokens. how many count, in (0, 1].

    Returns:
        (B,) standard deviations; nan for an item without scored tokens.

    Raises:
        EvidenceError: the columns differ in shape.

    >>> logp, mu, sigma = [[-1.0, -6.0, -3.0]], [[-2.0, -2.0, -2.0]], [[0.5, 2.0, 4.0]]
    >>> min_k_plus_plus(logp, mu, sigma, [[1, 1, 1]], k=0.7)  # of 2, -2 and -0.25: (-2 - 0.25) / 2
    array([-1.125])
    """
    logp_BT, on_BT = scored_tokens(token_logp, mask)
    mu_BT, _ = scored_tokens(token_mu, mask)
    sigma_BT = np.maximum(scored_tokens(token_sigma, mask)[0], LEAST_SIGMA)
    return min_k((logp_BT - mu_BT) / sigma_BT, on_BT, k=k)
