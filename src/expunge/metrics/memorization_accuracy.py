"""Memorization accuracy, MA. Source: Jang et al. 2023 (2210.01504), section 3; Tirumala et al. 2022 (2205.10770)."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.core.measure import score
from expunge.metrics._answers import mean_logp, scored_tokens


@score(
    better="reference",
    partial=True,
    question="Which share of the answer's words would the model go on with, given its true beginning?",
    retrained="what grammar and common phrases give away, as on never-seen records",
)
def memorization_accuracy(token_hit: Any, mask: Any) -> np.ndarray:
    """Which share of an answer's tokens the model would say next once the answer was begun.

    MA = (1 / (T - 1)) sum over t = 2 .. T of [argmax p(. | x_<t) = x_t]

    The T tokens are those of the text. Unlike ``exact_memorization``, the first, before which nothing of the text
    stands, is not counted, and the end token, the last scored one, is no token of it. The question stands before every
    beginning, where the paper has nothing.

    Args:
        token_hit: (B, T + 1) 0 or 1. 1 where the scored token is the most probable one.
        mask: (B, T + 1) 0 or 1. 1 on scored tokens, the end token included.

    Returns:
        (B,) share of tokens; nan for a text of fewer than two tokens.

    Raises:
        EvidenceError: the columns differ in shape.

    >>> memorization_accuracy([[0, 1, 1, 0, 1, 1]], [[1, 1, 1, 1, 1, 0]])  # the middle three; the mean of all is 0.6
    array([0.66666667])
    """
    _, on = scored_tokens(token_hit, mask)
    place = on.cumsum(-1)
    return mean_logp(token_hit, on & (place > 1) & (place < place[..., -1:]))
