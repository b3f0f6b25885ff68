"""Tug of war. Source: Zhao et al. 2024 (2406.01257), section 3, equation 2; accuracy of tokens for that of labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.core.measure import Key, statistic
from expunge.metrics._resamples import weight_of, weighted_mean

ROLES = ("forget", "retain", "holdout")
KEYS: tuple[Key, ...] = tuple((who, role, "exact_memorization") for role in ROLES for who in ("model", "reference"))


@statistic(
    *KEYS,
    better="higher",
    two_tailed=True,
    question="Is the model as accurate as a retrained one on forgotten, retained and never-seen records alike?",
    retrained="1 against itself, a little below it against another retrained model",
)
def tug_of_war(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """How near a model's accuracy is to a retrained one's on all that matters at once: one distance sinks it.

    T = prod_r (1 - |m_r - n_r|),  m_r = mean accuracy of the model on role r,  n_r = that of the reference

    Accuracy is the share of an answer's tokens that are the likeliest ones, on forget, retain and holdout.

    Args:
        scores: (B,) share of tokens. ``exact_memorization`` of the model and of the reference on the three roles.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) in [0, 1]; 1 is best.

    >>> ours = {"forget": [0.5, 0.3], "retain": [0.9], "holdout": [0.2]}
    >>> scores = {("model", role, "exact_memorization"): values for role, values in ours.items()}
    >>> theirs = {"forget": [0.1, 0.3], "retain": [0.8], "holdout": [0.3]}
    >>> scores |= {("reference", role, "exact_memorization"): values for role, values in theirs.items()}
    >>> round(float(tug_of_war(scores)), 3)  # (1 - 0.2) (1 - 0.1) (1 - 0.1)
    0.648
    """

    def accuracy(who: str, role: str) -> Any:
        key = (who, role, "exact_memorization")
        values_B = np.asarray(scores[key], dtype=np.float64)
        return weighted_mean(values_B, weight_of(weights, key, values_B))

    near = [1.0 - np.abs(accuracy("model", role) - accuracy("reference", role)) for role in ROLES]
    return near[0] * near[1] * near[2]
