"""Truth ratio, wrong answers averaged as probabilities. Source: TOFU, Maini et al. 2024 (2401.06121), equation 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.core.measure import score
from expunge.metrics._answers import mean_logp


@score(
    better="reference",
    question="How probable are wrong answers, on average, beside the right one?",
    retrained="about 1 and more: one likely wrong answer lifts the mean",
)
def truth_ratio_mean(
    token_logp_paraphrase: Any, mask_paraphrase: Any, token_logp_perturbed: Any, mask_perturbed: Any
) -> np.ndarray:
    """How probable wrong answers are beside the right one, averaged as the paper's equation has it.

    R = (1 / K) sum_k w_k / c,  c and w_k = exp(mean log-probability of a token)

    Never below ``truth_ratio``, whose mean over the wrong answers is geometric. The quotient is taken in logarithms.

    Args:
        token_logp_paraphrase: (B, T) nats. log-probability of each token of the reworded right answer.
        mask_paraphrase: (B, T) 0 or 1. 1 on scored tokens.
        token_logp_perturbed: (B, K, T) nats. the same for K wrong answers.
        mask_perturbed: (B, K, T) 0 or 1. a wrong answer without scored tokens is left out of the mean.

    Returns:
        (B,) ratio of probabilities; nan for an item that lacks the paraphrase or has no wrong answers.

    Raises:
        EvidenceError: a column and its mask differ in shape.

    >>> import math
    >>> right, wrong = [[math.log(0.5)]], [[[math.log(0.1)], [math.log(0.4)]]]
    >>> truth_ratio_mean(right, [[1]], wrong, [[[1], [1]]])  # (0.1 + 0.4) / 2 / 0.5
    array([0.5])
    """
    right_B = mean_logp(token_logp_paraphrase, mask_paraphrase)
    wrong_BK = mean_logp(token_logp_perturbed, mask_perturbed)
    present_BK = (np.asarray(mask_perturbed) > 0).any(-1)
    k_B = present_BK.sum(1)
    # No answer is less probable than 1e-300 here: the quotient of two impossible ones would be no number.
    right_B = np.maximum(right_B, -690.0)
    odds_BK = np.where(present_BK, np.exp(np.minimum(wrong_BK - right_B[:, None], 690.0)), 0.0)
    return np.where(k_B > 0, odds_BK.sum(1) / np.maximum(k_B, 1), np.nan)
