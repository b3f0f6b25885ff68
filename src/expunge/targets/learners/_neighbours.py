"""What k-NN for labels and for numbers share: the k nearest rows, ties broken by id."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import ConfigError, TargetError
from expunge.targets.learners._distances import distances
from expunge.targets.learners._learner import Learner

F = NDArray[np.float64]


class Neighbours(Learner):
    """Holds the rows themselves: to unlearn one is to leave it out. Always ``bitwise``."""

    def __init__(self, *, neighbours: int = 5, weights: Literal["uniform", "distance"] = "uniform") -> None:
        self.neighbours, self.weights = neighbours, weights

    def _check_settings(self) -> None:
        if not (isinstance(self.neighbours, int) and self.neighbours > 0):
            raise ConfigError("at least one neighbour is asked", why=f"neighbours is {self.neighbours!r}")
        if self.weights not in ("uniform", "distance"):
            raise ConfigError(f"unknown weights {self.weights!r}", next="Known: uniform, distance")

    def _nearest(self, X: Any) -> tuple[NDArray[np.intp], F]:
        """(q, k) places of the nearest rows in order of ids, and their weights.

        Raises:
            TargetError: fewer than k rows are held.
        """
        queries, held, k = self._asked(X), self._rows.ordered, self.neighbours
        if len(held.ids) < k:
            raise TargetError(f"{k} neighbours are asked", why=f"{len(held.ids)} rows are held")
        places, squares = [np.empty((0, k), np.intp)], [np.empty((0, k))]
        for piece in distances(queries, held.X):
            nearest = np.argsort(piece, axis=1, kind="stable")[:, :k]
            places.append(nearest)
            squares.append(np.take_along_axis(piece, nearest, axis=1))
        at, apart = np.concatenate(places), np.sqrt(np.concatenate(squares))
        if self.weights == "uniform":
            return at, np.ones_like(apart)
        same = apart == 0
        weights = np.where(same.any(axis=1, keepdims=True), same, 1.0 / np.where(same, 1.0, apart))
        return at, weights.astype(np.float64)
