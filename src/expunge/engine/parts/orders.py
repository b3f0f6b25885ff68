"""Several orders of a shard's slices, so that some model keeps a long prefix whatever is deleted. Source: 2406.16257.

A model that learned its slices one after another keeps what came before the first slice that lost a record. With B
orders of L slices, the one whose prefix is the longest answers until the others are trained again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from expunge.core.errors import ConfigError

Order = tuple[int, ...]


def rotations(slices: int, count: int) -> list[Order]:
    """Orders that begin with different slices: the numbers turned by one each time.

    Args:
        slices: L.
        count: B <= L.

    >>> rotations(3, 2)
    [(0, 1, 2), (1, 2, 0)]
    """
    return [tuple((start + i) % slices for i in range(slices)) for start in range(count)]


def orders_of(slices: int, count: int) -> list[Order]:
    """B orders of L slices in which prefixes are as different as they can be.

    Up to L of them are rotations. Beyond, L more are built at a time, position by position: a bipartite matching gives
    each of them a slice that it does not have yet, every slice to one of them, so that as few prefixes as possible come
    again as sets. For deletions only the set counts: the same slices in another order fall at the same record.

    Args:
        slices: L.
        count: B.

    Raises:
        ConfigError: a number is below 1.

    >>> orders_of(3, 4)
    [(0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1)]
    """
    if slices < 1 or count < 1:
        raise ConfigError(f"{count} orders of {slices} slices", next="Give at least 1 of each")
    found = rotations(slices, min(slices, count))
    while len(found) < count:
        found += _matched(slices, found)[: count - len(found)]
    return found


def _matched(slices: int, before: Sequence[Order]) -> list[Order]:
    """L further orders, each slice once at each position."""
    from scipy.optimize import linear_sum_assignment

    seen = Counter(frozenset(order[:depth]) for order in before for depth in range(1, slices + 1))
    whole = set(before)
    grown: list[Order] = [(start,) for start in range(slices)]
    for _ in range(1, slices):
        cost = np.full((slices, slices), 1e12)
        for row, prefix in enumerate(grown):
            for part in set(range(slices)) - set(prefix):
                longer = (*prefix, part)
                again = any(order[: len(longer)] == longer for order in whole)
                # Ties go to the lower number, by a weight too small to outvote a prefix that comes again.
                cost[row, part] = seen[frozenset(longer)] + 0.5 * again + 1e-6 * ((part - row) % slices)
        _, columns = linear_sum_assignment(cost)
        grown = [(*prefix, int(part)) for prefix, part in zip(grown, columns, strict=True)]
        seen.update(frozenset(prefix) for prefix in grown)
    return grown
