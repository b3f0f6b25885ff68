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
TABLE, NEWTON, CLOSE, BLOCK = 4096, 6, 1e-9, 2**20
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
    log_ratio_X = log_ratio(z_X, sigma=sigma, p_K=p_K)
    log_q_X = -z_X * z_X / 2 + math.log(STEP) - math.log(2 * math.pi) / 2
    found = {}
    for a in kept:
        both = [log_q_X + power * log_ratio_X for power in (a, 1 - a)]
        found[a] = max(0.0, max(_log_sum(terms_X) for terms_X in both) / (a - 1))
    return found


def log_ratio(z_X: NDArray[np.float64], *, sigma: float, p_K: NDArray[np.float64]) -> NDArray[np.float64]:
    """ln P / Q at answers z sigma: ln sum_k p_k e^(z k / sigma - k^2 / (2 sigma^2)). Convex, and increasing in z.

    Args:
        z_X: (X) standard deviations. The answer over the noise.
        sigma: clipping norms. Noise multiplier.
        p_K: (m + 1) probability. That k records are in the sample.

    Returns:
        (X) nats.

    >>> found = log_ratio(np.array([1.0]), sigma=2.0, p_K=np.array([0.25, 0.75]))
    >>> round(float(found[0]), 4)  # ln(1/4 + 3/4 e^(1/2 - 1/8))
    0.2936
    """
    return _log_ratio_and_slope(z_X, sigma, p_K)[0]


def invert_log_ratio(
    wanted_X: NDArray[np.float64], *, sigma: float, p_K: NDArray[np.float64], low: float, high: float
) -> NDArray[np.float64]:
    """The answers at which ln P / Q has given values: a table, then Newton's method, for all of them at once.

    A tangent of a convex function lies below it, so each step after the first comes from above, never too far.

    Args:
        wanted_X: (X) nats. Values.
        sigma: clipping norms. Noise multiplier.
        p_K: (m + 1) probability. That k records are in the sample.
        low: standard deviations. Where the table begins.
        high: standard deviations. Where it ends.

    Returns:
        (X) standard deviations; not a number where a value lies outside of the table or was not reached.

    >>> p_K = np.array([0.25, 0.75])
    >>> at = log_ratio(np.array([1.5]), sigma=2.0, p_K=p_K)
    >>> round(float(invert_log_ratio(at, sigma=2.0, p_K=p_K, low=-3.0, high=3.0)[0]), 9)
    1.5
    """
    z_T = np.linspace(low, high, TABLE)
    value_T = log_ratio(z_T, sigma=sigma, p_K=p_K)
    z_X = np.interp(wanted_X, value_T, z_T, left=math.nan, right=math.nan)
    inside_X = np.isfinite(z_X)
    z_I, wanted_I = z_X[inside_X], wanted_X[inside_X]
    apart_I = np.full_like(z_I, np.inf)
    for _ in range(NEWTON):
        value_I, slope_I = _log_ratio_and_slope(z_I, sigma, p_K)
        apart_I = value_I - wanted_I
        if np.abs(apart_I).max(initial=0.0) <= CLOSE / 100:
            break
        z_I = z_I - apart_I / slope_I
    z_X[inside_X] = np.where(np.abs(apart_I) <= CLOSE, z_I, math.nan)
    return z_X


def _log_ratio_and_slope(
    z_X: NDArray[np.float64], sigma: float, p_K: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    shift_K = np.flatnonzero(p_K) / sigma
    fixed_K = np.log(p_K[p_K > 0]) - shift_K * shift_K / 2
    value_X, slope_X = np.empty_like(z_X), np.empty_like(z_X)
    rows = max(1, BLOCK // len(shift_K))
    for first in range(0, len(z_X), rows):
        part = slice(first, first + rows)
        terms_BK = np.outer(z_X[part], shift_K) + fixed_K
        top_B = terms_BK.max(axis=1)
        np.exp(np.subtract(terms_BK, top_B[:, None], out=terms_BK), out=terms_BK)
        sum_B = terms_BK.sum(axis=1)
        value_X[part], slope_X[part] = top_B + np.log(sum_B), terms_BK @ shift_K / sum_B
    return value_X, slope_X


def _log_sum(terms_X: NDArray[np.float64]) -> float:
    top = float(terms_X.max())
    return top + math.log(float(np.exp(terms_X - top).sum()))
