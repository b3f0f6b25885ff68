"""k nearest neighbours vote for a label. Source: Cover & Hart 1967."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin

from expunge.targets.learners._neighbours import Neighbours


class KNNClassifier(ClassifierMixin, Neighbours):
    """The label with the greatest weight among the k nearest rows; of equal ones the first.

    Args:
        neighbours: k, rows.
        weights: ``uniform``, or ``distance`` for 1 / distance; rows at distance 0 then vote alone.

    >>> knn = KNNClassifier(neighbours=3).fit([[0.0], [1.0], [2.0], [4.0]], ["a", "b", "b", "a"])
    >>> knn.predict([[0.4]]).tolist(), knn.unlearn(["1"]).predict([[0.4]]).tolist()
    (['b'], ['a'])
    """

    target = "label"

    @property
    def classes_(self) -> NDArray[Any]:
        """Labels of the rows that are held, sorted."""
        self._require_rows()
        return self._once("classes", lambda: np.unique(np.asarray(self._rows.ordered.y)))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(n, classes) share of the weight of each of ``classes_``."""
        at, weights = self._nearest(X)
        labels = np.asarray(self._rows.ordered.y)[at]
        votes = [(weights * (labels == label)).sum(axis=1) for label in self.classes_]
        return np.stack(votes, axis=1) / weights.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> NDArray[Any]:
        """(n,) the label of each row."""
        return self.classes_[np.argmax(self.predict_proba(X), axis=1)]


knn_classifier = KNNClassifier
