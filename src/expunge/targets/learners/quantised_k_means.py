"""K-means that forgets rows: quantised centres. Source: Ginart et al. 2019 (arXiv 1907.05012), algorithms 1 and 2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import ConfigError
from expunge.targets.learners._centred import Centred
from expunge.targets.learners._checks import positive
from expunge.targets.learners._k_means import Round, Settings, Trace, run, without
from expunge.targets.learners._learner import State

F = NDArray[np.float64]


class QuantisedKMeans(Centred):
    """Lloyd's rounds whose centres are put on a lattice of random phase; deleting checks that they would stay.

    Kept of each round: sums and counts of its clusters, its centres, its loss. ``unlearn`` subtracts the rows and puts
    the centres on the lattice again. Where all stay, the run without the rows is known, and no other row was looked
    at; where one moves, a first centre goes, or another round would be the last, all is fitted anew. Either way
    the result is bit for bit that of a fit without the rows.

    Args:
        n_clusters: centres; as many as rows where those are fewer.
        epsilon: unit of X. Between the points of the lattice: larger moves centres less often, and fits less well.
        gamma: clusters below this share of the mean size n / k are held back by their last centre.
        max_iter: rounds at most; they end with the first that does not lower the loss.
        step: unit of X. Of the grid that rows are put on; a power of two.
        random_state: of the first centres and the phases, which are keyed by record and by round.

    >>> rows = [[0.0], [0.5], [1.0], [9.0], [9.25], [10.0]]
    >>> fitted = QuantisedKMeans(n_clusters=2, epsilon=2.0, step=2.0**-4).fit(rows)
    >>> found = fitted.predict(rows).tolist()
    >>> [at for at in range(6) if found[at] == found[0]]
    [0, 1, 2]
    """

    _trace: Trace

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        epsilon: float = 0.25,
        gamma: float = 0.2,
        max_iter: int = 10,
        step: float = 2.0**-12,
        random_state: int = 0,
    ) -> None:
        self.n_clusters, self.epsilon, self.gamma = n_clusters, epsilon, gamma
        self.max_iter, self.step, self.random_state = max_iter, step, random_state

    def _check_settings(self) -> None:
        super()._check_settings()
        positive("epsilon", self.epsilon)
        if not self.step <= self.epsilon < math.inf:
            why = f"epsilon is {self.epsilon!r}, and the step of the grid {self.step!r}"
            raise ConfigError("epsilon must be a finite number of at least one step", why=why, next="Lower the step")
        positive("max_iter", self.max_iter, zero=True)
        if not 0 <= self.gamma < 1:
            raise ConfigError(f"gamma cannot be {self.gamma!r}", next="Give a share from 0 to below 1")

    def _steps(self) -> int:
        return max(1, round(self.epsilon / self.step))

    def _settings(self) -> Settings:
        gamma = Fraction(repr(float(self.gamma)))
        return Settings(self.n_clusters, self._steps(), gamma, self.max_iter, self.random_state)

    def _learn(self, X: NDArray[Any], y: NDArray[Any] | None) -> None:
        rows = self._rows.ordered
        self._trace, self.last_deletion_ = run(self._grid(rows.X), rows.ids, self._settings()), ""

    def _drop(self, X: NDArray[Any], y: NDArray[Any] | None) -> None:
        held = self._held()
        found: Trace | str = "a first centre was deleted"
        if all(name in self._rows for name in held.first):
            found = without(held, self._grid(X), len(self._rows), self._settings())
        if isinstance(found, Trace):
            self._trace, self.last_deletion_ = found, "no quantised centre moved; nothing was fitted"
            return
        self._learn(X, y)
        self.last_deletion_ = f"fitted anew: {found}"

    def _held(self) -> Trace:
        self._require_rows()
        return self._trace

    def _centres(self) -> F:
        return self._held().final[0]

    @property
    def inertia_(self) -> float:
        """Squared unit of X. Sum over rows of the squared distance to the nearest centre."""
        return self._held().final[1] * self.step**2

    def _statistics(self) -> State:
        held = self._held()
        rounds = held.rounds
        shape = (0, *held.start.shape)
        return {
            "start": held.start,
            "sums": np.stack([one.sums for one in rounds]) if rounds else np.zeros(shape),
            "counts": np.stack([one.counts for one in rounds]) if rounds else np.zeros(shape[:2], np.int64),
            "centres": np.stack([one.centres for one in rounds]) if rounds else np.zeros(shape),
            "losses": [str(held.loss), *(str(one.loss) for one in rounds)],
            "first": list(held.first),
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        losses = [int(text) for text in state["losses"]]
        each = zip(state["sums"], state["counts"], state["centres"], losses[1:], strict=True)
        rounds = tuple(Round(*one) for one in each)
        self._trace = Trace(tuple(state["first"]), np.asarray(state["start"]), losses[0], rounds)


quantised_k_means = QuantisedKMeans
