"""What k-means learners share: centres on a grid, and predictions from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClusterMixin

from expunge.core.errors import ConfigError
from expunge.targets.learners._k_means import gridded, nearest, squared
from expunge.targets.learners._learner import Learner
from expunge.targets.learners._sums import check_arithmetic

F = NDArray[np.float64]


class Centred(ClusterMixin, Learner):
    """What learners with centres on a grid share.

    Attributes:
        last_deletion_: what ``unlearn`` had to do.
    """

    n_clusters: int
    step: float
    last_deletion_: str = ""

    def _centres(self) -> F:
        raise NotImplementedError

    def _steps(self) -> int:
        """Steps between the points that a centre may stand on."""
        return 1

    def _taken(self, X: Any, *, new: bool) -> F:
        rows = super()._taken(X, new=new)
        gridded(rows, self.step, self._steps())
        return rows

    def _grid(self, X: F) -> F:
        return gridded(X, self.step, self._steps())

    def _check_settings(self) -> None:
        check_arithmetic("bitwise", self.step)
        if not isinstance(self.n_clusters, int) or self.n_clusters < 1:
            raise ConfigError(f"n_clusters cannot be {self.n_clusters!r}", next="Give a whole number above 0")

    @property
    def cluster_centers_(self) -> F:
        """(k, d) in the units of the rows."""
        self._require_rows()
        return self._centres() * self.step

    def fit_predict(self, X: Any, y: Any = None, **kwargs: Any) -> NDArray[np.intp]:
        """(n,) number of the nearest centre of each row that is learned."""
        return self.fit(X, y, **kwargs).predict(X)

    def predict(self, X: Any) -> NDArray[np.intp]:
        """(n,) number of the nearest centre."""
        return nearest(self._grid(self._asked(X)), self._centres())[0]

    def transform(self, X: Any) -> F:
        """(n, k) distance to each centre."""
        return np.sqrt(squared(self._grid(self._asked(X)), self._centres())) * self.step
