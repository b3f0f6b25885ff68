"""The threshold of never-seen text, and what lies above it. Source: Jang et al. 2023 (2210.01504), section 3."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.metrics._resamples import weighted_mean


def above_threshold(values: np.ndarray, unseen: np.ndarray, weights: np.ndarray, weights_unseen: np.ndarray) -> Any:
    """Which items lie above the mean of never-seen ones, and by how much.

    t = mean of unseen,  a_i = max(0, v_i - t)

    Args:
        values: (B,) of forgotten records.
        unseen: (C,) of never-seen records.
        weights: (B,) or (D, B) count. of each forgotten record.
        weights_unseen: (C,) or (D, C) count. of each never-seen record.

    Returns:
        (B,) or (D, B), 0 where an item is at or below the threshold.

    >>> above_threshold(np.array([0.25, 0.5, 1.0]), np.array([0.25, 0.5]), np.ones(3), np.ones(2)).tolist()
    [0.0, 0.125, 0.625]
    """
    threshold = np.asarray(weighted_mean(unseen, weights_unseen))
    above = np.broadcast_to(values, weights.shape) - threshold[..., None]
    # The mean of equal numbers may differ from them in the last bit.
    return np.where(above > 1e-12, above, 0.0)


def mean_above(values: np.ndarray, unseen: np.ndarray, weights: np.ndarray, weights_unseen: np.ndarray) -> Any:
    """Mean over forgotten records of how far each lies above the threshold.

    Args:
        values: as for ``above_threshold``.
        unseen: as for ``above_threshold``.
        weights: as for ``above_threshold``.
        weights_unseen: as for ``above_threshold``.

    Returns:
        () or (D,).

    >>> float(mean_above(np.array([0.25, 0.5, 1.0]), np.array([0.25, 0.5]), np.array([2, 1, 1]), np.ones(2)))
    0.1875
    """
    above = above_threshold(values, unseen, weights, weights_unseen)
    return (weights * above).sum(-1) / weights.sum(-1)
