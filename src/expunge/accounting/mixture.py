"""How many of m records a Poisson sample holds, and what that tells. Source: arXiv 2310.15526, corollary 4.7.

Each of m records is in the sample with probability q by itself, so the sum of clipped gradients moves by k with the
probability of k ones in a binomial: with the records the answer is drawn from P = sum_k p_k N(k, sigma^2), without them
from Q = N(0, sigma^2), in units of the clipping norm. Vectors that point elsewhere tell less.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from expunge.accounting.given import count, positive, probability

STEP = 0.05
MARGIN = 40.0
REACH = 2000.0
ORDERS = (1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 128.0)


def binomial(records: int, q: float) -> NDArray[np.float64]:
    """How likely each number of the records is to be in one sample: C(m, k) q^k (1 - q)^(m - k).

    Args:
        records: () records. m, one or more.
        q: () probability. That a record is in a sample, below 1.

    Returns:
        (m + 1) probability. Of k = 0 to m; their sum is 1.

    Raises:
        ConfigError: a number is out of range.

    >>> [round(float(p), 3) for p in binomial(3, 0.2)]
    [0.512, 0.384, 0.096, 0.008]
    """
    m, log_q, log_rest = count("records", records, least=1), math.log(probability("q", q)), math.log1p(-q)
    logs = [math.lgamma(m + 1) - math.lgamma(k + 1) - math.lgamma(m - k + 1) for k in range(m + 1)]
    p_K = np.exp([c + k * log_q + (m - k) * log_rest for k, c in enumerate(logs)])
    return p_K / p_K.sum()


def renyi_mixture(orders: Iterable[float] = ORDERS, *, sigma: float, q: float, records: int) -> dict[float, float]:
    """Renyi divergence of one step for m records, the larger of both directions, by the trapezoid rule.

    D_alpha(P | Q) = ln E_Q[L^alpha] / (alpha - 1),   D_alpha(Q | P) = ln E_Q[L^(1 - alpha)] / (alpha - 1),   L = P / Q

    Args:
        orders: (A) alpha, > 1. Those whose integral reaches too far are left out.
        sigma: clipping norms. Noise multiplier.
        q: probability. That a record is in a sample, below 1.
        records: m, one or more.

    Returns:
        nats by order.

    Raises:
        ConfigError: a number is out of range.

    >>> round(renyi_mixture([2.0], sigma=2.0, q=0.5, records=1)[2.0], 6)  # ln(3/4 + e^(1/4) / 4)
    0.068599
    """
    p_K = binomial(records, q)
    furthest = records / positive("sigma", sigma)
    kept = [a for a in orders if a * furthest <= REACH]
    if not kept:
        return {}
    end = max(kept) * furthest + MARGIN
    z_X = np.arange(-end, end + STEP, STEP)
    log_ratio_X = np.full_like(z_X, -np.inf)
    for k in np.flatnonzero(p_K):
        shift = k / sigma
        np.logaddexp(log_ratio_X, math.log(p_K[k]) + z_X * shift - shift * shift / 2, out=log_ratio_X)
    log_q_X = -z_X * z_X / 2 + math.log(STEP) - math.log(2 * math.pi) / 2
    found = {}
    for a in kept:
        both = [log_q_X + power * log_ratio_X for power in (a, 1 - a)]
        found[a] = max(0.0, max(_log_sum(terms_X) for terms_X in both) / (a - 1))
    return found


def _log_sum(terms_X: NDArray[np.float64]) -> float:
    top = float(terms_X.max())
    return top + math.log(float(np.exp(terms_X - top).sum()))
