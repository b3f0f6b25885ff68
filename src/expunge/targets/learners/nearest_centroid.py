"""Nearest centroid: a row belongs to the class whose mean is nearest. Source: Tibshirani et al. 2002 (no shrinkage)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin

from expunge.targets.learners._sum_learner import LabelledSums
from expunge.targets.learners._sums import STEP


class NearestCentroid(ClassifierMixin, LabelledSums):
    """argmin_c |x - mean_c|; of equal distances the first label.

    Args:
        exactness: ``bitwise`` or ``1e-12``.
        step: of the grid, a power of two.

    >>> centroid = NearestCentroid().fit([[0.0], [2.0], [9.0], [5.0]], ["a", "a", "a", "b"])
    >>> centroid.predict([[3.2]]).tolist(), centroid.unlearn(["2"]).centroids_.tolist()
    (['a'], [[1.0], [5.0]])
    >>> centroid.unlearn(["2"]).predict([[3.2]]).tolist()
    ['b']
    """

    def __init__(self, *, exactness: str = "bitwise", step: float = STEP) -> None:
        self.exactness, self.step = exactness, step

    @property
    def centroids_(self) -> NDArray[np.float64]:
        """(classes, d) mean of each class."""
        self._require_rows()
        return self._of_each("mean")

    def decision_log(self, X: Any) -> NDArray[np.float64]:
        """(n, classes) squared units of X. Minus half the squared distance, as of equally likely unit normals."""
        rows = self._asked(X)
        centroids = self._once("centroids", lambda: self.centroids_)
        return -0.5 * ((rows[:, None, :] - centroids) ** 2).sum(axis=2)


nearest_centroid = NearestCentroid
