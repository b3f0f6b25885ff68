"""Kernel density with a Gaussian kernel. Source: Parzen 1962."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import DensityMixin

from expunge.targets.learners._checks import positive
from expunge.targets.learners._distances import distances
from expunge.targets.learners._learner import Learner


class KernelDensity(DensityMixin, Learner):
    """log p(x) = log (1/n) sum_i N(x; x_i, h^2 I). Holds the rows themselves, so it is always ``bitwise``.

    Args:
        bandwidth: h, the unit of X. Above 0.

    >>> density = KernelDensity(bandwidth=2.0).fit([[0.0], [50.0]]).unlearn(["1"])
    >>> density.score_samples([[3.0]]).round(4).tolist()  # -9/8 - log 2 - log(2 pi)/2
    [-2.7371]
    """

    def __init__(self, *, bandwidth: float = 1.0) -> None:
        self.bandwidth = bandwidth

    def _check_settings(self) -> None:
        positive("bandwidth", self.bandwidth)

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """(n,) nats. Log density at each row."""
        queries, held = self._asked(X), self._rows.ordered
        n, d = held.X.shape
        found = [np.empty(0)]
        for piece in distances(queries, held.X):
            exponent = -piece / (2 * self.bandwidth**2)
            largest = exponent.max(axis=1, keepdims=True)
            found.append(np.log(np.exp(exponent - largest).sum(axis=1)) + largest[:, 0])
        return np.concatenate(found) - np.log(n) - d * (np.log(self.bandwidth) + 0.5 * np.log(2 * np.pi))

    def score(self, X: Any, y: Any = None) -> float:
        """Nats. Sum of the log densities of rows."""
        return float(self.score_samples(X).sum())


kernel_density = KernelDensity
