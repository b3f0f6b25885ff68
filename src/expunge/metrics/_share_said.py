"""Means over a part of a role, and what is left of the original's. Source: textbook definitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.core.measure import Key
from expunge.metrics._resamples import weight_of, weighted_mean


def mean_of(key: Key, scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None) -> Any:
    """Mean over the items of one score.

    >>> key = ("model", "forget/multi_hop", "answer_said")
    >>> float(mean_of(key, {key: [1.0, 0.0, 0.0, 0.0]}, None))
    0.25
    """
    values_B = np.asarray(scores[key], dtype=np.float64)
    return weighted_mean(values_B, weight_of(weights, key, values_B))


def kept_of(keys: tuple[Key, Key], scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None) -> Any:
    """Mean of the model over that of the original; nan where the original's is 0.

    >>> model, original = (("model", "neighbour", "rouge_l"), ("original", "neighbour", "rouge_l"))
    >>> float(kept_of((model, original), {model: [0.5, 0.25], original: [0.5, 1.0]}, None))  # 0.375 / 0.75
    0.5
    """
    ours, theirs = (mean_of(key, scores, weights) for key in keys)
    return np.where(theirs > 0, ours / np.where(theirs > 0, theirs, 1.0), np.nan)
