"""Multinomial naive Bayes over counts of words. Source: Manning, Raghavan & Schütze 2008, section 13.2."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin

from expunge.targets.learners._checks import positive
from expunge.targets.learners._sum_learner import LabelledSums
from expunge.targets.learners._sums import STEP


class MultinomialNaiveBayes(ClassifierMixin, LabelledSums):
    """log P(c | x) = log(n_c / n) + sum_j x_j log((N_cj + alpha) / (N_c + alpha d)) + constant.

    Args:
        alpha: counts. Added to each count, above 0.
        exactness: ``bitwise`` or ``1e-12``.
        step: of the grid, a power of two.

    >>> bayes = MultinomialNaiveBayes(alpha=0.5).fit([[2, 1], [0, 3], [4, 0]], ["a", "b", "a"])
    >>> bayes.unlearn(["2"]).predict_proba([[1, 0]]).round(4).tolist()
    [[0.8333, 0.1667]]
    """

    features = "count"

    def __init__(self, *, alpha: float = 1.0, exactness: str = "bitwise", step: float = STEP) -> None:
        self.alpha, self.exactness, self.step = alpha, exactness, step

    def _check_settings(self) -> None:
        super()._check_settings()
        positive("alpha", self.alpha)

    @property
    def feature_log_prob_(self) -> NDArray[np.float64]:
        """(classes, d) nats. Log probability of each feature within a class."""
        counts = self._of_each("total") + self.alpha
        return np.log(counts) - np.log(counts.sum(axis=1, keepdims=True))

    def decision_log(self, X: Any) -> NDArray[np.float64]:
        """(n, classes) nats. Log of a number proportional to each class's probability."""
        rows = self._asked(X)
        return self._log_prior() + rows @ self._once("log_prob", lambda: self.feature_log_prob_).T


multinomial_naive_bayes = MultinomialNaiveBayes
