"""DP-SGD for m records: T steps of Gaussian noise on Poisson samples. Source: Doroshenko et al., arXiv 2207.04380.

The number is that of the privacy loss distribution (PLD), by dp-accounting, whose rounding is upwards. Renyi divergence
(RDP) gives another upper bound, by another road, that can only be larger; where it is smaller, one of both is wrong and
nothing is stated. The central limit ("GDP") is no bound and has no place here: at sigma 0.5, q 0.001, 100 steps and
delta 1e-6 it states a tenth of what is true.

Assumed: each record is in each batch with probability q, by itself; each gradient is clipped to norm C and noise of
standard deviation sigma C is added to their sum; what is compared are trainings with and without the m records. Batches
drawn by shuffling have other numbers.

Without sampling (q = 1) T steps are one with noise sigma / sqrt(T), and the number is exact.
"""

from __future__ import annotations

import functools
import math
from importlib.metadata import version
from typing import Any

import numpy as np

from expunge.accounting.crosscheck import agree, sampled_renyi
from expunge.accounting.gaussian import gaussian_delta, gaussian_epsilon
from expunge.accounting.given import at_least_zero, count, need, positive, probability
from expunge.accounting.mixture import binomial
from expunge.core.errors import ConfigError
from expunge.core.record import record

FINEST = 1e-4
CELLS = 500_000
MIXTURE_WIDTH, MIXTURE_STEPS, MIXTURE_CELLS = 1e-3, 1000, 30_000
LOG_TAIL = -51.0
RELATIVE = 1e-3
LEAST_NOISE, MOST_NOISE = 2.0**-6, 2.0**20


@record
class Accounted:
    """What an accountant found, with the other road beside it.

    Args:
        epsilon: nats, at ``delta``.
        delta: probability.
        records: that are deleted together.
        accountant: that found epsilon, with its version.
        renyi: epsilon by Renyi divergence, an upper bound as well; 0 where there is nothing to account for.
    """

    epsilon: float
    delta: float
    records: int
    accountant: str
    renyi: float


def sampled_epsilon(delta: float, *, sigma: float, q: float, steps: int, records: int = 1) -> Accounted:
    """Epsilon of DP-SGD for the deletion of m records, cross-checked.

    Args:
        delta: () probability.
        sigma: clipping norms. Noise multiplier.
        q: probability. That a record is in a sample, 0 < q <= 1.
        steps: T.
        records: m; none costs nothing.

    Returns:
        Epsilon with its accountant and the other bound.

    Raises:
        ConfigError: a number is out of range.
        EvidenceError: the accountants disagree, or one gives no number.
        MissingExtra: q < 1, without the extra ``privacy``.

    >>> round(sampled_epsilon(0.3318951, sigma=2.0, q=1.0, steps=4, records=2).epsilon, 4)  # as sigma 1/2
    2.0
    """
    probability("delta", delta)
    if _nothing(sigma, q, steps, records):
        return Accounted(0.0, delta, records, "none needed", 0.0)
    renyi = sampled_renyi(delta, sigma=sigma, q=q, steps=steps, records=records)
    if q == 1:
        found, tolerance = gaussian_epsilon(delta, sigma=sigma / math.sqrt(steps), records=records), RELATIVE
        name = "exact Gaussian"
    else:
        interval = _interval(sigma, q, steps, records)
        found, tolerance = float(_loss(sigma, q, steps, records).get_epsilon_for_delta(delta)), RELATIVE + 10 * interval
        name = f"dp-accounting {version('dp-accounting')} PLD"
    agree(found, renyi, tolerance=tolerance)
    return Accounted(found, delta, records, name, renyi)


def sampled_delta(epsilon: float, *, sigma: float, q: float, steps: int, records: int = 1) -> float:
    """Delta of DP-SGD at an epsilon, for the deletion of m records; not cross-checked.

    Args:
        epsilon: () nats, >= 0.
        sigma: clipping norms. Noise multiplier.
        q: probability. That a record is in a sample, 0 < q <= 1.
        steps: T.
        records: m; none costs nothing.

    Returns:
        () probability.

    Raises:
        ConfigError: a number is out of range.
        MissingExtra: q < 1, without the extra ``privacy``.

    >>> round(sampled_delta(2.0, sigma=2.0, q=1.0, steps=4, records=2), 4)  # as sigma 1/2: Phi(0) - e^2 Phi(-2)
    0.3319
    """
    at_least_zero("epsilon", epsilon)
    if _nothing(sigma, q, steps, records):
        return 0.0
    if q == 1:
        return gaussian_delta(epsilon, sigma=sigma / math.sqrt(steps), records=records)
    return float(_loss(sigma, q, steps, records).get_delta_for_epsilon(epsilon))


def sampled_sigma(epsilon: float, delta: float, *, q: float, steps: int, records: int = 1) -> float:
    """The least noise multiplier that is (epsilon, delta), rounded up by at most a thousandth of itself.

    Args:
        epsilon: () nats, > 0.
        delta: () probability.
        q: probability. That a record is in a sample, 0 < q <= 1.
        steps: T, one or more.
        records: m, one or more.

    Returns:
        () clipping norms.

    Raises:
        ConfigError: a number is out of range, or no usable noise is enough.
        EvidenceError: the accountants disagree at what was found.
        MissingExtra: q < 1, without the extra ``privacy``.

    >>> round(sampled_sigma(2.0, 0.3318951, q=1.0, steps=4, records=2), 2)  # sigma / 4 = 0.5
    2.0
    """
    positive("epsilon", epsilon)
    probability("delta", delta)
    count("records", records, least=1)
    count("steps", steps, least=1)

    def enough(sigma: float) -> bool:
        return sampled_delta(epsilon, sigma=sigma, q=q, steps=steps, records=records) <= delta

    high = 1.0
    while not enough(high):
        high *= 2
        if high > MOST_NOISE:
            why = f"it would take more than {MOST_NOISE:.0f} clipping norms"
            raise ConfigError(
                f"no usable noise is ({epsilon}, {delta})", why=why, next="Allow a larger epsilon or delta"
            )
    low = high / 2
    while low > LEAST_NOISE and enough(low):
        low, high = low / 2, low
    while high - low > RELATIVE * high:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    sampled_epsilon(delta, sigma=high, q=q, steps=steps, records=records)
    return high


def _nothing(sigma: float, q: float, steps: int, records: int) -> bool:
    positive("sigma", sigma)
    probability("q", q, one=True)
    return min(count("steps", steps), count("records", records)) == 0


def _interval(sigma: float, q: float, steps: int, records: int) -> float:
    """Width of a cell of the loss. All are safe, since rounding is upwards; what wider ones add grows with T width^2.

    For more than one record each cell takes a search of its own, some 0.1 ms; so there are fewer.
    """
    at_least_K = np.cumsum(binomial(records, q)[::-1])[::-1]
    shift = max(1, int(np.flatnonzero(at_least_K >= math.exp(LOG_TAIL))[-1])) / sigma
    spread = shift * shift / 2 + 10 * shift
    if records == 1:
        return max(FINEST, spread / CELLS)
    width = MIXTURE_WIDTH * min(1.0, math.sqrt(MIXTURE_STEPS / steps))
    return max(FINEST, width, spread / MIXTURE_CELLS)


@functools.lru_cache(maxsize=4)
def _loss(sigma: float, q: float, steps: int, records: int) -> Any:
    pld = need("dp_accounting.pld.privacy_loss_distribution", to="accounting for sampled DP-SGD")
    width = _interval(sigma, q, steps, records)
    if records == 1:
        one = pld.from_gaussian_mechanism(sigma, sampling_prob=q, value_discretization_interval=width)
    else:
        shifts, p_K = [float(k) for k in range(records + 1)], binomial(records, q).tolist()
        one = pld.from_mixture_gaussian_mechanism(sigma, shifts, p_K, value_discretization_interval=width)
    return one.self_compose(steps)
