"""Min-K% probability. Source: Shi et al. 2024 (2310.16789), equation 1; at 40 % as in MUSE (2407.06460)."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.core.access import Access
from expunge.core.measure import score
from expunge.metrics._answers import scored_tokens


@score(
    better="reference",
    question="Are even the least likely tokens of the answer likely, as in a text that was trained on?",
    retrained="the same on forgotten as on never-seen records, an AUC near 0.5",
    attack=Access.LOGPROBS,
)
def min_k(token_logp: Any, mask: Any, *, k: float = 0.4) -> np.ndarray:
    """How probable the least probable tokens are: a text that was trained on has few surprises. Higher: a member.

    s = mean of the m lowest log p_t,  m = max(1, floor(k n))

    All n scored tokens count, the end token too; peers drop the last one (see ``compat.open_unlearning``).

    Args:
        token_logp: (B, T) nats. log-probability of each scored token.
        mask: (B, T) 0 or 1. 1 on scored tokens.
        k: share of the tokens. how many count, in (0, 1].

    Returns:
        (B,) nats, at most 0; nan for an item without scored tokens.

    Raises:
        EvidenceError: the columns differ in shape.

    >>> min_k([[-1.0, -4.0, -2.0, -0.5, -3.0, 0.0]], [[1, 1, 1, 1, 1, 0]], k=0.4)  # (-4 - 3) / 2
    array([-3.5])
    """
    logp_BT, on_BT = scored_tokens(token_logp, mask)
    n_B = on_BT.sum(1)
    m_B = np.maximum(1, np.floor(n_B * k)).astype(int)
    lowest_BT = np.sort(np.where(on_BT, logp_BT, np.inf), axis=1)
    kept_BT = (np.arange(logp_BT.shape[1])[None, :] < m_B[:, None]) & (n_B > 0)[:, None]
    return np.where(n_B > 0, np.where(kept_BT, lowest_BT, 0.0).sum(1) / m_B, np.nan)
