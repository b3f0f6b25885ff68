"""Which groups a public file must not show, so that no few people's mean can be had from it by subtraction.

Source: complementary cell suppression, Cox 1980, Journal of the American Statistical Association 75, 377 to 385.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Masks = list[tuple[str, str, np.ndarray]]
"""Records whose mean a reader knows: (partition, group, (B,) bool); the group is empty where no single one is shown."""


def withheld(partitions: Mapping[str, np.ndarray], people: np.ndarray, fewest: int) -> dict[str, frozenset[str]]:
    """The groups of each partition that are not shown: those that are too small, and those that would give them away.

    Beside the groups stands the total, so that what all shown groups of a partition leave over is known as well: where
    that is about too few people, the next smallest group goes with it. And a mean of some records less that of a part
    of them is the mean of the rest: where of any two that are known, also of two partitions, the rest is about too few
    people, the smaller is not shown. Sums of groups across partitions are not looked at.

    Args:
        partitions: name -> (B,) group of each record.
        people: (B,) of each record.
        fewest: people that a mean must be about.

    >>> who = np.array(list("abcdefghijkl"))
    >>> ages = np.array(["old"] * 5 + ["young"] * 5 + ["child"] * 2)
    >>> sorted(withheld({"age": ages}, who, 5)["age"])  # two children, and the next smallest group
    ['child', 'old']
    >>> place = np.array(["north"] * 4 + ["south"] * 8)
    >>> sorted(withheld({"place": place}, who, 4)["place"])
    []
    """
    hidden: dict[str, set[str]] = {by: set() for by in partitions}
    sizes = {
        by: {str(name): len(set(people[names == name])) for name in sorted(set(names))}
        for by, names in partitions.items()
    }
    for by, found in sizes.items():
        hidden[by] |= {name for name, size in found.items() if size < fewest}
    while more := _given_away(partitions, people, fewest, hidden, sizes):
        hidden[more[0]].add(more[1])
    return {by: frozenset(names) for by, names in hidden.items()}


def _given_away(
    partitions: Mapping[str, np.ndarray],
    people: np.ndarray,
    fewest: int,
    hidden: Mapping[str, set[str]],
    sizes: Mapping[str, Mapping[str, int]],
) -> tuple[str, str] | None:
    """A shown group that must go too, by partition and name; None where nothing gives anybody away."""
    known: Masks = [("", "", np.ones(len(people), dtype=bool))]
    for by, names in partitions.items():
        shown = [name for name in sizes[by] if name not in hidden[by]]
        rest = ~np.isin(names, shown)
        if not shown:
            continue
        if rest.any() and len(set(people[rest])) < fewest:
            return by, min(shown, key=lambda name: (sizes[by][name], name))
        known += [(by, name, names == name) for name in shown] + ([(by, "", rest)] if rest.any() else [])
    for small, large in _nested([mask for _, _, mask in known]):
        rest = known[large][2] & ~known[small][2]
        if len(set(people[rest])) < fewest:
            by, name = next(((b, n) for b, n, _ in (known[small], known[large]) if n), (known[small][0], ""))
            shown = [other for other in sizes[by] if other not in hidden[by]]
            return by, name or min(shown, key=lambda other: (sizes[by][other], other))
    return None


def _nested(masks: list[np.ndarray]) -> list[tuple[int, int]]:
    """Pairs of which the first is a part of the second and not all of it, the smallest first."""
    within = np.array(masks, dtype=np.float64)
    outside = within @ (1 - within).T
    sizes = within.sum(axis=1)
    pairs = np.argwhere((outside == 0) & (sizes[:, None] < sizes[None, :]))
    return sorted(((int(a), int(b)) for a, b in pairs), key=lambda pair: (sizes[pair[0]], pair))
