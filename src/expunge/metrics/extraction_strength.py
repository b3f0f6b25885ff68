"""Extraction strength. Source: Carlini et al. 2021 (2012.07805); definition of Wang et al. 2024 (2406.09179), 3.2."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.core.measure import score
from expunge.metrics._answers import scored_tokens


@score(
    better="reference",
    question="Which share of the answer follows by itself once its beginning is given?",
    retrained="about the end token's share, as on never-seen records",
)
def extraction_strength(token_hit: Any, mask: Any) -> np.ndarray:
    """How much of the answer follows by itself once enough of its beginning is given.

    e = 1 - min {k : argmax p_t = y_t for all t > k} / n

    1: all of it comes from the question alone. 0: not even the last token follows.

    Args:
        token_hit: (B, T) 0 or 1. 1 where the scored token is the most probable one.
        mask: (B, T) 0 or 1. 1 on scored tokens.

    Returns:
        (B,) share of tokens; nan for an item without scored tokens.

    Raises:
        EvidenceError: the columns differ in shape.

    >>> extraction_strength([[1, 0, 1, 1, 0], [1, 1, 1, 0, 0]], [[1, 1, 1, 1, 0], [1, 1, 1, 1, 0]])  # 2 of 4; none
    array([0.5, 0. ])
    """
    hit_BT, on_BT = scored_tokens(token_hit, mask)
    n_B = on_BT.sum(1)
    # A token follows by itself if neither it nor any after it is a miss; what is not scored misses nothing.
    follows_BT = np.cumprod(np.where(on_BT, hit_BT != 0, True)[:, ::-1], axis=1)[:, ::-1]
    suffix_B = (follows_BT * on_BT).sum(1)
    return np.where(n_B > 0, suffix_B / np.maximum(n_B, 1), np.nan)
