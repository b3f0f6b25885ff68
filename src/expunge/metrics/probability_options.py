"""Probability of the answer among its wrong alternatives. Source: TOFU, Maini et al. 2024 (2401.06121), 2.2.1."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.core.measure import score
from expunge.metrics._answers import mean_logp


@score(
    better="reference",
    question="How probable is the right answer when the only other choices are the wrong ones?",
    retrained="about chance, 1 / (1 + K), on forgotten records",
)
def probability_options(token_logp: Any, mask: Any, token_logp_perturbed: Any, mask_perturbed: Any) -> np.ndarray:
    """How probable the right answer is when the only other choices are the record's wrong answers.

    p_o = p / (p + sum_k p_k),  p and p_k = exp(mean log-probability of a token)

    Chance is 1 / (1 + K). The quotient is taken in logarithms: it stays defined where every p is as small as 1e-300.

    Args:
        token_logp: (B, T) nats. log-probability of each token of the right answer.
        mask: (B, T) 0 or 1. 1 on scored tokens.
        token_logp_perturbed: (B, K, T) nats. the same for K wrong answers.
        mask_perturbed: (B, K, T) 0 or 1. a wrong answer without scored tokens is left out.

    Returns:
        (B,) probability; nan for an item that lacks its answer or has no wrong ones.

    Raises:
        EvidenceError: a column and its mask differ in shape.

    >>> import math
    >>> right, wrong = [[math.log(0.3)]], [[[math.log(0.2)], [math.log(0.1)]]]
    >>> probability_options(right, [[1]], wrong, [[[1], [1]]])  # 0.3 / (0.3 + 0.2 + 0.1)
    array([0.5])
    """
    right_B = mean_logp(token_logp, mask)
    wrong_BK = mean_logp(token_logp_perturbed, mask_perturbed)
    absent_BK = np.isnan(wrong_BK) & ~(np.asarray(mask_perturbed) > 0).any(-1)
    all_BK = np.concatenate([right_B[:, None], np.where(absent_BK, -np.inf, wrong_BK)], axis=1)
    top_B = all_BK.max(1)
    shift_B = np.where(np.isneginf(top_B), 0.0, top_B)
    odds_BK = np.exp(all_BK - shift_B[:, None])
    total_B = odds_BK.sum(1)
    # Where every option has probability 0 the right one has none either.
    share_B = odds_BK[:, 0] / np.where(total_B == 0, 1.0, total_B)
    return np.where(absent_BK.all(1), np.nan, share_B)
