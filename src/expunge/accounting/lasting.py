"""For how many records a budget lasts: epsilon grows with them, so that few calls of the accountant find the last."""

from __future__ import annotations

from collections.abc import Callable

from expunge.accounting.crosscheck import sampled_renyi
from expunge.accounting.given import count, positive
from expunge.accounting.subsampled import MOST_RECORDS, sampled_epsilon
from expunge.core.errors import EvidenceError


def most_records(epsilon: float, delta: float, *, sigma: float, q: float, steps: int, most: int) -> int:
    """How many records may be deleted together before they take more than epsilon.

    Renyi divergence is quick and an upper bound: what fits by it fits. The search begins there. A number of records of
    which the accountants state nothing does not fit.

    Args:
        epsilon: () nats, > 0. The limit.
        delta: () probability.
        sigma: clipping norms. Noise multiplier.
        q: probability. That a record is in a sample, 0 < q <= 1.
        steps: T, one or more.
        most: records, of which no more can be deleted.

    Returns:
        Records, ``most`` at most.

    Raises:
        ConfigError: a number is out of range.
        MissingExtra: q < 1, without the extra ``dp``.

    >>> most_records(2.0, 0.3319, sigma=8.0, q=1.0, steps=4, most=100)  # sigma 4 over m = 8 records is 1/2
    8
    """
    positive("epsilon", epsilon)
    count("steps", steps, least=1)

    def surely(records: int) -> bool:
        try:
            return not records or sampled_renyi(delta, sigma=sigma, q=q, steps=steps, records=records) <= epsilon
        except EvidenceError:
            return False

    def fits(records: int) -> bool:
        try:
            return sampled_epsilon(delta, sigma=sigma, q=q, steps=steps, records=records).epsilon <= epsilon
        except EvidenceError:
            return False

    fits(0)  # refuses numbers that are out of range before the search begins
    bound = min(count("most", most), MOST_RECORDS) if q < 1 else count("most", most)
    return last(fits, last(surely, 0, bound), bound)


def last(holds: Callable[[int], bool], begin: int, most: int) -> int:
    """The last number for which a condition holds that holds from 0 up to there; it holds for 0.

    Args:
        holds: the condition.
        begin: where to look first.
        most: where to stop.

    >>> asked = []
    >>> last(lambda number: asked.append(number) or number <= 23, 20, 100), asked
    (23, [20, 21, 23, 27, 25, 24])
    """
    low, step = begin, 1
    if holds(begin):
        while low + step <= most and holds(low + step):
            low, step = low + step, 2 * step
        high = min(low + step - 1, most)
    else:
        low, high = 0, max(0, begin - 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low
