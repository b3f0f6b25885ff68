"""Memorised beyond the level of never-seen text. Source: Jang et al. 2023 (2210.01504), section 3, its rule for MA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.core.measure import Key, statistic
from expunge.metrics._never_seen import above_threshold
from expunge.metrics._resamples import weight_of

FORGET: Key = ("model", "forget", "memorization_accuracy")
HOLDOUT: Key = ("model", "holdout", "memorization_accuracy")


@statistic(
    FORGET,
    HOLDOUT,
    better="reference",
    question="Which share of the forgotten answers is memorised better than text that was never seen is on average?",
    retrained="near a half: the share of never-seen records above their own mean",
)
def memorization_threshold(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """How many forgotten records a model still completes better than it completes never-seen ones.

    share = mean over i of [MA_i > t],  t = mean over holdout of MA

    A record counts as forgotten once it is at or below that mean; ``memorization_excess`` says how far above it the
    others are. The paper asks the same of extraction likelihood, which is the attack ``extraction_excess``. It takes t
    from the model before unlearning; here it is the judged model's own, which falls with a model that is broken, so
    that breaking it earns nothing.

    Args:
        scores: (B,) share of tokens. memorization accuracy of the model, on forget and on holdout.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) share.

    >>> float(memorization_threshold({FORGET: [0.25, 0.5, 0.75, 1.0], HOLDOUT: [0.25, 0.75]}))  # above 0.5: two of four
    0.5
    """
    forget_B, holdout_B = (np.asarray(scores[key], dtype=np.float64) for key in (FORGET, HOLDOUT))
    weight = weight_of(weights, FORGET, forget_B)
    above = above_threshold(forget_B, holdout_B, weight, weight_of(weights, HOLDOUT, holdout_B)) > 0
    return (weight * above).sum(-1) / weight.sum(-1)
