"""Principal components from a covariance that rows can leave. Source: Jolliffe 2002, section 1.1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin

from expunge.core.errors import ConfigError, TargetError
from expunge.targets.learners._sum_learner import SumLearner
from expunge.targets.learners._sums import STEP

FLAT = 1e-10
"""Share of the largest eigenvalue below which one is rounding, and its direction any."""


class PCA(TransformerMixin, SumLearner):
    """Eigenvectors of scatter / (n - 1), the largest eigenvalue first; the first of each one's largest entries
    is positive.

    Args:
        components: how many are kept; None keeps all.
        exactness: ``bitwise`` or ``1e-12``.
        step: of the grid, a power of two.

    >>> pca = PCA(components=2).fit([[3.0, 1.0], [-3.0, 1.0], [0.0, 3.0], [0.0, -1.0], [50.0, 70.0]]).unlearn(["4"])
    >>> pca.mean_.tolist(), pca.explained_variance_.round(4).tolist(), abs(pca.components_).round(4).tolist()
    ([0.0, 1.0], [6.0, 2.6667], [[1.0, 0.0], [0.0, 1.0]])
    """

    order = "full"

    def __init__(self, *, components: int | None = None, exactness: str = "bitwise", step: float = STEP) -> None:
        self.components, self.exactness, self.step = components, exactness, step

    def _check_settings(self) -> None:
        super()._check_settings()
        if self.components is not None and not (isinstance(self.components, int) and self.components > 0):
            raise ConfigError("at least one component is kept", why=f"components is {self.components!r}")

    def _solve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        sums = self._whole
        if sums.n < 2:
            raise TargetError("one row has no covariance", next="Fit at least two")
        values, vectors = np.linalg.eigh(sums.scatter() / (sums.n - 1))
        kept = len(values) if self.components is None else min(self.components, len(values))
        values, rows = np.maximum(values[::-1][:kept], 0.0), vectors.T[::-1][:kept]
        # Of nearly equal entries the first, so that rounding does not choose the sign.
        sizes = np.abs(rows)
        first = (sizes >= (1 - 1e-6) * sizes.max(axis=1, keepdims=True)).argmax(axis=1)
        largest = rows[np.arange(kept), first]
        varies = values > FLAT * values[0]
        return np.where(varies, values, 0.0), rows * np.where(varies, np.sign(largest), 0.0)[:, None]

    @property
    def mean_(self) -> NDArray[np.float64]:
        """(d,) mean of the rows."""
        return self._whole.mean()

    @property
    def explained_variance_(self) -> NDArray[np.float64]:
        """(components,) variance along each."""
        return self._once("solved", self._solve)[0]

    @property
    def components_(self) -> NDArray[np.float64]:
        """(components, d) directions, of length 1; zeros for one along which the rows do not vary."""
        return self._once("solved", self._solve)[1]

    def transform(self, X: Any) -> NDArray[np.float64]:
        """(n, components) coordinates of the rows."""
        return (self._asked(X) - self.mean_) @ self.components_.T


pca = PCA
