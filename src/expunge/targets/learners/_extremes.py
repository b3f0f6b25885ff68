"""Extremes of features: only where a row that leaves attains one are the rest looked through again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.targets.learners._learner import Learner, State

F = NDArray[np.float64]


class ExtremeLearner(Learner):
    """Keeps the least and the largest value of each feature; they are numbers of rows, so it is always ``bitwise``."""

    _least: F = np.empty(0)
    _largest: F = np.empty(0)

    def _learn(self, X: NDArray[Any], y: NDArray[Any] | None) -> None:
        first = not len(self._least)
        self._least = X.min(axis=0) if first else np.minimum(self._least, X.min(axis=0))
        self._largest = X.max(axis=0) if first else np.maximum(self._largest, X.max(axis=0))

    def _drop(self, X: NDArray[Any], y: NDArray[Any] | None) -> None:
        touched = np.flatnonzero((X.min(axis=0) == self._least) | (X.max(axis=0) == self._largest))
        if len(touched):
            self._least, self._largest = self._least.copy(), self._largest.copy()
            left = [part.block.X[np.ix_(part.live, touched)] for part in self._rows.parts]
            self._least[touched] = np.min([rows.min(axis=0) for rows in left], axis=0)
            self._largest[touched] = np.max([rows.max(axis=0) for rows in left], axis=0)

    def _statistics(self) -> State:
        return {"least": self._least, "largest": self._largest}

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._least, self._largest = state["least"], state["largest"]
