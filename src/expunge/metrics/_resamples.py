"""Sums, distances and ranks that take a weight per item, so that all resamples of a bootstrap are one array operation.

A weight counts how often a resample drew the item: weights (D, n) give D results, none gives the result on the data as
it is. Source: textbook definitions (empirical distribution function; Mann and Whitney 1947).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.core.measure import Key


def weight_of(weights: Mapping[Key, Any] | None, key: Key, like: np.ndarray) -> np.ndarray:
    """The weights of a key, ones if there are none."""
    return np.ones(len(like)) if weights is None else np.asarray(weights[key], dtype=np.float64)


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> Any:
    """Mean over items.

    >>> weighted_mean(np.array([1.0, 4.0]), np.array([[1, 1], [2, 0], [1, 3]])).tolist()
    [2.5, 1.0, 3.25]
    """
    return weights @ values / weights.sum(-1)


def ks_distance(a: np.ndarray, b: np.ndarray, weights_a: np.ndarray, weights_b: np.ndarray) -> Any:
    """Largest gap between two weighted empirical distribution functions.

    >>> one = np.ones(4)
    >>> float(ks_distance(np.array([1.0, 2, 3, 4]), np.array([3.0, 4, 5, 6]), one, one))
    0.5
    """
    values = np.concatenate([a, b])
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    below_a = np.concatenate([weights_a, np.zeros_like(weights_b)], axis=-1)[..., order].cumsum(-1)
    below_b = np.concatenate([np.zeros_like(weights_a), weights_b], axis=-1)[..., order].cumsum(-1)
    # Whole numbers stay whole until the one division, so that D n is exact.
    gap = below_a[..., ends] * below_b[..., -1:] - below_b[..., ends] * below_a[..., -1:]
    return np.abs(gap).max(-1) / (below_a[..., -1] * below_b[..., -1])


def rank_auc(high: np.ndarray, low: np.ndarray, weights_high: np.ndarray, weights_low: np.ndarray) -> Any:
    """Probability that an item of ``high`` exceeds one of ``low``, ties counted half.

    >>> float(rank_auc(np.array([3.0, 1.0]), np.array([1.0, 2.0]), np.ones(2), np.ones(2)))
    0.625
    """
    order = np.argsort(low, kind="stable")
    ordered = low[order]
    total = np.zeros((*weights_low.shape[:-1], len(low) + 1))
    total[..., 1:] = weights_low[..., order].cumsum(-1)
    below = total[..., np.searchsorted(ordered, high, side="left")]
    not_above = total[..., np.searchsorted(ordered, high, side="right")]
    wins = (weights_high * (below + not_above)).sum(-1) / 2
    return wins / (weights_high.sum(-1) * total[..., -1])
