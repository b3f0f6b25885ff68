"""Exact memorization. Source: Tirumala et al. 2022 (2205.10770), section 3, the fraction M(f) for one text."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.core.measure import score
from expunge.metrics._answers import mean_logp


@score(
    better="reference",
    question="Which share of the answer's tokens would the model say next, given the true ones before?",
    retrained="what grammar and common phrases give away, as on never-seen records",
)
def exact_memorization(token_hit: Any, mask: Any) -> np.ndarray:
    """Which share of the answer's tokens the model would say next, given the true tokens before each.

    m = (1 / n) sum_t [argmax p_t = y_t]

    The first token and the end token count as tokens of the answer; in ``memorization_accuracy`` neither does.

    Args:
        token_hit: (B, T) 0 or 1. 1 where the scored token is the most probable one.
        mask: (B, T) 0 or 1. 1 on scored tokens.

    Returns:
        (B,) share of tokens; nan for an item without scored tokens.

    Raises:
        EvidenceError: the columns differ in shape.

    >>> exact_memorization([[1, 0, 1, 1, 1]], [[1, 1, 1, 1, 0]])
    array([0.75])
    """
    return mean_logp(token_hit, mask)
