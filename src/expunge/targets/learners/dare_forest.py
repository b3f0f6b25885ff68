"""Random forest that forgets rows. Source: Brophy & Lowd 2021 (DaRE); rows in some trees: Wang et al. 2024 (DynFrs)."""

from __future__ import annotations

from typing import final

from expunge.targets.forest.pool import Criterion
from expunge.targets.learners._dare import Dare


@final
class DareForest(Dare):
    """Trees whose nodes keep counts for a uniform sample of thresholds; no bootstrap.

    Args:
        n_trees: how many.
        max_depth: of the deepest leaf.
        max_features: attributes considered at a node, drawn anew for each; ``sqrt`` of all, or None for all.
        thresholds: values considered for an attribute; None: all.
        random_levels: from the root on, split at a random attribute and place, which hardly any deletion moves.
        trees_per_row: how many trees hold a row; None: all. The fewer, the less a deletion costs.
        criterion: ``gini`` or ``entropy``.
        seed: of all draws.

    >>> forest = DareForest(n_trees=5, max_depth=2, thresholds=3).fit([[0.5], [1.5], [2.5], [3.5]], [0, 0, 1, 1])
    >>> forest.predict([[1.0], [3.0]]).tolist(), forest.unlearn(["0"]).predict_proba([[1.0]]).tolist()
    ([0, 1], [[1.0, 0.0]])
    """

    def __init__(
        self,
        n_trees: int = 100,
        *,
        max_depth: int = 10,
        max_features: int | str | None = "sqrt",
        thresholds: int | None = 5,
        random_levels: int = 0,
        trees_per_row: int | None = None,
        criterion: Criterion = "gini",
        seed: int = 0,
    ) -> None:
        self.n_trees, self.max_depth, self.max_features = n_trees, max_depth, max_features
        self.thresholds, self.random_levels, self.trees_per_row = thresholds, random_levels, trees_per_row
        self.criterion, self.seed = criterion, seed

    def _trees(self) -> tuple[int, int | None]:
        return self.n_trees, self.trees_per_row


dare_forest = DareForest
