r"""Renyi divergence of two noisy iterations that start, or step, apart. Source: Feldman et al., arXiv 1808.06651.

Two processes x <- h_t(x) + N(0, s^2 I) with the same noise. Where they stand z apart, step t leaves them at most
c_t z + b_t apart before its noise (c_t: contraction, b_t: what the data adds). The shift-reduction lemma lets step t
pay a_t^2 alpha / (2 s^2) to bring them a_t closer (projections onto convex sets do not undo that), so with z_N = 0

    D_alpha <= alpha rho,   rho = min sum_t a_t^2 / (2 s^2),   z_t = c_t z_{t-1} + b_t - a_t >= 0,   z_N = 0.

With v_t = c_{t+1} ... c_N, S_t = sum_{j<=t} v_j b_j (S_0 = v_0 z_0) and A_t = sum_{j<=t} v_j a_j the condition is
A_t <= S_t and A_N = S_N. On the axis tau_t = sum_{j<=t} v_j^2 the cost is the integral of the squared slope of A:
the least is that of the lower convex hull of (tau_t, S_t), from (0, 0). For linear maps and constant gaps it is
exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from expunge.accounting.given import at_least_zero, count, positive
from expunge.accounting.renyi import renyi_epsilon
from expunge.core.errors import ConfigError

NEGLIGIBLE = 1e-100
MOST_STEPS = 10**7
ORDERS = tuple(1 + 10 ** (k / 40) for k in range(-120, 241))


def shifted_rho(apart: float, gaps: Sequence[float], contractions: Sequence[float], sigma: float) -> float:
    """rho such that the Renyi divergence of order alpha is at most alpha rho.

    Args:
        apart: () unit of the weights. How far apart the two starts are at most.
        gaps: (N,) unit of the weights. What each step adds.
        contractions: (N,) factors. By which each step brings two points together; at most 1.
        sigma: () unit of the weights. Standard deviation of each step's noise in each coordinate.

    Returns:
        () nats.

    Raises:
        ConfigError: a number is out of range.

    >>> shifted_rho(3.0, [2.0], [0.5], 0.5)  # (0.5 * 3 + 2)^2 / (2 * 0.25)
    24.5
    >>> shifted_rho(0.0, [2.0, 0.0], [0.5, 0.5], 0.5)  # 1 apart in the end; 1^2 / (2 * 0.25 * (1 + 0.25))
    1.6
    >>> shifted_rho(0.0, [0.0, 2.0], [0.5, 0.5], 0.5)  # the first step has nothing to pay for
    8.0
    """
    positive("sigma", sigma)
    if len(gaps) != len(contractions) or any(not 0 <= c <= 1 for c in contractions):
        raise ConfigError("each step needs a gap and a contraction between 0 and 1")
    weight, weights = 1.0, [1.0] * len(gaps)
    for t in range(len(gaps) - 1, 0, -1):
        weight *= contractions[t]
        weights[t - 1] = weight
    height = at_least_zero("the distance", apart) * weight * (contractions[0] if contractions else 1.0)
    if not gaps:
        return 0.0 if height == 0 else math.inf
    points, tau = [(0.0, height)], 0.0
    for v, gap in zip(weights, gaps, strict=True):
        height += v * at_least_zero("a gap", gap)
        # What is paid in steps whose weight vanishes is lost on the way; that they pay nothing is on the safe side.
        tau += v * v if v > NEGLIGIBLE else 0.0
        points.append((tau, height))
    return _energy(points) / (2 * sigma**2)


def clipped_rho(
    *, start_clip: float, gradient_clip: float, lr: float, decay: float, sigma: float, steps: int, blocks: int = 1
) -> float:
    """rho of noisy steps whose gradients are clipped, whatever the gradients are. Source: arXiv 2506.06985.

    x0 = clip(w, C0), then T times x <- (1 - eta lam) x - eta clip(g(x), C1) + N(0, s^2 I): ``shifted_rho`` of two
    starts 2 C0 apart, steps that add 2 eta C1, contractions 1 - eta lam. Blocks, one after another, cost that each.

    Args:
        start_clip: unit of the weights. C0, of a block.
        gradient_clip: unit of a gradient. C1, of a block.
        lr: eta.
        decay: lam; eta lam below 1.
        sigma: unit of the weights. s.
        steps: T, of a block.
        blocks: how many.

    Returns:
        () nats.

    Raises:
        ConfigError: a number is out of range.

    >>> clipped_rho(start_clip=1.5, gradient_clip=0.5, lr=0.5, decay=0.0, sigma=2.0, steps=4)  # (3 + 4 / 2)^2 / 32
    0.78125
    >>> clipped_rho(start_clip=3.0, gradient_clip=0.0, lr=0.5, decay=1.0, sigma=2.0, steps=2, blocks=3)  # 3 1.5^2 / 10
    0.675
    """
    if count("steps", steps, least=1) > MOST_STEPS:
        raise ConfigError(f"{steps} steps are more than are counted", next=f"Take {MOST_STEPS} at most")
    gap = 2 * positive("the learning rate", lr) * at_least_zero("the clip of gradients", gradient_clip)
    kept = 1 - lr * at_least_zero("the decay", decay)
    if kept <= 0:
        raise ConfigError("the decay takes all of the weights in one step", next="Lower it, or the learning rate")
    apart = 2 * positive("the clip of the start", start_clip)
    return count("blocks", blocks, least=1) * shifted_rho(apart, [gap] * steps, [kept] * steps, sigma)


def _energy(points: list[tuple[float, float]]) -> float:
    """The integral of the squared slope of the least path from (0, 0) that keeps below the points, to the last."""
    hull = [(0.0, 0.0)]
    for x, y in (p for p in points if p[0] > 0):
        while len(hull) > 1 and (y - hull[-1][1]) * (x - hull[-2][0]) <= (y - hull[-2][1]) * (x - hull[-1][0]):
            hull.pop()
        hull.append((x, y))
    steps = [(x - x0, y - y0) for (x0, y0), (x, y) in pairwise(hull)]
    return sum(dy * dy / dx for dx, dy in steps if dx > 0)


def rho_epsilon(rho: float, delta: float) -> float:
    """The epsilon at a delta of what has D_alpha <= alpha rho for every alpha; nothing costs nothing.

    >>> 3.5 < rho_epsilon(0.5, 0.001) < 0.5 + 2 * math.sqrt(0.5 * math.log(1000))
    True
    """
    if rho == 0:
        return 0.0
    return renyi_epsilon({order: order * rho for order in ORDERS}, delta=delta) if rho < math.inf else math.inf


def largest_rho(epsilon: float, delta: float) -> float:
    """The largest rho that is (epsilon, delta), rounded down.

    >>> rho = largest_rho(2.0, 0.001)
    >>> rho_epsilon(rho, 0.001) <= 2.0 < rho_epsilon(rho * 1.001, 0.001)
    True
    """
    positive("epsilon", epsilon)
    low, high = 0.0, epsilon
    while rho_epsilon(high, delta) <= epsilon:
        low, high = high, 2 * high
    for _ in range(45):
        middle = (low + high) / 2
        low, high = (middle, high) if rho_epsilon(middle, delta) <= epsilon else (low, middle)
    return low
