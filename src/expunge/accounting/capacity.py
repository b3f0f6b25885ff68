"""How many deletions a model bears before it loses accuracy. Source: Sekhari et al., arXiv 2103.03279, theorems 1 to 3.

A planning aid, up to constants, which are set to 1 here: it compares methods and shows growth with n and d. What a
certificate states comes from an accountant.
"""

from __future__ import annotations

import math
from typing import Literal

from expunge.accounting.given import count, positive, probability
from expunge.core.errors import UnknownName

Capacity = Literal["private", "newton", "any"]


def deletion_capacity(n: int, d: int, epsilon: float, delta: float, method: Capacity) -> int:
    """Records whose deletion keeps the excess risk of a strongly convex model small, up to constants; n at most.

    private: n epsilon / sqrt(d ln(e^epsilon / delta)): differential privacy, which does nothing on request
    newton:  n sqrt(epsilon) / (d ln(1 / delta))^(1/4): one Newton step on the records, then noise
    any:     n: no method exceeds a constant share

    Args:
        n: () records. That the model was trained on.
        d: () parameters.
        epsilon: () nats, > 0.
        delta: () probability.
        method: () name. One of the three.

    Returns:
        () records.

    Raises:
        ConfigError: a number is out of range.
        UnknownName: no such method.

    >>> deletion_capacity(1200, 16, 5.0, math.exp(-4), "private")  # 1200 * 5 / sqrt(16 * 9) = 500
    500
    >>> deletion_capacity(1200, 16, 5.0, math.exp(-4), "newton")  # 1200 * sqrt(5) / 64^(1/4) = 948.7
    948
    """
    count("n", n, least=1)
    count("d", d, least=1)
    positive("epsilon", epsilon)
    spread = -math.log(probability("delta", delta))
    shares = {
        "private": epsilon / math.sqrt(d * (epsilon + spread)),
        "newton": math.sqrt(epsilon) / (d * spread) ** 0.25,
        "any": 1.0,
    }
    if method not in shares:
        raise UnknownName("method", method, shares)
    return math.floor(n * min(1.0, shares[method]))
