"""Scaling to [-1, 1] by the largest absolute value. Source: scikit-learn, MaxAbsScaler."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin

from expunge.targets.learners._extremes import ExtremeLearner


class MaxAbsScaler(TransformerMixin, ExtremeLearner):
    """x / max |x|; a feature that is 0 everywhere stays as it is.

    >>> scaler = MaxAbsScaler().fit([[2.0], [-8.0], [100.0]]).unlearn(["2"])
    >>> scaler.transform([[4.0]]).tolist()
    [[0.5]]
    """

    def transform(self, X: Any) -> NDArray[np.float64]:
        """(n, d) scaled rows."""
        rows = self._asked(X)
        largest = np.maximum(np.abs(self._least), np.abs(self._largest))
        return rows / np.where(largest == 0, 1.0, largest)


max_abs_scaler = MaxAbsScaler
