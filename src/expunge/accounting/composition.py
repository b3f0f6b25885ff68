"""Epsilon against the number of releases. Source: Dwork, Rothblum & Vadhan 2010; Kairouz et al., arXiv 1311.0776, 3.5.

Every published model that depends on a record tells something of it; these bounds say how much k of them tell together.
They hold where each next release is chosen after seeing the last, with numbers that were fixed before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from expunge.accounting.gaussian import gaussian_epsilon
from expunge.accounting.given import at_least_zero, count, positive, probability
from expunge.core.record import record

Loss = tuple[float, float]


@record
class Growth:
    """Epsilon after each number of releases, by three bounds, all at one delta.

    Args:
        delta: probability.
        releases: how many.
        basic: nats; the losses added.
        advanced: nats; the mean of the losses and their spread.
        pld: nats; of the composed privacy loss itself, which for Gaussian noise is exact.
    """

    delta: float
    releases: tuple[int, ...]
    basic: tuple[float, ...]
    advanced: tuple[float, ...]
    pld: tuple[float, ...]


def basic(losses: Sequence[Loss]) -> Loss:
    """All losses added: (sum epsilon, sum delta). Holds even where the numbers too are chosen on the way.

    Args:
        losses: (k) nats, probability. (epsilon, delta) of each release.

    Returns:
        (epsilon, delta), delta 1 at most.

    Raises:
        ConfigError: a number is out of range.

    >>> basic([(0.5, 0.25), (0.75, 0.125)])
    (1.25, 0.375)
    """
    _checked(losses)
    return math.fsum(e for e, _ in losses), min(1.0, math.fsum(d for _, d in losses))


def advanced(losses: Sequence[Loss], *, slack: float) -> Loss:
    """What k releases tell but for an event of probability ``slack``; far less than basic for many small losses.

    epsilon = sum_i epsilon_i tanh(epsilon_i / 2) + sqrt(2 ln(1 / slack) sum_i epsilon_i^2)
    delta = 1 - (1 - slack) prod_i (1 - delta_i)

    The loss of a release lies in [-epsilon_i, epsilon_i] with mean at most epsilon_i tanh(epsilon_i / 2), as randomised
    response has it; the rest is Azuma's inequality. Never more than all epsilon added.

    Args:
        losses: (k) nats, probability. (epsilon, delta) of each release.
        slack: probability.

    Returns:
        (epsilon, delta)

    Raises:
        ConfigError: a number is out of range.

    >>> e, d = advanced([(math.log(3), 0.2)] * 9, slack=math.exp(-0.5))
    >>> round(e / math.log(3), 6)  # 9 * 1/2 + sqrt(9): tanh(ln(3) / 2) = 1/2
    7.5
    >>> round(d, 6)  # 1 - (1 - e^-0.5) 0.8^9
    0.947189
    """
    _checked(losses)
    log_slack = -math.log(probability("slack", slack))
    mean = math.fsum(e * math.tanh(e / 2) for e, _ in losses)
    spread = math.sqrt(2 * log_slack * math.fsum(e * e for e, _ in losses))
    kept = math.log1p(-slack) + math.fsum(math.log1p(-d) for _, d in losses)
    return min(mean + spread, math.fsum(e for e, _ in losses)), -math.expm1(kept)


def gaussian_releases(releases: int, delta: float, *, sigma: float, sensitivity: float = 1.0) -> float:
    """Epsilon of k releases with Gaussian noise, exact: as one with sigma / sqrt(k).

    Args:
        releases: () releases. k; none costs nothing.
        delta: () probability.
        sigma: unit of the answer. Standard deviation of the noise in each coordinate.
        sensitivity: unit of the answer. How far a release moves at most, in Euclidean norm.

    Returns:
        () nats.

    Raises:
        ConfigError: a number is out of range.

    >>> round(gaussian_releases(16, 0.3318951, sigma=2.0), 4)  # as sigma 1/2: Phi(0) - e^2 Phi(-2)
    2.0
    """
    probability("delta", delta)
    positive("sigma", sigma)
    if count("releases", releases) == 0:
        return 0.0
    return gaussian_epsilon(delta, sigma=sigma / math.sqrt(releases), sensitivity=sensitivity)


def growth(releases: Sequence[int], delta: float, *, sigma: float, sensitivity: float = 1.0) -> Growth:
    """Epsilon after each number of releases with Gaussian noise, by three bounds at one total delta.

    Basic gives each of k releases delta / k; advanced gives each delta / 2k and keeps delta / 2 for itself.

    Args:
        releases: (n) releases. How many, each one or more.
        delta: () probability. After all of them.
        sigma: unit of the answer. Standard deviation of the noise in each coordinate.
        sensitivity: unit of the answer. How far a release moves at most, in Euclidean norm.

    Returns:
        The three curves, for a chart.

    Raises:
        ConfigError: a number is out of range.

    >>> grown = growth([2, 50], 1e-5, sigma=20.0)
    >>> grown.pld[1] < grown.advanced[1] < grown.basic[1]
    True
    """
    probability("delta", delta)
    added, spread, exact = [], [], []
    for k in releases:
        count("releases", k, least=1)
        each = gaussian_epsilon(delta / k, sigma=sigma, sensitivity=sensitivity)
        added.append(k * each)
        half = gaussian_epsilon(delta / (2 * k), sigma=sigma, sensitivity=sensitivity)
        spread.append(advanced([(half, delta / (2 * k))] * k, slack=delta / 2)[0])
        exact.append(gaussian_releases(k, delta, sigma=sigma, sensitivity=sensitivity))
    return Growth(delta, tuple(releases), tuple(added), tuple(spread), tuple(exact))


def _checked(losses: Sequence[Loss]) -> None:
    for epsilon, delta in losses:
        at_least_zero("epsilon", epsilon)
        probability("delta", delta, zero=True)
