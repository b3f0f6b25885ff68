"""Renyi divergence to (epsilon, delta) and back. Source: Canonne, Kamath & Steinke, arXiv 2004.00010, proposition 12.

Two notations of one thing: (epsilon, delta), and a Renyi divergence epsilon_alpha at each order alpha > 1. Among papers
on unlearning some write (alpha, beta) for (epsilon, delta) itself; an alpha of those is no order.

Why the conversion holds: with the privacy loss Z under P, delta(epsilon) = E[max(0, 1 - e^(epsilon - Z))], and for
u = e^(epsilon - z) <= 1 the value (1 - u) u^(alpha - 1) is at most (1/alpha) (1 - 1/alpha)^(alpha - 1), at
u = 1 - 1/alpha. As E[e^((alpha - 1) Z)] = e^((alpha - 1) epsilon_alpha),

    delta <= (1/alpha) (1 - 1/alpha)^(alpha - 1) e^((alpha - 1) (epsilon_alpha - epsilon)).

It beats the classical epsilon = epsilon_alpha + ln(1/delta) / (alpha - 1) at every order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from expunge.accounting.given import at_least_zero, count, exp, positive, probability
from expunge.core.errors import ConfigError


def renyi_gaussian(order: float, *, sigma: float, sensitivity: float = 1.0) -> float:
    """Renyi divergence of Gaussian noise: alpha Delta^2 / (2 sigma^2).

    Args:
        order: () alpha, > 1.
        sigma: unit of the answer. Standard deviation of the noise in each coordinate.
        sensitivity: unit of the answer. The shift between the two worlds, in Euclidean norm.

    Returns:
        () nats.

    Raises:
        ConfigError: a number is out of range.

    >>> renyi_gaussian(3.0, sigma=2.0, sensitivity=4.0)  # 3 * 16 / 8
    6.0
    """
    return _order(order) * (positive("sensitivity", sensitivity) / positive("sigma", sigma)) ** 2 / 2


def renyi_pure(order: float, epsilon: float) -> float:
    """The largest Renyi divergence that (epsilon, 0) allows: that of randomised response, of which all else is made.

    epsilon_alpha = ln(p^alpha q^(1 - alpha) + q^alpha p^(1 - alpha)) / (alpha - 1),   p = e^epsilon q = 1 - q

    Args:
        order: () alpha, > 1.
        epsilon: () nats, >= 0.

    Returns:
        () nats, <= epsilon.

    Raises:
        ConfigError: a number is out of range.

    >>> round(renyi_pure(2.0, math.log(3)), 6)  # p = 3/4: ln(9/4 + 1/12) = ln(7/3)
    0.847298
    """
    _order(order)
    at_least_zero("epsilon", epsilon)
    # p^alpha q^(1-alpha) = p e^((alpha-1) epsilon), and ln p = -ln(1 + e^-epsilon).
    rest = math.log1p(math.exp(-(2 * order - 1) * epsilon)) - math.log1p(math.exp(-epsilon))
    return max(0.0, epsilon + rest / (order - 1))


def renyi_epsilon(divergences: Mapping[float, float], *, delta: float) -> float:
    """The smallest epsilon that the divergences give at a delta, over the orders.

    epsilon = min_alpha epsilon_alpha + ln(1 - 1/alpha) - ln(alpha delta) / (alpha - 1)

    Args:
        divergences: () nats. By order alpha > 1.
        delta: probability.

    Returns:
        () nats.

    Raises:
        ConfigError: no orders, or a number is out of range.

    >>> round(renyi_epsilon({2.0: 1.5}, delta=0.01), 4)  # 1.5 + ln(1/2) - ln(0.02)
    4.7189
    >>> round(renyi_epsilon({2.0: 1.5, 3.0: 2.25}, delta=0.01), 4)  # 2.25 + ln(2/3) - ln(0.03) / 2
    3.5978
    """
    log_delta = math.log(probability("delta", delta))
    found = [r + math.log1p(-1 / a) - (log_delta + math.log(a)) / (a - 1) for a, r in _checked(divergences)]
    return max(0.0, min(found))


def renyi_delta(divergences: Mapping[float, float], *, epsilon: float) -> float:
    """The smallest delta that the divergences give at an epsilon, over the orders; 1 at most.

    Args:
        divergences: () nats. By order alpha > 1.
        epsilon: nats, >= 0.

    Returns:
        () probability.

    Raises:
        ConfigError: no orders, or a number is out of range.

    >>> round(renyi_delta({3.0: 2.0}, epsilon=2.5), 6)  # (1/3) (2/3)^2 e^(2 (2 - 2.5)) = 4/27 e^-1
    0.054501
    """
    at_least_zero("epsilon", epsilon)
    found = [(a - 1) * (r - epsilon + math.log1p(-1 / a)) - math.log(a) for a, r in _checked(divergences)]
    return min(1.0, exp(min(found)))


def renyi_group(divergences: Mapping[float, float], *, doublings: int) -> dict[float, float]:
    """Divergences for 2^c records, from those for one: order alpha / 2^c costs 3^c times as much.

    Holds for orders alpha >= 2^(c + 1); others are left out. Source: Mironov, arXiv 1702.07476, proposition 2.

    Args:
        divergences: () nats. By order alpha > 1, for one record.
        doublings: c.

    Returns:
        nats by order, for 2^c records.

    Raises:
        ConfigError: no order is large enough, or a number is out of range.

    >>> renyi_group({6.0: 0.5, 8.0: 0.75}, doublings=2)
    {2.0: 6.75}
    """
    size, factor = 2 ** count("doublings", doublings), 3**doublings
    held = {a / size: factor * r for a, r in _checked(divergences) if a >= 2 * size or doublings == 0}
    if not held:
        why = f"a group of {size} records needs an order of {2 * size} or more"
        raise ConfigError("no order is large enough", why=why, next="Give the divergence at a larger order")
    return held


def _order(order: float) -> float:
    if not 1 < order < math.inf:
        raise ConfigError(f"the order is {order}", why="a Renyi order is above 1 and finite", next="Give another order")
    return order


def _checked(divergences: Mapping[float, float]) -> list[tuple[float, float]]:
    if not divergences:
        raise ConfigError("there is no order", why="a conversion takes one or more", next="Give divergences by order")
    return [(_order(a), at_least_zero(f"the divergence of order {a}", r)) for a, r in divergences.items()]
