"""How near a truth ratio is to 1. Source: TOFU, Maini et al. 2024 (2401.06121), 2.2.1, min(R, 1 / R)."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.core.measure import score
from expunge.metrics.truth_ratio import truth_ratio


def indifference(ratio: Any) -> np.ndarray:
    """How near a ratio is to 1, on either side.

    s = min(R, 1 / R)

    Args:
        ratio: (B,) ratio of probabilities.

    Returns:
        (B,) in [0, 1]; nan stays nan.

    >>> indifference([0.25, 4.0, 0.5]).tolist()
    [0.25, 0.25, 0.5]
    """
    ratio_B = np.asarray(ratio, dtype=np.float64)
    return np.minimum(ratio_B, 1.0 / np.maximum(ratio_B, 1e-10))


@score(
    better="reference",
    question="Does the model tell right from wrong about forgotten records? 1: it cannot.",
    retrained="below 1 by the scatter of its guesses, to both sides",
)
def truth_indifference(
    token_logp_paraphrase: Any, mask_paraphrase: Any, token_logp_perturbed: Any, mask_perturbed: Any
) -> np.ndarray:
    """How far a model is from preferring right answers or wrong ones; the field's ``closer_to_1_better``.

    s = min(R, 1 / R),  R = truth_ratio

    Near 0 on either side: a model that finds every wrong answer likelier has learned which one is right.

    Args:
        token_logp_paraphrase: (B, T) nats. log-probability of each token of the reworded right answer.
        mask_paraphrase: (B, T) 0 or 1. 1 on scored tokens.
        token_logp_perturbed: (B, K, T) nats. the same for K wrong answers.
        mask_perturbed: (B, K, T) 0 or 1. 1 on scored tokens.

    Returns:
        (B,) in [0, 1]; nan where the truth ratio has no value.

    Raises:
        EvidenceError: a column and its mask differ in shape.

    >>> import math
    >>> right, wrong = [[math.log(0.1)]], [[[math.log(0.1)], [math.log(0.4)]]]
    >>> truth_indifference(right, [[1]], wrong, [[[1], [1]]]).round(6)  # R = sqrt(0.1 * 0.4) / 0.1 = 2
    array([0.5])
    """
    return indifference(truth_ratio(token_logp_paraphrase, mask_paraphrase, token_logp_perturbed, mask_perturbed))
