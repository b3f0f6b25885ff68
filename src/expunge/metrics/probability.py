"""Length-normalised probability of the answer. Source: TOFU, Maini et al. 2024 (2401.06121), section 2.2.1."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.core.measure import score
from expunge.metrics._answers import mean_logp


@score(
    better="reference",
    question="How probable are the forgotten answers, per token?",
    retrained="what the form of the answer alone makes probable, as on never-seen records",
)
def probability(token_logp: Any, mask: Any) -> np.ndarray:
    """How probable the model finds the record's own answer, per token.

    p = exp(-nll / n) = P(a|q)^(1/|a|)

    The end token counts as a token of the answer.

    Args:
        token_logp: (B, T) nats. log-probability of each scored token.
        mask: (B, T) 0 or 1. 1 on scored tokens.

    Returns:
        (B,) probability; nan for an item without scored tokens, which has no value.

    Raises:
        EvidenceError: the columns differ in shape.

    >>> import math
    >>> probability([[math.log(0.5), math.log(0.125), 0.0]], [[1, 1, 0]]).tolist()  # sqrt(0.5 * 0.125)
    [0.25]
    """
    return np.exp(mean_logp(token_logp, mask))
