"""Items that the same people chose, by counts of pairs. Source: Sarwar et al. 2001 (cosine between items)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import ConfigError
from expunge.targets.learners._sum_learner import SumLearner


class ItemRecommender(SumLearner):
    """With C_ij people who chose both i and j: score of j for a person = sum over chosen i of C_ij / sqrt(C_ii C_jj).

    A row is a person, a column an item, and whatever is above 0 was chosen. Counts are integers, so it is always
    ``bitwise``.

    Args:
        nearest: items. How many of an item's most similar ones count, of equal ones the first; None for all.

    >>> items = ItemRecommender(nearest=2).fit([[1, 1, 0], [1, 0, 1], [0, 1, 1], [0, 1, 1]]).unlearn(["3"])
    >>> items.co_counts_.tolist(), items.score_items([[1, 0, 0]]).tolist()
    ([[2, 1, 1], [1, 2, 1], [1, 1, 2]], [[0.0, 0.5, 0.5]])
    >>> items.recommend([[1, 0, 0]], count=2).tolist()
    [[1, 2]]
    """

    features = "count"
    order = "full"
    step = 1.0
    counted = True

    def __init__(self, *, nearest: int | None = None) -> None:
        self.nearest = nearest

    def _check_settings(self) -> None:
        if self.nearest is not None and self.nearest < 1:
            raise ConfigError("at least one similar item counts", why=f"nearest is {self.nearest!r}")

    def _summed(self, X: NDArray[Any], y: NDArray[Any] | None) -> Any:
        return super()._summed((X > 0).astype(np.float64), y)

    @property
    def co_counts_(self) -> NDArray[np.int64]:
        """(items, items) people who chose both; on the diagonal, who chose the item."""
        return self._whole.gram().astype(np.int64)

    @property
    def similarity_(self) -> NDArray[np.float64]:
        """(items, items) cosine between items, 0 of an item with itself and of one that nobody chose."""
        counts = self.co_counts_
        chosen = np.diagonal(counts)
        norm = np.sqrt(np.multiply.outer(chosen, chosen).astype(np.float64))
        cosine = np.where(norm > 0, counts / np.where(norm > 0, norm, 1.0), 0.0)
        np.fill_diagonal(cosine, 0.0)
        if self.nearest is not None and self.nearest < len(cosine):
            order = np.argsort(-cosine, axis=1, kind="stable")[:, self.nearest :]
            np.put_along_axis(cosine, order, 0.0, axis=1)
        return cosine

    def score_items(self, X: Any) -> NDArray[np.float64]:
        """(n, items) how similar each item is to what each person chose; 0 for what is chosen already."""
        chosen = self._asked(X) > 0
        scores = chosen @ self._once("similarity", lambda: self.similarity_)
        return np.where(chosen, 0.0, scores)

    def recommend(self, X: Any, *, count: int) -> NDArray[np.intp]:
        """(n, count) items by falling score, of equal ones the first; what a person chose already comes last."""
        chosen = self._asked(X) > 0
        scores = np.where(chosen, -np.inf, self.score_items(X))
        return np.argsort(-scores, axis=1, kind="stable")[:, :count]

    def predict(self, X: Any) -> NDArray[np.intp]:
        """(n,) the item that is recommended first."""
        return self.recommend(X, count=1)[:, 0]


item_recommender = ItemRecommender
