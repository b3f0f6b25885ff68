"""Scaling to [0, 1] by the least and the largest value. Source: scikit-learn, MinMaxScaler."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin

from expunge.targets.learners._extremes import ExtremeLearner


class MinMaxScaler(TransformerMixin, ExtremeLearner):
    """(x - least) / (largest - least); a constant feature is only shifted.

    >>> scaler = MinMaxScaler().fit([[2.0], [6.0], [100.0]]).unlearn(["2"])
    >>> scaler.transform([[5.0]]).tolist()
    [[0.75]]
    """

    def transform(self, X: Any) -> NDArray[np.float64]:
        """(n, d) scaled rows."""
        rows = self._asked(X)
        span = self._largest - self._least
        return (rows - self._least) / np.where(span == 0, 1.0, span)


min_max_scaler = MinMaxScaler
