"""Log densities of normal distributions whose covariance must be of full rank."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import TargetError

F = NDArray[np.float64]
RANK = 1e-10
"""Share of the largest eigenvalue below which one counts as none: what float sums leave of nothing is smaller."""


def spectrum(covariance: F) -> tuple[F, F]:
    """Eigenvalues (d,) and eigenvectors (d, d), in columns.

    Raises:
        TargetError: the covariance is singular.
    """
    values, vectors = np.linalg.eigh(covariance)
    if not values[0] > RANK * max(values[-1], 0.0):
        why = "too few rows are held, or features depend on one another"
        raise TargetError("a covariance is singular", why=why, next="Regularise it, or fit more rows")
    return values, vectors


def log_density(X: F, mean: F, values: F, vectors: F) -> F:
    """(n,) nats. Log density of N(mean, V diag(values) V'), without -d/2 log(2 pi)."""
    white = (X - mean) @ vectors / np.sqrt(values)
    return -0.5 * ((white * white).sum(axis=1) + np.log(values).sum())
