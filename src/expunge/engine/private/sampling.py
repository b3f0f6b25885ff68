"""Poisson samples of units: each is in a step's sample with probability q, whatever the others are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from expunge.targets.noisy.noise import drawn_from
from expunge.targets.private.account import Mechanism, Unit


def units_of(records: Iterable[tuple[str, str]], unit: Unit) -> dict[str, str]:
    """Record id -> what is drawn and clipped as one: the record, or its subject.

    Args:
        records: pairs of id and subject; an empty subject is none.
        unit: which.

    >>> units_of([("a", "Ana"), ("b", "")], "subject")
    {'a': 'subject Ana', 'b': 'record b'}
    """
    by_subject = unit == "subject"
    return {name: f"subject {who}" if by_subject and who else f"record {name}" for name, who in records}


def samples(mechanism: Mechanism, units: int, *, seed: int) -> Iterator[np.ndarray]:
    """Positions of the units in each step's sample; a sample may be empty.

    Args:
        mechanism: its rate, steps and randomness.
        units: how many there are.
        seed: of the draws, where the mechanism says so.
    """
    rng = drawn_from(mechanism.randomness, seed, "private", "sample")
    for _ in range(mechanism.steps):
        yield np.flatnonzero(rng.random(units) < mechanism.rate)


def packed(groups: list[list[int]], at_once: int) -> list[list[list[int]]]:
    """Groups of rows in passes of at most so many rows; a group is never divided, and a large one has its own pass.

    >>> packed([[0, 1], [2], [3, 4, 5]], at_once=3)
    [[[0, 1], [2]], [[3, 4, 5]]]
    """
    passes: list[list[list[int]]] = []
    for group in groups:
        if not passes or sum(map(len, passes[-1])) + len(group) > at_once:
            passes.append([])
        passes[-1].append(group)
    return passes
