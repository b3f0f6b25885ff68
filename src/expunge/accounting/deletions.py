"""How many of the records will be asked for, where each has a declared probability. Source: Poisson's binomial, 1837.

Each record i is asked for in a period with probability p_i, by itself. The probabilities are declared before the
training, from what is known without the data's content (a contract, an age of an account, a rate seen elsewhere):
probabilities that follow from the content tell of it, and requests that follow from the trained model are no longer
independent of it. What comes out is the odds that a budget lasts; epsilon itself is that of the number deleted,
whatever was expected.

Sums are of products of numbers >= 0 and lose no relative precision. Mass below 1e-40 in a cell is let go and counts as
more deletions: n records lose less than n^2 of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from expunge.accounting.given import count, probability
from expunge.core.errors import ConfigError

LEAST = 1e-40


def deletion_distribution(probabilities: Sequence[float]) -> NDArray[np.float64]:
    """How likely each number of deletions is: the coefficients of prod_i (1 - p_i + p_i x).

    Args:
        probabilities: (n) probability. That a record is asked for in the period.

    Returns:
        (n + 1) probability. Of 0 to n deletions; their sum is 1 but for what was let go.

    Raises:
        ConfigError: no record, or a number that is no probability.

    >>> [round(float(p), 6) for p in deletion_distribution([0.5, 0.25, 0.2])]  # none: 1/2 3/4 4/5; all: 1/2 1/4 1/5
    [0.3, 0.475, 0.2, 0.025]
    """
    if not len(probabilities):
        raise ConfigError("there is no record with a probability", next="Give one for each record")
    p_N = [probability("a declared probability", float(p), zero=True, one=True) for p in probabilities]
    parts = [(0, np.array([1 - p, p])) for p in p_N]
    while len(parts) > 1:
        pairs = [_added(*pair) for pair in zip(parts[::2], parts[1::2], strict=False)]
        parts = [*pairs, *parts[2 * len(pairs) :]]
    first, mass_K = parts[0]
    whole_K = np.zeros(len(p_N) + 1)
    whole_K[first : first + len(mass_K)] = mass_K
    return whole_K


def expected_deletions(probabilities: Sequence[float]) -> float:
    """How many deletions are expected: the sum of the probabilities.

    Args:
        probabilities: (n) probability. That a record is asked for in the period.

    Returns:
        () records.

    >>> expected_deletions([0.5, 0.25, 0.2])
    0.95
    """
    return float(np.sum(np.asarray(probabilities, dtype=np.float64)))


def odds_of_more(probabilities: Sequence[float], records: int) -> float:
    """The probability that more than m records are asked for: that a budget for m of them is spent.

    Args:
        probabilities: (n) probability. That a record is asked for in the period.
        records: m.

    Returns:
        () probability, from above.

    Raises:
        ConfigError: no record, or a number is out of range.

    >>> round(odds_of_more([0.5, 0.25, 0.2], 1), 6)  # 0.2 + 0.025
    0.225
    """
    mass_K = deletion_distribution(probabilities)
    return _beyond(mass_K)[min(count("records", records), len(mass_K) - 1)]


def most_deletions(probabilities: Sequence[float], *, gamma: float) -> int:
    """The least number of deletions that is exceeded with probability gamma at most.

    Args:
        probabilities: (n) probability. That a record is asked for in the period.
        gamma: probability. That there are more.

    Returns:
        () records.

    Raises:
        ConfigError: no record, or a number is out of range.

    >>> most_deletions([0.5, 0.25, 0.2], gamma=0.05), most_deletions([0.5, 0.25, 0.2], gamma=0.3)
    (2, 1)
    """
    probability("gamma", gamma)
    beyond_K = _beyond(deletion_distribution(probabilities))
    return next(m for m, more in enumerate(beyond_K) if more <= gamma)


def _beyond(mass_K: NDArray[np.float64]) -> list[float]:
    """(n + 1) probability of more than each number, with what may have been let go; of more than all there is none."""
    lost = LEAST * len(mass_K) ** 2
    beyond_K = np.concatenate((np.cumsum(mass_K[:0:-1])[::-1] + lost, [0.0]))
    return [min(1.0, float(more)) for more in beyond_K]


def _added(
    one: tuple[int, NDArray[np.float64]], other: tuple[int, NDArray[np.float64]]
) -> tuple[int, NDArray[np.float64]]:
    """The distribution of a sum of two numbers: where it begins, and the mass from there."""
    mass_K = np.convolve(one[1], other[1])
    kept = np.flatnonzero(mass_K >= LEAST)
    return one[0] + other[0] + int(kept[0]), mass_K[kept[0] : kept[-1] + 1]
