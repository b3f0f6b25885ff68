"""Bernoulli naive Bayes over which features are there. Source: Manning, Raghavan & Schütze 2008, section 13.3."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin

from expunge.targets.learners._checks import positive
from expunge.targets.learners._sum_learner import LabelledSums


class BernoulliNaiveBayes(ClassifierMixin, LabelledSums):
    """With b_j = [x_j > threshold] and p_cj = (N_cj + alpha) / (n_c + 2 alpha):
    log P(c | x) = log(n_c / n) + sum_j [b_j log p_cj + (1 - b_j) log(1 - p_cj)] + constant.

    Counts are integers, so it is always ``bitwise``.

    Args:
        alpha: rows. Added to the count of each outcome, above 0.
        threshold: the unit of X. A feature is there above it.

    >>> bayes = BernoulliNaiveBayes(alpha=0.5).fit([[1, 0], [1, 1], [0, 1]], ["a", "a", "b"])
    >>> bayes.unlearn(["1"]).predict_proba([[1, 0]]).round(4).tolist()
    [[0.9, 0.1]]
    """

    step = 1.0
    counted = True

    def __init__(self, *, alpha: float = 1.0, threshold: float = 0.0) -> None:
        self.alpha, self.threshold = alpha, threshold

    def _check_settings(self) -> None:
        positive("alpha", self.alpha)

    def _summed(self, X: NDArray[Any], y: NDArray[Any] | None) -> Any:
        return super()._summed((self.threshold < X).astype(np.float64), y)

    def _probabilities(self) -> NDArray[np.float64]:
        return (self._of_each("total") + self.alpha) / (self.class_count_[:, None] + 2 * self.alpha)

    def decision_log(self, X: Any) -> NDArray[np.float64]:
        """(n, classes) nats. Log of a number proportional to each class's probability."""
        there = (self._asked(X) > self.threshold).astype(np.float64)
        p = self._once("probabilities", self._probabilities)
        return self._log_prior() + there @ np.log(p).T + (1 - there) @ np.log1p(-p).T


bernoulli_naive_bayes = BernoulliNaiveBayes
