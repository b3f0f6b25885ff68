"""Ten splits of a pair's people, and the interval of a share over pairs. Source of the interval: Wilson 1927.

A split is a seeded three quarters of the people of each role: nearly as many as a policy reads at once, so that its
verdicts are those of the default thresholds at nearly their power; of halves many more would be inconclusive. Two
splits of a pair share most of their people and all of its five models, so that they are not independent. The pair is
the cluster: its share is the mean over its splits, and intervals count pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from expunge.core.seeds import keyed_mark
from expunge.evaluation.attacking import UNSEEN
from expunge.evaluation.per_item import PerItem

SPLITS, PART = 10, 0.75
Share = tuple[float, float, float]


def wilson(mean: float, pairs: int) -> tuple[float, float]:
    """90 % interval of a share whose clusters are pairs: Wilson's, of the mean of the pairs' shares.

    With z = 1.645, m the mean and n the number of pairs: (m + z^2/2n -+ z sqrt(m(1-m)/n + z^2/4n^2)) / (1 + z^2/n).
    A pair's share lies between 0 and 1, so that its variance is at most m(1-m), that of one verdict a pair: where all
    splits of a pair agree it covers as Wilson's does, 90 % on average over the shares and about 80 % of some near 0 and
    1; where splits agree half, at least 92 % of each. A bootstrap over pairs would have no width at 0 and at 1.

    Args:
        mean: of the pairs' shares, probability.
        pairs: number of them.

    >>> [round(end, 3) for end in wilson(0.25, 20)]
    [0.127, 0.432]
    """
    z = 1.6448536269514722
    middle, spread = mean + z * z / (2 * pairs), z * math.sqrt(mean * (1 - mean) / pairs + (z / (2 * pairs)) ** 2)
    return (middle - spread) / (1 + z * z / pairs), (middle + spread) / (1 + z * z / pairs)


def clustered(shares: Sequence[float]) -> Share:
    """Mean of the pairs' shares with its interval.

    >>> [round(number, 3) for number in clustered([0.2, 0.3, 0.2, 0.3])]
    [0.25, 0.058, 0.644]
    """
    mean = sum(shares) / len(shares)
    return (mean, *wilson(mean, len(shares)))


class Split(PerItem):
    """The scores of some of the people, each computed once on all of them.

    Args:
        whole: of all people.
        seed: of the draw.
    """

    def __init__(self, whole: PerItem, seed: int) -> None:
        super().__init__(whole.tables, whole.reasons)
        self.whole, self.seed = whole, seed
        self._kept: dict[str, np.ndarray] = {}

    def kept(self, role: str) -> np.ndarray:
        """Which items of a role belong to the people that were drawn, (items,).

        Of people whom an attack adds because nobody ever saw them, three quarters of their own are drawn. Who is drawn
        hangs on the seed and the name alone, so that different roles and attacks draw the same people.
        """
        if role not in self._kept:
            people = self.whole.subjects(role)
            kind = dict(zip(people, self._unseen(role), strict=True))
            drawn: set[str] = set()
            for each in sorted(set(kind.values())):
                of_kind = {keyed_mark(name, self.seed, "split"): name for name in kind if kind[name] == each}
                drawn |= {of_kind[mark] for mark in sorted(of_kind)[: math.ceil(PART * len(of_kind))]}
            self._kept[role] = np.array([name in drawn for name in people], dtype=bool)
        return self._kept[role]

    def _unseen(self, role: str) -> list[float]:
        model = next(who for who, roles in self.tables.items() if roles.get(role.partition("/")[0]))
        found = self.whole.column(model, role, UNSEEN)
        return [0.0] * len(self.whole.subjects(role)) if found is None else [float(value) for value in found]

    def subjects(self, role: str) -> list[str]:
        """The subject of each item that was drawn."""
        return [name for name, kept in zip(self.whole.subjects(role), self.kept(role), strict=True) if kept]

    def values(self, model: str, role: str, name: str) -> np.ndarray:
        """A score of the items that were drawn, (seeds, items)."""
        return self.whole.values(model, role, name)[:, self.kept(role)]
