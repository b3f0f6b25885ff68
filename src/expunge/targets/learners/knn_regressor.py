"""The mean of the k nearest neighbours' targets. Source: Cover 1968."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin

from expunge.targets.learners._neighbours import Neighbours


class KNNRegressor(RegressorMixin, Neighbours):
    """Weighted mean of the targets of the k nearest rows.

    Args:
        neighbours: k, rows.
        weights: ``uniform``, or ``distance`` for 1 / distance; rows at distance 0 then count alone.

    >>> knn = KNNRegressor(neighbours=2).fit([[0.0], [1.0], [5.0]], [10.0, 20.0, 60.0])
    >>> knn.predict([[0.4]]).tolist(), knn.unlearn(["0"]).predict([[0.4]]).tolist()
    ([15.0], [40.0])
    """

    target = "number"

    def predict(self, X: Any) -> NDArray[np.float64]:
        """(n,) or (n, m) predictions."""
        at, weights = self._nearest(X)
        targets = np.asarray(self._rows.ordered.y)[at]
        shares = weights / weights.sum(axis=1, keepdims=True)
        return (targets * shares.reshape(shares.shape + (1,) * (targets.ndim - 2))).sum(axis=1)


knn_regressor = KNNRegressor
