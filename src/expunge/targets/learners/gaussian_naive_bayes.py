"""Gaussian naive Bayes, held as sums and sums of squares. Source: Chan, Golub & LeVeque 1983 (float sums)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin

from expunge.core.errors import TargetError
from expunge.targets.learners._checks import positive
from expunge.targets.learners._sum_learner import LabelledSums
from expunge.targets.learners._sums import STEP, together


class GaussianNaiveBayes(ClassifierMixin, LabelledSums):
    """log P(c | x) = log(n_c / n) - 1/2 sum_j [log(2 pi v_cj) + (x_j - mean_cj)^2 / v_cj] + constant.

    v_cj is the variance of feature j in class c (divided by n_c) plus ``smoothing`` times the largest variance of any
    feature over all rows.

    Args:
        smoothing: of 1. Share of the largest variance.
        exactness: ``bitwise`` or ``1e-12``.
        step: of the grid, a power of two.

    >>> bayes = GaussianNaiveBayes(smoothing=0.25).fit([[1.0], [3.0], [7.0], [50.0]], ["a", "a", "b", "b"])
    >>> once = bayes.unlearn(["3"])  # variances 1 and 0, of all rows 56/9: 14/9 is added to both
    >>> once.variance_.round(4).tolist(), once.predict([[4.0]]).tolist()
    ([[2.5556], [1.5556]], ['a'])
    """

    order = "diagonal"

    def __init__(self, *, smoothing: float = 1e-9, exactness: str = "bitwise", step: float = STEP) -> None:
        self.smoothing, self.exactness, self.step = smoothing, exactness, step

    def _check_settings(self) -> None:
        super()._check_settings()
        positive("smoothing", self.smoothing, zero=True)

    @property
    def variance_(self) -> NDArray[np.float64]:
        """(classes, d) smoothed variances."""
        everything = together([self._parts[label] for label in self._labels])
        added = self.smoothing * (everything.scatter() / everything.n).max()
        return self._of_each("scatter") / self.class_count_[:, None] + added

    def _solve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        variance = self.variance_
        if not (variance > 0).all():
            why = "all rows of one class agree in one feature"
            raise TargetError("a variance is 0", why=why, next="Set smoothing above 0, or fit rows that differ")
        return self._of_each("mean"), variance

    def decision_log(self, X: Any) -> NDArray[np.float64]:
        """(n, classes) nats. Log of a number proportional to each class's probability."""
        rows = self._asked(X)
        mean, variance = self._once("solved", self._solve)
        distance = ((rows[:, None, :] - mean) ** 2 / variance).sum(axis=2)
        return self._log_prior() - 0.5 * (np.log(2 * np.pi * variance).sum(axis=1) + distance)


gaussian_naive_bayes = GaussianNaiveBayes
