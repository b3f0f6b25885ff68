"""Decision tree that forgets rows. Source: Brophy & Lowd 2021 (DaRE, Machine Unlearning for Random Forests)."""

from __future__ import annotations

from typing import final

from expunge.targets.forest.pool import Criterion
from expunge.targets.learners._dare import Dare


@final
class DareTree(Dare):
    """A tree whose nodes keep counts for every threshold, or for a uniform sample of them.

    Args:
        max_depth: of the deepest leaf.
        max_features: attributes considered at a node; ``sqrt`` of all, or None for all.
        thresholds: values considered for an attribute; None: all.
        random_levels: from the root on, split at a random attribute and place.
        criterion: ``gini`` or ``entropy``.
        seed: of all draws; without effect at the defaults, which leave nothing to chance.

    >>> tree = DareTree(max_depth=2).fit([[0.5], [1.5], [2.5], [3.5]], ["no", "no", "yes", "no"])
    >>> tree.predict([[2.5], [3.5]]).tolist(), tree.unlearn(["2"]).predict([[2.5]]).tolist()
    (['yes', 'no'], ['no'])
    """

    def __init__(
        self,
        *,
        max_depth: int = 10,
        max_features: int | str | None = None,
        thresholds: int | None = None,
        random_levels: int = 0,
        criterion: Criterion = "gini",
        seed: int = 0,
    ) -> None:
        self.max_depth, self.max_features, self.thresholds = max_depth, max_features, thresholds
        self.random_levels, self.criterion, self.seed = random_levels, criterion, seed

    def _trees(self) -> tuple[int, int | None]:
        return 1, None


dare_tree = DareTree
