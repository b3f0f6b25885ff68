"""The exact (epsilon, delta) of Gaussian noise. Source: Balle & Wang, arXiv 1805.06530, theorem 8.

With s = sigma / (m Delta), the noise over the largest shift that m records can cause:

    delta(epsilon) = Phi(a) - e^epsilon Phi(b),   a = 1/(2s) - epsilon s,   b = -1/(2s) - epsilon s

Since b^2 - a^2 = 2 epsilon, e^epsilon phi(b) = phi(a); so with Mills' ratio R = Phi / phi,

    delta = Phi(a) (1 - R(b) / R(a)),

which stays exact where e^epsilon is beyond any float and where both terms are alike. Needs the base install alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from expunge.accounting.given import at_least_zero, count, positive, probability
from expunge.core.errors import ConfigError

FAR = -10.0
TERMS = 20
BEYOND = 1e300
MOST_NOISE = 1e12


def log_mills(x: float) -> float:
    """ln R(x), R(x) = Phi(x) / phi(x). Below -10 by R(x) = (1/|x|) (1 - 1/x^2 + 3/x^4 - 15/x^6 + ...).

    Args:
        x: () standard deviations.

    Returns:
        () nats.

    >>> round(math.exp(log_mills(-2.0)), 6)  # 0.02275013 / 0.05399097
    0.421369
    >>> round(math.exp(log_mills(-100.0)), 9)  # 0.01 (1 - 0.0001 + 0.00000003)
    0.009999
    """
    if x >= FAR:
        return math.log(math.erfc(-x / math.sqrt(2)) / 2) + x * x / 2 + math.log(2 * math.pi) / 2
    term, total = 1.0, 1.0
    for k in range(1, TERMS):
        term *= -(2 * k - 1) / (x * x)
        total += term
    return math.log(total / -x)


def log_delta(epsilon: float, ratio: float) -> float:
    """ln delta of Gaussian noise whose sigma is ``ratio`` times the shift; minus infinity where it is beyond any float.

    Args:
        epsilon: () nats.
        ratio: () sigma over the shift.

    Returns:
        () nats, <= 0.

    >>> round(math.exp(log_delta(2.0, 0.5)), 4)  # Phi(0) - e^2 Phi(-2) = 0.5 - 7.389056 * 0.0227501
    0.3319
    """
    a, b = 0.5 / ratio - epsilon * ratio, -0.5 / ratio - epsilon * ratio
    apart = log_mills(b) - log_mills(a)
    share = -math.expm1(apart)
    if share <= 0:
        return -math.inf
    if a >= FAR:
        return math.log(math.erfc(-a / math.sqrt(2)) / 2) + math.log(share)
    return log_mills(a) - a * a / 2 - math.log(2 * math.pi) / 2 + math.log(share)


def group_shift(sensitivity: float, records: int) -> float:
    """m Delta: records that each move the answer by Delta at most move it by m Delta together.

    Args:
        sensitivity: () unit of the answer. How far one record moves it at most.
        records: () records. That are deleted together.

    Returns:
        () unit of the answer.

    Raises:
        ConfigError: a number is out of range.

    >>> group_shift(2.5, 4)
    10.0
    """
    return count("records", records) * positive("sensitivity", sensitivity)


def gaussian_delta(epsilon: float, *, sigma: float, sensitivity: float = 1.0, records: int = 1) -> float:
    """The delta that Gaussian noise has at an epsilon; exact.

    Args:
        epsilon: () nats, >= 0.
        sigma: unit of the answer. Standard deviation of the noise in each coordinate.
        sensitivity: unit of the answer. How far one record moves it at most, in Euclidean norm.
        records: that are deleted together; none costs nothing.

    Returns:
        () probability.

    Raises:
        ConfigError: a number is out of range.

    >>> round(gaussian_delta(2.0, sigma=2.0, sensitivity=2.0, records=2), 4)  # Phi(0) - e^2 Phi(-2)
    0.3319
    """
    at_least_zero("epsilon", epsilon)
    noise, shift = positive("sigma", sigma), group_shift(sensitivity, records)
    return math.exp(log_delta(epsilon, noise / shift)) if shift else 0.0


def gaussian_epsilon(delta: float, *, sigma: float, sensitivity: float = 1.0, records: int = 1) -> float:
    """The smallest epsilon that Gaussian noise has at a delta, rounded up by less than 1e-12 of itself.

    Args:
        delta: () probability.
        sigma: unit of the answer. Standard deviation of the noise in each coordinate.
        sensitivity: unit of the answer. How far one record moves it at most, in Euclidean norm.
        records: that are deleted together; none costs nothing.

    Returns:
        () nats; infinity where it is beyond any float.

    Raises:
        ConfigError: a number is out of range.

    >>> round(gaussian_epsilon(0.3318951, sigma=2.0, sensitivity=4.0), 4)  # 0.5 - e^2 Phi(-2) = 0.3318951
    2.0
    """
    target = math.log(probability("delta", delta))
    noise, shift = positive("sigma", sigma), group_shift(sensitivity, records)
    if not shift or log_delta(0.0, noise / shift) <= target:
        return 0.0
    ratio, high = noise / shift, 1.0
    while log_delta(high, ratio) > target:
        high *= 2
        if high > BEYOND:
            return math.inf
    return _smallest(lambda epsilon: log_delta(epsilon, ratio) <= target, 0.0, high)


def gaussian_sigma(epsilon: float, delta: float, *, sensitivity: float = 1.0, records: int = 1) -> float:
    """The least noise that is (epsilon, delta), rounded up by less than 1e-12 of itself.

    Args:
        epsilon: () nats, >= 0.
        delta: () probability.
        sensitivity: unit of the answer. How far one record moves it at most, in Euclidean norm.
        records: that are deleted together, one or more.

    Returns:
        () standard deviation in each coordinate, in the unit of the answer.

    Raises:
        ConfigError: a number is out of range.

    >>> round(gaussian_sigma(2.0, 0.3318951, sensitivity=4.0), 4)  # as above
    2.0
    """
    at_least_zero("epsilon", epsilon)
    target = math.log(probability("delta", delta))
    shift = group_shift(sensitivity, count("records", records, least=1))
    low, high = 1.0, 1.0
    while log_delta(epsilon, high) > target:
        high *= 2
        if high > MOST_NOISE:
            why = f"it would take more than {MOST_NOISE:.0e} times the shift"
            raise ConfigError(
                f"no usable noise is ({epsilon}, {delta})", why=why, next="Allow a larger epsilon or delta"
            )
    while log_delta(epsilon, low) <= target:
        low /= 2
    return shift * _smallest(lambda ratio: log_delta(epsilon, ratio) <= target, low, high)


def _smallest(holds: Callable[[float], bool], low: float, high: float) -> float:
    """The least point from which on a condition holds, from above: it holds at what is returned."""
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
