"""Quadratic discriminant analysis: a covariance for each class. Source: Hastie, Tibshirani & Friedman 2009, 4.3."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin

from expunge.core.errors import ConfigError
from expunge.targets.learners._normal import log_density, spectrum
from expunge.targets.learners._sum_learner import LabelledSums
from expunge.targets.learners._sums import STEP


class QDA(ClassifierMixin, LabelledSums):
    """log P(c | x) = log(n_c / n) + log N(x; mean_c, S_c) + constant, S_c = (1 - r) scatter_c / n_c + r I.

    Args:
        regularisation: of 1. r, towards the unit covariance.
        exactness: ``bitwise`` or ``1e-12``.
        step: of the grid, a power of two.

    >>> qda = QDA(regularisation=0.25).fit([[0.0], [2.0], [5.0], [9.0], [77.0]], [0, 0, 1, 1, 1]).unlearn(["4"])
    >>> qda.covariance_.tolist()  # scatters 2 and 8
    [[[1.0]], [[3.25]]]
    """

    order = "full"

    def __init__(self, *, regularisation: float = 0.0, exactness: str = "bitwise", step: float = STEP) -> None:
        self.regularisation, self.exactness, self.step = regularisation, exactness, step

    def _check_settings(self) -> None:
        super()._check_settings()
        if not 0 <= self.regularisation <= 1:
            raise ConfigError("regularisation must lie in [0, 1]", why=f"it is {self.regularisation!r}")

    @property
    def means_(self) -> NDArray[np.float64]:
        """(classes, d) mean of each class."""
        self._require_rows()
        return self._of_each("mean")

    @property
    def covariance_(self) -> NDArray[np.float64]:
        """(classes, d, d) regularised covariances."""
        self._require_rows()
        scatter = self._of_each("scatter")
        within = scatter / self.class_count_[:, None, None]
        return (1 - self.regularisation) * within + self.regularisation * np.eye(scatter.shape[1])

    def _solve(self) -> list[tuple[Any, Any, Any]]:
        spectra = [spectrum(covariance) for covariance in self.covariance_]
        return [(mean, *found) for mean, found in zip(self.means_, spectra, strict=True)]

    def decision_log(self, X: Any) -> NDArray[np.float64]:
        """(n, classes) nats. Log of a number proportional to each class's probability."""
        rows = self._asked(X)
        solved = self._once("solved", self._solve)
        return self._log_prior() + np.stack([log_density(rows, *parts) for parts in solved], axis=1)


qda = QDA
