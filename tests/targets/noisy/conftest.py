"""A loss of two parameters whose worst case is known, so that bounds can be met and games can be won."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.targets.noisy.losses import Constants
from expunge.targets.noisy.noise import F


class Tilted:
    """phi(w; x) = x.w + (bend / 2) w_2^2 + (third / 6) max(w_1, 0)^3: rows tilt a bowl."""

    def __init__(self, *, penalty: float, radius: float, tilt: float, bend: float = 0.0, third: float = 0.0) -> None:
        self.bend, self.third = bend, third
        self.constants = Constants(
            strong=penalty,
            smooth=penalty + max(bend, third * radius),
            row_bound=tilt + bend * radius + third * radius**2 / 2,
            penalty=penalty,
            radius=radius,
            hessian_lipschitz=third,
        )

    def rows(self, X: F, y: F) -> tuple[F, F]:
        return X, y

    def row_sum(self, weights: F, X: F, y: F) -> F:
        curved = np.stack((self.third / 2 * np.maximum(weights[..., 0], 0) ** 2, self.bend * weights[..., 1]), -1)
        return X.sum(0) + len(X) * curved

    def hessian_sum(self, weights: F, X: F, y: F) -> F:
        return len(X) * np.diag((self.third * max(weights[0], 0.0), self.bend))


@pytest.fixture
def people() -> tuple[F, F]:
    """60 rows of norm 1 at most with labels, separable only in part."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(60, 2))
    X /= np.maximum(1.0, np.linalg.norm(X, axis=1))[:, None]
    return X, np.where(X[:, 0] + 0.5 * rng.normal(size=60) > 0, 1.0, -1.0)
