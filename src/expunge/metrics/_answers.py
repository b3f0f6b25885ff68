"""Length-normalised log-probabilities of answers, from padded token columns. Source: TOFU (2401.06121), 2.2.1."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.core.errors import EvidenceError


def scored_tokens(token_logp: Any, mask: Any) -> tuple[np.ndarray, np.ndarray]:
    """The columns as float64 and bool arrays, 0 where nothing is scored.

    Raises:
        EvidenceError: the two differ in shape.

    >>> logp, mask = scored_tokens([[-1.5, float("nan")]], [[1, 0]])
    >>> logp.tolist(), mask.tolist()
    ([[-1.5, 0.0]], [[True, False]])
    """
    logp, on = np.asarray(token_logp, dtype=np.float64), np.asarray(mask) > 0
    if logp.shape != on.shape:
        raise EvidenceError("token log-probabilities and mask differ in shape", why=f"{logp.shape} against {on.shape}")
    return np.where(on, logp, 0.0), on


def mean_logp(token_logp: Any, mask: Any) -> np.ndarray:
    """Mean over the last axis of what the mask keeps; nan where it keeps nothing.

    >>> mean_logp([[-1.0, -2.0, 9.0], [9.0, 9.0, 9.0]], [[1, 1, 0], [0, 0, 0]]).tolist()
    [-1.5, nan]
    """
    logp, on = scored_tokens(token_logp, mask)
    n = on.sum(-1)
    return np.where(n > 0, logp.sum(-1) / np.maximum(n, 1), np.nan)
