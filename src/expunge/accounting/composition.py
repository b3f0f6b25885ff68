"""Epsilon against the number of releases. Source: Dwork, Rothblum & Vadhan 2010; Kairouz et al., arXiv 1311.0776, 3.3.

Every published model that depends on a record tells something of it; these bounds say how much k of them tell together.
They hold where each next release is chosen after seeing the last, with numbers that were fixed before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from expunge.accounting.gaussian import gaussian_epsilon
from expunge.accounting.given import at_least_zero, count, positive, probability
from expunge.core.errors import ConfigError
from expunge.core.record import record

Loss = tuple[float, float]


@record
class Growth:
    """Epsilon after each number of releases, by four bounds, all at one delta.

    Args:
        delta: probability.
        releases: how many.
        basic: nats; the losses added.
        advanced: nats; the mean of the losses and their spread.
        optimal: nats; the least that (epsilon, delta) of each release allow.
        pld: nats; of the composed privacy loss itself, which for Gaussian noise is exact.
    """

    delta: float
    releases: tuple[int, ...]
    basic: tuple[float, ...]
    advanced: tuple[float, ...]
    optimal: tuple[float, ...]
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


def optimal(epsilon: float, *, releases: int, total: float, delta: float = 0.0) -> float:
    """The least epsilon of k releases of which nothing but (epsilon, delta) of each is known. Theorem 3.3.

    The worst of such releases is randomised response that tells all with probability delta. Of k of them,

        1 - (1 - delta)^k (1 - sum_l C(k, l) max(0, p^(k-l) q^l - e^g p^l q^(k-l))),   p = e^epsilon q = 1 - q

    is the delta at g nats; the least g at which it is ``total`` is found by bisection, from above.

    Args:
        epsilon: () nats, >= 0. Of each release.
        releases: k, one or more.
        total: () probability. Delta after all of them.
        delta: () probability. Of each release.

    Returns:
        () nats.

    Raises:
        ConfigError: a number is out of range, or the deltas alone are above the total.

    >>> # two coins of 3 to 1: both fall as they should with 9/16 and 1/16, so that 1/4 = 9/16 - e^g / 16 at e^g = 5
    >>> round(optimal(math.log(3), releases=2, total=0.25) / math.log(5), 6)
    1.0
    """
    at_least_zero("epsilon", epsilon)
    k = count("releases", releases, least=1)
    log_kept = k * math.log1p(-probability("delta", delta, zero=True))
    rest = -math.expm1(math.log1p(-probability("total", total)) - log_kept)
    if rest <= 0:
        why = f"{k} releases of delta {delta:g} take {-math.expm1(log_kept):g}, and the total is {total:g}"
        raise ConfigError("nothing of delta is left for the composition", why=why, next="Give each release less")
    log_p, log_q = -math.log1p(math.exp(-epsilon)), -epsilon - math.log1p(math.exp(-epsilon))
    logs_K = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1.0, k + 1)))))
    choose_K, k_K = logs_K[k] - logs_K - logs_K[::-1], np.arange(k + 1.0)
    loss_K, log_mass_K = (k - 2 * k_K) * epsilon, choose_K + (k - k_K) * log_p + k_K * log_q
    low, high = 0.0, k * epsilon
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        above = loss_K > middle
        found = math.fsum(-np.exp(log_mass_K[above]) * np.expm1(middle - loss_K[above]))
        low, high = (low, middle) if found <= rest else (middle, high)
    return high


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
    """Epsilon after each number of releases with Gaussian noise, by four bounds at one total delta.

    Basic gives each of k releases delta / k; advanced and optimal give each delta / 2k and keep the rest.

    Args:
        releases: (n) releases. How many, each one or more.
        delta: () probability. After all of them.
        sigma: unit of the answer. Standard deviation of the noise in each coordinate.
        sensitivity: unit of the answer. How far a release moves at most, in Euclidean norm.

    Returns:
        The four curves, for a chart.

    Raises:
        ConfigError: a number is out of range.

    >>> grown = growth([2, 50], 1e-5, sigma=20.0)
    >>> grown.pld[1] < grown.optimal[1] < grown.advanced[1] < grown.basic[1]
    True
    """
    probability("delta", delta)
    added, spread, least, exact = [], [], [], []
    for k in releases:
        count("releases", k, least=1)
        each = gaussian_epsilon(delta / k, sigma=sigma, sensitivity=sensitivity)
        added.append(k * each)
        half = gaussian_epsilon(delta / (2 * k), sigma=sigma, sensitivity=sensitivity)
        spread.append(advanced([(half, delta / (2 * k))] * k, slack=delta / 2)[0])
        least.append(optimal(half, releases=k, total=delta, delta=delta / (2 * k)))
        exact.append(gaussian_releases(k, delta, sigma=sigma, sensitivity=sensitivity))
    return Growth(delta, tuple(releases), tuple(added), tuple(spread), tuple(least), tuple(exact))


def _checked(losses: Sequence[Loss]) -> None:
    for epsilon, delta in losses:
        at_least_zero("epsilon", epsilon)
        probability("delta", delta, zero=True)
