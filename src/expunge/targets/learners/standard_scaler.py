"""Scaling to mean 0 and variance 1. Source: Chan, Golub & LeVeque 1983 (float sums)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin

from expunge.targets.learners._sum_learner import SumLearner
from expunge.targets.learners._sums import STEP


class StandardScaler(TransformerMixin, SumLearner):
    """(x - mean) / s with s^2 = scatter / n; s = 1 for a feature that is constant up to rounding.

    Args:
        exactness: ``bitwise`` or ``1e-12``.
        step: of the grid, a power of two.

    >>> scaler = StandardScaler().fit([[1.0], [5.0], [300.0]]).unlearn(["2"])
    >>> scaler.mean_.tolist(), scaler.scale_.tolist(), scaler.transform([[9.0]]).tolist()
    ([3.0], [2.0], [[3.0]])
    """

    order = "diagonal"

    def __init__(self, *, exactness: str = "bitwise", step: float = STEP) -> None:
        self.exactness, self.step = exactness, step

    @property
    def mean_(self) -> NDArray[np.float64]:
        """(d,) mean of the rows."""
        return self._whole.mean()

    @property
    def scale_(self) -> NDArray[np.float64]:
        """(d,) standard deviation, 1 where it is 0."""
        sums = self._whole
        variance = sums.scatter() / sums.n
        noise = sums.n * np.finfo(float).eps
        constant = variance <= noise * variance + (noise * sums.mean()) ** 2
        return np.sqrt(np.where(constant, 1.0, np.maximum(variance, 0.0)))

    def transform(self, X: Any) -> NDArray[np.float64]:
        """(n, d) scaled rows."""
        rows = self._asked(X)
        return (rows - self.mean_) / self._once("scale", lambda: self.scale_)


standard_scaler = StandardScaler
