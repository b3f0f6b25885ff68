"""How the answers of parts become one. Source: arXiv 1912.03817, aggregation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F = NDArray[np.float64]


def votes_cast(outputs_SNK: F) -> F:
    """What each part votes for: its own label, one-hot; of equal outputs the lowest class, as argmax takes it.

    Args:
        outputs_SNK: (S, N, K) any unit. What each of S parts says of N rows and K classes.

    Returns:
        (S, N, K) zeros and ones.

    >>> votes_cast(np.array([[[0.4, 0.4, 0.2]], [[0.1, 0.3, 0.6]]])).tolist()
    [[[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]]]
    """
    return np.eye(outputs_SNK.shape[2])[outputs_SNK.argmax(axis=2)]


def shares(outputs_SNK: F, weights_S: F) -> F:
    """The weighted mean over parts: sum_s w_s o_s / sum_s w_s. Of votes it is the share of them that a class got.

    Args:
        outputs_SNK: (S, N, K) any unit. What each part says, or votes for.
        weights_S: (S) any unit. Of each part: its rows as they are now, or the same for all.

    Returns:
        (N, K) in the unit of the outputs.

    Raises:
        ValueError: no part has a weight above 0.

    >>> shares(np.array([[[0.8, 0.2]], [[0.2, 0.8]]]), np.array([30.0, 10.0])).tolist()
    [[0.65, 0.35]]
    """
    total = float(weights_S.sum())
    if not total > 0:
        raise ValueError("no part has a weight above 0")
    return np.tensordot(weights_S, outputs_SNK, axes=1) / total
