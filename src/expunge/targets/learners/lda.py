"""Linear discriminant analysis, held as class sums and products. Source: Hastie, Tibshirani & Friedman 2009, 4.3."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin

from expunge.core.errors import ConfigError
from expunge.targets.learners._normal import log_density, spectrum
from expunge.targets.learners._sum_learner import LabelledSums
from expunge.targets.learners._sums import STEP


class LDA(ClassifierMixin, LabelledSums):
    """log P(c | x) = log(n_c / n) + log N(x; mean_c, S) + constant, S = (1 - a) W / n + a tr(W / n) / d I.

    W is the scatter of all rows about the means of their classes, and a the shrinkage.

    Args:
        shrinkage: of 1. Towards a round covariance.
        exactness: ``bitwise`` or ``1e-12``.
        step: of the grid, a power of two.

    >>> rows = [[0.0, 0.0], [2.0, 0.0], [4.0, 4.0], [4.0, 6.0], [9.0, 9.0]]
    >>> lda = LDA(shrinkage=0.5).fit(rows, [0, 0, 1, 1, 1]).unlearn(["4"])
    >>> lda.covariance_.tolist()  # W = diag(2, 2), n = 4
    [[0.5, 0.0], [0.0, 0.5]]
    >>> lda.decision_log([[3.0, 2.0]]).argmax(), lda.means_.tolist()
    (np.int64(0), [[1.0, 0.0], [4.0, 5.0]])
    """

    order = "full"

    def __init__(self, *, shrinkage: float = 0.0, exactness: str = "bitwise", step: float = STEP) -> None:
        self.shrinkage, self.exactness, self.step = shrinkage, exactness, step

    def _check_settings(self) -> None:
        super()._check_settings()
        if not 0 <= self.shrinkage <= 1:
            raise ConfigError("shrinkage must lie in [0, 1]", why=f"it is {self.shrinkage!r}")

    @property
    def means_(self) -> NDArray[np.float64]:
        """(classes, d) mean of each class."""
        self._require_rows()
        return self._of_each("mean")

    @property
    def covariance_(self) -> NDArray[np.float64]:
        """(d, d) shrunk covariance within classes."""
        self._require_rows()
        within = self._of_each("scatter").sum(axis=0) / self.class_count_.sum()
        d = len(within)
        return (1 - self.shrinkage) * within + self.shrinkage * np.trace(within) / d * np.eye(d)

    def decision_log(self, X: Any) -> NDArray[np.float64]:
        """(n, classes) nats. Log of a number proportional to each class's probability."""
        rows = self._asked(X)
        values, vectors = self._once("spectrum", lambda: spectrum(self.covariance_))
        density = [log_density(rows, mean, values, vectors) for mean in self._once("means", lambda: self.means_)]
        return self._log_prior() + np.stack(density, axis=1)


lda = LDA
