"""Truth ratio. Source: TOFU, Maini et al. 2024 (2401.06121), equation 1, geometric mean as in its code."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.core.measure import score
from expunge.metrics._answers import mean_logp


@score(
    better="reference",
    question="Does the model tell right from wrong about forgotten records? 1: it cannot.",
    retrained="about 1, scattered to both sides",
)
def truth_ratio(
    token_logp_paraphrase: Any, mask_paraphrase: Any, token_logp_perturbed: Any, mask_perturbed: Any
) -> np.ndarray:
    """How probable wrong answers are beside the right one, reworded so that neither was trained on verbatim.

    R = w / (c + 1e-10),  c = exp(-nll / n) of the paraphrase,  w = exp(mean_k (-nll_k / n_k)) of the wrong answers

    Near 0: the model knows. Near 1: it cannot tell. The wrong answers are averaged geometrically, as the field's tools
    do; equation 1 of the paper averages their probabilities, which gives larger ratios.

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
    >>> truth_ratio(right, [[1]], wrong, [[[1], [1]]])  # sqrt(0.1 * 0.4) / 0.5
    array([0.4])
    """
    right_B = mean_logp(token_logp_paraphrase, mask_paraphrase)
    wrong_BK = mean_logp(token_logp_perturbed, mask_perturbed)
    present_BK = (np.asarray(mask_perturbed) > 0).any(-1)
    k_B = present_BK.sum(1)
    mean_B = np.where(k_B > 0, np.where(present_BK, wrong_BK, 0.0).sum(1) / np.maximum(k_B, 1), np.nan)
    return np.exp(mean_B) / (np.exp(right_B) + 1e-10)
